/* The coordinator's state machine: servers are lost and come back; nodes return with work in their hands, by
 * another connection or to a coordinator that has started again. */
#include "check_main.h"
#include "tiny_job.h"

#define LEASES_MS         (FAKE_LEASE_MS + 2000) /* how long a coordinator that started again awaits nodes */
#define SERVER_TIMEOUT_MS 600000                 /* unless a job says otherwise */

static uint64_t incarnation(void)
{
    Cairn__ClientReply *reply = status_of(&cluster, "1");
    uint64_t result = reply->job->incarnation;

    message_free(reply);
    return result;
}

static void run_committed(void)
{
    run_job();
    commit_step(1, 4);
    cluster_forget(&cluster);
}

/* Registers by another connection, which tests tell by its own name. */
static void register_anew(const char *peer, const char *name, uint32_t shards, uint64_t engaged_in)
{
    struct newcomer newcomer = {peer, name, 1, shards, engaged_in};

    register_newcomer(&cluster, &newcomer);
}

static void all_return(uint64_t engaged_in)
{
    register_engaged(&cluster, "s1", 2, engaged_in);
    register_engaged(&cluster, "s2", 2, engaged_in);
    register_engaged(&cluster, "w2", 0, engaged_in);
    register_engaged(&cluster, "w1", 0, engaged_in);
}

static uint64_t step_of(const char *server, Cairn__NodeCommand__BodyCase kind)
{
    Cairn__NodeCommand *command = take_command(&cluster, server, kind);
    uint64_t step = UINT64_MAX;

    if (command && kind == CAIRN__NODE_COMMAND__BODY_PREPARE)
        step = command->prepare->step;
    else if (command && kind == CAIRN__NODE_COMMAND__BODY_ABANDON)
        step = command->abandon->step;
    else if (command && kind == CAIRN__NODE_COMMAND__BODY_COMMITTED)
        step = command->committed->step;
    else if (command && kind == CAIRN__NODE_COMMAND__BODY_COMMIT)
        step = command->commit->step;
    message_free(command);
    return step;
}
#define STEP_OF(server, KIND) step_of((server), CAIRN__NODE_COMMAND__BODY_##KIND)

/* ---- servers */

START_TEST(a_lost_server_is_waited_for)
{
    run_committed();
    leave(&cluster, "s1");
    EXPECT_STATE(&cluster, WAITING, "waits for server s1, which holds its state");
    ck_assert_str_eq(cluster.jobs[1].last_warning,
                     "server s1 left (SIGTERM): going back to step 4 as incarnation 2");
    ck_assert(GOT(&cluster, "s2", RELEASE) && GOT(&cluster, "w1", RELEASE) && GOT(&cluster, "w2", RELEASE));
    ck_assert_uint_eq(incarnation(), 2);
    register_server(&cluster, "s3"); /* no other one will do */
    EXPECT_STATE(&cluster, WAITING, "waits for server s1, which holds its state");
    register_engaged(&cluster, "s1", 2, 1);
    ck_assert(GOT(&cluster, "s1", RELEASE)); /* it was away, and may not know */
    ck_assert_uint_eq(STEP_OF("s1", PREPARE), 4);
    ck_assert_uint_eq(STEP_OF("s2", PREPARE), 4);
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w1, w2 to load state and data");
    prepare_all(2);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(a_job_without_state_begins_anew_elsewhere)
{
    run_job();
    cluster_forget(&cluster);
    leave(&cluster, "s1");
    EXPECT_STATE(&cluster, WAITING, "waits for 1 more server");
    register_server(&cluster, "s3");
    ck_assert_uint_eq(STEP_OF("s3", PREPARE), 0);
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s2, s3 and workers w1, w2 to load state and data");
}
END_TEST

START_TEST(servers_are_not_waited_for_for_ever)
{
    submit_text_with_nodes(
        "name: tiny\nmodel:\n  input_shape: [32768]\n  layers:\n    - dense: {units: 2}\n"
        "  loss: sparse_categorical_crossentropy\ndata:\n  train: {format: csv, path: train.csv}\n"
        "train: {steps: 10, batch_size: 8, microbatches: 4, optimizer: sgd}\n"
        "cluster: {servers: 2, workers: {min: 2, max: 3}, server_timeout: 30}\n");
    prepare_all(1);
    commit_step(1, 4);
    leave(&cluster, "s1");
    pass(&cluster, 29750);
    EXPECT_STATE(
        &cluster, WAITING,
        "waits for server s1, which holds its state, server s2, which holds its state, 2 more workers");
    pass(&cluster, 250);
    EXPECT_STATE(
        &cluster, FAILED,
        "waited for 30 s for server s1, which holds its state, server s2, which holds its state; a resume "
        "goes on from step 4");
}
END_TEST

START_TEST(a_stop_does_not_wait_for_servers)
{
    run_committed();
    ASK_STOP(&cluster, "stopper", "tiny");
    leave(&cluster, "s1");
    EXPECT_STATE(&cluster, STOPPED, "stopped as asked at the committed step 4: server s1 left (SIGTERM)");
}
END_TEST

START_TEST(a_job_that_waits_for_a_server_can_be_stopped)
{
    run_committed();
    leave(&cluster, "s1");
    ASK_STOP(&cluster, "stopper", "tiny");
    EXPECT_STATE(&cluster, STOPPED, "stopped as asked at the committed step 4");
}
END_TEST

START_TEST(an_end_that_is_not_durable_is_trained_again)
{
    run_committed();
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    reached(&cluster, "w2", 1, 10, TINY_HASH);
    EXPECT_STATE(&cluster, COMMITTING, "makes step 10 durable");
    leave(&cluster, "s1");
    register_server(&cluster, "s1");
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w1, w2 to load state and data");
    prepare_all(2);
    reached(&cluster, "w1", 2, 10, TINY_HASH);
    reached(&cluster, "w2", 2, 10, TINY_HASH);
    commit_step(2, 10);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
}
END_TEST

/* ---- other connections */

START_TEST(another_connection_is_no_loss)
{
    run_committed();
    register_anew("w1'", "w1", 0, 1);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert(GOT(&cluster, "w1'", WELCOME));
    ck_assert(GOT(&cluster, "w1'", EPOCH)); /* which may have been lost with the old one */
    ck_assert(!GOT(&cluster, "w1'", RELEASE));
    register_anew("s1'", "s1", 2, 1);
    ck_assert_uint_eq(STEP_OF("s1'", COMMITTED), 4);
    ck_assert_uint_eq(incarnation(), 1);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

static void lose_connection(const char *peer)
{
    struct event gone = {.type = EVENT_PEER_GONE, .peer = peer_named(peer), .reason = "its connection is gone"};

    cluster_handle(&cluster, &gone);
}

/* What it holds is lost with the process, not with the connection. */
START_TEST(a_server_that_is_cut_may_come_back)
{
    run_committed();
    lose_connection("s1");
    EXPECT_STATE(&cluster, RUNNING, "");
    pass(&cluster, 1000);
    ck_assert(!GOT(&cluster, "s1", WELCOME)); /* nobody would hear it */
    register_anew("s1'", "s1", 2, 1);
    ck_assert_uint_eq(STEP_OF("s1'", COMMITTED), 4);
    pass(&cluster, 2000);
    ck_assert_uint_eq(incarnation(), 1);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(a_server_that_stays_away_is_lost)
{
    run_committed();
    lose_connection("s1");
    pass(&cluster, 1750);
    lose_connection("s1"); /* it is not away anew */
    EXPECT_STATE(&cluster, RUNNING, "");
    pass(&cluster, 250);
    EXPECT_STATE(&cluster, WAITING, "waits for server s1, which holds its state");
    ck_assert_uint_eq(incarnation(), 2);
}
END_TEST

START_TEST(another_process_has_a_cut_servers_name_at_once)
{
    run_committed();
    lose_connection("s1");
    register_from(&cluster, "s1'", "s1", 2, 2);
    ck_assert_uint_eq(incarnation(), 2);
    ck_assert_uint_eq(STEP_OF("s1'", PREPARE), 4);
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w1, w2 to load state and data");
}
END_TEST

/* Something for it was not taken, though the connection is there. */
START_TEST(a_cut_server_that_speaks_is_asked_to_register)
{
    run_committed();
    lose_connection("s1");
    heartbeat(&cluster, "s1");
    ck_assert(GOT(&cluster, "s1", REGISTER_AGAIN));
    register_engaged(&cluster, "s1", 2, 1);
    ck_assert_uint_eq(STEP_OF("s1", COMMITTED), 4);
    pass(&cluster, 2000);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(a_node_that_dropped_its_work_is_lost_to_it)
{
    run_committed();
    register_anew("w1'", "w1", 0, 0);
    EXPECT_STATE(&cluster, WAITING, "waits for worker w1 to load state and data"); /* as a new one */
    ck_assert(GOT(&cluster, "w1'", PREPARE));
    prepared(&cluster, "w1'", 1, 40);
    EXPECT_STATE(&cluster, RUNNING, "");
    register_anew("s1'", "s1", 2, 0);
    ck_assert_uint_eq(incarnation(), 2);
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w1, w2 to load state and data");
}
END_TEST

START_TEST(a_registration_may_overtake_a_preparation)
{
    submit_with_nodes();
    cluster_forget(&cluster);
    register_worker(&cluster, "w1"); /* it has not read yet what it is to prepare */
    register_server(&cluster, "s1");
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w1, w2 to load state and data");
    ck_assert_uint_eq(incarnation(), 1);
    ck_assert(!GOT(&cluster, "w1", PREPARE));
}
END_TEST

START_TEST(strange_work_is_released)
{
    Cairn__NodeCommand *command;

    register_engaged(&cluster, "w9", 0, 3); /* there is no job yet */
    command = take_command(&cluster, "w9", CAIRN__NODE_COMMAND__BODY_RELEASE);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->release->job, 1);
    ck_assert_uint_eq(command->release->incarnation, 3);
    message_free(command);
}
END_TEST

START_TEST(strangers_are_asked_who_they_are)
{
    committed(&cluster, "s7", 1, 5);
    ck_assert(GOT(&cluster, "s7", REGISTER_AGAIN));
    leave(&cluster, "s7");
    ck_assert(!GOT(&cluster, "s7", REGISTER_AGAIN));
}
END_TEST

START_TEST(a_probe_says_something_to_every_node)
{
    struct event probe = {.type = EVENT_PROBE};

    register_server(&cluster, "s1");
    register_worker(&cluster, "w1");
    cluster_forget(&cluster);
    cluster_handle(&cluster, &probe);
    ck_assert(GOT(&cluster, "s1", WELCOME) && GOT(&cluster, "w1", WELCOME));
}
END_TEST

/* ---- the coordinator's own restart */

START_TEST(a_running_job_is_taken_up_as_it_is)
{
    Cairn__NodeCommand *command;

    run_committed();
    cluster_restart(&cluster);
    EXPECT_STATE(&cluster, RUNNING, "");
    all_return(1);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_uint_eq(incarnation(), 1);
    ck_assert(!GOT(&cluster, "w1", RELEASE) && !GOT(&cluster, "w1", PREPARE) &&
              !GOT(&cluster, "s1", PREPARE));
    command =
        take_command(&cluster, "w2", CAIRN__NODE_COMMAND__BODY_EPOCH); /* the one that it has, or missed */
    ck_assert_uint_eq(command->epoch->number, 1);
    ck_assert_uint_eq(command->epoch->first_step, 0);
    ck_assert_str_eq(command->epoch->workers[0], "w1");
    message_free(command);
    commit_step(1, 8);
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    reached(&cluster, "w2", 1, 10, TINY_HASH);
    commit_step(1, 10);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
}
END_TEST

/* The worker repeats its newest validation, which the coordinator may have been told and not stored. */
START_TEST(a_validation_that_is_told_again_counts_once)
{
    Cairn__ClientReply *reply;
    uint64_t told;

    run_committed();
    validated(&cluster, "w1", 1, 5, 0.5);
    cluster_restart(&cluster);
    all_return(1);
    told = cluster.jobs[1].newest_entry;
    validated(&cluster, "w1", 1, 5, 0.5); /* known already: no second line in the log */
    ck_assert_uint_eq(cluster.jobs[1].newest_entry, told);
    validated(&cluster, "w2", 1, 8, 0.75);
    ck_assert_uint_eq(cluster.jobs[1].newest_entry, told + 1);
    validated(&cluster, "w1", 1, 5, 0.5);
    reply = status_of(&cluster, "1");
    ck_assert_uint_eq(reply->job->validation_step, 8);
    ck_assert_double_eq(reply->job->validation[0]->value, 0.75);
    message_free(reply);
}
END_TEST

START_TEST(workers_that_do_not_return_are_done_without)
{
    Cairn__NodeCommand *command;

    run_committed();
    register_worker(&cluster, "w3");
    prepared(&cluster, "w3", 1, 40);
    cluster_restart(&cluster);
    register_engaged(&cluster, "s1", 2, 1);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w3", 0, 1);
    register_engaged(&cluster, "w2", 0, 1);
    cluster_forget(&cluster);
    for (int64_t ms = 0; ms < LEASES_MS; ms += 250) {
        static const char *const names[] = {"s1", "s2", "w2", "w3"};

        ck_assert(!GOT(&cluster, "w2", EPOCH));
        for (size_t i = 0; i < 4; i++)
            heartbeat(&cluster, names[i]);
        pass(&cluster, 250);
    }
    command = take_command(&cluster, "w2", CAIRN__NODE_COMMAND__BODY_EPOCH);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->epoch->number, 3);
    ck_assert_uint_eq(command->epoch->n_workers, 2);
    ck_assert_str_eq(command->epoch->workers[0], "w2");
    ck_assert_str_eq(command->epoch->workers[1], "w3");
    message_free(command);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(a_worker_that_died_meanwhile_is_known_at_once)
{
    run_committed();
    cluster_restart(&cluster);
    register_engaged(&cluster, "s1", 2, 1);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w2", 0, 1);
    register_from(&cluster, "w1", "w1", 2, 0); /* another process */
    ck_assert(GOT(&cluster, "w1", PREPARE));
    EXPECT_STATE(&cluster, WAITING, "waits for worker w1 to load state and data");
}
END_TEST

START_TEST(servers_that_do_not_return_are_waited_for)
{
    run_committed();
    cluster_restart(&cluster);
    pass(&cluster, LEASES_MS - 250);
    ck_assert_int_eq(state_deadline_ms(cluster.state), cluster.now.monotonic_ms + 250);
    EXPECT_STATE(&cluster, RUNNING, "");
    pass(&cluster, 250);
    ck_assert_uint_eq(incarnation(), 2);
    EXPECT_STATE(
        &cluster, WAITING,
        "waits for server s1, which holds its state, server s2, which holds its state, 2 more workers");
}
END_TEST

/* A coordinator that is stopped while it awaits its nodes has not read what they sent. */
START_TEST(a_pause_is_not_the_awaited_nodes_silence)
{
    struct event tick = {.type = EVENT_TICK};

    run_committed();
    cluster_restart(&cluster);
    pass(&cluster, 1000);
    ck_assert_int_le(state_deadline_ms(cluster.state) - cluster.now.monotonic_ms, 1000);
    cluster.now.monotonic_ms += 60000;
    register_engaged(&cluster, "s1", 2, 1); /* messages are read before time is looked at */
    register_engaged(&cluster, "w1", 0, 1);
    cluster_handle(&cluster, &tick);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w2", 0, 1);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_uint_eq(incarnation(), 1);
    ck_assert_uint_eq(STEP_OF("s2", COMMITTED), 4);
}
END_TEST

/* Nor is it a part of cluster.server_timeout: the server may have come meanwhile. */
START_TEST(a_pause_is_not_the_missed_servers_absence)
{
    struct event tick = {.type = EVENT_TICK};

    run_committed();
    leave(&cluster, "s1");
    pass(&cluster, 1000);
    cluster.now.monotonic_ms += SERVER_TIMEOUT_MS;
    heartbeat(&cluster, "w1"); /* is read before the registration */
    EXPECT_STATE(&cluster, WAITING, "waits for server s1, which holds its state");
    cluster_handle(&cluster, &tick);
    register_server(&cluster, "s1");
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w1, w2 to load state and data");
}
END_TEST

/* A coordinator that has nobody to listen to is not stopped. */
START_TEST(a_server_is_not_waited_for_longer_when_nobody_is_there)
{
    static const char *const names[] = {"s1", "s2", "w1", "w2"};
    struct event tick = {.type = EVENT_TICK};
    int64_t since_ms;

    run_committed();
    pass(&cluster, 250);
    for (size_t i = 0; i < 4; i++)
        leave(&cluster, names[i]);
    since_ms = cluster.now.monotonic_ms;
    while (cluster.now.monotonic_ms < since_ms + SERVER_TIMEOUT_MS) {
        EXPECT_STATE(&cluster, WAITING,
                     "waits for server s1, which holds its state, server s2, which holds its state, 2 more "
                     "workers");
        cluster.now.monotonic_ms = state_deadline_ms(cluster.state);
        cluster_handle(&cluster, &tick);
    }
    EXPECT_STATE(&cluster, FAILED,
                 "waited for 600 s for server s1, which holds its state, server s2, which holds its state; a "
                 "resume goes on from step 4");
}
END_TEST

START_TEST(a_server_that_died_meanwhile_is_known_at_once)
{
    run_committed();
    cluster_restart(&cluster);
    register_engaged(&cluster, "w1", 0, 1);
    register_engaged(&cluster, "s1", 2, 1);
    register_server(&cluster, "s2");
    ck_assert_uint_eq(incarnation(), 2);
    ck_assert(GOT(&cluster, "s1", RELEASE) && GOT(&cluster, "w1", RELEASE));
    EXPECT_STATE(&cluster, WAITING, "waits for 1 more worker (1 of 2 is there)");
    register_engaged(&cluster, "w2", 0, 1);
    ck_assert(GOT(&cluster, "w2", RELEASE));
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w1, w2 to load state and data");
}
END_TEST

START_TEST(a_stop_goes_on_after_a_restart)
{
    run_committed();
    ASK_STOP(&cluster, "stopper", "tiny");
    cluster_restart(&cluster);
    EXPECT_STATE(&cluster, STOPPING, "finishes the step in hand, as a stop was asked for");
    all_return(1);
    ck_assert(GOT(&cluster, "w1", STOP) && GOT(&cluster, "w2", STOP));
    reached(&cluster, "w1", 1, 6, TINY_HASH);
    reached(&cluster, "w2", 1, 6, TINY_HASH);
    commit_step(1, 6);
    EXPECT_STATE(&cluster, STOPPED, "stopped at step 6 as asked");
}
END_TEST

START_TEST(a_commit_goes_on_after_a_restart)
{
    run_committed();
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    reached(&cluster, "w2", 1, 10, TINY_HASH);
    cluster_restart(&cluster);
    EXPECT_STATE(&cluster, COMMITTING, "makes step 10 durable");
    all_return(1);
    ck_assert(GOT(&cluster, "w1", RELEASE)); /* it has done its part */
    ck_assert_uint_eq(STEP_OF("s1", COMMIT), 10);
    commit_step(1, 10);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
}
END_TEST

START_TEST(a_pause_goes_on_after_a_restart)
{
    run_committed();
    leave(&cluster, "w1");
    cluster_restart(&cluster);
    EXPECT_STATE(&cluster, WAITING, "waits for 1 more worker (1 of 2 is there)");
    register_engaged(&cluster, "s1", 2, 1);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w2", 0, 1); /* no epoch names it: it begins anew */
    ck_assert(GOT(&cluster, "w2", RELEASE) && GOT(&cluster, "w2", PREPARE));
    register_worker(&cluster, "w3");
    prepared(&cluster, "w2", 1, 40);
    prepared(&cluster, "w3", 1, 40);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_uint_eq(incarnation(), 1);
}
END_TEST

START_TEST(a_job_that_prepared_prepares_again)
{
    submit_with_nodes();
    cluster_restart(&cluster);
    EXPECT_STATE(&cluster, PENDING, "");
    all_return(1);
    ck_assert(GOT(&cluster, "s1", RELEASE) && GOT(&cluster, "s1", PREPARE));
    ck_assert_uint_eq(incarnation(), 2);
}
END_TEST

START_TEST(a_job_that_waited_waits_on)
{
    send_submit(&cluster, TINY_TEXT, false, 0);
    cluster_restart(&cluster);
    EXPECT_STATE(&cluster, WAITING, "waits for 2 more servers, 2 more workers");
    ck_assert_uint_eq(incarnation(), 1);
}
END_TEST

/* No server had been told of the table. */
START_TEST(servers_that_are_held_go_on_after_a_restart)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__TableRequest body = CAIRN__TABLE_REQUEST__INIT;

    register_server(&cluster, "s1");
    send_submit(&cluster,
                "name: shelf\ntables:\n  - sparse: {name: b, dimension: 4}\ntrain: {optimizer: sgd}\n", false,
                0);
    prepared(&cluster, "s1", 1, 0);
    body.job = "shelf";
    body.text = "sparse: {name: late, dimension: 8}";
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_TABLE;
    request.table = &body;
    ask(&cluster, "adder", &request);
    ck_assert(GOT(&cluster, "s1", HOLD)); /* and nobody would tell it to go on */
    cluster_restart(&cluster);
    register_engaged(&cluster, "s1", 2, 1);
    ck_assert(GOT(&cluster, "s1", GO_ON) && !GOT(&cluster, "s1", RELEASE));
    ck_assert_uint_eq(incarnation(), 1);
    EXPECT_STATE(&cluster, RUNNING, "");
    ask(&cluster, "adder again", &request);
    ck_assert(GOT(&cluster, "s1", HOLD));
}
END_TEST

/* A table that is asked for meanwhile is added when all servers are there. */
START_TEST(tables_are_added_when_all_servers_are_back)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__TableRequest body = CAIRN__TABLE_REQUEST__INIT;
    Cairn__LocateRequest locate = CAIRN__LOCATE_REQUEST__INIT;
    Cairn__ClientReply *reply;

    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    send_submit(&cluster,
                "name: shelf\ntables:\n  - sparse: {name: b, dimension: 4}\ntrain: {optimizer: sgd}\n"
                "cluster: {servers: 2}\n",
                false, 0);
    prepared(&cluster, "s1", 1, 0);
    prepared(&cluster, "s2", 1, 0);
    cluster_restart(&cluster);
    register_engaged(&cluster, "s1", 2, 1);
    body.job = "shelf";
    body.text = "sparse: {name: late, dimension: 8}";
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_TABLE;
    request.table = &body;
    ask(&cluster, "adder", &request);
    ck_assert(!GOT(&cluster, "s1", HOLD));
    locate.job = "shelf";
    locate.live = true;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_LOCATE;
    request.locate = &locate;
    ask(&cluster, "client", &request);
    reply = take_reply(&cluster, "client");
    ck_assert_uint_eq(reply->location->n_shards, 0); /* s2 may have come back elsewhere */
    message_free(reply);
    register_engaged(&cluster, "s2", 2, 1);
    ck_assert(GOT(&cluster, "s1", HOLD) && GOT(&cluster, "s2", HOLD));
    reply = take_reply(&cluster, "client");
    ck_assert_uint_eq(reply->location->n_shards, 4);
    message_free(reply);
}
END_TEST

/* It says nothing of epochs. */
START_TEST(records_of_an_older_program_go_on_from_what_is_committed)
{
    struct stored_job *stored = &cluster.jobs[1];
    Cairn__JobRecord *record;

    run_committed();
    record = cairn__job_record__unpack(NULL, stored->length, stored->bytes);
    record->format = 1;
    message_free(record->epoch);
    record->epoch = NULL;
    stored->length = cairn__job_record__pack(record, stored->bytes); /* shorter than it was */
    message_free(record);
    cluster_restart(&cluster);
    all_return(1);
    ck_assert(GOT(&cluster, "s1", RELEASE));
    ck_assert_uint_eq(STEP_OF("s1", PREPARE), 4);
    ck_assert_uint_eq(incarnation(), 2);
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 and workers w2, w1 to load state and data");
}
END_TEST

/* ---- generations that differ */

START_TEST(the_older_of_two_generations_is_given_up)
{
    run_committed();
    cluster_restart(&cluster);
    all_return(1);
    cluster_forget(&cluster);
    committed(&cluster, "s1", 1, 6);
    committed(&cluster, "s2", 1, 8); /* it went over 6, as nobody said that it is the job's */
    ck_assert_uint_eq(STEP_OF("s1", ABANDON), 6);
    ck_assert(!GOT(&cluster, "s2", ABANDON) && !GOT(&cluster, "s1", COMMITTED));
    committed(&cluster, "s1", 1, 8);
    ck_assert_uint_eq(STEP_OF("s1", COMMITTED), 8);
    ck_assert_uint_eq(STEP_OF("s2", COMMITTED), 8);
}
END_TEST

START_TEST(a_server_that_is_behind_is_waited_for)
{
    run_committed();
    committed(&cluster, "s2", 1, 8);
    ck_assert(!GOT(&cluster, "s1", ABANDON) && !GOT(&cluster, "s2", COMMITTED));
    committed(&cluster, "s1", 1, 8);
    ck_assert_uint_eq(STEP_OF("s1", COMMITTED), 8);
}
END_TEST

/* It alone did not hear us, and can make no later one while the other waits. */
START_TEST(what_one_server_went_over_the_other_need_not_keep)
{
    run_committed();
    committed(&cluster, "s1", 1, 6);
    passed_over(&cluster, "s2", 1, 6, 7); /* it may still make 6 */
    ck_assert(!GOT(&cluster, "s1", ABANDON));
    passed_over(&cluster, "s2", 1, 4, 8);
    ck_assert_uint_eq(STEP_OF("s1", ABANDON), 6);
    ck_assert(!GOT(&cluster, "s2", ABANDON));
    passed_over(&cluster, "s2", 1, 4, 8);
    ck_assert(!GOT(&cluster, "s1", ABANDON)); /* it was told */
    committed(&cluster, "s1", 1, 8);
    ck_assert_uint_eq(STEP_OF("s1", ABANDON), 8);
    committed(&cluster, "s1", 1, 9);
    committed(&cluster, "s2", 1, 9);
    ck_assert_uint_eq(STEP_OF("s1", COMMITTED), 9);
    passed_over(&cluster, "s2", 1, 4, 8); /* as it registers: behind the job */
    ck_assert(!GOT(&cluster, "s1", ABANDON));
}
END_TEST

/* Whoever has it by now, it was told to others that they need not keep it. */
START_TEST(what_was_given_up_is_never_the_jobs)
{
    run_committed();
    passed_over(&cluster, "s2", 1, 4, 6);
    committed(&cluster, "s1", 1, 6);
    committed(&cluster, "s2", 1, 6);
    ck_assert(!GOT(&cluster, "s1", COMMITTED) && !GOT(&cluster, "s2", COMMITTED));
    ck_assert_uint_eq(STEP_OF("s1", ABANDON), 6);
    ck_assert_uint_eq(STEP_OF("s2", ABANDON), 6);
    committed(&cluster, "s1", 1, 8);
    committed(&cluster, "s2", 1, 8);
    ck_assert_uint_eq(STEP_OF("s2", COMMITTED), 8);
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const servers[] = {a_lost_server_is_waited_for,
                                    a_job_without_state_begins_anew_elsewhere,
                                    servers_are_not_waited_for_for_ever,
                                    a_stop_does_not_wait_for_servers,
                                    a_job_that_waits_for_a_server_can_be_stopped,
                                    an_end_that_is_not_durable_is_trained_again};
    const TTest *const connections[] = {another_connection_is_no_loss,
                                        a_server_that_is_cut_may_come_back,
                                        a_server_that_stays_away_is_lost,
                                        another_process_has_a_cut_servers_name_at_once,
                                        a_cut_server_that_speaks_is_asked_to_register,
                                        a_node_that_dropped_its_work_is_lost_to_it,
                                        a_registration_may_overtake_a_preparation,
                                        strange_work_is_released,
                                        strangers_are_asked_who_they_are,
                                        a_probe_says_something_to_every_node};
    const TTest *const restarts[] = {a_running_job_is_taken_up_as_it_is,
                                     a_validation_that_is_told_again_counts_once,
                                     workers_that_do_not_return_are_done_without,
                                     a_worker_that_died_meanwhile_is_known_at_once,
                                     servers_that_do_not_return_are_waited_for,
                                     a_pause_is_not_the_awaited_nodes_silence,
                                     a_pause_is_not_the_missed_servers_absence,
                                     a_server_is_not_waited_for_longer_when_nobody_is_there,
                                     a_server_that_died_meanwhile_is_known_at_once,
                                     a_stop_goes_on_after_a_restart,
                                     a_commit_goes_on_after_a_restart,
                                     a_pause_goes_on_after_a_restart,
                                     a_job_that_prepared_prepares_again,
                                     a_job_that_waited_waits_on,
                                     servers_that_are_held_go_on_after_a_restart,
                                     tables_are_added_when_all_servers_are_back,
                                     records_of_an_older_program_go_on_from_what_is_committed};
    const TTest *const generations[] = {
        the_older_of_two_generations_is_given_up, a_server_that_is_behind_is_waited_for,
        what_one_server_went_over_the_other_need_not_keep, what_was_given_up_is_never_the_jobs};
    Suite *suite = suite_create("coordinator_retake");

    ADD(suite, "servers", servers);
    ADD(suite, "connections", connections);
    ADD(suite, "restarts", restarts);
    ADD(suite, "generations", generations);
    return suite;
}

CHECK_MAIN(make_suite)
