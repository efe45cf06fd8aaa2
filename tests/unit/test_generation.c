/* Generations on disk: written, found again by their step, and refused when anything about them is wrong. */
#include "check_main.h"
#include "record.h"
#include "shard_fixture.h"

#include <sys/resource.h>

/* All chunks on one shard, over a store in the rig's directory. */
struct bench {
    struct rig *rig;
    struct tables *table;
    struct store *store;
};

static struct tables *table_at(const struct rig *rig, uint64_t version)
{
    struct tables *tables = NULL;
    struct error error;

    ck_assert_int_eq(tables_new(rig->assignment, 0, version, &tables, &error), CAIRN_OK);
    ck_assert_uint_eq(tables_pieces_at(tables, version + 1), rig->job->graph->chunk_count);
    return tables;
}

static struct dense_table *weights(const struct tables *tables)
{
    return tables->items[TABLE_WEIGHTS].dense;
}

static struct bench bench_new(void)
{
    struct bench bench = {rig_new(RIG_ADAM, 10), NULL, NULL};
    struct error error;

    for (uint32_t slot = 0; slot < bench.rig->assignment->map->slot_count; slot++)
        bench.rig->assignment->map->slot_shards[slot] = 0;
    bench.table = table_at(bench.rig, 0);
    tables_initialize(bench.table, 0, 0);
    ck_assert_msg(store_open(bench.rig->directory, generation_map_bytes(bench.table), &bench.store, &error) ==
                      CAIRN_OK,
                  "%s", error.message);
    return bench;
}

static void bench_free(struct bench *bench)
{
    tables_free(bench->table);
    store_close(bench->store);
    rig_free(bench->rig);
}

/* Moves all chunks one step on. */
static void advance(struct bench *bench)
{
    struct dense_table *table = weights(bench->table);
    struct error error;

    for (uint32_t i = 0; i < table->chunk_count; i++) {
        struct dense_chunk *chunk = table->chunks[i];

        ck_assert(dense_push(chunk, rig_whole, rig_node_buffer(bench->rig, chunk->version, rig_whole, i),
                             RIG_BATCH));
        ck_assert_int_eq(dense_update(table, chunk, &error), CAIRN_OK);
    }
}

static struct generation *capture(struct bench *bench, uint64_t keep_step)
{
    struct dense_table *table = weights(bench->table);
    struct generation *generation = generation_new(bench->table, table->chunks[0]->version);
    struct error error;

    ck_assert_ptr_nonnull(generation);
    generation->store = bench->store;
    generation->keep_step = keep_step;
    for (uint32_t i = 0; i < table->chunk_count; i++) {
        ck_assert(!generation_is_complete(generation));
        ck_assert_int_eq(generation_capture_dense(generation, TABLE_WEIGHTS, table->chunks[i], &error),
                         CAIRN_OK);
    }
    ck_assert(generation_is_complete(generation));
    return generation;
}

static void write_now(struct bench *bench, uint64_t keep_step)
{
    struct generation *generation = capture(bench, keep_step);
    struct error error;

    ck_assert_msg(generation_write(generation, &error) == CAIRN_OK, "%s", error.message);
    generation_free(generation);
}

static void assert_equal(const struct tables *a, const struct tables *b)
{
    for (uint32_t i = 0; i < weights(a)->chunk_count; i++) {
        const struct dense_chunk *left = weights(a)->chunks[i], *right = weights(b)->chunks[i];

        ck_assert_mem_eq(left->current->data, right->current->data, left->floats * sizeof(float));
        for (uint32_t j = 0; j < weights(a)->slot_count; j++)
            ck_assert_mem_eq(left->slots[j]->data, right->slots[j]->data, left->floats * sizeof(float));
    }
}

static enum status load(struct bench *bench, uint64_t step, struct tables **table, struct error *error)
{
    *table = table_at(bench->rig, step);
    return generation_load(bench->store, *table, step, error);
}

static void expect_loads(struct bench *bench, uint64_t step, const struct tables *expected)
{
    struct tables *table;
    struct error error;

    ck_assert_msg(load(bench, step, &table, &error) == CAIRN_OK, "%s", error.message);
    assert_equal(table, expected);
    tables_free(table);
}

static void expect_refused(struct bench *bench, uint64_t step, enum status expected, const char *words)
{
    struct tables *table;
    struct error error;

    ck_assert_int_eq(load(bench, step, &table, &error), expected);
    ck_assert_msg(strstr(error.message, words) != NULL, "%s", error.message);
    tables_free(table);
}

START_TEST(what_was_written_is_loaded)
{
    struct bench bench = bench_new();

    advance(&bench);
    advance(&bench);
    write_now(&bench, 0);
    expect_loads(&bench, 2, bench.table);
    expect_refused(&bench, 1, CAIRN_NOT_FOUND, "step 1");
    bench_free(&bench);
}
END_TEST

/* What the writer writes is what was captured, whatever training has done since. */
START_TEST(a_generation_is_of_its_moment)
{
    struct bench bench = bench_new();
    struct generation *generation;
    struct tables *then;
    struct error error;

    advance(&bench);
    write_now(&bench, 0);
    ck_assert_int_eq(load(&bench, 1, &then, &error), CAIRN_OK);
    generation = capture(&bench, 0);
    advance(&bench);
    advance(&bench);
    ck_assert_int_eq(generation_write(generation, &error), CAIRN_OK);
    generation_free(generation);
    expect_loads(&bench, 1, then);
    tables_free(then);
    bench_free(&bench);
}
END_TEST

START_TEST(slots_are_updated_in_place_unless_held)
{
    struct bench bench = bench_new();
    const void *place = weights(bench.table)->chunks[0]->slots[0]->data;
    struct generation *generation;

    advance(&bench);
    ck_assert_ptr_eq(weights(bench.table)->chunks[0]->slots[0]->data, place);
    generation = capture(&bench, 0);
    advance(&bench);
    ck_assert_ptr_ne(weights(bench.table)->chunks[0]->slots[0]->data, place);
    generation_drop(generation, true);
    generation_free(generation);
    bench_free(&bench);
}
END_TEST

START_TEST(two_generations_are_kept)
{
    struct bench bench = bench_new();
    struct tables *kept[4];
    struct error error;

    for (uint64_t step = 1; step <= 3; step++) {
        advance(&bench);
        write_now(&bench, step - 1);
        ck_assert_int_eq(load(&bench, step, &kept[step], &error), CAIRN_OK);
    }
    expect_refused(&bench, 1, CAIRN_NOT_FOUND, "step 1");
    expect_loads(&bench, 2, kept[2]);
    expect_loads(&bench, 3, kept[3]);
    advance(&bench);
    write_now(&bench, 2); /* 3 never became the job's: it is 3's place that goes */
    expect_loads(&bench, 2, kept[2]);
    expect_refused(&bench, 3, CAIRN_NOT_FOUND, "step 3");
    write_now(&bench, 2); /* again */
    expect_loads(&bench, 4, bench.table);
    expect_loads(&bench, 2, kept[2]);
    for (uint64_t step = 1; step <= 3; step++)
        tables_free(kept[step]);
    bench_free(&bench);
}
END_TEST

/* A job that has gone back comes to a step again that there is a record of here, which never was the job's;
 * one that it has committed meanwhile is not here. Where updates have no order the two are not the same. */
START_TEST(a_step_that_is_made_again_is_there_once)
{
    struct bench bench = bench_new();
    struct dense_table *table;

    for (uint64_t step = 1; step <= 2; step++) {
        advance(&bench);
        if (_i == 1) /* both places have something */
            write_now(&bench, step - 1);
    }
    advance(&bench);
    write_now(&bench, 2);
    tables_free(bench.table);
    bench.table = table_at(bench.rig, 0);
    tables_initialize(bench.table, 0, 0);
    advance(&bench);
    table = weights(bench.table);
    for (uint32_t i = 0; i < table->chunk_count; i++)
        table->chunks[i]->version = 3; /* by other updates */
    write_now(&bench, UINT64_MAX);     /* over a step that is not here */
    expect_loads(&bench, 3, bench.table);
    bench_free(&bench);
}
END_TEST

/* ---- damage */

static void chunk_key(uint32_t chunk, uint32_t place, unsigned char key[7])
{
    const unsigned char bytes[7] = {'c', 0, 0, 0, 0, (unsigned char)chunk, (unsigned char)place};

    memcpy(key, bytes, sizeof(bytes));
}

/* Replaces chunk 1's record in place 0 by its first `length` bytes with byte `at` changed. */
static void damage(struct bench *bench, size_t length, size_t at)
{
    struct store_transaction *transaction;
    unsigned char key[7], *copy;
    const void *value;
    size_t value_bytes;

    chunk_key(1, 0, key);
    ck_assert_int_eq(store_begin_write(bench->store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_get(transaction, key, sizeof(key), &value, &value_bytes, NULL), CAIRN_OK);
    if (length > value_bytes)
        length = value_bytes;
    copy = malloc(value_bytes);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, value, value_bytes);
    if (at < length)
        copy[at] ^= 0x40;
    ck_assert_int_eq(store_put(transaction, key, sizeof(key), copy, length, NULL), CAIRN_OK);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    free(copy);
}

START_TEST(damaged_records_are_refused)
{
    static const struct {
        size_t length, at;
        const char *words;
    } cases[] = {
        {SIZE_MAX, RECORD_OVERHEAD, "checksum"},         /* a value's bit */
        {SIZE_MAX, RECORD_OVERHEAD + 40000, "checksum"}, /* a slot's bit */
        {RECORD_OVERHEAD + 1000, SIZE_MAX, "bytes"},     /* torn */
        {10, SIZE_MAX, "short"},                         /* torn in the header */
        {SIZE_MAX, 0, "header"},                         /* the header's length: too long or cut */
        {SIZE_MAX, 3, "header"},
        {SIZE_MAX, 5, "format"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench bench = bench_new();

        advance(&bench);
        write_now(&bench, 0);
        damage(&bench, cases[i].length, cases[i].at);
        expect_refused(&bench, 1, CAIRN_CORRUPT, cases[i].words);
        advance(&bench);
        write_now(&bench, 0); /* a damaged place is written over */
        expect_loads(&bench, 2, bench.table);
        bench_free(&bench);
    }
}
END_TEST

START_TEST(a_record_under_anothers_key_is_refused)
{
    struct bench bench = bench_new();
    struct store_transaction *transaction;
    unsigned char key[7], *copy;
    const void *value;
    size_t value_bytes;

    advance(&bench);
    write_now(&bench, 0);
    ck_assert_int_eq(store_begin_write(bench.store, &transaction, NULL), CAIRN_OK);
    chunk_key(0, 0, key);
    ck_assert_int_eq(store_get(transaction, key, sizeof(key), &value, &value_bytes, NULL), CAIRN_OK);
    copy = malloc(value_bytes);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, value, value_bytes);
    chunk_key(1, 0, key);
    ck_assert_int_eq(store_put(transaction, key, sizeof(key), copy, value_bytes, NULL), CAIRN_OK);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    free(copy);
    expect_refused(&bench, 1, CAIRN_CORRUPT, "chunk 0");
    bench_free(&bench);
}
END_TEST

START_TEST(a_record_of_another_layout_is_refused)
{
    struct bench bench = bench_new();
    struct store_transaction *transaction;
    float value = 1;
    struct record record = {1, 0, 0, 1, sizeof(value), {&value}};
    struct error error;

    ck_assert_int_eq(store_begin_write(bench.store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(record_write(transaction, 1, &record, &error), CAIRN_OK);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    expect_refused(&bench, 1, CAIRN_CORRUPT, "arrays");
    bench_free(&bench);
}
END_TEST

/* Its checksum is right, but its bytes are no whole floats: who answers a pull from it must not have to look.
 */
START_TEST(a_record_of_broken_floats_is_refused)
{
    struct bench bench = bench_new();
    struct store_transaction *transaction;
    float values[2] = {1, 2};
    struct record record = {1, 0, 0, 1, sizeof(values) - 2, {values}}, found;
    struct error error;

    ck_assert_int_eq(store_begin_write(bench.store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(record_write(transaction, 1, &record, &error), CAIRN_OK);
    ck_assert_int_eq(record_find(transaction, 0, 0, 1, &found, &error), CAIRN_CORRUPT);
    ck_assert_msg(strstr(error.message, "bytes of values") != NULL, "%s", error.message);
    store_abort(transaction);
    bench_free(&bench);
}
END_TEST

/* A generation that does not fit is an error that leaves the old one as it was. */
START_TEST(a_full_store_keeps_the_old_generation)
{
    const struct rlimit limit = {RLIM_INFINITY - 1, RLIM_INFINITY}; /* maps are as small as asked for */
    struct bench bench = bench_new();
    struct store_transaction *transaction;
    struct generation *generation;
    struct tables *then;
    struct error error;
    char path[100];
    void *room;

    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    store_close(bench.store);
    snprintf(path, sizeof(path), "%s/small", bench.rig->directory);
    ck_assert_int_eq(store_open(path, (size_t)4 << 20, &bench.store, &error), CAIRN_OK);
    advance(&bench);
    write_now(&bench, 0);
    ck_assert_int_eq(load(&bench, 1, &then, &error), CAIRN_OK);
    ck_assert_int_eq(store_begin_write(bench.store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_reserve(transaction, "x", 1, 2800000, &room, &error), CAIRN_OK);
    memset(room, 0, 2800000);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    advance(&bench);
    generation = capture(&bench, 1);
    ck_assert_int_eq(generation_write(generation, &error), CAIRN_FULL);
    generation_free(generation);
    expect_loads(&bench, 1, then);
    tables_free(then);
    bench_free(&bench);
}
END_TEST

/* All tables that a job may have, the numbers of some of which do not fit in a byte. */
START_TEST(records_of_all_tables_stand_side_by_side)
{
    struct bench bench = bench_new();
    struct store_transaction *transaction;
    struct error error;

    ck_assert_int_eq(store_begin_write(bench.store, &transaction, &error), CAIRN_OK);
    for (uint32_t i = 0; i < JOB_TABLES_MAX; i++) {
        const float value = (float)i;
        const struct record record = {.step = 5,
                                      .table = TABLE_FIRST_USER + i,
                                      .arrays = 1,
                                      .array_bytes = sizeof(value),
                                      .values = {&value}};

        ck_assert_int_eq(record_write(transaction, 0, &record, &error), CAIRN_OK);
    }
    for (uint32_t i = 0; i < JOB_TABLES_MAX; i++) {
        struct record found;
        float value;

        ck_assert_msg(record_find(transaction, TABLE_FIRST_USER + i, 0, 5, &found, &error) == CAIRN_OK, "%s",
                      error.message);
        memcpy(&value, found.values[0], sizeof(value));
        ck_assert_uint_eq((uint32_t)value, i);
    }
    store_abort(transaction);
    bench_free(&bench);
}
END_TEST

static Suite *generation_suite(void)
{
    Suite *suite = suite_create("generation");
    TCase *tests = tcase_create("generation");

    tcase_add_test(tests, what_was_written_is_loaded);
    tcase_add_test(tests, a_generation_is_of_its_moment);
    tcase_add_test(tests, slots_are_updated_in_place_unless_held);
    tcase_add_test(tests, two_generations_are_kept);
    tcase_add_loop_test(tests, a_step_that_is_made_again_is_there_once, 0, 2);
    tcase_add_test(tests, damaged_records_are_refused);
    tcase_add_test(tests, a_record_under_anothers_key_is_refused);
    tcase_add_test(tests, a_record_of_another_layout_is_refused);
    tcase_add_test(tests, a_record_of_broken_floats_is_refused);
    tcase_add_test(tests, records_of_all_tables_stand_side_by_side);
    tcase_add_test(tests, a_full_store_keeps_the_old_generation);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(generation_suite)
