/* The coordinator's state machine: jobs are deleted, and servers told to remove what they hold of them. */
#include "check_main.h"
#include "tiny_job.h"

/* The reply to a deletion; free with message_free. */
static Cairn__ClientReply *delete_job(const char *job)
{
    Cairn__ClientReply *reply;

    ASK_DELETE(&cluster, "deleter", job);
    reply = take_reply(&cluster, "deleter");
    ck_assert_ptr_nonnull(reply);
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_DELETED);
    return reply;
}

static void expect_refusal(const char *job, const char *why)
{
    ASK_DELETE(&cluster, "deleter", job);
    expect_error(&cluster, "deleter", why);
}

/* A server was told to remove one job, and nothing else. */
static void expect_removal(const char *server, uint64_t job)
{
    Cairn__NodeCommand *command = take_command(&cluster, server, CAIRN__NODE_COMMAND__BODY_REMOVE);

    ck_assert_msg(command != NULL, "%s is to remove nothing", server);
    ck_assert_uint_eq(command->remove->n_jobs, 1);
    ck_assert_uint_eq(command->remove->jobs[0], job);
    message_free(command);
}

static void say_removed(const char *node, uint64_t job)
{
    Cairn__Removed body = CAIRN__REMOVED__INIT;

    body.job = job;
    SAY(&cluster, node, REMOVED, removed, &body);
}

/* Submits another job of the same name; its id. */
static const char *submit_again(void)
{
    static char id[64];
    Cairn__ClientReply *reply;

    send_submit(&cluster, TINY_TEXT, false, 0);
    reply = take_reply(&cluster, "submitter");
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_JOB);
    snprintf(id, sizeof(id), "%s", reply->job->id);
    message_free(reply);
    return id;
}

START_TEST(an_ended_job_is_deleted)
{
    Cairn__ClientReply *reply;

    stop_job_at_6();
    reply = delete_job("tiny");
    ck_assert_str_eq(reply->deleted->job_id, "tiny-1");
    ck_assert_uint_eq(reply->deleted->step, 6);
    ck_assert_uint_eq(reply->deleted->n_servers, 2);
    ck_assert_uint_eq(reply->deleted->n_absent, 0);
    message_free(reply);
    ck_assert(cluster.jobs[1].is_erased);
    expect_removal("s1", 1);
    expect_removal("s2", 1);
    ck_assert(!GOT(&cluster, "w1", REMOVE));
    for (int again = 0; again < 2; again++) {
        expect_refusal("tiny-1", "there is no job tiny-1");
        ASK_WATCH(&cluster, "watcher", "tiny");
        expect_error(&cluster, "watcher", "there is no job tiny");
        send_submit(&cluster, TINY_TEXT, true, 0);
        expect_error(&cluster, "submitter", "there is no job tiny to resume");
        cluster_restart(&cluster);
    }
}
END_TEST

START_TEST(a_job_that_has_not_ended_is_kept)
{
    run_job();
    expect_refusal("tiny", "tiny-1 has not ended: stop it first");
    EXPECT_STATE(&cluster, RUNNING, "");
    ASK_STOP(&cluster, "stopper", "tiny");
    expect_refusal("1", "tiny-1 has not ended: stop it first");
    expect_refusal("nobody", "there is no job nobody");
    ck_assert(!GOT(&cluster, "s1", REMOVE));
}
END_TEST

START_TEST(a_name_of_several_jobs_is_refused)
{
    stop_job_at_6();
    submit_again();
    expect_refusal("tiny", "tiny-2 has not ended"); /* that is the one that the name means now */
    ASK_STOP(&cluster, "stopper", "tiny");
    expect_refusal("tiny", "2 jobs have the name tiny, and all have ended: give an id");
    message_free(delete_job("tiny-1"));
    message_free(delete_job("tiny"));
}
END_TEST

START_TEST(a_number_is_never_used_again)
{
    stop_job_at_6();
    message_free(delete_job("tiny"));
    say_removed("s1", 1);
    say_removed("s2", 1);
    cluster_restart(&cluster);
    ck_assert_str_eq(submit_again(), "tiny-2");
    ck_assert_str_eq(submit_again(), "tiny-3");
    ASK_STOP(&cluster, "stopper", "tiny-2");
    message_free(delete_job("tiny-2"));
    cluster_restart(&cluster); /* a job of a greater number is there */
    ASK_STOP(&cluster, "stopper", "tiny-3");
    message_free(delete_job("tiny-3"));
    cluster_restart(&cluster); /* none is */
    ck_assert_str_eq(submit_again(), "tiny-4");
    cluster_restart(&cluster); /* one that came after the last that was deleted */
    ck_assert_str_eq(submit_again(), "tiny-5");
}
END_TEST

/* It is told whenever it comes, until it has said that it has done so. */
START_TEST(an_absent_server_is_told_when_it_is_back)
{
    Cairn__ClientReply *reply;

    stop_job_at_6();
    leave(&cluster, "s2");
    reply = delete_job("tiny");
    ck_assert_uint_eq(reply->deleted->n_servers, 1);
    ck_assert_str_eq(reply->deleted->servers[0], "s1");
    ck_assert_uint_eq(reply->deleted->n_absent, 1);
    ck_assert_str_eq(reply->deleted->absent[0], "s2");
    message_free(reply);
    expect_removal("s1", 1);
    say_removed("s1", 1);
    register_from(&cluster, "s2", "s2", 2, 2);
    expect_removal("s2", 1);
    cluster_restart(&cluster);
    register_server(&cluster, "s1");
    ck_assert(!GOT(&cluster, "s1", REMOVE));
    register_from(&cluster, "s2", "s2", 3, 2);
    expect_removal("s2", 1);
    say_removed("s2", 1);
    register_from(&cluster, "s2", "s2", 3, 2);
    ck_assert(!GOT(&cluster, "s2", REMOVE));
    cluster_restart(&cluster);
    register_from(&cluster, "s2", "s2", 3, 2);
    ck_assert(!GOT(&cluster, "s2", REMOVE));
}
END_TEST

START_TEST(who_was_told_nothing_confirms_nothing)
{
    stop_job_at_6();
    register_server(&cluster, "s3");
    message_free(delete_job("tiny"));
    ck_assert(!GOT(&cluster, "s3", REMOVE));
    cluster_forget(&cluster);
    say_removed("s3", 1);
    say_removed("w1", 1);
    say_removed("s1", 2);
    say_removed("s2", UINT64_MAX);
    cluster_restart(&cluster);
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    expect_removal("s1", 1);
    expect_removal("s2", 1);
}
END_TEST

/* Before anything is committed a job may begin anew on others, and the first ones have a store of it. */
START_TEST(a_server_of_an_earlier_beginning_is_told_too)
{
    Cairn__ClientReply *reply;

    run_job();
    leave(&cluster, "s1");
    register_server(&cluster, "s3");
    ck_assert(GOT(&cluster, "s3", PREPARE));
    cluster_restart(&cluster);
    ASK_STOP(&cluster, "stopper", "tiny");
    reply = delete_job("tiny");
    ck_assert_uint_eq(reply->deleted->step, 0);
    ck_assert_uint_eq(reply->deleted->n_absent, 3);
    message_free(reply);
    register_server(&cluster, "s1");
    expect_removal("s1", 1);
}
END_TEST

START_TEST(a_job_that_no_server_had_is_just_gone)
{
    Cairn__ClientReply *reply;

    submit_again();
    ASK_STOP(&cluster, "stopper", "tiny");
    reply = delete_job("tiny");
    ck_assert_uint_eq(reply->deleted->n_servers + reply->deleted->n_absent, 0);
    message_free(reply);
    cluster_restart(&cluster);
    ck_assert_str_eq(submit_again(), "tiny-2");
}
END_TEST

/* A server that believes to be at work on it lets go of that first. */
START_TEST(what_is_live_is_released_before_it_is_removed)
{
    stop_job_at_6();
    leave(&cluster, "s2");
    message_free(delete_job("tiny"));
    cluster_forget(&cluster);
    register_engaged(&cluster, "s2", 2, 1);
    for (size_t i = 0, step = 0; i < cluster.outbox.count; i++) {
        Cairn__NodeCommand *command =
            cairn__node_command__unpack(NULL, cluster.outbox.items[i].length, cluster.outbox.items[i].bytes);

        if (command->body_case == CAIRN__NODE_COMMAND__BODY_RELEASE)
            ck_assert_uint_eq(step++, 0);
        if (command->body_case == CAIRN__NODE_COMMAND__BODY_REMOVE)
            ck_assert_uint_eq(step++, 1);
        message_free(command);
    }
    ck_assert(GOT(&cluster, "s2", RELEASE) && GOT(&cluster, "s2", REMOVE));
}
END_TEST

/* What a stopped job holds back a deletion frees. */
START_TEST(a_server_of_a_dead_job_can_be_drained)
{
    Cairn__ClientReply *reply;

    stop_job_at_6();
    reply = ask_drain("s1");
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_ERROR);
    ck_assert_ptr_nonnull(strstr(reply->error->message, "holds state of tiny-1"));
    ck_assert_ptr_nonnull(strstr(reply->error->message, "\"cairn delete tiny-1\""));
    message_free(reply);
    message_free(delete_job("tiny-1"));
    message_free(ask_drain("s1"));
    ck_assert(GOT(&cluster, "s1", DISMISS));
    leave(&cluster, "s1");
    cluster_forget(&cluster);
    register_from(&cluster, "s1", "s1", 2, 2); /* it had not removed anything yet */
    expect_removal("s1", 1);
}
END_TEST

/* One that was drained in vain, as the job had stopped first, is let go, told what to remove before. */
START_TEST(a_deletion_lets_a_draining_server_go)
{
    run_job();
    commit_step(1, 4);
    register_server(&cluster, "s3");
    message_free(ask_drain("s1"));
    ASK_STOP(&cluster, "stopper", "tiny");
    failed(&cluster, "s2", 1, "out of memory");
    ck_assert(!GOT(&cluster, "s1", DISMISS));
    cluster_forget(&cluster);
    message_free(delete_job("tiny"));
    expect_removal("s1", 1);
    ck_assert(GOT(&cluster, "s1", DISMISS));
    ck_assert(!GOT(&cluster, "s2", DISMISS));
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const tests[] = {an_ended_job_is_deleted,
                                  a_job_that_has_not_ended_is_kept,
                                  a_name_of_several_jobs_is_refused,
                                  a_number_is_never_used_again,
                                  an_absent_server_is_told_when_it_is_back,
                                  who_was_told_nothing_confirms_nothing,
                                  a_server_of_an_earlier_beginning_is_told_too,
                                  a_job_that_no_server_had_is_just_gone,
                                  what_is_live_is_released_before_it_is_removed,
                                  a_server_of_a_dead_job_can_be_drained,
                                  a_deletion_lets_a_draining_server_go};
    Suite *suite = suite_create("coordinator_delete");

    ADD(suite, "deletions", tests);
    return suite;
}

CHECK_MAIN(make_suite)
