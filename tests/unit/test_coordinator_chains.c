/* The coordinator's state machine: slots in chains. Servers die, come and are drained while a model trains.
 */
#include "check_main.h"
#include "played_chains.h"

#include "cluster/placement.h"

#define SLOTS       1024u
#define PATIENCE_MS 5000 /* how long servers are waited for that others can stand in for */

/* Norms of gradients are none of the coordinator's business. */
static const char *const optimizers[] = {"sgd", "lamb", "{adam: {global_clipnorm: 1}}"};
#define OPTIMIZERS (sizeof(optimizers) / sizeof(optimizers[0]))

static const char *optimizer = "sgd";

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

    submit_text_with_nodes(chained_model(2, 2, optimizer));
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

    run_text(chained_model(2, 2, optimizer), NULL);
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
    run_text(chained_model(2, 2, optimizer), NULL);
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

    optimizer = optimizers[_i];
    run_text(chained_model(2, 2, optimizer), NULL);
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

/* s1 has what is committed of a job that runs, and s3 has come to take it. */
static void begin_drain(void)
{
    run_text(chained_model(2, 1, optimizer), NULL);
    commit_step(1, 2);
    register_server(&cluster, "s3");
    message_free(ask_drain("s1"));
    prepared(&cluster, "s3", 1, 0);
}

/* The one server that the job's status tells is leaving; NULL: none. */
static const char *leaving(void)
{
    static char name[16];
    Cairn__ClientReply *reply = status_of(&cluster, "tiny");
    size_t count = reply->job->n_leaving;

    ck_assert_uint_le(count, 1);
    if (count > 0)
        snprintf(name, sizeof(name), "%s", reply->job->leaving[0]);
    message_free(reply);
    return count > 0 ? name : NULL;
}

/* A job that can be resumed needs it as much as one that runs. */
START_TEST(a_drained_server_stays_for_a_resume)
{
    begin_drain();
    failed(&cluster, "s3", 1, "the disk is full");
    EXPECT_STATE(&cluster, FAILED, "s3: the disk is full");
    ck_assert(!GOT(&cluster, "s1", DISMISS));
    pass(&cluster, 2000);
    ck_assert(!GOT(&cluster, "s1", DISMISS));
}
END_TEST

/* It was being copied to when that was asked. */
START_TEST(who_is_let_go_gets_no_copy)
{
    static const char *const servers[] = {"s1", "s3"};
    uint32_t copies = 0;
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;

    run_text(chained_model(2, 2, optimizer), NULL);
    leave(&cluster, "s2");
    register_server(&cluster, "s3");
    prepared(&cluster, "s3", 1, 0);
    for (int round = 0; copies == 0; round++) {
        ck_assert_int_lt(round, 10);
        for (size_t i = 0; i < 2; i++) {
            map = map_to(servers[i], &command);
            copies = map ? (uint32_t)map->n_copies : copies;
            if (map)
                say_mapped(servers[i], map->number);
            message_free(command);
        }
        pass(&cluster, 50);
    }
    message_free(ask_drain("s3"));
    ck_assert(GOT(&cluster, "s3", DISMISS));
    map = map_to("s1", &command);
    ck_assert_ptr_nonnull(map);
    ck_assert_uint_eq(map->n_copies, 0);
    message_free(command);
}
END_TEST

/* Workers connect to whoever is the head of any slot, though there be nothing in it. */
START_TEST(nothing_is_left_to_servers_that_are_gone)
{
    static const char *const servers[] = {"s1", "s2", "s3"};
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;

    run_text(chained_model(1, 1, optimizer), NULL);
    message_free(ask_drain("s1")); /* s2 was there, and idle */
    prepared(&cluster, "s2", 1, 0);
    move_all(servers, 2, 3);
    for (size_t i = 0; i < 2; i++)
        committed(&cluster, servers[i], 1, 4);
    move_all(servers, 2, 4);
    leave(&cluster, "s1");
    move_all(servers + 1, 1, 4);
    register_server(&cluster, "s3");
    message_free(ask_drain("s2"));
    pass(&cluster, 50);
    map = map_to("s2", &command);
    ck_assert(!map || !names(map, "s1")); /* s3 cannot have anything yet */
    if (map)
        say_mapped("s2", map->number);
    message_free(command);
    prepared(&cluster, "s3", 1, 0);
    move_all(servers + 1, 2, 5);
    for (size_t i = 1; i < 3; i++)
        committed(&cluster, servers[i], 1, 6);
    pass(&cluster, 50);
    map = map_to("s3", &command);
    ck_assert_ptr_nonnull(map);
    ck_assert(!names(map, "s1") && !names(map, "s2"));
    message_free(command);
}
END_TEST

/* A server that is drained goes when others have what is committed. */
START_TEST(a_drained_server_is_emptied_first)
{
    static const char *const servers[] = {"s1", "s2", "s3"};

    optimizer = optimizers[_i];
    begin_drain();
    ck_assert_ptr_null(leaving());
    move_all(servers, 3, 3);
    ck_assert(!GOT(&cluster, "s1", DISMISS));
    ck_assert_str_eq(leaving(), "s1");
    cluster_forget(&cluster);
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 4);
    move_all(servers, 3, 4);
    ck_assert(GOT(&cluster, "s1", DISMISS));
    ck_assert_ptr_null(leaving());
    leave(&cluster, "s1");
    EXPECT_STATE(&cluster, RUNNING, "");
    leave(&cluster, "s3");
    EXPECT_STATE(&cluster, WAITING, "waits for server s3, which holds its state");
}
END_TEST

/* Nothing is committed that the job could go back to. */
START_TEST(a_server_that_is_drained_before_a_commit_is_only_emptied)
{
    static const char *const servers[] = {"s1", "s2", "s3"};

    optimizer = optimizers[_i];
    run_text(chained_model(2, 1, optimizer), NULL);
    register_server(&cluster, "s3");
    message_free(ask_drain("s1"));
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 3, 3);
    ck_assert(GOT(&cluster, "s1", DISMISS));
    leave(&cluster, "s1");
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

/* Others have what it had, but what is committed is on too few of them. */
START_TEST(a_drained_server_stays_while_the_committed_step_lacks_replicas)
{
    static const char *const servers[] = {"s1", "s2", "s3"};

    optimizer = optimizers[_i];
    run_text(chained_model(2, 2, optimizer), NULL);
    commit_step(1, 2);
    register_server(&cluster, "s3");
    message_free(ask_drain("s1"));
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 3, 3);
    ck_assert(!GOT(&cluster, "s1", DISMISS));
    ck_assert_str_eq(leaving(), "s1");
    for (size_t i = 1; i < 3; i++)
        committed(&cluster, servers[i], 1, 4);
    ck_assert(GOT(&cluster, "s1", DISMISS));
    EXPECT_STATE(&cluster, RUNNING, "");
}
END_TEST

static uint32_t count_servers(void)
{
    Cairn__ClientReply *reply = status_of(&cluster, "tiny");
    uint32_t servers = reply->job->servers;

    message_free(reply);
    return servers;
}

static uint32_t target_of_servers(void)
{
    Cairn__ClientReply *reply = status_of(&cluster, "tiny");
    uint32_t servers = reply->job->servers_target;

    message_free(reply);
    return servers;
}

/* Of a model on 2 servers. */
START_TEST(scaling_takes_servers_on_and_lets_them_go)
{
    static const char *const servers[] = {"s1", "s2", "s3"};
    Cairn__ClientReply *reply;

    optimizer = optimizers[_i];
    run_text(chained_model(2, 1, optimizer), NULL);
    commit_step(1, 2);
    register_server(&cluster, "s3");
    ck_assert(!GOT(&cluster, "s3", PREPARE)); /* it is one too many */
    ask_servers("tiny", 3);
    reply = take_reply(&cluster, "scaler");
    ck_assert_uint_eq(reply->job->servers_target, 3);
    message_free(reply);
    ck_assert(GOT(&cluster, "s3", PREPARE));
    prepared(&cluster, "s3", 1, 0);
    ck_assert_uint_eq(count_servers(), 3);
    move_all(servers, 3, 3);
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 4);
    move_all(servers, 3, 4);
    cluster_forget(&cluster);
    ask_servers("tiny", 2);
    message_free(take_reply(&cluster, "scaler"));
    move_all(servers, 3, 5);
    ck_assert(!GOT(&cluster, "s3", RELEASE)); /* it alone has some of what is committed */
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 6);
    move_all(servers, 3, 6);
    for (size_t i = 0; i < 2; i++)
        committed(&cluster, servers[i], 1, 8);
    ck_assert(GOT(&cluster, "s3", RELEASE) && !GOT(&cluster, "s3", DISMISS));
    EXPECT_STATE(&cluster, RUNNING, "");
    ck_assert_uint_eq(count_servers(), 2);
}
END_TEST

/* How many slots have their head on a server, of those with something in them. */
static uint32_t count_heads(const struct job *job, const Cairn__MapCommand *map, const char *server)
{
    uint32_t count = 0;

    for (size_t i = 0; i < map->n_slot_shards; i += map->replicas)
        count += job_slot_has_state(job, (uint32_t)(i / map->replicas)) &&
                 strcmp(map->shards[map->slot_shards[i]]->server, server) == 0;
    return count;
}

/* It takes one round of copies, not one after each commit. */
START_TEST(slots_are_shared_out_once)
{
    static const char text[] =
        "name: tiny\nmodel:\n  input_shape: [32768]\n  layers:\n    - dense: {units: 1024}\n"
        "  loss: sparse_categorical_crossentropy\ndata:\n  train: {format: csv, path: train.csv}\n"
        "train: {steps: 10, batch_size: 8, microbatches: 4, optimizer: sgd}\n"
        "cluster: {servers: 1, workers: {min: 2, max: 3}}\n";
    static const struct job_overrides none;
    struct job *job;
    static const char *const servers[] = {"s1", "s2", "s3"};
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;
    uint32_t least = UINT32_MAX, most = 0;

    ck_assert_int_eq(job_load_text(text, strlen(text), "job.yaml", "/", &none, &job, NULL), CAIRN_OK);
    run_text(text, NULL);
    commit_step(1, 2);
    register_server(&cluster, "s3");
    ask_servers("tiny", 3);
    message_free(take_reply(&cluster, "scaler"));
    prepared(&cluster, "s2", 1, 0);
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 3, 3);
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 4);
    pass(&cluster, 50);
    map = map_to("s1", &command);
    ck_assert_ptr_nonnull(map);
    ck_assert_uint_eq(map->n_copies, 0);
    for (size_t i = 0; i < 3; i++) {
        uint32_t heads = count_heads(job, map, servers[i]);

        least = heads < least ? heads : least;
        most = heads > most ? heads : most;
        say_mapped(servers[i], map->number);
    }
    ck_assert_uint_gt(least, 20);
    ck_assert_msg(10 * (most - least) <= least, "from %u to %u slots", least, most);
    job_free(job);
    message_free(command);
    cluster_forget(&cluster);
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 6);
    pass(&cluster, 500);
    ck_assert(!GOT(&cluster, "s1", MAP));
}
END_TEST

START_TEST(scaling_servers_is_checked)
{
    run_text(chained_model(2, 2, optimizer), NULL);
    ask_servers("tiny", 1);
    expect_error(&cluster, "scaler", "1 server cannot hold the 2 replicas that tiny-1 has of its state");
    ask_servers("tiny", 4);
    message_free(take_reply(&cluster, "scaler"));
    cluster_restart(&cluster);
    ck_assert_uint_eq(target_of_servers(), 4);
}
END_TEST

/* A map is stored before it is told, and taken up as it was. */
START_TEST(a_coordinator_that_starts_again_knows_the_map)
{
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;
    uint64_t number;

    run_text(chained_model(2, 2, optimizer), NULL);
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

/* How many places of chains a server has by what one is told to prepare. */
static size_t count_places(const Cairn__PrepareCommand *prepare, const char *server)
{
    size_t count = 0;

    for (size_t i = 0; i < prepare->n_slot_shards; i++) {
        uint32_t shard = prepare->slot_shards[i];

        count += shard != UINT32_MAX && strcmp(prepare->shards[shard]->server, server) == 0;
    }
    return count;
}

/* What was committed is gone back to with whom has it, though others are away. */
START_TEST(a_resume_needs_one_of_each_chain)
{
    static const char *const others[] = {"s2"};
    Cairn__NodeCommand *command;

    run_text(chained_model(2, 2, optimizer), NULL);
    commit_step(1, 4);
    ASK_STOP(&cluster, "stopper", "tiny");
    reached(&cluster, "w1", 1, 6, TINY_HASH);
    reached(&cluster, "w2", 1, 6, TINY_HASH);
    commit_step(1, 6);
    EXPECT_STATE(&cluster, STOPPED, "stopped at step 6 as asked");
    leave(&cluster, "s1");
    cluster_forget(&cluster);
    send_submit(&cluster, chained_model(2, 2, optimizer), true, 0);
    EXPECT_STATE(&cluster, WAITING, "waits for server s1, which has copies of its state");
    let_pass(others, 1, PATIENCE_MS);
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

/* s1 came and went; when the job goes on it may come in another shape. */
/* A server is lost, another one has what it had, and the job is stopped and resumed. */
static void resume_without_s1(void)
{
    static const char *const servers[] = {"s2", "s3"};

    run_text(chained_model(2, 2, optimizer), NULL);
    leave(&cluster, "s1");
    register_server(&cluster, "s3");
    prepared(&cluster, "s3", 1, 0);
    move_all(servers, 2, 3);
    ASK_STOP(&cluster, "stopper", "tiny");
    reached(&cluster, "w1", 1, 6, TINY_HASH);
    reached(&cluster, "w2", 1, 6, TINY_HASH);
    committed(&cluster, "s2", 1, 6);
    committed(&cluster, "s3", 1, 6);
    EXPECT_STATE(&cluster, STOPPED, "stopped at step 6 as asked");
    cluster_forget(&cluster);
    send_submit(&cluster, chained_model(2, 2, optimizer), true, 0);
    message_free(take_reply(&cluster, "submitter"));
}

START_TEST(who_has_nothing_is_forgotten_by_a_resume)
{
    static const char *const servers[] = {"s2", "s3"};
    Cairn__NodeCommand *command;

    resume_without_s1();
    command = take_command(&cluster, "s2", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(command->prepare->n_shards, 4);
    ck_assert_uint_eq(count_places(command->prepare, "s2"), SLOTS);
    ck_assert_uint_gt(count_places(command->prepare, "s3"), 0);
    message_free(command);
    for (size_t i = 0; i < 2; i++)
        prepared(&cluster, servers[i], 2, 0);
    prepared(&cluster, "w1", 2, 40);
    prepared(&cluster, "w2", 2, 40);
    EXPECT_STATE(&cluster, RUNNING, "");
    leave(&cluster, "s2");
    register_from(&cluster, "s1", "s1", 2, 3);
    ck_assert(GOT(&cluster, "s1", PREPARE));
}
END_TEST

/* It has files all the same. */
START_TEST(who_was_forgotten_is_told_of_a_deletion)
{
    resume_without_s1();
    ASK_STOP(&cluster, "stopper", "tiny");
    ASK_DELETE(&cluster, "deleter", "tiny");
    cluster_forget(&cluster);
    register_server(&cluster, "s1");
    ck_assert(GOT(&cluster, "s1", REMOVE));
}
END_TEST

/* All die, and their machines come back: those that are there are enough, but the last one is only a little
 * late. */
START_TEST(who_is_late_need_not_get_copies)
{
    static const char *const servers[] = {"s1", "s2", "s3"};
    bool comes = _i == 1;
    Cairn__NodeCommand *command;

    run_text(chained_model(3, 2, optimizer), "s3");
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 4);
    for (size_t i = 0; i < 3; i++)
        leave(&cluster, servers[i]);
    register_server(&cluster, "s1");
    cluster_forget(&cluster);
    register_server(&cluster, "s2");
    EXPECT_STATE(&cluster, WAITING, "waits for server s3, which has copies of its state");
    let_pass(servers, 2, PATIENCE_MS - 250);
    ck_assert(!GOT(&cluster, "s1", PREPARE));
    if (comes)
        register_server(&cluster, "s3");
    else
        let_pass(servers, 2, 250);
    EXPECT_STATE(&cluster, PREPARING,
                 comes ? "waits for servers s1, s2, s3 and workers w1, w2 to load state and data"
                       : "waits for servers s1, s2 and workers w1, w2 to load state and data");
    command = take_command(&cluster, "s1", CAIRN__NODE_COMMAND__BODY_PREPARE);
    ck_assert_ptr_nonnull(command);
    ck_assert_uint_eq(count_places(command->prepare, "s3") > 0, comes);
    message_free(command);
    ck_assert_int_gt(state_deadline_ms(cluster.state), cluster.now.monotonic_ms);
}
END_TEST

/* Makes copies to s3, which has come, until one of a slot is whole, which is then committed. */
static void commit_amid_moves(const char *const servers[])
{
    bool is_copied = false;

    for (int round = 0; !is_copied; round++) {
        ck_assert_int_lt(round, 10);
        for (size_t i = 0; i < 3; i++) {
            Cairn__NodeCommand *command;
            const Cairn__MapCommand *map = map_to(servers[i], &command);

            if (map)
                say_mapped(servers[i], map->number);
            is_copied = is_copied || (i == 2 && map && map->n_copies > 0);
            if (is_copied)
                say_copied("s3", map->copies[0], 3);
            message_free(command);
        }
        pass(&cluster, 50);
    }
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 4);
}

/* Workers come last, so that all servers are there when the job prepares. */
static void all_restart(const char *const servers[])
{
    leave(&cluster, "w1");
    leave(&cluster, "w2");
    for (size_t i = 0; i < 3; i++)
        leave(&cluster, servers[i]);
    for (size_t i = 0; i < 3; i++)
        register_server(&cluster, servers[i]);
    register_worker(&cluster, "w1");
    register_worker(&cluster, "w2");
    cluster_forget(&cluster);
}

static void go_on(const char *const servers[])
{
    for (size_t i = 0; i < 3; i++)
        prepared(&cluster, servers[i], 2, 0);
    prepared(&cluster, "w1", 2, 40);
    prepared(&cluster, "w2", 2, 40);
    EXPECT_STATE(&cluster, RUNNING, "");
}

/* All moves are made, and what they wait for is committed. */
static void settle(const char *const servers[], uint64_t step)
{
    move_all(servers, 3, step);
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 2, step + 1);
    move_all(servers, 3, step + 1);
}

/* What is committed is then of a chain that is too long. */
START_TEST(who_was_to_leave_leaves_after_a_step_back)
{
    static const char *const servers[] = {"s1", "s2", "s3"};

    run_text(chained_model(2, _i == 0 ? 2 : 1, "sgd"), NULL);
    commit_step(1, 2);
    register_server(&cluster, "s3");
    ask_servers("tiny", 3);
    message_free(take_reply(&cluster, "scaler"));
    prepared(&cluster, "s3", 1, 0);
    commit_amid_moves(servers);
    all_restart(servers);
    go_on(servers);
    settle(servers, 5);
    expect_chains(_i == 0 ? 2 : 1);
}
END_TEST

/* The number of replicas may be another one in a resume. */
START_TEST(replicas_that_are_too_many_leave)
{
    static const char *const servers[] = {"s1", "s2", "s3"};

    run_text(chained_model(3, 3, "sgd"), "s3");
    ASK_STOP(&cluster, "stopper", "tiny");
    reached(&cluster, "w1", 1, 6, TINY_HASH);
    reached(&cluster, "w2", 1, 6, TINY_HASH);
    for (size_t i = 0; i < 3; i++)
        committed(&cluster, servers[i], 1, 6);
    EXPECT_STATE(&cluster, STOPPED, "stopped at step 6 as asked");
    send_submit(&cluster, chained_model(3, (uint32_t)_i, "sgd"), true, 0);
    message_free(take_reply(&cluster, "submitter"));
    go_on(servers);
    settle(servers, 7);
    expect_chains((uint32_t)_i);
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const tests[] = {chains_are_on_different_servers,
                                  a_server_dies_and_others_have_what_it_had,
                                  the_last_of_a_chain_is_missed,
                                  a_drained_server_stays_for_a_resume,
                                  scaling_servers_is_checked,
                                  slots_are_shared_out_once,
                                  nothing_is_left_to_servers_that_are_gone,
                                  who_is_let_go_gets_no_copy,
                                  a_coordinator_that_starts_again_knows_the_map,
                                  a_resume_needs_one_of_each_chain,
                                  who_has_nothing_is_forgotten_by_a_resume,
                                  who_was_forgotten_is_told_of_a_deletion};
    Suite *suite = suite_create("coordinator_chains");
    TCase *moves = tcase_create("moves");

    ADD(suite, "chains", tests);
    tcase_add_checked_fixture(moves, set_up, tear_down);
    tcase_add_loop_test(moves, a_fresh_server_gets_copies, 0, OPTIMIZERS);
    tcase_add_loop_test(moves, a_drained_server_is_emptied_first, 0, OPTIMIZERS);
    tcase_add_loop_test(moves, a_server_that_is_drained_before_a_commit_is_only_emptied, 0, OPTIMIZERS);
    tcase_add_loop_test(moves, a_drained_server_stays_while_the_committed_step_lacks_replicas, 0, OPTIMIZERS);
    tcase_add_loop_test(moves, scaling_takes_servers_on_and_lets_them_go, 0, OPTIMIZERS);
    tcase_add_loop_test(moves, who_is_late_need_not_get_copies, 0, 2);
    tcase_add_loop_test(moves, who_was_to_leave_leaves_after_a_step_back, 0, 2);
    tcase_add_loop_test(moves, replicas_that_are_too_many_leave, 1, 4);
    suite_add_tcase(suite, moves);
    return suite;
}

CHECK_MAIN(make_suite)
