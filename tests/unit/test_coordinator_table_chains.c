/* The coordinator's state machine: the slots of jobs with tables in chains, which nobody is told of but who
 * asks. */
#include "check_main.h"
#include "played_chains.h"

#define LATER "dense: {name: later, size: 70000, optimizer: adam}"

static const char *text_of(uint32_t servers, uint32_t replicas)
{
    static char text[512];

    snprintf(text, sizeof(text),
             "name: shelf\ntables:\n  - dense: {name: a, size: 100000}\ntrain: {optimizer: sgd}\n"
             "cluster: {servers: %u, replicas: %u}\n",
             servers, replicas);
    return text;
}

static void run_text(const char *text)
{
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    send_submit(&cluster, text, false, 0);
    message_free(take_reply(&cluster, "submitter"));
    prepared(&cluster, "s1", 1, 0);
    prepared(&cluster, "s2", 1, 0);
    EXPECT_STATE(&cluster, RUNNING, "");
    cluster_forget(&cluster);
}

static void ask_table(const char *text)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__TableRequest body = CAIRN__TABLE_REQUEST__INIT;

    body.job = "shelf-1";
    body.text = (char *)text;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_TABLE;
    request.table = &body;
    ask(&cluster, "adder", &request);
}

static void held(const char *server, uint64_t step)
{
    Cairn__Held body = CAIRN__HELD__INIT;

    body.job = body.incarnation = 1;
    body.step = step;
    SAY(&cluster, server, HELD, held, &body);
}

static void extended(const char *server, uint32_t tables)
{
    Cairn__Extended body = CAIRN__EXTENDED__INIT;

    body.job = body.incarnation = 1;
    body.tables = tables;
    SAY(&cluster, server, EXTENDED, extended, &body);
}

/* Which servers clients are told to speak to; a bit each. */
static uint32_t located(void)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__LocateRequest body = CAIRN__LOCATE_REQUEST__INIT;
    Cairn__ClientReply *reply;
    uint32_t servers = 0;

    body.job = "shelf-1";
    body.live = true;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_LOCATE;
    request.locate = &body;
    ask(&cluster, "locator", &request);
    reply = take_reply(&cluster, "locator");
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_LOCATION);
    ck_assert_uint_eq(reply->location->incarnation, incarnation());
    for (size_t slot = 0; slot < reply->location->n_slot_shards; slot++)
        servers |= 1u << (reply->location->shards[reply->location->slot_shards[slot]]->server[1] - '0');
    message_free(reply);
    return servers;
}

/* The job stays where it is, and who asks is told of the servers that are left. */
START_TEST(a_server_dies_and_clients_find_the_others)
{
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;

    run_text(text_of(2, 2));
    ck_assert_uint_eq(located(), 1u << 1 | 1u << 2);
    leave(&cluster, "s1");
    map = map_to("s2", &command);
    ck_assert_ptr_nonnull(map);
    ck_assert(!names(map, "s1") && names(map, "s2"));
    message_free(command);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_uint_eq(located(), 1u << 2);
    committed(&cluster, "s2", 1, 4); /* it alone has it, and that is enough */
    ck_assert(GOT(&cluster, "s2", COMMITTED));
}
END_TEST

START_TEST(without_replicas_a_lost_server_is_missed)
{
    run_text(text_of(2, 1));
    leave(&cluster, "s1");
    EXPECT_STATE(&cluster, WAITING, "waits for 1 more server");
}
END_TEST

START_TEST(a_fresh_server_gets_copies)
{
    static const char *const servers[] = {"s2", "s3"};

    run_text(text_of(2, 2));
    leave(&cluster, "s1");
    register_server(&cluster, "s3");
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 2, 3);
    leave(&cluster, "s2");
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_uint_eq(located(), 1u << 3);
}
END_TEST

/* Who dies while tables are added is not waited for, whatever had been asked of it. */
START_TEST(tables_are_added_though_a_server_dies)
{
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;

    run_text(text_of(2, 2));
    ask_table(LATER);
    held("s2", 7);
    ck_assert(!GOT(&cluster, "s2", EXTEND));
    leave(&cluster, "s1");
    command = take_command(&cluster, "s2", CAIRN__NODE_COMMAND__BODY_EXTEND);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->extend->prepare->step, 7);
    for (size_t i = 0; i < command->extend->prepare->n_slot_shards; i++) {
        uint32_t shard = command->extend->prepare->slot_shards[i];

        ck_assert(shard == UINT32_MAX || strcmp(command->extend->prepare->shards[shard]->server, "s2") == 0);
    }
    message_free(command);
    extended("s2", 2);
    ck_assert(GOT(&cluster, "s2", GO_ON));
    map = map_to("s2", &command);
    ck_assert_ptr_nonnull(map);
    message_free(command);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

START_TEST(who_dies_is_not_waited_for_once_others_have_the_tables)
{
    run_text(text_of(2, 2));
    ask_table(LATER);
    held("s2", 7);
    held("s1", 8);
    extended("s2", 2);
    ck_assert(!GOT(&cluster, "s2", GO_ON));
    leave(&cluster, "s1");
    ck_assert(GOT(&cluster, "s2", GO_ON));
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* A slot that is being copied gets its tables first. */
START_TEST(tables_wait_for_copies)
{
    static const char *const servers[] = {"s2", "s3"};
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;

    run_text(text_of(2, 2));
    leave(&cluster, "s1");
    map = map_to("s2", &command);
    say_mapped("s2", map->number);
    message_free(command);
    register_server(&cluster, "s3");
    ask_table(LATER);
    ck_assert(!GOT(&cluster, "s2", HOLD)); /* nobody knows what s3 has */
    command = take_command(&cluster, "s3", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->prepare->text->n_added, 0);
    message_free(command);
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 2, 3);
    ck_assert(GOT(&cluster, "s2", HOLD));
    ck_assert(GOT(&cluster, "s3", HOLD));
    held("s2", 3);
    held("s3", 3);
    extended("s2", 2);
    extended("s3", 2);
    move_all(servers, 2, 4); /* the new table's slots have two replicas as well */
    leave(&cluster, "s2");
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* Clients have to find new heads once, not for each slot. */
START_TEST(a_drained_server_leaves_all_chains_at_once)
{
    static const char *const servers[] = {"s1", "s2", "s3"};
    Cairn__NodeCommand *command;
    uint32_t changes = 0, before;

    run_text(text_of(2, 1));
    commit_step(1, 2);
    register_server(&cluster, "s3");
    message_free(ask_drain("s1"));
    prepared(&cluster, "s3", 1, 0);
    before = located();
    ck_assert_uint_eq(before, 1u << 1 | 1u << 2);
    for (uint64_t step = 3; step < 8; step++) {
        uint32_t now;

        move_all(servers, 3, step);
        for (size_t i = 0; i < 3; i++)
            committed(&cluster, servers[i], 1, step);
        now = located();
        changes += now != before;
        before = now;
    }
    ck_assert_uint_eq(changes, 1);
    ck_assert_uint_eq(before & 1u << 1, 0);
    command = take_command(&cluster, "s1", CAIRN__NODE_COMMAND__BODY_DISMISS);
    ck_assert_ptr_nonnull(command);
    message_free(command);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* A sparse table is gone over as a whole for any of its slots. */
START_TEST(slots_of_sparse_tables_are_copied_together)
{
    static const char *const servers[] = {"s2", "s3"};
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;
    uint64_t first;

    run_text("name: shelf\ntables:\n  - sparse: {name: a, dimension: 4}\ntrain: {optimizer: sgd}\n"
             "cluster: {servers: 2, replicas: 2}\n");
    leave(&cluster, "s1");
    register_server(&cluster, "s3");
    map = map_to("s2", &command);
    first = map->number;
    say_mapped("s2", map->number);
    message_free(command);
    prepared(&cluster, "s3", 1, 0);
    map = map_to("s3", &command);
    say_mapped("s3", map->number);
    message_free(command);
    map = map_to("s2", &command);
    ck_assert_ptr_nonnull(map);
    ck_assert_uint_eq(map->n_copies, 64);
    say_mapped("s2", map->number);
    for (size_t i = 0; i < 63; i++)
        say_copied("s3", map->copies[i], 3);
    ck_assert(!GOT(&cluster, "s2", MAP)); /* they come into their chains together */
    say_copied("s3", map->copies[63], 3);
    message_free(command);
    move_all(servers, 2, 4);
    leave(&cluster, "s2");
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_uint_eq(located(), 1u << 3);
    map = map_to("s3", &command);
    ck_assert_uint_lt(map->number - first, 64); /* not one for each of 1024 slots */
    message_free(command);
}
END_TEST

START_TEST(a_coordinator_that_starts_again_knows_the_map)
{
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;

    run_text(text_of(2, 2));
    leave(&cluster, "s1");
    map = map_to("s2", &command);
    say_mapped("s2", map->number);
    message_free(command);
    cluster_restart(&cluster);
    register_engaged(&cluster, "s2", 2, 1);
    map = map_to("s2", &command);
    ck_assert_ptr_nonnull(map);
    say_mapped("s2", map->number);
    message_free(command);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_uint_eq(located(), 1u << 2);
}
END_TEST

/* Programs attach again once for each time. */
START_TEST(scaling_moves_tables_in_one_go)
{
    static const char *const servers[] = {"s1", "s2", "s3"};
    uint32_t changes = 0, before;

    run_text(_i == 0 ? text_of(2, 1)
                     : "name: shelf\ntables:\n  - sparse: {name: a, dimension: 4}\ntrain: {optimizer: sgd}\n"
                       "cluster: {servers: 2}\n");
    commit_step(1, 2);
    register_server(&cluster, "s3");
    before = located();
    ask_servers("shelf", 3);
    message_free(take_reply(&cluster, "scaler"));
    prepared(&cluster, "s3", 1, 0);
    for (uint64_t step = 3; step < 12; step++) {
        uint32_t now;

        if (step == 8) {
            ask_servers("shelf", 2);
            message_free(take_reply(&cluster, "scaler"));
        }
        move_all(servers, 3, step);
        for (size_t i = 0; i < 3; i++)
            committed(&cluster, servers[i], 1, step);
        now = located();
        changes += now != before;
        before = now;
        ck_assert_uint_eq(now, step < 4 || step > 8 ? 1u << 1 | 1u << 2 : 1u << 1 | 1u << 2 | 1u << 3);
    }
    ck_assert_uint_eq(changes, 2);
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* Copies to s3 are durable, and those whose places they are to take have not left them. */
static void scale_to_commit_amid_moves(void)
{
    static const char *const servers[] = {"s1", "s2", "s3"};

    run_text(text_of(2, 1));
    commit_step(1, 2);
    register_server(&cluster, "s3");
    ask_servers("shelf", 3);
    message_free(take_reply(&cluster, "scaler"));
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 3, 3);
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 4);
    cluster_forget(&cluster);
}

/* What is committed is then of chains that are too long, and nothing has moved in the new incarnation,
 * whether a server was lost or the job was stopped. */
START_TEST(who_was_to_leave_leaves_after_a_step_back)
{
    static const char *const servers[] = {"s1", "s2", "s3"};

    scale_to_commit_amid_moves();
    if (_i == 0) {
        leave(&cluster, "s2");
        register_server(&cluster, "s2");
    } else {
        ASK_STOP(&cluster, "stopper", "shelf");
        message_free(take_reply(&cluster, "stopper"));
        send_submit(&cluster, text_of(3, 1), true, 0);
        message_free(take_reply(&cluster, "submitter"));
    }
    cluster_forget(&cluster);
    for (size_t i = 0; i < 3; i++)
        prepared(&cluster, servers[i], 2, 0);
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert(GOT(&cluster, "s1", MAP));
    expect_chains(1);
    ck_assert_uint_eq(located(), 1u << 1 | 1u << 2 | 1u << 3);
}
END_TEST

/* Their state may be on more servers than the text says, where it was moved when they were stopped. */
START_TEST(a_resume_takes_another_number_of_servers)
{
    run_text(text_of(2, 1));
    commit_step(1, 2);
    ASK_STOP(&cluster, "stopper", "shelf");
    message_free(take_reply(&cluster, "stopper"));
    cluster_forget(&cluster);
    send_submit(&cluster, text_of(1, 1), true, 0);
    EXPECT_STATE(&cluster, PREPARING, "waits for servers s1, s2 to load state and data");
    ck_assert(GOT(&cluster, "s1", PREPARE) && GOT(&cluster, "s2", PREPARE));
}
END_TEST

/* What came at a step is in later generations only, and who had it in that step's is dead. */
START_TEST(a_commit_that_cannot_be_made_is_refused)
{
    static const char *const servers[] = {"s2", "s3"};
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__CommitRequest body = CAIRN__COMMIT_REQUEST__INIT;

    run_text(text_of(2, 2));
    leave(&cluster, "s1");
    register_server(&cluster, "s3");
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 2, 7);
    leave(&cluster, "s2");
    move_all(servers + 1, 1, 7);
    EXPECT_STATE(&cluster, RUNNING, "");
    body.job = "shelf-1";
    body.step = 7;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_COMMIT;
    request.commit = &body;
    ask(&cluster, "committer", &request);
    message_free(take_reply(&cluster, "committer")); /* a sign of life */
    committed(&cluster, "s3", 1, 7);
    expect_error(&cluster, "committer", "step 7 of shelf-1 cannot be committed any more");
    body.step = 8;
    ask(&cluster, "committer", &request);
    cluster_forget(&cluster);
    committed(&cluster, "s3", 1, 8);
    ck_assert(GOT(&cluster, "s3", COMMITTED));
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const tests[] = {a_server_dies_and_clients_find_the_others,
                                  without_replicas_a_lost_server_is_missed,
                                  a_fresh_server_gets_copies,
                                  tables_are_added_though_a_server_dies,
                                  who_dies_is_not_waited_for_once_others_have_the_tables,
                                  tables_wait_for_copies,
                                  a_drained_server_leaves_all_chains_at_once,
                                  a_commit_that_cannot_be_made_is_refused,
                                  slots_of_sparse_tables_are_copied_together,
                                  a_resume_takes_another_number_of_servers,
                                  a_coordinator_that_starts_again_knows_the_map};
    Suite *suite = suite_create("coordinator_table_chains");
    TCase *kinds = tcase_create("kinds");

    ADD(suite, "chains", tests);
    tcase_add_checked_fixture(kinds, set_up, tear_down);
    tcase_add_loop_test(kinds, scaling_moves_tables_in_one_go, 0, 2);
    tcase_add_loop_test(kinds, who_was_to_leave_leaves_after_a_step_back, 0, 2);
    suite_add_tcase(suite, kinds);
    return suite;
}

CHECK_MAIN(make_suite)
