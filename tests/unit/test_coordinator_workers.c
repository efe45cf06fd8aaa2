/* The coordinator's state machine: workers come and go while a job trains. */
#include "check_main.h"
#include "workers_rig.h"

/* The newest epoch that a worker was told, as "name[begin,end) ..."; empty: it pauses; NULL: none came. */
static const char *newest_epoch(const char *worker)
{
    static char text[256];
    const char *found = NULL;
    Cairn__NodeCommand *command;

    while ((command = take_command(&cluster, worker, CAIRN__NODE_COMMAND__BODY_EPOCH))) {
        size_t length = 0;

        text[0] = '\0';
        for (size_t i = 0; i < command->epoch->n_workers; i++)
            length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s#%d[%u,%u)", i ? " " : "",
                                       command->epoch->workers[i], (int)command->epoch->worker_numbers[i],
                                       command->epoch->spans[i]->begin, command->epoch->spans[i]->end);
        found = text;
        message_free(command);
    }
    return found;
}

static void expect_epoch(const char *worker, const char *text)
{
    const char *newest = newest_epoch(worker);

    ck_assert_msg(newest != NULL, "%s heard of no epoch", worker);
    ck_assert_str_eq(newest, text);
}

static void say_drain(const char *worker)
{
    Cairn__Drain body = CAIRN__DRAIN__INIT;

    SAY(&cluster, worker, DRAIN, drain, &body);
}

static void report_speed(const char *worker, uint64_t step, double speed)
{
    Cairn__Progress body = CAIRN__PROGRESS__INIT;

    body.job = 1;
    body.incarnation = 1;
    body.step = step;
    body.microbatches_per_second = speed;
    SAY(&cluster, worker, PROGRESS, progress, &body);
}

/* ---- joining and leaving */

START_TEST(a_worker_that_appears_joins_at_once)
{
    run_alone();
    register_worker(&cluster, "w3");
    ck_assert(GOT(&cluster, "w3", PREPARE));
    ck_assert_ptr_null(newest_epoch("w1"));
    prepared(&cluster, "w3", 1, 40);
    expect_epoch("w1", "w1#1[0,1) w2#2[1,2) w3#3[2,4)");
    expect_epoch("w3", "w1#1[0,1) w2#2[1,2) w3#3[2,4)");
    EXPECT_STATE(&cluster, RUNNING, "");
    register_worker(&cluster, "w4"); /* the job has as many as it wants */
    ck_assert(!GOT(&cluster, "w4", PREPARE));
}
END_TEST

START_TEST(a_worker_that_prepares_for_long_is_not_waited_for)
{
    register_worker(&cluster, "w3");
    submit_with_nodes();
    prepare_all(1);
    EXPECT_STATE(&cluster, PREPARING, "waits for worker w3 to load state and data");
    for (int i = 0; i < 40; i++) {
        ck_assert_ptr_null(newest_epoch("w1"));
        heartbeat(&cluster, "w3");
        keep_alive(250);
    }
    expect_epoch("w1", "w1#1[0,2) w2#2[2,4)");
    prepared(&cluster, "w3", 1, 40);
    expect_epoch("w1", "w1#1[0,1) w2#2[1,2) w3#3[2,4)");
}
END_TEST

START_TEST(many_that_prepare_are_told_by_their_number)
{
    static const char *const names[] = {"w1", "w2", "w3", "w4"};

    register_server(&cluster, "s1");
    for (size_t i = 0; i < 4; i++)
        register_worker(&cluster, names[i]);
    send_submit(&cluster, TINY_TEXT, false, 0);
    ask_scale(4);
    register_server(&cluster, "s2");
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and 4 workers to load state and data");
}
END_TEST

START_TEST(a_worker_that_sees_other_data_is_refused)
{
    Cairn__ClientReply *reply;

    run_alone();
    register_worker(&cluster, "w3");
    prepared(&cluster, "w3", 1, 41);
    ck_assert(GOT(&cluster, "w3", RELEASE));
    ck_assert_ptr_null(newest_epoch("w1"));
    reply = status_of(&cluster, "tiny");
    ck_assert_uint_eq(reply->job->n_excluded, 1);
    ck_assert_str_eq(reply->job->excluded[0], "w3");
    message_free(reply);
    ck_assert_str_eq(
        cluster.jobs[1].last_line,
        "worker w3 gets no more of this job: it sees 41 training and 0 validation samples, and the "
        "job has 40 and 0");
}
END_TEST

START_TEST(a_lost_worker_is_done_without)
{
    Cairn__ClientReply *reply;

    run_alone();
    join("w3");
    leave(&cluster, "w1");
    expect_epoch("w2", "w2#2[0,2) w3#3[2,4)");
    EXPECT_STATE(&cluster, RUNNING, "");
    reply = status_of(&cluster, "tiny");
    ck_assert_uint_eq(reply->job->incarnation, 1);
    ck_assert_uint_eq(reply->job->membership_epoch, 3);
    ck_assert_uint_eq(reply->job->workers, 2);
    message_free(reply);
}
END_TEST

START_TEST(a_stop_is_told_of_until_the_end)
{
    run_alone();
    join("w3");
    ASK_STOP(&cluster, "stopper", "tiny");
    leave(&cluster, "w1");
    expect_epoch("w2", "w2#2[0,2) w3#3[2,4)");
    EXPECT_STATE(&cluster, STOPPING, "finishes the step in hand, as a stop was asked for");
}
END_TEST

START_TEST(below_the_minimum_the_job_pauses)
{
    run_alone();
    progress(&cluster, "w1", 1, 5);
    leave(&cluster, "w1");
    EXPECT_STATE(&cluster, WAITING, "waits for 1 more worker (1 of 2 is there)");
    expect_epoch("w2", "");
    register_worker(&cluster, "w3");
    EXPECT_STATE(&cluster, WAITING, "waits for worker w3 to load state and data");
    prepared(&cluster, "w3", 1, 40);
    expect_epoch("w2", "w2#2[0,2) w3#3[2,4)");
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert(!GOT(&cluster, "w2", RELEASE) && !GOT(&cluster, "s1", RELEASE)); /* nobody goes back */
}
END_TEST

START_TEST(workers_move_to_jobs_that_lack_them)
{
    Cairn__ClientReply *reply;

    run_alone();
    join("w3");
    register_worker(&cluster, "w4");
    cluster_forget(&cluster);
    send_submit(&cluster, FAKE_JOB_TEXT("second", "steps: 3"), false,
                0); /* wants 2: w4, and w3 from the first */
    ck_assert(GOT(&cluster, "w3", RELEASE));
    ck_assert(GOT(&cluster, "w3", PREPARE) && GOT(&cluster, "w4", PREPARE));
    expect_epoch("w1", "w1#1[0,2) w2#2[2,4)");
    reply = status_of(&cluster, "second");
    ck_assert_int_eq(reply->job->state, CAIRN__JOB_STATE__JOB_STATE_PREPARING);
    message_free(reply);
}
END_TEST

START_TEST(progress_is_the_furthest_workers)
{
    Cairn__ClientReply *reply;

    run_alone();
    progress(&cluster, "w1", 1, 4);
    progress(&cluster, "w2", 1, 6);
    reply = status_of(&cluster, "tiny");
    ck_assert_uint_eq(reply->job->step, 6);
    ck_assert_double_eq(reply->job->metrics[0]->value, 0.2); /* the first one's */
    message_free(reply);
}
END_TEST

START_TEST(fast_workers_get_more)
{
    run_alone();
    report_speed("w1", 1, 300);
    report_speed("w2", 1, 100);
    keep_alive(9500);
    report_speed("w1", 2, 300);
    ck_assert_ptr_null(newest_epoch("w1")); /* not so soon */
    keep_alive(500);
    expect_epoch("w2", "w1#1[0,3) w2#2[3,4)");
    report_speed("w1", 2, 100);
    report_speed("w2", 2, 90);
    keep_alive(10000);
    expect_epoch("w2", "w1#1[0,2) w2#2[2,4)");
    report_speed("w1", 3, 110); /* that is not worth it */
    keep_alive(20000);
    ck_assert_ptr_null(newest_epoch("w2"));
}
END_TEST

/* ---- scaling */

START_TEST(scaling_changes_the_crew)
{
    Cairn__ClientReply *reply;

    run_alone();
    join("w3");
    ask_scale(2);
    reply = take_reply(&cluster, "scaler");
    ck_assert_uint_eq(reply->job->workers_target, 2);
    message_free(reply);
    ck_assert(GOT(&cluster, "w3", RELEASE));
    expect_epoch("w1", "w1#1[0,2) w2#2[2,4)");
    ask_scale(4);
    message_free(take_reply(&cluster, "scaler"));
    ck_assert(GOT(&cluster, "w3", PREPARE));
    prepared(&cluster, "w3", 1, 40);
    expect_epoch("w1", "w1#1[0,1) w2#2[1,2) w3#4[2,4)"); /* numbers are not used twice */
    ask_scale(1);                                        /* below workers.min: that is then what it needs */
    message_free(take_reply(&cluster, "scaler"));
    expect_epoch("w1", "w1#1[0,4)");
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(scaling_is_checked)
{
    ask_scale(2);
    expect_error(&cluster, "scaler", "there is no job tiny");
    run_alone();
    ask_scale(5);
    expect_error(&cluster, "scaler",
                 "5 workers, allowed for tiny-1: 1 to 4, its microbatches (its file says 2 to 3)");
    failed(&cluster, "s1", 1, "disk full");
    ask_scale(2);
    expect_error(&cluster, "scaler", "tiny-1 has ended");
}
END_TEST

START_TEST(scale_survives_a_restart)
{
    Cairn__ClientReply *reply;

    send_submit(&cluster, TINY_TEXT, false, 0);
    ask_scale(4);
    cluster_restart(&cluster);
    reply = status_of(&cluster, "tiny");
    ck_assert_uint_eq(reply->job->workers_target, 4);
    message_free(reply);
}
END_TEST

/* ---- draining */

START_TEST(a_worker_that_is_to_end_hands_over)
{
    run_alone();
    join("w3");
    cluster_forget(&cluster);
    say_drain("w2");
    ck_assert(GOT(&cluster, "w2", RELEASE));
    ck_assert(GOT(&cluster, "w2", DISMISS));
    expect_epoch("w1", "w1#1[0,2) w3#3[2,4)");
    heartbeat(&cluster, "w2");
    ck_assert(!GOT(&cluster, "w2", DISMISS) && !GOT(&cluster, "w2", PREPARE));
    leave(&cluster, "w2");
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(clients_drain_nodes)
{
    Cairn__ClientReply *reply;

    run_alone();
    join("w3");
    register_server(&cluster, "s3");
    reply = ask_drain("w3");
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_NODES);
    ck_assert_str_eq(reply->nodes->nodes[0]->name, "w3");
    ck_assert(reply->nodes->nodes[0]->draining);
    message_free(reply);
    ck_assert(GOT(&cluster, "w3", RELEASE) && GOT(&cluster, "w3", DISMISS));
    message_free(ask_drain("s3")); /* nothing lies there */
    ck_assert(GOT(&cluster, "s3", DISMISS));
    reply = ask_drain("s1"); /* what it has can go to s2 */
    ck_assert(reply->nodes->nodes[0]->draining);
    message_free(reply);
    ck_assert(GOT(&cluster, "s1", MAP) && !GOT(&cluster, "s1", DISMISS));
    reply = ask_drain("s2");
    ck_assert_msg(strstr(reply->error->message, "server s2 holds state of tiny-1"), "%s",
                  reply->error->message);
    message_free(reply);
    reply = ask_drain("nobody");
    ck_assert_str_eq(reply->error->message, "there is no node nobody");
    message_free(reply);
}
END_TEST

static void lose_connection(const char *peer)
{
    struct event gone = {.type = EVENT_PEER_GONE, .peer = peer_named(peer), .reason = "gone"};

    cluster_handle(&cluster, &gone);
}

/* The worker was out of reach when it was told to end, and comes back to another coordinator, or by another
 * connection after it was given up. */
START_TEST(a_drain_is_not_forgotten)
{
    run_alone();
    join("w3");
    message_free(ask_drain("w2"));
    ck_assert(GOT(&cluster, "w2", RELEASE) && GOT(&cluster, "w2", DISMISS));
    cluster_restart(&cluster);
    register_engaged(&cluster, "w2", 0, 1);
    ck_assert(GOT(&cluster, "w2", RELEASE) && GOT(&cluster, "w2", DISMISS));
    register_engaged(&cluster, "s1", 2, 1);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w1", 0, 1);
    register_engaged(&cluster, "w3", 0, 1);
    pass(&cluster, 250);
    ck_assert(!GOT(&cluster, "w2", PREPARE));
    lose_connection("w2");
    register_engaged(&cluster, "w2", 0, 1);
    ck_assert(GOT(&cluster, "w2", DISMISS));
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(a_drained_node_that_is_started_again_works)
{
    register_worker(&cluster, "w1");
    register_worker(&cluster, "w2");
    message_free(ask_drain("w1"));
    message_free(ask_drain("w2"));
    leave(&cluster, "w1"); /* it has ended */
    cluster_restart(&cluster);
    register_worker(&cluster, "w1");
    register_from(&cluster, "w2", "w2", 2, 0); /* another process: the drained one was killed */
    ck_assert(!GOT(&cluster, "w1", DISMISS) && !GOT(&cluster, "w2", DISMISS));
    cluster_restart(&cluster);
    register_worker(&cluster, "w2");
    ck_assert(!GOT(&cluster, "w2", DISMISS)); /* it was forgotten durably */
}
END_TEST

START_TEST(draining_nodes_get_no_jobs)
{
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    register_worker(&cluster, "w1");
    register_worker(&cluster, "w2");
    say_drain("w2");
    message_free(ask_drain("s2"));
    send_submit(&cluster, TINY_TEXT, false, 0);
    EXPECT_STATE(&cluster, WAITING, "waits for 1 more server, 1 more worker (1 of 2 is there)");
}
END_TEST

/* ---- the end */

START_TEST(the_end_needs_nobody_who_has_reached_it)
{
    run_alone();
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    leave(&cluster, "w1");
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_ptr_null(newest_epoch("w2"));
    reached(&cluster, "w2", 1, 10, TINY_HASH);
    commit_step(1, 10);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
}
END_TEST

START_TEST(who_is_left_goes_on_to_the_same_end)
{
    Cairn__NodeCommand *command;

    run_alone();
    cluster_forget(&cluster);
    reached(&cluster, "w2", 1, 10, TINY_HASH); /* w1 was to write the model */
    leave(&cluster, "w1");
    ck_assert(GOT(&cluster, "w2", RELEASE));
    ck_assert(GOT(&cluster, "w2", PREPARE)); /* it did not know that it has to */
    prepared(&cluster, "w2", 1, 40);
    command = take_command(&cluster, "w2", CAIRN__NODE_COMMAND__BODY_EPOCH);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->epoch->final_step, 10);
    ck_assert_str_eq(command->epoch->output, "/jobs/out/model.h5");
    message_free(command);
    reached(&cluster, "w2", 1, 10, TINY_OTHER_HASH);
    EXPECT_STATE(&cluster, FAILED,
                 "workers disagree about the model: w2 has " TINY_HASH " at step 10, w2 has " TINY_OTHER_HASH
                 " at step 10");
}
END_TEST

START_TEST(nobody_who_writes_is_told)
{
    Cairn__ClientReply *reply;

    run_alone();
    ASK_STOP(&cluster, "stopper", "tiny");
    reached(&cluster, "w2", 1, 10, TINY_HASH); /* before it heard of the stop */
    leave(&cluster, "w2");
    leave(&cluster, "w1");
    commit_step(1, 10);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
    reply = status_of(&cluster, "tiny");
    ck_assert_str_eq(reply->job->output_error,
                     "no model file was written: the worker that was to do it did not, or was lost");
    message_free(reply);
}
END_TEST

/* No model is written of a training that was stopped, and nobody is taken anew to write one. */
START_TEST(a_stopped_training_has_no_model_file)
{
    Cairn__ClientReply *reply;

    run_alone();
    ASK_STOP(&cluster, "stopper", "tiny");
    cluster_forget(&cluster);
    reached(&cluster, "w2", 1, 6, TINY_HASH);
    leave(&cluster, "w1"); /* it was the one that writes */
    ck_assert(!GOT(&cluster, "w2", PREPARE));
    commit_step(1, 6);
    EXPECT_STATE(&cluster, STOPPED, "stopped at step 6 as asked");
    reply = status_of(&cluster, "tiny");
    ck_assert_str_eq(reply->job->output, "");
    ck_assert_str_eq(reply->job->output_error, "");
    message_free(reply);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_workers)
{
    run_alone();
    commit_step(1, 4);
    ASK_STOP(&cluster, "stopper", "tiny");
    leave(&cluster, "w1");
    EXPECT_STATE(
        &cluster, STOPPED,
        "stopped as asked at the committed step 4: too few workers were left to end the step in hand");
}
END_TEST

START_TEST(a_waiting_job_stops_at_once)
{
    run_alone();
    commit_step(1, 4);
    leave(&cluster, "w1");
    ASK_STOP(&cluster, "stopper", "tiny");
    EXPECT_STATE(&cluster, STOPPED, "stopped as asked at the committed step 4");
    ck_assert(GOT(&cluster, "w2", RELEASE) && GOT(&cluster, "s1", RELEASE));
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const coming[] = {a_worker_that_prepares_for_long_is_not_waited_for,
                                   a_worker_that_appears_joins_at_once,
                                   a_worker_that_sees_other_data_is_refused,
                                   a_lost_worker_is_done_without,
                                   a_stop_is_told_of_until_the_end,
                                   many_that_prepare_are_told_by_their_number,
                                   below_the_minimum_the_job_pauses,
                                   workers_move_to_jobs_that_lack_them,
                                   progress_is_the_furthest_workers,
                                   fast_workers_get_more};
    const TTest *const scaling[] = {scaling_changes_the_crew, scaling_is_checked, scale_survives_a_restart};
    const TTest *const draining[] = {a_worker_that_is_to_end_hands_over, clients_drain_nodes,
                                     a_drain_is_not_forgotten, a_drained_node_that_is_started_again_works,
                                     draining_nodes_get_no_jobs};
    const TTest *const ending[] = {the_end_needs_nobody_who_has_reached_it,
                                   who_is_left_goes_on_to_the_same_end,
                                   nobody_who_writes_is_told,
                                   a_stopped_training_has_no_model_file,
                                   a_stop_does_not_wait_for_workers,
                                   a_waiting_job_stops_at_once};
    Suite *suite = suite_create("coordinator_workers");

    ADD(suite, "coming", coming);
    ADD(suite, "scaling", scaling);
    ADD(suite, "draining", draining);
    ADD(suite, "ending", ending);
    return suite;
}

CHECK_MAIN(make_suite)
