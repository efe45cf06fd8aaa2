/* The coordinator's state machine: workers fail while a job trains, or compute sums that are wrong. */
#include "check_main.h"
#include "workers_rig.h"

/* ---- workers that fail */

/* Until a worker that may fail once more has been taken again. */
static void let_it_rest(void)
{
    keep_alive(1000);
}

START_TEST(a_failure_is_a_try)
{
    Cairn__ClientReply *reply;

    run_alone();
    join("w3");
    for (int i = 0; i < 3; i++) {
        failed(&cluster, "w3", 1, "out of memory");
        EXPECT_STATE(&cluster, RUNNING, "");
        progress(&cluster, "w1", 1, (uint64_t)i + 1);
        if (i == 2)
            break;
        let_it_rest();
        prepared(&cluster, "w3", 1, 40);
    }
    reply = status_of(&cluster, "tiny");
    ck_assert_uint_eq(reply->job->n_excluded, 1);
    ck_assert_str_eq(reply->job->excluded[0], "w3");
    message_free(reply);
    cluster_forget(&cluster);
    heartbeat(&cluster, "w3");
    ck_assert(!GOT(&cluster, "w3", PREPARE));
    leave(&cluster, "w2");
    EXPECT_STATE(&cluster, WAITING,
                 "waits for 1 more worker (1 of 2 is there); w3 is excluded (out of memory)");
}
END_TEST

START_TEST(a_worker_that_failed_rests)
{
    run_alone();
    join("w3");
    failed(&cluster, "w3", 1, "out of memory");
    for (int64_t pause_ms = 400; pause_ms <= 800; pause_ms *= 2) {
        cluster_forget(&cluster);
        ck_assert_int_le(state_deadline_ms(cluster.state), cluster.now.monotonic_ms + pause_ms);
        pass(&cluster, pause_ms - 1);
        ck_assert(!GOT(&cluster, "w3", PREPARE));
        pass(&cluster, 1);
        ck_assert(GOT(&cluster, "w3", PREPARE));
        ck_assert_int_gt(state_deadline_ms(cluster.state), cluster.now.monotonic_ms);
        if (pause_ms == 400)
            failed(&cluster, "w3", 1, "out of memory");
    }
}
END_TEST

START_TEST(other_jobs_get_who_rests)
{
    run_alone();
    join("w3");
    failed(&cluster, "w3", 1, "out of memory");
    cluster_forget(&cluster);
    register_worker(&cluster, "w4");
    ck_assert(GOT(&cluster, "w4", PREPARE)); /* in its place */
    send_submit(&cluster, FAKE_JOB_TEXT("second", "steps: 3"), false,
                0); /* wants 2: w3, and w4 from the first */
    ck_assert(GOT(&cluster, "w3", PREPARE) && GOT(&cluster, "w4", PREPARE));
}
END_TEST

/* Without its workers a job that stops would end at its committed step. */
START_TEST(nobody_rests_while_a_job_stops)
{
    run_alone();
    ASK_STOP(&cluster, "stopper", "tiny");
    failed(&cluster, "w1", 1, "out of memory");
    ck_assert(GOT(&cluster, "w1", PREPARE));
    EXPECT_STATE(&cluster, STOPPING, "finishes the step in hand, as a stop was asked for");
}
END_TEST

static void all_return(void)
{
    register_engaged(&cluster, "s1", 2, 1);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w1", 0, 1);
    register_engaged(&cluster, "w2", 0, 1);
}

START_TEST(tries_are_counted_over_a_restart)
{
    Cairn__ClientReply *reply;

    run_alone();
    join("w3");
    for (int i = 0; i < 2; i++) {
        failed(&cluster, "w3", 1, "out of memory");
        let_it_rest();
        if (i == 0)
            prepared(&cluster, "w3", 1, 40);
        progress(&cluster, "w1", 1, (uint64_t)i + 1);
    }
    cluster_restart(&cluster);
    all_return();
    join("w3");
    failed(&cluster, "w3", 1, "out of memory");
    reply = status_of(&cluster, "tiny");
    ck_assert_uint_eq(reply->job->n_excluded, 1);
    message_free(reply);
    cluster_restart(&cluster);
    all_return();
    leave(&cluster, "w2");
    EXPECT_STATE(&cluster, WAITING,
                 "waits for 1 more worker (1 of 2 is there); w3 is excluded (out of memory)");
}
END_TEST

static void exclude_w1(void)
{
    submit_with_nodes();
    prepare_all(1);
    for (int i = 0; i < 3; i++) {
        failed(&cluster, "w1", 1, "cannot open train.csv");
        let_it_rest();
    }
    EXPECT_STATE(&cluster, WAITING,
                 "waits for 1 more worker (1 of 2 is there); w1 is excluded (cannot open train.csv)");
}

/* It is only that nobody is there: not for a coordinator that has just started, nor while the other worker is
 * away. */
START_TEST(workers_that_are_away_have_not_failed)
{
    exclude_w1();
    cluster_restart(&cluster);
    all_return();
    EXPECT_STATE(&cluster, WAITING,
                 "waits for 1 more worker (1 of 2 is there); w1 is excluded (cannot open train.csv)");
    leave(&cluster, "w2");
    EXPECT_STATE(&cluster, WAITING, "waits for 2 more workers; w1 is excluded (cannot open train.csv)");
    cluster_restart(&cluster);
    pass(&cluster, FAKE_LEASE_MS + 2000);
    ck_assert_ptr_null(strstr(cluster.jobs[1].last_line, "failed"));
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    register_worker(&cluster, "w1");
    EXPECT_STATE(&cluster, WAITING, "waits for 2 more workers; w1 is excluded (cannot open train.csv)");
    register_worker(&cluster, "w2");
    register_worker(&cluster, "w3");
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w2, w3 to load state and data");
}
END_TEST

/* A coordinator that started again hears of the third failure while w2 has yet to come. */
static void exclude_w1_while_w2_is_awaited(void)
{
    run_alone();
    for (int i = 0; i < 2; i++) {
        failed(&cluster, "w1", 1, "cannot open train.csv");
        let_it_rest();
        prepared(&cluster, "w1", 1, 40);
    }
    cluster_restart(&cluster);
    register_engaged(&cluster, "s1", 2, 1);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w1", 0, 1);
    failed(&cluster, "w1", 1, "cannot open train.csv");
    EXPECT_STATE(&cluster, RUNNING, "");
}

START_TEST(awaited_workers_are_left_to_try)
{
    exclude_w1_while_w2_is_awaited();
    register_engaged(&cluster, "w2", 0, 1);
    EXPECT_STATE(&cluster, WAITING,
                 "waits for 1 more worker (1 of 2 is there); w1 is excluded (cannot open train.csv)");
    join("w3");
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(nobody_is_left_to_try_when_the_awaited_do_not_come)
{
    static const char *const names[] = {"s1", "s2", "w1"};

    exclude_w1_while_w2_is_awaited();
    for (int64_t ms = 0; ms < FAKE_LEASE_MS + 2000; ms += 250) {
        EXPECT_STATE(&cluster, RUNNING, "");
        for (size_t i = 0; i < 3; i++)
            heartbeat(&cluster, names[i]);
        pass(&cluster, 250);
    }
    EXPECT_STATE(&cluster, FAILED, "w1: cannot open train.csv");
}
END_TEST

/* In a row, too: and the row ends with progress that was never stored for its own sake. */
START_TEST(failures_in_a_row_are_counted_over_a_restart)
{
    char name[8], reason[16];

    run_alone();
    for (int i = 0; i < 17; i++) {
        snprintf(name, sizeof(name), "x%d", i);
        snprintf(reason, sizeof(reason), "fault %d", i);
        join(name);
        failed(&cluster, name, 1, reason);
        leave(&cluster, name);
        if (i == 7)
            progress(&cluster, "w1", 1, 1);
        if (i < 16)
            EXPECT_STATE(&cluster, RUNNING, "");
        if (i == 7 || i == 12) {
            cluster_restart(&cluster);
            all_return();
        }
    }
    EXPECT_STATE(&cluster, FAILED, "x16: fault 16");
}
END_TEST

/* Joins, and fails as often as it may, each time for another reason. */
static void exclude_newcomer(const char *name)
{
    for (int i = 0; i < 3; i++) {
        char reason[16];

        snprintf(reason, sizeof(reason), "fault %d", i);
        if (i == 0)
            join(name);
        else
            prepared(&cluster, name, 1, 40);
        failed(&cluster, name, 1, reason);
        let_it_rest();
    }
}

/* Others have workers to spare, of whom none may work for this job. */
START_TEST(workers_that_are_excluded_are_not_counted_on)
{
    run_alone();
    commit_step(1, 4);
    exclude_newcomer("x1");
    exclude_newcomer("x2");
    send_submit(&cluster,
                "name: second\nmodel:\n  input_shape: [32768]\n  layers:\n    - dense: {units: 2}\n"
                "  loss: sparse_categorical_crossentropy\ndata:\n  train: {format: csv, path: train.csv}\n"
                "train: {steps: 10, batch_size: 8, microbatches: 4, optimizer: sgd}\n"
                "cluster: {servers: 2, workers: {min: 1, max: 2}}\n",
                false, 0);
    ask_scale(1);
    leave(&cluster, "w2");
    leave(&cluster, "w1");
    leave(&cluster, "s1");
    EXPECT_STATE(&cluster, WAITING,
                 "waits for server s1, which holds its state, 1 more worker; x1 is excluded (fault 2); x2 is "
                 "excluded (fault 2)");
    cluster_forget(&cluster);
    register_server(&cluster, "s1");
    ck_assert(GOT(&cluster, "x1", PREPARE) && GOT(&cluster, "x2", PREPARE));
    EXPECT_STATE(&cluster, WAITING,
                 "waits for 1 more worker; x1 is excluded (fault 2); x2 is excluded (fault 2)");
}
END_TEST

START_TEST(a_fault_of_the_job_fails_it_soon)
{
    submit_with_nodes();
    for (int i = 0; i < 3; i++) {
        failed(&cluster, "w1", 1, "cannot open train.csv");
        failed(&cluster, "w2", 1, "cannot open train.csv");
        if (i < 2)
            let_it_rest();
    }
    EXPECT_STATE(&cluster, FAILED, "w2: cannot open train.csv");
}
END_TEST

START_TEST(nobody_rests_when_a_person_resumes_the_job)
{
    run_alone();
    failed(&cluster, "w1", 1, "cannot open train.csv");
    ASK_STOP(&cluster, "stopper", "tiny");
    EXPECT_STATE(&cluster, STOPPED, "stopped as asked at the committed step 0");
    cluster_forget(&cluster);
    send_submit(&cluster, TINY_TEXT, true, 0);
    ck_assert(GOT(&cluster, "w1", PREPARE) && GOT(&cluster, "w2", PREPARE));
}
END_TEST

START_TEST(failures_without_progress_fail_the_job)
{
    int tries = 0;

    run_alone();
    for (; tries < 9; tries++) {
        char name[8], reason[16];

        EXPECT_STATE(&cluster, RUNNING, "");
        snprintf(name, sizeof(name), "x%d", tries);
        snprintf(reason, sizeof(reason), "fault %d", tries);
        join(name);
        failed(&cluster, name, 1, reason);
        leave(&cluster, name);
    }
    EXPECT_STATE(&cluster, FAILED, "x8: fault 8");
}
END_TEST

/* ---- sums that are wrong */

static void not_finite(const char *worker, const char *layer)
{
    Cairn__NotFinite body = CAIRN__NOT_FINITE__INIT;

    body.job = 1;
    body.incarnation = 1;
    body.step = 7;
    body.layer = (char *)layer;
    body.microbatch = 3;
    SAY(&cluster, worker, NOT_FINITE, not_finite, &body);
}

START_TEST(a_loss_that_is_not_finite_fails_the_job)
{
    Cairn__ClientReply *reply;

    run_alone();
    not_finite("w1", "");
    EXPECT_STATE(&cluster, RUNNING, "");
    not_finite("w2", "dense");
    EXPECT_STATE(&cluster, FAILED, "loss is not finite at step 7, first in layer dense (microbatch 3)");
    reply = status_of(&cluster, "tiny");
    ck_assert_uint_eq(reply->job->step, 7);
    message_free(reply);
}
END_TEST

START_TEST(a_loss_that_nobody_can_trace_fails_the_job_too)
{
    run_alone();
    not_finite("w1", "");
    not_finite("w2", "");
    EXPECT_STATE(&cluster, FAILED, "loss is not finite at step 7");
}
END_TEST

static void diverge(uint32_t table, uint32_t chunk)
{
    Cairn__Divergence body = CAIRN__DIVERGENCE__INIT;

    body.job = 1;
    body.incarnation = 1;
    body.step = 3;
    body.table = table;
    body.chunk = chunk;
    body.node_end = 2;
    body.worker = 2;
    SAY(&cluster, "s1", DIVERGENCE, divergence, &body);
}

START_TEST(sums_that_differ_are_counted_and_told)
{
    Cairn__ClientReply *reply;
    uint64_t told;

    run_alone();
    diverge(0, 1);
    ck_assert_str_eq(
        cluster.jobs[1].last_line,
        "worker w2 has other sums of microbatches [0, 2) at step 3 than came before: table 0, chunk 1 "
        "(layers dense)");
    diverge(1, 0);
    ck_assert_ptr_nonnull(strstr(cluster.jobs[1].last_line, "before: the metrics, chunk 0"));
    told = cluster.jobs[1].newest_entry;
    for (int i = 0; i < 100; i++)
        diverge(0, 1000000);
    ck_assert_uint_le(cluster.jobs[1].newest_entry, told + 2);
    reply = status_of(&cluster, "tiny");
    ck_assert_uint_eq(reply->job->divergences, 102);
    ck_assert_int_eq(reply->job->state, CAIRN__JOB_STATE__JOB_STATE_RUNNING);
    message_free(reply);
}
END_TEST

static void back_up(const char *worker, uint64_t incarnation, uint64_t microbatches)
{
    Cairn__Progress body = CAIRN__PROGRESS__INIT;

    body.job = 1;
    body.incarnation = incarnation;
    body.step = 1;
    body.backup_microbatches = microbatches;
    SAY(&cluster, worker, PROGRESS, progress, &body);
}

START_TEST(what_is_computed_for_others_is_counted)
{
    Cairn__ClientReply *reply;

    run_job();
    back_up("w1", 1, 3);
    back_up("w2", 1, 0);
    back_up("w2", 1, 2);
    back_up("w2", 2, 100);        /* of another incarnation */
    back_up("w2", 1, UINT64_MAX); /* makes no sense */
    back_up("w1", 1, 1);
    reply = status_of(&cluster, "tiny");
    ck_assert_uint_eq(reply->job->backup_microbatches, 6);
    message_free(reply);
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const failing[] = {a_failure_is_a_try,
                                    a_worker_that_failed_rests,
                                    other_jobs_get_who_rests,
                                    nobody_rests_while_a_job_stops,
                                    nobody_rests_when_a_person_resumes_the_job,
                                    tries_are_counted_over_a_restart,
                                    workers_that_are_away_have_not_failed,
                                    awaited_workers_are_left_to_try,
                                    nobody_is_left_to_try_when_the_awaited_do_not_come,
                                    failures_in_a_row_are_counted_over_a_restart,
                                    workers_that_are_excluded_are_not_counted_on,
                                    a_fault_of_the_job_fails_it_soon,
                                    failures_without_progress_fail_the_job,
                                    a_loss_that_is_not_finite_fails_the_job,
                                    a_loss_that_nobody_can_trace_fails_the_job_too,
                                    sums_that_differ_are_counted_and_told,
                                    what_is_computed_for_others_is_counted};
    Suite *suite = suite_create("coordinator_failures");

    ADD(suite, "failing", failing);
    return suite;
}

CHECK_MAIN(make_suite)
