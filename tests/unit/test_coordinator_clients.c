/* The coordinator's state machine: what clients are told, at once and as it happens. */
#include "check_main.h"
#include "tiny_job.h"

START_TEST(watchers_hear_every_change)
{
    Cairn__ClientReply *reply;

    run_job();
    pass(&cluster, 250);
    cluster_forget(&cluster);
    ASK_WATCH(&cluster, "watcher", "tiny");
    reply = take_reply(&cluster, "watcher");
    ck_assert_int_eq(reply->job->state, CAIRN__JOB_STATE__JOB_STATE_RUNNING);
    message_free(reply);
    progress(&cluster, "w1", 1, 1); /* paced */
    ck_assert_ptr_null(take_reply(&cluster, "watcher"));
    ck_assert_int_eq(state_deadline_ms(cluster.state), cluster.now.monotonic_ms + SUBSCRIPTION_PACE_MS);
    pass(&cluster, 100);
    reply = take_reply(&cluster, "watcher");
    ck_assert_uint_eq(reply->job->step, 1);
    message_free(reply);
    pass(&cluster, 1900);
    ck_assert_ptr_null(take_reply(&cluster, "watcher"));
    pass(&cluster, 250); /* nothing new, but we are there */
    reply = take_reply(&cluster, "watcher");
    ck_assert_ptr_nonnull(reply);
    message_free(reply);
    failed(&cluster, "s1", 1, "gone wrong"); /* a change of state is told at once, and the last one ends it */
    reply = take_reply(&cluster, "watcher");
    ck_assert_int_eq(reply->job->state, CAIRN__JOB_STATE__JOB_STATE_FAILED);
    message_free(reply);
    pass(&cluster, 5000);
    ck_assert_ptr_null(take_reply(&cluster, "watcher"));
}
END_TEST

START_TEST(ten_statuses_a_second_at_most)
{
    Cairn__ClientReply *reply;
    int count = 0;

    run_job();
    ASK_WATCH(&cluster, "watcher", "tiny");
    for (int i = 0; i < 1000; i++) {
        struct event tick = {.type = EVENT_TICK};

        cluster.now.monotonic_ms++;
        progress(&cluster, "w1", 1, (uint64_t)i / 100);
        cluster_handle(&cluster, &tick);
    }
    while ((reply = take_reply(&cluster, "watcher"))) {
        message_free(reply);
        count++;
    }
    ck_assert_int_ge(count, 10);
    ck_assert_int_le(count, 11);
}
END_TEST

static void ask_logs(const char *client, uint64_t after, bool follow)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__LogsRequest body = CAIRN__LOGS_REQUEST__INIT;

    body.job = "tiny";
    body.after = after;
    body.follow = follow;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_LOGS;
    request.logs = &body;
    ask(&cluster, client, &request);
}

START_TEST(followers_get_entries_as_they_come)
{
    Cairn__LogLine line = CAIRN__LOG_LINE__INIT;
    struct effect logs;

    run_job();
    ask_logs("reader", 2, false);
    ck_assert(take_logs(&cluster, "reader", &logs));
    ck_assert(logs.end && logs.after == 2 && logs.job == 1 && logs.number == 7);
    ask_logs("follower", 0, true);
    ck_assert(take_logs(&cluster, "follower", &logs));
    ck_assert(!logs.end && logs.after == 0);
    line.job = 1;
    line.level = "shouted";
    line.text = "hello";
    SAY(&cluster, "w1", LOG_LINE, log_line, &line);
    ck_assert_str_eq(cluster.jobs[1].last_line, "hello");
    ck_assert(take_logs(&cluster, "follower", &logs));
    ck_assert_uint_eq(logs.after, cluster.jobs[1].newest_entry - 1);
    failed(&cluster, "s1", 1, "gone wrong");
    ck_assert(take_logs(&cluster, "follower", &logs));
    ck_assert(logs.end);
    SAY(&cluster, "w1", LOG_LINE, log_line, &line);
    ck_assert(!take_logs(&cluster, "follower", &logs));
}
END_TEST

START_TEST(new_request_ends_the_old_subscription)
{
    struct event gone = {.type = EVENT_PEER_GONE, .peer = peer_named("b"), .reason = "gone"};

    run_job();
    ASK_WATCH(&cluster, "a", "tiny");
    ASK_WATCH(&cluster, "b", "tiny");
    ASK_JOB(&cluster, "a", "tiny");
    cluster_handle(&cluster, &gone);
    cluster_forget(&cluster);
    failed(&cluster, "w1", 1, "gone wrong");
    ck_assert_ptr_null(take_reply(&cluster, "a"));
    ck_assert_ptr_null(take_reply(&cluster, "b"));
}
END_TEST

START_TEST(committed_model_can_be_located)
{
    Cairn__ClientReply *reply;

    run_job();
    ASK_LOCATE(&cluster, "client", "tiny");
    expect_error(&cluster, "client", "tiny-1 has nothing committed yet");
    commit_step(1, 5);
    ASK_LOCATE(&cluster, "client", "tiny");
    reply = take_reply(&cluster, "client");
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_LOCATION);
    ck_assert_uint_eq(reply->location->committed_step, 5);
    ck_assert_uint_eq(reply->location->n_shards, 4);
    ck_assert_str_eq(reply->location->text->base_directory, "/jobs");
    message_free(reply);
    leave(&cluster, "s2");
    ASK_LOCATE(&cluster, "client", "tiny");
    expect_error(&cluster, "client", "server s2, which holds a part of tiny-1, is not there");
    register_from(&cluster, "s2", "s2", 1, 1);
    ASK_LOCATE(&cluster, "client", "tiny");
    expect_error(&cluster, "client", "server s2 has 1 shards");
}
END_TEST

START_TEST(bad_job_files_get_their_line)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__JobsRequest body = CAIRN__JOBS_REQUEST__INIT;
    Cairn__ClientReply *reply;

    send_submit(&cluster, "name: x\nmodel: 3\n", false, 0);
    expect_error(&cluster, "submitter", "job.yaml:2");
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_JOBS;
    request.jobs = &body;
    ask(&cluster, "client", &request);
    reply = take_reply(&cluster, "client");
    ck_assert_uint_eq(reply->jobs->n_jobs, 0);
    message_free(reply);
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const clients[] = {watchers_hear_every_change,         ten_statuses_a_second_at_most,
                                    followers_get_entries_as_they_come, new_request_ends_the_old_subscription,
                                    committed_model_can_be_located,     bad_job_files_get_their_line};
    Suite *suite = suite_create("coordinator_clients");

    ADD(suite, "clients", clients);
    return suite;
}

CHECK_MAIN(make_suite)
