/* The coordinator's state machine: jobs of the throughput modes. */
#include "check_main.h"
#include "played_chains.h"

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
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
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

/* All have ended, but that the model was read nobody has told yet. */
START_TEST(another_one_closes_it_when_the_first_fails)
{
    run_async();
    reached(&cluster, "w1", 1, 10, "");
    reached(&cluster, "w2", 1, 10, "");
    cluster_forget(&cluster);
    failed(&cluster, "w1", 1, "cannot reach shard 0 at s1, for 30 s");
    ck_assert(GOT(&cluster, "w1", RELEASE));
    expect_epoch("w2", "w2#2@0, closing");
    ASK_STOP(&cluster, "stopper", "tiny");
    failed(&cluster, "w2", 1, "cannot reach shard 0 at s1, for 30 s");
    prepared(&cluster, "w1", 1, 40); /* it is tried again */
    expect_epoch("w1", "w1#3@10");
    reached(&cluster, "w1", 1, 10, "");
    expect_epoch("w1", "w1#3@10, closing");
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    commit_step(1, 10);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
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

/* Who closes the job has done so while nobody heard it, and says it once more. The others get no more of the
 * job meanwhile. */
START_TEST(a_coordinator_that_begins_again_knows_that_all_have_ended)
{
    run_async();
    reached(&cluster, "w1", 1, 10, "");
    reached(&cluster, "w2", 1, 10, "");
    cluster_restart(&cluster);
    register_engaged(&cluster, "s1", 2, 1);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w2", 0, 1);
    ck_assert(GOT(&cluster, "w2", RELEASE));
    register_engaged(&cluster, "w1", 0, 1);
    expect_epoch("s1", "w1#1@0, closing");
    expect_epoch("w1", "w1#1@0, closing");
    ck_assert(!GOT(&cluster, "w2", PREPARE));
    reached(&cluster, "w1", 1, 10, TINY_HASH);
    ck_assert_uint_eq(asked_commit("s1"), 10);
    commit_step(1, 10);
    EXPECT_STATE(&cluster, COMPLETED, "all 10 steps are done");
}
END_TEST

START_TEST(a_coordinator_that_begins_again_has_another_one_close)
{
    run_async();
    reached(&cluster, "w1", 1, 10, "");
    reached(&cluster, "w2", 1, 10, "");
    leave(&cluster, "w2");
    cluster_restart(&cluster);
    register_engaged(&cluster, "s1", 2, 1);
    register_engaged(&cluster, "s2", 2, 1);
    register_worker(&cluster, "w1"); /* another process: it has read nothing */
    prepared(&cluster, "w1", 1, 40);
    expect_epoch("w1", "w1#3@10");
    reached(&cluster, "w1", 1, 10, "");
    expect_epoch("w1", "w1#3@10, closing");
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

/* ---- slots in chains */

/* A model whose weights make some chunks, on two servers. */
static void run_chains(uint32_t replicas)
{
    static char text[1024];

    snprintf(
        text, sizeof(text),
        "name: tiny\nmodel:\n  input_shape: [32768]\n  layers:\n    - dense: {units: 16}\n"
        "  loss: sparse_categorical_crossentropy\ndata:\n  train: {format: csv, path: train.csv}\n"
        "train: {steps: 100, mode: async, batch_size: 8, microbatches: 4, optimizer: sgd, commit_every: 4}\n"
        "cluster: {servers: 2, replicas: %u, workers: {min: 2, max: 3}}\n",
        replicas);
    submit_text_with_nodes(text);
    prepare_all(1);
    EXPECT_STATE(&cluster, RUNNING, "");
    cluster_forget(&cluster);
}

static void drain_server(const char *name)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__DrainRequest drain = CAIRN__DRAIN_REQUEST__INIT;
    Cairn__ClientReply *reply;

    drain.node = (char *)name;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_DRAIN;
    request.drain = &drain;
    ask(&cluster, "drainer", &request);
    reply = take_reply(&cluster, "drainer");
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_NODES);
    message_free(reply);
}

/* The number of the map that a server was told, and it goes by it. */
static uint64_t go_by_map(const char *server)
{
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map = map_to(server, &command);
    uint64_t number;

    ck_assert_ptr_nonnull(map);
    number = map->number;
    say_mapped(server, number);
    message_free(command);
    return number;
}

/* Nobody goes back; servers and workers hear of an epoch with the new heads. */
START_TEST(a_server_dies_and_others_go_on)
{
    run_chains(2);
    progress(&cluster, "w1", 1, 5);
    ck_assert_uint_eq(asked_commit("s2"), 5);
    cluster_forget(&cluster);
    leave(&cluster, "s1");
    ck_assert_ptr_null(newest_epoch("w1"));
    go_by_map("s2");
    expect_epoch("s2", "w1#1@0 w2#2@0");
    expect_epoch("w1", "w1#1@0 w2#2@0");
    committed(&cluster, "s2", 1, 5); /* it alone has it, and that is enough */
    ck_assert(GOT(&cluster, "s2", COMMITTED));
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* A server that comes hears of the epoch that there is. */
START_TEST(a_server_that_comes_hears_of_the_epoch)
{
    run_chains(2);
    leave(&cluster, "s1");
    go_by_map("s2");
    register_server(&cluster, "s3");
    cluster_forget(&cluster);
    prepared(&cluster, "s3", 1, 0);
    expect_epoch("s3", "w1#1@0 w2#2@0");
}
END_TEST

/* A generation was asked for, and the copy that came meanwhile knows nothing of it: it is asked as well. What
 * comes with the step of that generation has been asked before, and is not in it. */
START_TEST(a_copy_is_asked_for_the_generation_under_way)
{
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;

    run_chains(2);
    leave(&cluster, "s1");
    go_by_map("s2");
    register_server(&cluster, "s3");
    progress(&cluster, "w1", 1, 5);
    ck_assert_uint_eq(asked_commit("s2"), 5);
    cluster_forget(&cluster); /* what s3 was told, it did not know the job to do */
    prepared(&cluster, "s3", 1, 0);
    go_by_map("s3");
    map = map_to("s3", &command);
    ck_assert(map && map->n_copies == 1);
    say_mapped("s2", map->number);
    say_mapped("s3", map->number);
    say_copied("s3", map->copies[0], 0);
    message_free(command);
    ck_assert_uint_eq(asked_commit("s3"), 5);
    committed(&cluster, "s2", 1, 5);
    ck_assert(!GOT(&cluster, "s2", COMMITTED));
    committed(&cluster, "s3", 1, 5);
    ck_assert(GOT(&cluster, "s2", COMMITTED));
    go_by_map("s2");
    go_by_map("s3");
    progress(&cluster, "w1", 1, 9);
    ck_assert_uint_eq(asked_commit("s3"), 9);
    pass(&cluster, 50);
    map = map_to("s3", &command);
    ck_assert(map && map->n_copies == 1);
    say_copied("s3", map->copies[0], 9);
    message_free(command);
    ck_assert_uint_eq(asked_commit("s3"), 0);
}
END_TEST

/* Of the generation that was asked for the only part dies, since a copy came later: another one is asked for.
 */
START_TEST(a_generation_that_nobody_has_is_asked_for_anew)
{
    static const char *const servers[] = {"s1", "s2", "s3"};

    run_chains(1);
    register_server(&cluster, "s3");
    drain_server("s1");
    prepared(&cluster, "s3", 1, 0);
    progress(&cluster, "w1", 1, 5);
    ck_assert_uint_eq(asked_commit("s1"), 5);
    move_all(servers, 3, 5);
    leave(&cluster, "s1");
    EXPECT_STATE(&cluster, RUNNING, "");
    move_all(servers + 1, 2, 5);
    committed(&cluster, "s2", 1, 5);
    committed(&cluster, "s3", 1, 5);
    ck_assert(GOT(&cluster, "s2", ABANDON));
    cluster_forget(&cluster);
    progress(&cluster, "w1", 1, 6);
    ck_assert_uint_eq(asked_commit("s2"), 6);
    committed(&cluster, "s2", 1, 6);
    committed(&cluster, "s3", 1, 6);
    ck_assert(GOT(&cluster, "s2", COMMITTED));
}
END_TEST

/* What a server made, and has nothing of any more since its slots went to others, it need not keep: it would
 * make nothing else while it waits for that to be the job's. */
START_TEST(a_server_keeps_nothing_that_others_have)
{
    static const char *const servers[] = {"s1", "s2", "s3"};

    run_chains(1);
    progress(&cluster, "w1", 1, 5);
    commit_step(1, 5);
    register_server(&cluster, "s3");
    drain_server("s1");
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 3, 5);
    cluster_restart(&cluster); /* nobody knows by which map servers go, so nobody leaves */
    for (size_t i = 0; i < 3; i++)
        register_engaged(&cluster, servers[i], 2, 1);
    register_engaged(&cluster, "w1", 0, 1);
    register_engaged(&cluster, "w2", 0, 1);
    for (uint64_t step = 9; step <= 13; step += 4) {
        progress(&cluster, "w1", 1, step);
        committed(&cluster, "s1", 1, step);
        for (size_t i = 1; i < 3 && step == 9; i++)
            committed(&cluster, servers[i], 1, step);
    }
    ck_assert(!GOT(&cluster, "s1", ABANDON));
    move_all(servers, 3, 13);
    ck_assert(GOT(&cluster, "s1", ABANDON));
    for (size_t i = 1; i < 3; i++)
        committed(&cluster, servers[i], 1, 13);
    ck_assert(GOT(&cluster, "s1", COMMITTED));
    ck_assert(!GOT(&cluster, "s2", ABANDON));
}
END_TEST

/* A server that is drained goes when others have what is committed: copies that came before they knew of that
 * generation are not in it. */
START_TEST(a_drained_server_is_emptied)
{
    static const char *const servers[] = {"s1", "s2", "s3"};
    Cairn__NodeCommand *command;

    run_chains(1);
    progress(&cluster, "w1", 1, 5);
    commit_step(1, 5);
    register_server(&cluster, "s3");
    drain_server("s1");
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 3, 0);
    ck_assert(!GOT(&cluster, "s1", DISMISS));
    cluster_forget(&cluster);
    for (uint64_t step = 9; step <= 13; step += 4) {
        progress(&cluster, "w1", 1, step);
        committed(&cluster, "s2", 1, step);
        committed(&cluster, "s3", 1, step);
        ck_assert_int_eq(GOT(&cluster, "s2", COMMITTED), step == 13);
        committed(&cluster, "s1", 1, step);
        move_all(servers, 3, step);
    }
    command = take_command(&cluster, "s1", CAIRN__NODE_COMMAND__BODY_DISMISS);
    ck_assert_ptr_nonnull(command);
    message_free(command);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* Who reads the model hears of the new heads, too. */
START_TEST(a_server_dies_while_the_model_is_read)
{
    run_chains(2);
    reached(&cluster, "w1", 1, 100, "");
    reached(&cluster, "w2", 1, 100, "");
    expect_epoch("w1", "w1#1@0, closing");
    leave(&cluster, "s1");
    go_by_map("s2");
    expect_epoch("s2", "w1#1@0, closing");
    expect_epoch("w1", "w1#1@0, closing");
    reached(&cluster, "w1", 1, 100, TINY_HASH);
    ck_assert_uint_eq(asked_commit("s2"), 100);
    committed(&cluster, "s2", 1, 100);
    EXPECT_STATE(&cluster, COMPLETED, "all 100 steps are done");
}
END_TEST

/* The heads that workers may not have heard of are told with an epoch that closes the job, like the one
 * before: who has closed it by that one has reached the end. */
START_TEST(a_coordinator_that_begins_again_tells_who_closes_of_the_heads)
{
    run_chains(2);
    leave(&cluster, "s1");
    go_by_map("s2");
    progress(&cluster, "w1", 1, 5);
    committed(&cluster, "s2", 1, 5); /* s1 has nothing of that, and is not awaited */
    reached(&cluster, "w1", 1, 100, "");
    reached(&cluster, "w2", 1, 100, "");
    cluster_restart(&cluster);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w1", 0, 1);
    go_by_map("s2");
    expect_epoch("w1", "w1#1@0, closing");
    reached(&cluster, "w1", 1, 100, TINY_HASH);
    committed(&cluster, "s2", 1, 100);
    EXPECT_STATE(&cluster, COMPLETED, "all 100 steps are done");
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
        another_one_closes_it_when_the_first_fails,
        a_stop_ends_each_worker_where_it_is,
        an_end_that_nobody_asked_for_fails,
        a_coordinator_that_begins_again_tells_servers_the_epoch,
        a_coordinator_that_begins_again_knows_that_all_have_ended,
        a_coordinator_that_begins_again_has_another_one_close,
        new_numbers_begin_at_the_committed_step_when_servers_go_back,
        a_server_dies_and_others_go_on,
        a_server_that_comes_hears_of_the_epoch,
        a_copy_is_asked_for_the_generation_under_way,
        a_generation_that_nobody_has_is_asked_for_anew,
        a_server_keeps_nothing_that_others_have,
        a_drained_server_is_emptied,
        a_server_dies_while_the_model_is_read,
        a_coordinator_that_begins_again_tells_who_closes_of_the_heads,
    };
    Suite *suite = suite_create("coordinator_throughput");

    ADD(suite, "throughput", tests);
    return suite;
}

CHECK_MAIN(make_suite)
