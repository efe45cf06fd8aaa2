/* The coordinator's state machine: jobs of the throughput modes. */
#include "check_main.h"
#include "tiny_job.h"

#define ASYNC_TEXT FAKE_JOB_TEXT("tiny", "steps: 10, mode: async, commit_every: 4")

static void run_async(void)
{
    submit_text_with_nodes(ASYNC_TEXT);
    prepare_all(1);
    EXPECT_STATE(&cluster, RUNNING, "");
}

/* The newest epoch that a node was told, as "name#number@first ..., closing"; NULL: none came. */
static const char *newest_epoch(const char *node)
{
    static char text[256];
    const char *found = NULL;
    Cairn__NodeCommand *command;

    while ((command = take_command(&cluster, node, CAIRN__NODE_COMMAND__BODY_EPOCH))) {
        const Cairn__EpochCommand *epoch = command->epoch;
        size_t length = 0;

        text[0] = '\0';
        ck_assert_uint_eq(epoch->n_worker_steps, epoch->n_workers);
        for (size_t i = 0; i < epoch->n_workers; i++)
            length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s#%d@%d", i ? " " : "",
                                       epoch->workers[i], (int)epoch->worker_numbers[i],
                                       (int)epoch->worker_steps[i]);
        snprintf(text + length, sizeof(text) - length, "%s", epoch->closing ? ", closing" : "");
        found = text;
        message_free(command);
    }
    return found;
}

static void expect_epoch(const char *node, const char *text)
{
    const char *newest = newest_epoch(node);

    ck_assert_msg(newest != NULL, "%s heard of no epoch", node);
    ck_assert_str_eq(newest, text);
}

/* The step of the commit that a server was asked for; 0: none. */
static uint64_t asked_commit(const char *server)
{
    Cairn__NodeCommand *command = take_command(&cluster, server, CAIRN__NODE_COMMAND__BODY_COMMIT);
    uint64_t step = command ? command->commit->step : 0;

    message_free(command);
    return step;
}

START_TEST(servers_hear_of_epochs_before_workers)
{
    size_t server = SIZE_MAX, worker = SIZE_MAX;

    submit_text_with_nodes(ASYNC_TEXT);
    cluster_forget(&cluster);
    prepare_all(1);
    for (size_t i = 0; i < cluster.outbox.count; i++) {
        const struct effect *effect = &cluster.outbox.items[i];

        if (effect->type == EFFECT_COMMAND && is_to(effect, "s2"))
            server = i;
        if (effect->type == EFFECT_COMMAND && is_to(effect, "w1") && worker == SIZE_MAX)
            worker = i;
    }
    ck_assert_uint_lt(server, worker);
    ck_assert_uint_lt(worker, SIZE_MAX);
    expect_epoch("s1", "w1#1@0 w2#2@0");
    expect_epoch("w2", "w1#1@0 w2#2@0");
}
END_TEST

START_TEST(jobs_of_mode_sync_tell_servers_of_no_epoch)
{
    run_job();
    ck_assert(!GOT(&cluster, "s1", EPOCH));
}
END_TEST

START_TEST(who_joins_begins_where_the_job_is)
{
    run_async();
    progress(&cluster, "w2", 1, 3);
    register_worker(&cluster, "w3");
    prepared(&cluster, "w3", 1, 40);
    expect_epoch("s2", "w1#1@0 w2#2@0 w3#3@3");
    progress(&cluster, "w1", 1, 5);
    leave(&cluster, "w2");
    expect_epoch("s1", "w1#1@0 w3#3@3"); /* it is not said anew where a number begins */
}
END_TEST

START_TEST(generations_are_asked_for_as_the_job_goes_on)
{
    run_async();
    progress(&cluster, "w1", 1, 3);
    ck_assert_uint_eq(asked_commit("s1"), 0);
    progress(&cluster, "w2", 1, 5);
    ck_assert_uint_eq(asked_commit("s1"), 5);
    ck_assert_uint_eq(asked_commit("s2"), 5);
    progress(&cluster, "w2", 1, 9); /* one at a time */
    ck_assert_uint_eq(asked_commit("s1"), 0);
    commit_step(1, 5);
    ck_assert(GOT(&cluster, "s2", COMMITTED));
    progress(&cluster, "w2", 1, 10); /* the last one is the end's */
    ck_assert_uint_eq(asked_commit("s1"), 0);
}
END_TEST

/* A server has a generation that the other has none of, and that nobody remembers to have asked for. */
START_TEST(a_generation_of_one_server_is_passed_over)
{
    run_async();
    progress(&cluster, "w1", 1, 5);
    cluster_restart(&cluster);
    register_engaged(&cluster, "s1", 2, 1);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w1", 0, 1);
    register_engaged(&cluster, "w2", 0, 1);
    committed(&cluster, "s1", 1, 5);
    cluster_forget(&cluster);
    progress(&cluster, "w2", 1, 4);
    ck_assert_uint_eq(asked_commit("s1"), 6);
    ck_assert_uint_eq(asked_commit("s2"), 6);
    committed(&cluster, "s2", 1, 6);
    ck_assert(GOT(&cluster, "s1", ABANDON));
    committed(&cluster, "s1", 1, 6);
    ck_assert(GOT(&cluster, "s1", COMMITTED));
}
END_TEST

START_TEST(one_worker_closes_the_job_when_all_have_ended)
{
    run_async();
    cluster_forget(&cluster);
    reached(&cluster, "w2", 1, 10, "");
    ck_assert_ptr_null(newest_epoch("w2"));
    reached(&cluster, "w1", 1, 10, "");
    expect_epoch("s1", "w1#1@0, closing");
    expect_epoch("w1", "w1#1@0, closing");
    ck_assert_ptr_null(newest_epoch("w2"));
    reached(&cluster, "w1", 1, 10, ""); /* said again: it has not closed */
    ck_assert_uint_eq(asked_commit("s1"), 0);
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    ck_assert_uint_eq(asked_commit("s1"), 10);
    commit_step(1, 10);
    EXPECT_STATE(&cluster, COMPLETED, "");
}
END_TEST

START_TEST(another_one_closes_it_when_the_first_is_lost)
{
    run_async();
    reached(&cluster, "w1", 1, 10, "");
    reached(&cluster, "w2", 1, 10, "");
    cluster_forget(&cluster);
    leave(&cluster, "w1");
    expect_epoch("w2", "w2#2@0, closing");
    leave(&cluster, "w2");
    EXPECT_STATE(&cluster, WAITING, "waits for 1 more worker, to write the model");
    register_worker(&cluster, "w3");
    prepared(&cluster, "w3", 1, 40);
    expect_epoch("w3", "w3#3@10"); /* there is nothing for it to do */
    reached(&cluster, "w3", 1, 10, "");
    expect_epoch("w3", "w3#3@10, closing");
}
END_TEST

START_TEST(a_stop_ends_each_worker_where_it_is)
{
    run_async();
    progress(&cluster, "w1", 1, 7);
    commit_step(1, 7);
    ASK_STOP(&cluster, "stopper", "tiny");
    cluster_forget(&cluster);
    reached(&cluster, "w1", 1, 7, "");
    reached(&cluster, "w2", 1, 4, "");
    ck_assert_uint_eq(asked_commit("s2"), 8); /* a generation of step 7 there is already */
    commit_step(1, 8);
    EXPECT_STATE(&cluster, STOPPED, "stopped at step 8 as asked");
}
END_TEST

START_TEST(an_end_that_nobody_asked_for_fails)
{
    run_async();
    reached(&cluster, "w1", 1, 7, "");
    EXPECT_STATE(&cluster, FAILED, "worker w1 ended at step 7 of 10, and nobody asked for that");
}
END_TEST

START_TEST(a_coordinator_that_begins_again_tells_servers_the_epoch)
{
    run_async();
    progress(&cluster, "w1", 1, 2);
    cluster_restart(&cluster);
    register_engaged(&cluster, "s1", 2, 1);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w1", 0, 1);
    register_engaged(&cluster, "w2", 0, 1);
    expect_epoch("s1", "w1#1@0 w2#2@0");
    expect_epoch("w1", "w1#1@0 w2#2@0");
    reached(&cluster, "w1", 1, 10, "");
    reached(&cluster, "w2", 1, 10, "");
    expect_epoch("w1", "w1#1@0, closing");
}
END_TEST

START_TEST(new_numbers_begin_at_the_committed_step_when_servers_go_back)
{
    run_async();
    progress(&cluster, "w1", 1, 5);
    commit_step(1, 5);
    progress(&cluster, "w1", 1, 7);
    leave(&cluster, "s1");
    register_server(&cluster, "s1");
    cluster_forget(&cluster);
    prepare_all(2);
    expect_epoch("s2", "w1#3@5 w2#4@5");
}
END_TEST

/* What a chunk's copy would be told has no clocks, so slots stay on the servers that the job began with. */
START_TEST(slots_stay_where_they_are)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__DrainRequest drain = CAIRN__DRAIN_REQUEST__INIT;
    Cairn__ClientReply *reply;

    run_async();
    register_server(&cluster, "s3");
    progress(&cluster, "w1", 1, 5);
    commit_step(1, 5);
    drain.node = (char *)"s1";
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_DRAIN;
    request.drain = &drain;
    ask(&cluster, "drainer", &request);
    reply = take_reply(&cluster, "drainer");
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_ERROR);
    ck_assert_msg(strstr(reply->error->message, "server s1 holds state of tiny-1"), "%s",
                  reply->error->message);
    message_free(reply);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const tests[] = {
        servers_hear_of_epochs_before_workers,
        jobs_of_mode_sync_tell_servers_of_no_epoch,
        who_joins_begins_where_the_job_is,
        generations_are_asked_for_as_the_job_goes_on,
        a_generation_of_one_server_is_passed_over,
        one_worker_closes_the_job_when_all_have_ended,
        another_one_closes_it_when_the_first_is_lost,
        a_stop_ends_each_worker_where_it_is,
        an_end_that_nobody_asked_for_fails,
        a_coordinator_that_begins_again_tells_servers_the_epoch,
        new_numbers_begin_at_the_committed_step_when_servers_go_back,
        slots_stay_where_they_are,
    };
    Suite *suite = suite_create("coordinator_throughput");

    ADD(suite, "throughput", tests);
    return suite;
}

CHECK_MAIN(make_suite)
