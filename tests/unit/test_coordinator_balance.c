/* The coordinator's state machine: how evenly slots are shared out once servers have come, gone or died. What
 * a server holds is memory; what it is the head of is work: of all in a chain it adds up the pushes, and
 * answers. */
#include "check_main.h"
#include "played_chains.h"

#include "cluster/placement.h"

#include <math.h>

#define SERVERS 5
#define WITHIN  0.10 /* of the mean, that a server may be off */
#define ROUNDS  12
#define ARRAYS  2 /* versions of values */

static const char *const servers[SERVERS] = {"s1", "s2", "s3", "s4", "s5"};

static struct job *job;
static uint64_t step;
static bool lives[SERVERS];
static uint32_t *places; /* the newest map that was told: [slots, width] of servers; SERVERS: nobody */
static uint32_t width;

/* ---- a cluster that does as it is told */

static void job_begin(const char *text, uint32_t count)
{
    static const struct job_overrides none;

    ck_assert_int_eq(job_load_text(text, strlen(text), "job.yaml", "/", &none, &job, NULL), CAIRN_OK);
    for (uint32_t i = 0; i < count; i++) {
        register_server(&cluster, servers[i]);
        lives[i] = true;
    }
    if (!job_has_tables(job)) {
        register_worker(&cluster, "w1");
        register_worker(&cluster, "w2");
    }
    send_submit(&cluster, text, false, 0);
    message_free(take_reply(&cluster, "submitter"));
    for (uint32_t i = 0; i < count; i++)
        prepared(&cluster, servers[i], 1, 0);
    if (!job_has_tables(job)) {
        prepared(&cluster, "w1", 1, 40);
        prepared(&cluster, "w2", 1, 40);
    }
    EXPECT_STATE(&cluster, RUNNING, "");
    cluster_forget(&cluster);
}

static uint32_t server_named(const char *name)
{
    for (uint32_t i = 0; i < SERVERS; i++) {
        if (strcmp(servers[i], name) == 0)
            return i;
    }
    ck_abort_msg("who is %s", name);
}

static void map_keep(const Cairn__MapCommand *map)
{
    width = map->replicas;
    free(places);
    places = malloc(map->n_slot_shards * sizeof(places[0]));
    ck_assert_ptr_nonnull(places);
    for (size_t i = 0; i < map->n_slot_shards; i++)
        places[i] = map->slot_shards[i] < map->n_shards
                        ? server_named(map->shards[map->slot_shards[i]]->server)
                        : SERVERS;
}

static void prepare_if_told(uint32_t server)
{
    Cairn__NodeCommand *command = take_command(&cluster, servers[server], CAIRN__NODE_COMMAND__BODY_PREPARE);

    if (command)
        prepared(&cluster, servers[server], 1, 0);
    message_free(command);
}

/* What a server was told, it does. Returns how many copies were made; UINT32_MAX: it was told nothing. */
static uint32_t obey(uint32_t server)
{
    Cairn__NodeCommand *command;
    Cairn__MapCommand *map;
    uint32_t copies = 0;

    prepare_if_told(server);
    map = map_to(servers[server], &command);
    if (!map)
        return UINT32_MAX;
    map_keep(map);
    say_mapped(servers[server], map->number);
    for (size_t i = 0; i < map->n_copies; i++) {
        if (server_named(map->shards[map->copies[i]->shard]->server) == server) {
            say_copied(servers[server], map->copies[i], step + 1);
            copies++;
        }
    }
    message_free(command);
    return copies;
}

/* Until nobody is told anything. */
static uint32_t obey_all(void)
{
    uint32_t copies = 0;

    for (bool busy = true; busy;) {
        busy = false;
        for (uint32_t i = 0; i < SERVERS; i++) {
            uint32_t made = lives[i] ? obey(i) : UINT32_MAX;

            busy = busy || made != UINT32_MAX;
            copies += made != UINT32_MAX ? made : 0;
        }
        pass(&cluster, 50);
        for (uint32_t i = 0; i < SERVERS; i++) {
            if (lives[i])
                heartbeat(&cluster, servers[i]);
        }
        if (!job_has_tables(job)) {
            heartbeat(&cluster, "w1");
            heartbeat(&cluster, "w2");
        }
        while (GOT(&cluster, "w1", EPOCH) || GOT(&cluster, "w2", EPOCH))
            ;
    }
    cluster_forget(&cluster);
    return copies;
}

/* Commits, until nothing moves any more. Returns how many slots were copied. */
static uint32_t settle(void)
{
    uint32_t copies = obey_all(), quiet = 0;

    for (uint32_t round = 0; quiet < 3; round++) {
        uint32_t made;

        ck_assert_msg(round < ROUNDS, "slots move for ever");
        step += 2;
        for (uint32_t i = 0; i < SERVERS; i++) {
            if (lives[i])
                committed(&cluster, servers[i], 1, step);
        }
        made = obey_all();
        copies += made;
        quiet = made > 0 ? 0 : quiet + 1;
    }
    EXPECT_STATE(&cluster, RUNNING, "");
    return copies;
}

static void come(uint32_t server)
{
    register_server(&cluster, servers[server]);
    lives[server] = true;
}

/* Servers up to that number are there, and wanted. */
static void scale_to(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!lives[i])
            come(i);
    }
    ask_servers(job->name, count);
    message_free(take_reply(&cluster, "scaler"));
}

/* ---- what they have */

static uint64_t arrays_of(const struct optimizer_spec *optimizer)
{
    return ARRAYS + optimizer_spec_slot_count(optimizer);
}

/* Bytes of the chunks in a slot. */
static double chunk_bytes(uint32_t slot)
{
    uint32_t slots = job_slot_count(job);
    uint64_t floats = 0, begin, end;
    uint32_t chunk;

    if (job->graph) {
        chunk = placement_chunk(TABLE_WEIGHTS, slot, slots);
        if (chunk < job->graph->chunk_count) {
            graph_chunk(job->graph, chunk, &begin, &end);
            floats += (end - begin) * arrays_of(&job->optimizer);
        }
    }
    for (uint32_t i = 0; i < job->table_count; i++) {
        chunk = placement_chunk(TABLE_FIRST_USER + i, slot, slots);
        if (job->tables[i].kind == TABLE_KIND_DENSE && chunk < table_chunk_count(&job->tables[i])) {
            table_chunk(&job->tables[i], chunk, &begin, &end);
            floats += (end - begin) * arrays_of(&job->tables[i].optimizer);
        }
    }
    return (double)(floats * sizeof(float));
}

static double one(uint32_t slot)
{
    (void)slot;
    return 1;
}

static void check_even(double (*weight)(uint32_t slot), bool heads, const char *what)
{
    double has[SERVERS] = {0}, sum = 0;
    uint32_t count = 0;

    ck_assert_ptr_nonnull(places);
    for (uint32_t slot = 0; slot < job_slot_count(job); slot++) {
        for (uint32_t place = 0; place < (heads ? 1 : width); place++) {
            uint32_t server = places[(size_t)slot * width + place];

            if (server < SERVERS)
                has[server] += weight(slot);
        }
    }
    for (uint32_t i = 0; i < SERVERS; i++) {
        sum += has[i];
        count += lives[i];
    }
    for (uint32_t i = 0; i < SERVERS; i++)
        ck_assert_msg(!lives[i] || fabs(has[i] - sum / count) <= WITHIN * sum / count,
                      "%s: %s has %.0f of %.0f, of %u servers", what, servers[i], has[i], sum, count);
}

static bool has_rows(void)
{
    for (uint32_t i = 0; i < job->table_count; i++) {
        if (job->tables[i].kind == TABLE_KIND_SPARSE)
            return true;
    }
    return false;
}

static void check_balance(void)
{
    check_even(chunk_bytes, false, "bytes of chunks");
    check_even(chunk_bytes, true, "bytes of heads' chunks");
    if (has_rows()) {
        check_even(one, false, "slots with rows");
        check_even(one, true, "heads' slots with rows");
    }
}

static void end(void)
{
    job_free(job);
    free(places);
    places = NULL;
}

/* ---- jobs */

#define MODEL                                                                                                \
    "name: tiny\nmodel:\n  input_shape: [32768]\n  layers:\n    - dense: {units: 640}\n"                     \
    "  loss: sparse_categorical_crossentropy\ndata:\n  train: {format: csv, path: train.csv}\n"              \
    "train: {steps: 1000, batch_size: 8, microbatches: 4, optimizer: adam}\n"                                \
    "cluster: {servers: %u, replicas: %u, workers: {min: 2, max: 3}}\n"

#define TABLES(list)                                                                                         \
    "name: tiny\ntables:\n" list "train: {optimizer: sgd}\ncluster: {servers: %u, replicas: %u}\n"

static const char *const texts[] = {
    MODEL,
    TABLES("  - sparse: {name: rows, dimension: 8}\n"),
    TABLES("  - dense: {name: a, size: 22000000}\n"),
    /* chunks lie in the first slots, rows in all */
    TABLES("  - dense: {name: a, size: 22000000}\n  - sparse: {name: rows, dimension: 8}\n"),
    /* chunks of several sizes, and slots with several of them */
    TABLES("  - dense: {name: a, size: 22000000, optimizer: adam}\n  - dense: {name: b, size: 7000000}\n"
           "  - sparse: {name: rows, dimension: 8}\n  - dense: {name: c, size: 1000000}\n"),
};
#define TEXTS (int)(sizeof(texts) / sizeof(texts[0]))

static void begin(int text, uint32_t count, uint32_t replicas)
{
    static char filled[1024];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(filled, sizeof(filled), texts[text], count, replicas);
#pragma GCC diagnostic pop
    job_begin(filled, count);
}

/* ---- what happens */

static const struct scaling {
    uint32_t replicas, first, counts[3]; /* servers; 0: no more */
} scalings[] = {
    {1, 1, {3, 2}}, {1, 2, {5, 3, 4}}, {2, 2, {3}}, {2, 2, {4, 3}}, {2, 3, {5, 4, 3}}, {3, 3, {5, 4}},
};
#define SCALINGS (int)(sizeof(scalings) / sizeof(scalings[0]))

START_TEST(scaled_servers_have_as_much_as_each_other)
{
    const struct scaling *scaling = &scalings[_i % SCALINGS];

    begin(_i / SCALINGS, scaling->first, scaling->replicas);
    settle();
    for (uint32_t i = 0; i < 3 && scaling->counts[i] > 0; i++) {
        scale_to(scaling->counts[i]);
        settle();
        for (uint32_t server = scaling->counts[i]; server < SERVERS; server++) {
            if (lives[server])
                leave(&cluster, servers[server]); /* it was let go */
            lives[server] = false;
        }
        check_balance();
    }
    EXPECT_STATE(&cluster, RUNNING, "");
    end();
}
END_TEST

/* One that dies, and another one in its place: those that were left are the heads of all that it was the head
 * of. */
START_TEST(a_server_that_replaces_another_has_as_much)
{
    begin(_i, 3, 2);
    settle();
    scale_to(3);
    leave(&cluster, servers[1]);
    lives[1] = false;
    settle();
    come(3);
    settle();
    check_balance();
    end();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("coordinator_balance");
    TCase *tests = tcase_create("balance");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, scaled_servers_have_as_much_as_each_other, 0, RANDOM_CASES(TEXTS * SCALINGS));
    tcase_add_loop_test(tests, a_server_that_replaces_another_has_as_much, 0, TEXTS);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
