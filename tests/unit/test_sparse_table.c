/* Sparse tables against a plain one: random steps pushed in any way, the life of rows, two versions. */
#include "check_main.h"
#include "cluster/placement.h"
#include "plain_rows.h"
#include "sparse_table.h"

#include <stdio.h>

#define D       PLAIN_DIMENSION
#define NUMBER  TABLE_FIRST_USER
#define SAMPLES 3 /* of a microbatch */

struct rig {
    struct job *job;
    struct sparse_table *table;
    struct plain_table *plain;
    struct chance chance;
};

static struct job *job_of(uint32_t microbatches, const char *arguments)
{
    char text[512];
    struct error error = {.message = ""};
    struct job *job = NULL;
    int length = snprintf(text, sizeof(text),
                          "name: rows\nseed: 5\ntables:\n"
                          "  - sparse: {name: t, dimension: %d, %s}\n"
                          "train: {optimizer: sgd, microbatches: %u}\n",
                          D, arguments, microbatches);

    ck_assert_msg(job_load_text(text, (size_t)length, "rows.yaml", "/", NULL, &job, &error) == CAIRN_OK, "%s",
                  error.message);
    return job;
}

static struct rows *rows_of(uint32_t floats)
{
    const struct rows_options options = {.floats = floats};
    struct rows *rows = NULL;

    ck_assert_int_eq(rows_new(&options, &rows, NULL), CAIRN_OK);
    return rows;
}

static void rig_open(struct rig *rig, uint32_t microbatches, const char *arguments, uint64_t seed)
{
    struct error error = {.message = ""};
    const struct table_spec *spec;

    rig->job = job_of(microbatches, arguments);
    spec = job_table(rig->job, NUMBER);
    ck_assert_msg(sparse_table_new(rig->job, NUMBER, rows_of(sparse_row_floats(spec)),
                                   spec->admit_after > 1 ? rows_of(SPARSE_CANDIDATE_FLOATS) : NULL, 0,
                                   &rig->table, &error) == CAIRN_OK,
                  "%s", error.message);
    rig->plain = plain_table_new(rig->job, NUMBER, seed);
    rig->chance = (struct chance){seed << 32};
}

static void rig_close(struct rig *rig)
{
    sparse_table_free(rig->table);
    free(rig->plain);
    job_free(rig->job);
}

static bool push_node(struct rig *rig, struct tree_node node)
{
    struct buffer *keys, *rows;
    bool is_whole;

    plain_node_push(rig->plain->seed, rig->table->version, node, NULL, NULL, &keys, &rows);
    MUST(sparse_push(rig->table, node, keys, rows, (uint64_t)(node.end - node.begin) * SAMPLES, &is_whole) ==
         CAIRN_OK);
    buffer_unref(keys);
    return is_whole;
}

/* Pushes random covers of random spans until the sum is whole, then some more, which change nothing. */
static void push_step(struct rig *rig)
{
    uint32_t microbatches = rig->job->microbatches;
    bool is_whole = false;

    while (!is_whole) {
        struct tree_node nodes[TREE_COVER_MAX];
        uint32_t begin = draw(&rig->chance, microbatches);
        uint32_t end = begin + 1 + draw(&rig->chance, microbatches - begin);
        uint32_t count = tree_cover(microbatches, begin, end, nodes);

        for (uint32_t i = 0; i < count && !is_whole; i++)
            is_whole = push_node(rig, nodes[(i + draw(&rig->chance, 2)) % count]);
    }
    MUST(!push_node(rig, (struct tree_node){0, microbatches}));
    MUST(!push_node(rig, (struct tree_node){0, 1}));
    MUST(rig->table->sum_samples == microbatches * SAMPLES);
}

/* All keys of a version, some twice, in blocks of any length. */
static void check_version(struct rig *rig, uint64_t version)
{
    enum { ASKED = PLAIN_KEYS + 20 };
    uint64_t keys[ASKED];
    uint32_t indices[ASKED];
    float weights[ASKED][D];

    for (uint32_t i = 0; i < ASKED; i++) {
        indices[i] = i < PLAIN_KEYS ? i : draw(&rig->chance, PLAIN_KEYS);
        keys[i] = plain_key(indices[i]);
    }
    MUST(sparse_read(rig->table, version, keys, ASKED, weights[0], NULL) == CAIRN_OK);
    for (uint32_t i = 0; i < ASKED; i++)
        MUST(memcmp(weights[i], plain_weights(rig->plain, version, indices[i]), sizeof(weights[i])) == 0);
}

static void step(struct rig *rig)
{
    struct error error = {.message = ""};

    push_step(rig);
    check_version(rig, rig->table->version); /* a whole sum is not an update */
    ck_assert_msg(sparse_update(rig->table, &error) == CAIRN_OK, "%s", error.message);
    plain_step(rig->plain, (uint64_t)rig->job->microbatches * SAMPLES);
    ck_assert_uint_eq(rig->table->version, rig->plain->version);
}

static uint64_t row_count(const struct rig *rig)
{
    struct rows_facts facts;

    rows_facts(rig->table->rows, &facts);
    return facts.rows;
}

static const struct {
    uint32_t microbatches;
    const char *arguments;
} tables[] = {
    {1, "optimizer: {sgd: {learning_rate: 0.1}}"},
    {5, "optimizer: {sgd: {learning_rate: 0.1}}"},
    {4, "optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}"},
    {3, "optimizer: {adam: {learning_rate: 0.01}}, initializer: zeros"},
    {1, "optimizer: adam, expire_after: 1"},
    {2, "expire_after: 4, optimizer: {sgd: {learning_rate: 0.1, momentum: 0.5, nesterov: true}}"},
    {2, "admit_after: 3, optimizer: adam"},
    {1, "admit_after: 2, expire_after: 3, optimizer: adam"},
    {3, "optimizer: {adagrad: {learning_rate: 0.1}}, expire_after: 5"},
    {2, "optimizer: {ftrl: {learning_rate: 0.1, l1_regularization_strength: 0.01}}"},
    {7, "admit_after: 4, expire_after: 9, initializer: {random_normal: {stddev: 0.1}}"},
};
#define TABLES ((int)(sizeof(tables) / sizeof(tables[0])))

START_TEST(random_steps_give_the_plain_tables_bits)
{
    struct rig rig;

    for (uint64_t seed = 0; seed < 3; seed++) {
        rig_open(&rig, tables[_i].microbatches, tables[_i].arguments, seed * 100 + (uint64_t)_i);
        check_version(&rig, 0);
        ck_assert(!sparse_keeps(rig.table, 1) && !sparse_keeps(rig.table, UINT64_MAX));
        for (int i = 0; i < 40; i++) {
            step(&rig);
            ck_assert(sparse_keeps(rig.table, rig.table->version));
            ck_assert(sparse_keeps(rig.table, rig.table->version - 1));
            ck_assert(!sparse_keeps(rig.table, rig.table->version - 2));
            check_version(&rig, rig.table->version - 1);
            check_version(&rig, rig.table->version);
            check_version(&rig, rig.table->version - 1);
        }
        rig_close(&rig);
    }
}
END_TEST

START_TEST(a_pull_makes_no_row)
{
    struct rig rig;
    uint64_t before;

    rig_open(&rig, 1, "optimizer: adam", 1);
    check_version(&rig, 0);
    ck_assert_uint_eq(row_count(&rig), 0);
    step(&rig);
    before = row_count(&rig);
    ck_assert_uint_gt(before, 0);
    ck_assert_uint_lt(before, PLAIN_KEYS);
    check_version(&rig, 0);
    check_version(&rig, 1);
    ck_assert_uint_eq(row_count(&rig), before);
    rig_close(&rig);
}
END_TEST

/* Pushes one row of ones for one key, and updates. */
static void push_key(struct sparse_table *table, uint64_t key)
{
    struct buffer *keys = buffer_new(sizeof(key)), *rows = buffer_new(D * sizeof(float));
    bool is_whole;

    ck_assert(keys && rows);
    memcpy(keys->data, &key, sizeof(key));
    for (int i = 0; i < D; i++)
        ((float *)rows->data)[i] = 1;
    ck_assert_int_eq(sparse_push(table, (struct tree_node){0, 1}, keys, rows, 1, &is_whole), CAIRN_OK);
    ck_assert(is_whole);
    ck_assert_int_eq(sparse_update(table, NULL), CAIRN_OK);
    buffer_unref(keys);
}

static float first_weight(struct sparse_table *table, uint64_t key)
{
    float weights[D];

    ck_assert_int_eq(sparse_read(table, table->version, &key, 1, weights, NULL), CAIRN_OK);
    return weights[0];
}

START_TEST(the_nth_sight_earns_a_row_and_is_its_first_update)
{
    struct rig rig;

    rig_open(&rig, 1,
             "admit_after: 3, expire_after: 2, initializer: zeros, optimizer: {sgd: {learning_rate: 1}}", 1);
    push_key(rig.table, 7);
    push_key(rig.table, 7);
    ck_assert(first_weight(rig.table, 7) == 0);
    ck_assert_uint_eq(row_count(&rig), 0);
    push_key(rig.table, 7); /* step 2 */
    ck_assert(first_weight(rig.table, 7) == -1);
    push_key(rig.table, 8);
    ck_assert(first_weight(rig.table, 7) == -1); /* version 4 is within two steps of step 2 */
    push_key(rig.table, 8);
    ck_assert(first_weight(rig.table, 7) == 0); /* version 5 is not */
    for (int i = 0; i < 2; i++) {
        push_key(rig.table, 7); /* it has to earn its row anew */
        ck_assert(first_weight(rig.table, 7) == 0);
    }
    push_key(rig.table, 7);
    ck_assert(first_weight(rig.table, 7) == -1);
    for (int i = 0; i < 4; i++) {
        push_key(rig.table, 9); /* 9 is at 2 sights, then forgotten, as candidates are too */
        if (i == 1)
            for (int j = 0; j < 3; j++)
                push_key(rig.table, 10);
    }
    ck_assert(first_weight(rig.table, 9) == 0);
    push_key(rig.table, 9);
    ck_assert(first_weight(rig.table, 9) == -1);
    rig_close(&rig);
}
END_TEST

START_TEST(a_row_used_in_time_does_not_expire)
{
    struct rig rig;

    rig_open(&rig, 1, "expire_after: 2, initializer: zeros, optimizer: {sgd: {learning_rate: 1}}", 1);
    push_key(rig.table, 1); /* step 0 */
    push_key(rig.table, 2);
    push_key(rig.table, 1); /* step 2: in time */
    ck_assert(first_weight(rig.table, 1) == -2);
    for (int i = 0; i < 2; i++)
        push_key(rig.table, 2);
    push_key(rig.table, 1); /* step 5: too late */
    ck_assert(first_weight(rig.table, 1) == -1);
    rig_close(&rig);
}
END_TEST

/* Each step brings keys that never come again. */
START_TEST(expired_rows_leave_the_memory)
{
    enum { STEPS = 3000, NEW = 20, LIVING = 8 * NEW };
    struct rig rig;
    struct rows_facts facts, candidates = {0};

    rig_open(&rig, 1, _i ? "expire_after: 7, admit_after: 2" : "expire_after: 7", 1);
    for (uint64_t step = 0; step < STEPS; step++) {
        struct buffer *keys = buffer_new(NEW * sizeof(uint64_t)), *rows = buffer_new(NEW * D * sizeof(float));
        bool is_whole;

        ck_assert(keys && rows);
        memset(rows->data, 0, NEW * D * sizeof(float));
        for (uint64_t i = 0; i < NEW; i++)
            ((uint64_t *)keys->data)[i] = plain_mix(step * NEW + i);
        MUST(sparse_push(rig.table, (struct tree_node){0, 1}, keys, rows, 1, &is_whole) == CAIRN_OK);
        MUST(sparse_update(rig.table, NULL) == CAIRN_OK);
        buffer_unref(keys);
        rows_facts(rig.table->rows, &facts);
        if (rig.table->candidates)
            rows_facts(rig.table->candidates, &candidates);
        MUST(facts.rows + candidates.rows <= 2 * LIVING + 100);
        MUST(step < 8 || facts.rows + candidates.rows >= LIVING);
    }
    ck_assert_int_eq(facts.rows > 0, _i == 0);
    rig_close(&rig);
}
END_TEST

START_TEST(sights_are_counted_beyond_what_a_float_can)
{
    const uint32_t sights = 1 << 24;
    const uint64_t key = 7;
    struct rig rig;
    struct row *row;
    bool is_new;

    rig_open(&rig, 1, "admit_after: 16777218, initializer: zeros, optimizer: {sgd: {learning_rate: 1}}", 1);
    ck_assert_int_eq(rows_make(rig.table->candidates, &key, 1, &row, &is_new, NULL), CAIRN_OK);
    memcpy(row->floats, &sights, sizeof(sights));
    push_key(rig.table, key);
    ck_assert(first_weight(rig.table, key) == 0);
    push_key(rig.table, key);
    ck_assert(first_weight(rig.table, key) == -1);
    rig_close(&rig);
}
END_TEST

START_TEST(rows_can_tell_no_steps_beyond_32_bits)
{
    struct error error = {.message = ""};
    struct tree_node whole = {0, 1};
    struct rig rig;
    bool is_whole;

    rig_open(&rig, 1, "optimizer: sgd", 1);
    rig.table->version = UINT32_MAX;
    ck_assert_int_eq(sparse_push(rig.table, whole, NULL, NULL, 0, &is_whole), CAIRN_OK);
    ck_assert_int_eq(sparse_update(rig.table, &error), CAIRN_FULL);
    ck_assert_ptr_nonnull(strstr(error.message, "table t: step 4294967295"));
    ck_assert(
        !sparse_keeps(rig.table, UINT32_MAX)); /* an update that failed in the middle leaves no version */
    rig_close(&rig);
}
END_TEST

/* ---- with chains: sums of some slots come from other shards */

enum { SLOTS = 4 };

static void use_chain_as_head(struct rig *rig)
{
    const struct slot_place head = {
        .is_member = true, .is_head = true, .before = SLOT_NOBODY, .after = SLOT_NOBODY};

    rig->table->chain = sparse_chain_new(SLOTS, D, 0);
    ck_assert_ptr_nonnull(rig->table->chain);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        sparse_chain_begin(rig->table->chain, slot, &head);
}

static bool is_in_slot(const void *context, uint64_t key)
{
    return placement_key_slot(key, SLOTS) == *(const uint64_t *)context;
}

/* The whole sum of a slot comes from who was its head before. */
static void take_sum(struct rig *rig, uint64_t slot)
{
    const struct tree_node whole = {0, rig->job->microbatches};
    struct buffer *keys, *rows;
    struct sparse_sum *sum;

    plain_node_push(rig->plain->seed, rig->table->version, whole, is_in_slot, &slot, &keys, &rows);
    sum = sparse_sum_new(D, keys, rows, &rig->table->scratch);
    buffer_unref(keys);
    ck_assert_ptr_nonnull(sum);
    ck_assert_int_eq(sparse_chain_take(rig->table->chain, rig->table->version, rig->table->version, &slot, 1,
                                       sum, (uint64_t)rig->job->microbatches * SAMPLES),
                     CAIRN_OK);
}

/* A new head has a part of a step by clients when the whole sums of some slots, or of all, come from the old
 * one: no gradient counts twice, and none is taken for one of the next step. */
START_TEST(a_sum_that_comes_takes_the_place_of_what_was_pushed)
{
    struct rig rig;
    struct error error = {.message = ""};

    rig_open(&rig, 2, "initializer: zeros, optimizer: {sgd: {learning_rate: 0.1}}", 1);
    use_chain_as_head(&rig);
    for (int i = 0; i < 6; i++) {
        push_node(&rig, (struct tree_node){0, 1});
        for (uint64_t slot = 0; slot < (uint64_t)(i % 2 == 0 ? _i : 0); slot++)
            take_sum(&rig, slot);
        if (!sparse_is_due(rig.table))
            push_node(&rig, (struct tree_node){1, 2});
        ck_assert(sparse_is_due(rig.table));
        ck_assert_msg(sparse_update(rig.table, &error) == CAIRN_OK, "%s", error.message);
        plain_step(rig.plain, 2 * SAMPLES);
        check_version(&rig, rig.table->version - 1);
        check_version(&rig, rig.table->version);
    }
    rig_close(&rig);
}
END_TEST

/* ---- a chain alone */

static void place_all(struct sparse_chain *chain, const struct slot_place *place, uint64_t map)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        (void)sparse_chain_place(chain, slot, place, map);
}

/* Of the first slots the sum of a step comes, without keys. */
static void take_nothing(struct sparse_chain *chain, uint64_t version, uint64_t step, uint32_t count,
                         uint64_t samples)
{
    const uint64_t slots[SLOTS] = {0, 1, 2, 3};
    struct sparse_sum *sum = sparse_sum_empty(D, 0);

    ck_assert_ptr_nonnull(sum);
    ck_assert_int_eq(sparse_chain_take(chain, version, step, slots, count, sum, samples), CAIRN_OK);
}

static uint64_t join_samples(struct sparse_chain *chain)
{
    uint64_t samples;
    struct sparse_sum *sum = sparse_chain_join(chain, &samples);

    ck_assert_ptr_nonnull(sum);
    sparse_sum_free(sum);
    return samples;
}

/* All slots leave when some sums of two steps are here, and come back at another version, whose steps have
 * fewer samples. */
START_TEST(what_has_left_counts_no_samples)
{
    const struct slot_place here = {.is_member = true, .before = 1, .after = SLOT_NOBODY};
    const struct slot_place gone = {.before = SLOT_NOBODY, .after = SLOT_NOBODY};
    const struct slot_place copy = {
        .is_member = true, .is_copy = true, .copy_number = 3, .before = 2, .after = SLOT_NOBODY};
    struct sparse_chain *chain = sparse_chain_new(SLOTS, D, 0);
    bool is_open;

    ck_assert_ptr_nonnull(chain);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        sparse_chain_begin(chain, slot, &here);
    ck_assert(!sparse_chain_is_blank(chain));
    take_nothing(chain, 0, 0, SLOTS - 1, 128);
    take_nothing(chain, 0, 1, 1, 256);
    place_all(chain, &gone, 2);
    ck_assert_int_eq(sparse_chain_forget(chain), CAIRN_OK);
    place_all(chain, &copy, 3);
    ck_assert_int_eq(sparse_chain_open_copy(chain, true, 0, &is_open), CAIRN_OK);
    ck_assert(is_open);
    chain->copying.step = 5;
    sparse_chain_copied(chain);
    take_nothing(chain, 5, 5, SLOTS, 32);
    ck_assert_uint_eq(join_samples(chain), 32);
    take_nothing(chain, 6, 6, SLOTS, 16);
    ck_assert_uint_eq(join_samples(chain), 16);
    sparse_chain_free(chain);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("sparse_table");
    TCase *tests = tcase_create("sparse_table");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, random_steps_give_the_plain_tables_bits, 0, TABLES);
    tcase_add_test(tests, a_pull_makes_no_row);
    tcase_add_test(tests, the_nth_sight_earns_a_row_and_is_its_first_update);
    tcase_add_test(tests, a_row_used_in_time_does_not_expire);
    tcase_add_loop_test(tests, expired_rows_leave_the_memory, 0, 2);
    tcase_add_test(tests, sights_are_counted_beyond_what_a_float_can);
    tcase_add_test(tests, rows_can_tell_no_steps_beyond_32_bits);
    tcase_add_loop_test(tests, a_sum_that_comes_takes_the_place_of_what_was_pushed, 0, SLOTS + 1);
    tcase_add_test(tests, what_has_left_counts_no_samples);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
