/* The coordinator's state machine: the life of a job with fake nodes, and every way in which it can go wrong.
 */
#include "check_main.h"
#include "tiny_job.h"

/* ---- the life of a job */

START_TEST(pending_jobs_say_what_they_wait_for)
{
    send_submit(&cluster, TINY_TEXT, false, 0);
    EXPECT_STATE(&cluster, WAITING, "waits for 2 more servers, 2 more workers");
    register_server(&cluster, "s1");
    register_worker(&cluster, "w1");
    EXPECT_STATE(&cluster, WAITING, "waits for 1 more server, 1 more worker (1 of 2 is there)");
    register_server(&cluster, "s2");
    EXPECT_STATE(&cluster, WAITING, "waits for 1 more worker (1 of 2 is there)");
    ck_assert_str_eq(cluster.jobs[1].last_line, "waits for 1 more worker (1 of 2 is there)");
    register_worker(&cluster, "w2");
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w1, w2 to load state and data");
}
END_TEST

START_TEST(preparation_names_all_that_nodes_need)
{
    static const char *const names[] = {"s1", "s2", "w1", "w2"};

    register_server(&cluster, "s3");
    submit_with_nodes();
    for (size_t i = 0; i < 4; i++) {
        Cairn__NodeCommand *command = take_command(&cluster, names[i], CAIRN__NODE_COMMAND__BODY_PREPARE);
        const Cairn__PrepareCommand *body;

        ck_assert_ptr_nonnull(command);
        body = command->prepare;
        ck_assert_uint_eq(body->job, 1);
        ck_assert_str_eq(body->job_id, "tiny-1");
        ck_assert_uint_eq(body->incarnation, 1);
        ck_assert_str_eq(body->text->text, TINY_TEXT);
        ck_assert_uint_eq(body->step, 0);
        ck_assert_uint_eq(body->n_shards, 4);
        ck_assert_str_eq(body->shards[0]->server, "s1");
        ck_assert_str_eq(body->shards[1]->endpoint, "tcp://h:2");
        ck_assert_str_eq(body->shards[2]->server, "s2");
        ck_assert_uint_eq(body->shards[3]->index, 1);
        ck_assert_uint_ge(body->n_slot_shards, 1024);
        message_free(command);
    }
    ck_assert(!GOT(&cluster, "s3", PREPARE));
}
END_TEST

static void check_epoch(const char *name, const char *output)
{
    Cairn__NodeCommand *command = take_command(&cluster, name, CAIRN__NODE_COMMAND__BODY_EPOCH);
    const Cairn__EpochCommand *body;

    ck_assert_ptr_nonnull(command);
    body = command->epoch;
    ck_assert_uint_eq(body->number, 1);
    ck_assert_uint_eq(body->first_step, 0);
    ck_assert_uint_eq(body->final_step, 10);
    ck_assert_uint_eq(body->n_workers, 2);
    ck_assert_str_eq(body->workers[0], "w1");
    ck_assert_str_eq(body->workers[1], "w2");
    ck_assert_uint_eq(body->spans[0]->begin, 0);
    ck_assert_uint_eq(body->spans[0]->end, 2);
    ck_assert_uint_eq(body->spans[1]->end, 4);
    ck_assert_str_eq(body->output, output);
    message_free(command);
}

START_TEST(last_prepared_node_begins_the_epoch)
{
    submit_with_nodes();
    prepared(&cluster, "w1", 1, 40);
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and worker w2 to load state and data");
    prepared(&cluster, "w2", 1, 40);
    prepared(&cluster, "s1", 1, 0);
    prepared(&cluster, "s1", 1, 0);
    EXPECT_STATE(&cluster, PREPARING, "waits for server s2 to load state and data");
    ck_assert(!GOT(&cluster, "w1", EPOCH));
    prepared(&cluster, "s2", 1, 0);
    check_epoch("w1", "/jobs/out/model.h5");
    check_epoch("w2", "");
    ck_assert(!GOT(&cluster, "s1", EPOCH));
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(whole_life_of_a_job)
{
    Cairn__ClientReply *reply;

    run_job();
    progress(&cluster, "w1", 1, 4);
    progress(&cluster, "w2", 1, 3); /* late: passed over */
    validated(&cluster, "w1", 1, 5, 0.5);
    validated(&cluster, "w2", 1, 5, 0.25); /* told already */
    committed(&cluster, "s1", 1, 5);
    ck_assert(!GOT(&cluster, "s1", COMMITTED));
    committed(&cluster, "s2", 1, 5);
    ck_assert(GOT(&cluster, "s1", COMMITTED));
    ck_assert(GOT(&cluster, "s2", COMMITTED));
    reply = status_of(&cluster, "tiny");
    ck_assert_uint_eq(reply->job->step, 4);
    ck_assert_uint_eq(reply->job->committed_step, 5);
    ck_assert_uint_eq(reply->job->epochs, 2);
    ck_assert_uint_eq(reply->job->microbatches, 4);
    ck_assert_double_eq(reply->job->validation[0]->value, 0.5);
    ck_assert_double_eq(reply->job->metrics[0]->value, 0.2);
    ck_assert_double_eq(reply->job->samples_per_second, 1000);
    message_free(reply);
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    ck_assert(!GOT(&cluster, "s1", COMMIT));
    reached(&cluster, "w2", 1, 10, TINY_HASH);
    EXPECT_STATE(&cluster, COMMITTING, "makes step 10 durable");
    ck_assert(GOT(&cluster, "s1", COMMIT) && GOT(&cluster, "s2", COMMIT));
    commit_step(1, 10);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
    reply = status_of(&cluster, "tiny-1");
    ck_assert_str_eq(reply->job->model_hash, TINY_HASH);
    ck_assert_str_eq(reply->job->output, "/jobs/out/model.h5");
    ck_assert_uint_eq(reply->job->step, 10);
    ck_assert_uint_eq(reply->job->committed_step, 10);
    ck_assert_uint_eq(reply->job->workers, 2);
    message_free(reply);
    ck_assert(GOT(&cluster, "s1", RELEASE) && GOT(&cluster, "s2", RELEASE));
    ck_assert(GOT(&cluster, "w1", RELEASE) && GOT(&cluster, "w2", RELEASE));
}
END_TEST

/* One chunk and two servers: the second has nothing to make durable. */
START_TEST(server_without_weights_is_not_waited_for)
{
    submit_text_with_nodes(FAKE_SHAPED_JOB_TEXT("tiny", "[8]", "steps: 10"));
    prepare_all(1);
    committed(&cluster, "s1", 1, 5);
    ck_assert(GOT(&cluster, "s1", COMMITTED));
    ck_assert(GOT(&cluster, "s2", COMMITTED));
}
END_TEST

START_TEST(committed_end_is_not_waited_for)
{
    run_job();
    commit_step(1, 10);
    cluster_forget(&cluster);
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    reached(&cluster, "w2", 1, 10, TINY_HASH);
    ck_assert(!GOT(&cluster, "s1", COMMIT));
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
}
END_TEST

START_TEST(worker_that_did_its_part_may_go)
{
    run_job();
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    reached(&cluster, "w2", 1, 10, TINY_HASH);
    leave(&cluster, "w1");
    failed(&cluster, "w2", 1, "too late to matter");
    EXPECT_STATE(&cluster, COMMITTING, "makes step 10 durable");
    commit_step(1, 10);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
}
END_TEST

START_TEST(workers_serve_one_job_servers_many)
{
    Cairn__ClientReply *reply;

    submit_with_nodes();
    register_worker(&cluster, "w3");
    send_submit(&cluster, FAKE_JOB_TEXT("second", "steps: 3"), false, 0);
    reply = status_of(&cluster, "second");
    ck_assert_str_eq(reply->job->reason, "waits for 1 more worker (1 of 2 is there)");
    message_free(reply);
    register_worker(&cluster, "w4");
    reply = status_of(&cluster, "second");
    ck_assert_int_eq(reply->job->state, CAIRN__JOB_STATE__JOB_STATE_PREPARING);
    message_free(reply);
    ck_assert(GOT(&cluster, "s1", PREPARE) && GOT(&cluster, "s1", PREPARE));
    ck_assert(!GOT(&cluster, "s1", PREPARE));
}
END_TEST

START_TEST(jobs_take_at_most_their_workers)
{
    for (int i = 5; i > 0; i--) {
        char name[8];

        snprintf(name, sizeof(name), "w%d", i);
        register_worker(&cluster, name);
    }
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    send_submit(&cluster, TINY_TEXT, false, 0);
    ck_assert(GOT(&cluster, "w5", PREPARE) && GOT(&cluster, "w4", PREPARE) && GOT(&cluster, "w3", PREPARE));
    ck_assert(!GOT(&cluster, "w2", PREPARE) && !GOT(&cluster, "w1", PREPARE));
}
END_TEST

/* ---- what goes wrong */

START_TEST(workers_must_see_the_same_data)
{
    submit_with_nodes();
    prepared(&cluster, "s1", 1, 0);
    prepared(&cluster, "s2", 1, 0);
    prepared(&cluster, "w1", 1, 40);
    prepared(&cluster, "w2", 1, 41);
    EXPECT_STATE(
        &cluster, FAILED,
        "workers disagree about the data: w1 sees 40 training and 0 validation samples, w2 41 and 0");
    ck_assert(GOT(&cluster, "w1", RELEASE) && GOT(&cluster, "s2", RELEASE));
}
END_TEST

START_TEST(data_must_have_samples)
{
    submit_with_nodes();
    prepared(&cluster, "s1", 1, 0);
    prepared(&cluster, "s2", 1, 0);
    prepared(&cluster, "w1", 1, 0);
    prepared(&cluster, "w2", 1, 0);
    EXPECT_STATE(&cluster, FAILED, "the training data has no samples");
}
END_TEST

START_TEST(workers_must_have_the_same_model)
{
    run_job();
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    reached(&cluster, "w2", 1, 10, TINY_OTHER_HASH);
    EXPECT_STATE(&cluster, FAILED,
                 "workers disagree about the model: w1 has " TINY_HASH " at step 10, w2 has " TINY_OTHER_HASH
                 " at step 10");
}
END_TEST

START_TEST(workers_must_end_at_the_same_step)
{
    run_job();
    ASK_STOP(&cluster, "stopper", "tiny");
    reached(&cluster, "w1", 1, 5, TINY_HASH);
    reached(&cluster, "w2", 1, 6, TINY_HASH);
    EXPECT_STATE(&cluster, FAILED,
                 "workers disagree about the model: w1 has " TINY_HASH " at step 5, w2 has " TINY_HASH
                 " at step 6");
}
END_TEST

START_TEST(early_end_without_a_stop_fails)
{
    run_job();
    reached(&cluster, "w1", 1, 5, TINY_HASH);
    EXPECT_STATE(&cluster, FAILED, "worker w1 ended at step 5 of 10, and nobody asked for that");
}
END_TEST

START_TEST(end_outside_the_training_fails)
{
    run_job();
    ASK_STOP(&cluster, "stopper", "tiny");
    reached(&cluster, "w2", 1, 11, TINY_HASH);
    EXPECT_STATE(&cluster, FAILED, "worker w2 ended at step 11, which is not within 0 to 10");
}
END_TEST

START_TEST(failing_node_fails_the_job)
{
    run_job();
    failed(&cluster, "s2", 1, "disk full");
    EXPECT_STATE(&cluster, FAILED, "s2: disk full");
    ck_assert(GOT(&cluster, "s2", RELEASE) && GOT(&cluster, "w1", RELEASE));
    ck_assert_str_eq(cluster.jobs[1].last_line, "failed: s2: disk full");
}
END_TEST

START_TEST(lost_worker_is_told_to_let_go_when_it_returns)
{
    run_job();
    commit_step(1, 4);
    for (int i = 0; i < 20; i++) {
        heartbeat(&cluster, "s1");
        heartbeat(&cluster, "s2");
        heartbeat(&cluster, "w2");
        pass(&cluster, 250);
    }
    EXPECT_STATE(&cluster, WAITING, "waits for 1 more worker (1 of 2 is there)");
    ck_assert(!GOT(&cluster, "w1", RELEASE));
    heartbeat(&cluster, "w1"); /* it comes back, and may still be at work */
    ck_assert(GOT(&cluster, "w1", REGISTER_AGAIN));
    register_engaged(&cluster, "w1", 0, 1);
    ck_assert(GOT(&cluster, "w1", RELEASE));
    ck_assert(GOT(&cluster, "w1", PREPARE));
}
END_TEST

START_TEST(other_incarnations_and_strangers_do_not_count)
{
    submit_with_nodes();
    register_server(&cluster, "stranger");
    prepare_all(2);
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w1, w2 to load state and data");
    prepare_all(1);
    failed(&cluster, "w1", 2, "not mine");
    failed(&cluster, "stranger", 1, "not mine either");
    committed(&cluster, "w1", 1, 5);
    progress(&cluster, "s1", 1, 5);
    progress(&cluster, "w1", 1, 11);
    reached(&cluster, "s1", 1, 10, TINY_HASH);
    committed(&cluster, "s1", 1, 11);
    committed(&cluster, "s2", 1, 11);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* ---- stop */

START_TEST(stop_before_the_training)
{
    send_submit(&cluster, TINY_TEXT, false, 0);
    ASK_STOP(&cluster, "stopper", "tiny-1");
    EXPECT_STATE(&cluster, STOPPED, "stopped before the training began");
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    register_worker(&cluster, "w1");
    register_worker(&cluster, "w2");
    EXPECT_STATE(&cluster, STOPPED, "stopped before the training began");
}
END_TEST

START_TEST(stop_while_preparing)
{
    submit_with_nodes();
    ASK_STOP(&cluster, "stopper", "tiny-1");
    EXPECT_STATE(&cluster, STOPPED, "stopped before the training began");
    ck_assert(GOT(&cluster, "w1", RELEASE) && GOT(&cluster, "s1", RELEASE));
}
END_TEST

START_TEST(stop_while_running)
{
    Cairn__ClientReply *reply;

    run_job();
    ASK_STOP(&cluster, "stopper", "tiny");
    reply = take_reply(&cluster, "stopper");
    ck_assert_int_eq(reply->job->state, CAIRN__JOB_STATE__JOB_STATE_STOPPING);
    message_free(reply);
    ck_assert(GOT(&cluster, "w1", STOP) && GOT(&cluster, "w2", STOP) && !GOT(&cluster, "s1", STOP));
    ASK_STOP(&cluster, "stopper", "tiny");
    ck_assert(!GOT(&cluster, "w1", STOP));
    EXPECT_STATE(&cluster, STOPPING, "finishes the step in hand, as a stop was asked for");
    reached(&cluster, "w2", 1, 6, TINY_HASH);
    reached(&cluster, "w1", 1, 6, TINY_HASH);
    commit_step(1, 6);
    EXPECT_STATE(&cluster, STOPPED, "stopped at step 6 as asked");
}
END_TEST

START_TEST(stop_that_comes_too_late_completes)
{
    run_job();
    ASK_STOP(&cluster, "stopper", "tiny");
    reached(&cluster, "w2", 1, 10, TINY_HASH);
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    commit_step(1, 10);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
    ASK_STOP(&cluster, "stopper", "tiny");
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
}
END_TEST

/* ---- resume */

START_TEST(stopped_job_resumes_where_it_was)
{
    Cairn__NodeCommand *command;
    Cairn__ClientReply *reply;

    stop_job_at_6();
    send_submit(&cluster, TINY_TEXT, true, 0);
    reply = take_reply(&cluster, "submitter");
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_JOB);
    ck_assert_str_eq(reply->job->id, "tiny-1");
    ck_assert_uint_eq(reply->job->incarnation, 2);
    ck_assert_uint_eq(reply->job->step, 6);
    ck_assert_str_eq(reply->job->model_hash, "");
    message_free(reply);
    command = take_command(&cluster, "s1", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_uint_eq(command->prepare->step, 6);
    ck_assert_uint_eq(command->prepare->incarnation, 2);
    message_free(command);
    prepare_all(2);
    command = take_command(&cluster, "w2", CAIRN__NODE_COMMAND__BODY_EPOCH);
    ck_assert_uint_eq(command->epoch->first_step, 6);
    ck_assert_uint_eq(command->epoch->number, 2);
    message_free(command);
    reached(&cluster, "w1", 1, 10, TINY_HASH); /* a late word of the old incarnation */
    reached(&cluster, "w1", 2, 10, TINY_HASH);
    reached(&cluster, "w2", 2, 10, TINY_HASH);
    commit_step(2, 10);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
}
END_TEST

START_TEST(resume_wants_the_same_model)
{
    stop_job_at_6();
    send_submit(&cluster, FAKE_JOB_TEXT("tiny", "steps: 10, threads_per_microbatch: 2"), true, 0);
    expect_error(&cluster, "submitter", "the job file changed in what the model depends on");
    send_submit(&cluster, FAKE_JOB_TEXT("other", "steps: 10"), true, 0);
    expect_error(&cluster, "submitter", "there is no job other to resume");
    send_submit(&cluster, FAKE_JOB_TEXT("tiny", "steps: 5"), true, 0);
    expect_error(&cluster, "submitter", "tiny-1 has trained 6 steps already, more than the 5");
    send_submit(&cluster, "name: [", true, 0);
    expect_error(&cluster, "submitter", "job.yaml:");
    EXPECT_STATE(&cluster, STOPPED, "stopped at step 6 as asked");
}
END_TEST

START_TEST(resume_wants_the_same_data)
{
    stop_job_at_6();
    send_submit(&cluster, TINY_TEXT, true, 0);
    prepared(&cluster, "s1", 2, 0);
    prepared(&cluster, "s2", 2, 0);
    prepared(&cluster, "w1", 2, 48);
    prepared(&cluster, "w2", 2, 48);
    EXPECT_STATE(&cluster, FAILED,
                 "the training data has changed: it had 40 samples when the job began, and has 48 now");
}
END_TEST

START_TEST(resume_waits_for_its_servers)
{
    stop_job_at_6();
    leave(&cluster, "s1");
    register_server(&cluster, "s0");
    send_submit(&cluster, TINY_TEXT, true, 0);
    EXPECT_STATE(&cluster, WAITING, "waits for server s1, which holds its state");
    register_from(&cluster, "s1", "s1", 1, 3);
    EXPECT_STATE(&cluster, FAILED,
                 "server s1 came with 3 shards, but it holds the job's state in 2: start it with 2");
    leave(&cluster, "s1");
    send_submit(&cluster, TINY_TEXT, true, 0);
    register_server(&cluster, "s1");
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w1, w2 to load state and data");
    ck_assert(!GOT(&cluster, "s0", PREPARE));
}
END_TEST

/* Its state may be on more or fewer servers than its file says, where it was moved when it ended. */
START_TEST(resume_takes_another_number_of_servers)
{
    stop_job_at_6();
    register_server(&cluster, "s3");
    send_submit(&cluster, TINY_TEXT, true, 3);
    ck_assert(GOT(&cluster, "s1", PREPARE) && GOT(&cluster, "s2", PREPARE) && !GOT(&cluster, "s3", PREPARE));
    prepare_all(2);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert(GOT(&cluster, "s3", PREPARE)); /* it joins */
}
END_TEST

START_TEST(job_without_state_takes_other_servers)
{
    run_job();
    leave(&cluster, "s1");
    register_server(&cluster, "s0");
    send_submit(&cluster, TINY_TEXT, true, 0);
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s0, s2 and workers w1, w2 to load state and data");
    ck_assert(GOT(&cluster, "s0", PREPARE));
}
END_TEST

START_TEST(completed_job_resumes_only_for_more)
{
    Cairn__ClientReply *reply;

    run_job();
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    reached(&cluster, "w2", 1, 10, TINY_HASH);
    commit_step(1, 10);
    send_submit(&cluster, TINY_TEXT, true, 0);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
    send_submit(&cluster, FAKE_JOB_TEXT("tiny", "steps: 20"), true, 0);
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w1, w2 to load state and data");
    send_submit(&cluster, FAKE_JOB_TEXT("tiny", "steps: 30"), true, 0); /* as it is: it is under way */
    prepare_all(2);
    reply = status_of(&cluster, "tiny");
    ck_assert_uint_eq(reply->job->final_step, 20);
    ck_assert_uint_eq(reply->job->incarnation, 2);
    message_free(reply);
}
END_TEST

START_TEST(new_submit_makes_a_new_job)
{
    Cairn__ClientReply *reply;

    stop_job_at_6();
    send_submit(&cluster, TINY_TEXT, false, 0);
    reply = take_reply(&cluster, "submitter");
    ck_assert_str_eq(reply->job->id, "tiny-2");
    ck_assert_uint_eq(reply->job->incarnation, 1);
    message_free(reply);
    message_free(status_of(&cluster, "tiny-1"));
    message_free(status_of(&cluster, "2"));
    ASK_JOB(&cluster, "asker", "tiny-3");
    expect_error(&cluster, "asker", "there is no job tiny-3");
}
END_TEST

static void stop(const char *name)
{
    ASK_STOP(&cluster, "stopper", name);
    message_free(take_reply(&cluster, "stopper"));
}

START_TEST(a_name_means_the_job_that_has_not_ended)
{
    Cairn__ClientReply *reply;

    stop_job_at_6();
    reply = status_of(&cluster, "tiny"); /* the only one */
    ck_assert_str_eq(reply->job->id, "tiny-1");
    message_free(reply);
    send_submit(&cluster, TINY_TEXT, false, 0);
    reply = status_of(&cluster, "tiny");
    ck_assert_str_eq(reply->job->id, "tiny-2");
    message_free(reply);
    send_submit(&cluster, TINY_TEXT, false, 0);
    ASK_JOB(&cluster, "asker", "tiny");
    expect_error(&cluster, "asker",
                 "2 jobs under way have the name tiny: give an id, such as tiny-3 (the newest)");
    stop("tiny-3");
    stop("tiny");
    ASK_JOB(&cluster, "asker", "tiny");
    expect_error(&cluster, "asker",
                 "3 jobs have the name tiny, and all have ended: give an id, such as tiny-3 (the newest)");
}
END_TEST

/* ---- the coordinator's own restart (more: test_coordinator_retake.c) */

START_TEST(restart_adopts_the_overrides_of_a_resume)
{
    send_submit(&cluster, TINY_TEXT, false, 0);
    cluster_restart(&cluster);
    send_submit(&cluster, TINY_TEXT, true, 1);
    EXPECT_STATE(&cluster, WAITING, "waits for 1 more server, 2 more workers");
}
END_TEST

START_TEST(records_that_contradict_themselves_are_refused)
{
    Cairn__JobRecord record = CAIRN__JOB_RECORD__INIT;
    struct event event = {.type = EVENT_RECORD, .record = &record};
    struct effects effects;
    struct error error;

    effects_init(&effects);
    ck_assert_int_eq(state_handle(cluster.state, &event, cluster.now, &effects, &error), CAIRN_CORRUPT);
    effects_fini(&effects);
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const life[] = {
        pending_jobs_say_what_they_wait_for, preparation_names_all_that_nodes_need,
        last_prepared_node_begins_the_epoch, whole_life_of_a_job,
        committed_end_is_not_waited_for,     server_without_weights_is_not_waited_for,
        worker_that_did_its_part_may_go,     workers_serve_one_job_servers_many,
        jobs_take_at_most_their_workers};
    const TTest *const failures[] = {
        workers_must_see_the_same_data,   data_must_have_samples,
        workers_must_have_the_same_model, workers_must_end_at_the_same_step,
        early_end_without_a_stop_fails,   end_outside_the_training_fails,
        failing_node_fails_the_job,       lost_worker_is_told_to_let_go_when_it_returns,
            other_incarnations_and_strangers_do_not_count};
    const TTest *const stops[] = {stop_before_the_training, stop_while_preparing, stop_while_running,
                                  stop_that_comes_too_late_completes};
    const TTest *const resumes[] = {stopped_job_resumes_where_it_was,
                                    resume_wants_the_same_model,
                                    resume_wants_the_same_data,
                                    resume_waits_for_its_servers,
                                    resume_takes_another_number_of_servers,
                                    job_without_state_takes_other_servers,
                                    completed_job_resumes_only_for_more,
                                    new_submit_makes_a_new_job,
                                    a_name_means_the_job_that_has_not_ended,
                                    restart_adopts_the_overrides_of_a_resume,
                                    records_that_contradict_themselves_are_refused};
    Suite *suite = suite_create("coordinator_state");

    ADD(suite, "life", life);
    ADD(suite, "failures", failures);
    ADD(suite, "stops", stops);
    ADD(suite, "resumes", resumes);
    return suite;
}

CHECK_MAIN(make_suite)
