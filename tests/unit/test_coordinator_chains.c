/* The coordinator's state machine: slots in chains. Servers die, come and are drained while a model trains.
 */
#include "check_main.h"
#include "chain_talk.h"

#include "cluster/placement.h"

#define SLOTS 1024u

/* A model whose weights make some chunks. */
static const char *text_of(uint32_t servers, uint32_t replicas)
{
    static char text[1024];

    snprintf(text, sizeof(text),
             "name: tiny\nmodel:\n  input_shape: [32768]\n  layers:\n    - dense: {units: 16}\n"
             "  loss: sparse_categorical_crossentropy\ndata:\n  train: {format: csv, path: train.csv}\n"
             "train: {steps: 10, batch_size: 8, microbatches: 4, optimizer: sgd}\n"
             "cluster: {servers: %u, replicas: %u, workers: {min: 2, max: 3}}\n",
             servers, replicas);
    return text;
}

static void run_text(const char *text, const char *third)
{
    submit_text_with_nodes(text);
    if (third)
        register_server(&cluster, third);
    prepare_all(1);
    if (third)
        prepared(&cluster, third, 1, 0);
    EXPECT_STATE(&cluster, RUNNING, "");
    cluster_forget(&cluster);
}

START_TEST(chains_are_on_different_servers)
{
    Cairn__NodeCommand *command;
    uint32_t loads[4] = {0};

    submit_text_with_nodes(text_of(2, 2));
    command = take_command(&cluster, "s1", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_uint_eq(command->prepare->replicas, 2);
    ck_assert_uint_eq(command->prepare->n_slot_shards, 2 * SLOTS);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        const uint32_t *chain = command->prepare->slot_shards + 2 * slot;

        ck_assert_uint_ne(chain[0] / 2, chain[1] / 2); /* shards 0 and 1 are s1's */
        loads[chain[0]]++;
        loads[chain[1]]++;
    }
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(loads[i], SLOTS / 2);
    message_free(command);
    command = take_command(&cluster, "w1", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_uint_eq(command->prepare->replicas, 0);
    ck_assert_uint_eq(command->prepare->n_slot_shards, SLOTS);
    message_free(command);
}
END_TEST

/* Nobody goes back; workers hear of the new heads once the servers know of them. */
START_TEST(a_server_dies_and_others_have_what_it_had)
{
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;

    run_text(text_of(2, 2), NULL);
    leave(&cluster, "s1");
    map = map_to("s2", &command);
    ck_assert_ptr_nonnull(map);
    ck_assert(!names(map, "s1") && names(map, "s2"));
    ck_assert(!GOT(&cluster, "w1", EPOCH) && !GOT(&cluster, "w1", RELEASE));
    EXPECT_STATE(&cluster, RUNNING, "");
    say_mapped("s2", map->number);
    message_free(command);
    command = take_command(&cluster, "w1", CAIRN__NODE_COMMAND__BODY_EPOCH);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->epoch->n_slot_shards, SLOTS);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        ck_assert_str_eq(command->epoch->shards[command->epoch->slot_shards[slot]]->server, "s2");
    message_free(command);
    committed(&cluster, "s2", 1, 4); /* it alone has it, and that is enough */
    ck_assert(GOT(&cluster, "s2", COMMITTED));
}
END_TEST

/* Without another one that has what it had the job goes back. */
START_TEST(the_last_of_a_chain_is_missed)
{
    run_text(text_of(2, 2), NULL);
    leave(&cluster, "s1");
    leave(&cluster, "s2");
    EXPECT_STATE(&cluster, WAITING, "waits for 2 more servers");
}
END_TEST

START_TEST(a_fresh_server_gets_copies)
{
    static const char *const servers[] = {"s2", "s3"};
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;

    run_text(text_of(2, 2), NULL);
    leave(&cluster, "s1");
    register_server(&cluster, "s3");
    command = take_command(&cluster, "s3", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->prepare->n_shards, 6);
    message_free(command);
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 2, 3);
    leave(&cluster, "s2");
    map = map_to("s3", &command);
    ck_assert_ptr_nonnull(map);
    ck_assert(names(map, "s3") && !names(map, "s2"));
    ck_assert_uint_eq(map->n_copies, 0);
    message_free(command);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* A server that is drained goes when others have what is committed. */
START_TEST(a_drained_server_is_emptied_first)
{
    static const char *const servers[] = {"s1", "s2", "s3"};
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__DrainRequest drain = CAIRN__DRAIN_REQUEST__INIT;
    Cairn__NodeCommand *command;

    run_text(text_of(2, 1), NULL);
    commit_step(1, 2);
    register_server(&cluster, "s3");
    drain.node = (char *)"s1";
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_DRAIN;
    request.drain = &drain;
    ask(&cluster, "drainer", &request);
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 3, 3);
    ck_assert(!GOT(&cluster, "s1", DISMISS));
    cluster_forget(&cluster);
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 4);
    move_all(servers, 3, 4);
    for (size_t i = 1; i < 3; i++)
        committed(&cluster, servers[i], 1, 6);
    command = take_command(&cluster, "s1", CAIRN__NODE_COMMAND__BODY_DISMISS);
    ck_assert_ptr_nonnull(command);
    message_free(command);
    ck_assert(GOT(&cluster, "s2", COMMITTED));
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* A map is stored before it is told, and taken up as it was. */
START_TEST(a_coordinator_that_starts_again_knows_the_map)
{
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;
    uint64_t number;

    run_text(text_of(2, 2), NULL);
    leave(&cluster, "s1");
    map = map_to("s2", &command);
    number = map->number;
    say_mapped("s2", number);
    message_free(command);
    cluster_restart(&cluster);
    register_engaged(&cluster, "s2", 2, 1);
    register_engaged(&cluster, "w1", 0, 1);
    register_engaged(&cluster, "w2", 0, 1);
    map = map_to("s2", &command);
    ck_assert_ptr_nonnull(map);
    ck_assert_uint_eq(map->number, number);
    ck_assert(!names(map, "s1"));
    message_free(command);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* What was committed is gone back to with whom has it, though others are away. */
START_TEST(a_resume_needs_one_of_each_chain)
{
    Cairn__NodeCommand *command;

    run_text(text_of(2, 2), NULL);
    commit_step(1, 4);
    ASK_STOP(&cluster, "stopper", "tiny");
    reached(&cluster, "w1", 1, 6, TINY_HASH);
    reached(&cluster, "w2", 1, 6, TINY_HASH);
    commit_step(1, 6);
    EXPECT_STATE(&cluster, STOPPED, "stopped at step 6 as asked");
    leave(&cluster, "s1");
    cluster_forget(&cluster);
    send_submit(&cluster, text_of(2, 2), true, 0);
    command = take_command(&cluster, "s2", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->prepare->step, 6);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        ck_assert_str_eq(command->prepare->shards[command->prepare->slot_shards[2 * slot]]->server, "s2");
        ck_assert_uint_eq(command->prepare->slot_shards[2 * slot + 1], UINT32_MAX);
    }
    message_free(command);
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const tests[] = {
        chains_are_on_different_servers,   a_server_dies_and_others_have_what_it_had,
        the_last_of_a_chain_is_missed,     a_fresh_server_gets_copies,
        a_drained_server_is_emptied_first, a_coordinator_that_starts_again_knows_the_map,
        a_resume_needs_one_of_each_chain};
    Suite *suite = suite_create("coordinator_chains");

    ADD(suite, "chains", tests);
    return suite;
}

CHECK_MAIN(make_suite)
