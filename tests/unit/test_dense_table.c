/* A shard's piece of a dense table: where the memory of chunks lies that come and go. What it sums and
 * updates is tested by those who use it (test_shard.c, test_fold.c, test_chain.c). */
#include "check_main.h"
#include "dense_table.h"

#include <string.h>

#define CHUNK_FLOATS (256u * 1024u)

static struct dense_table *table;
static struct buffer *arrays[4]; /* as they come in a message: two versions, two slots */

static struct buffer *filled(float value)
{
    struct buffer *array = buffer_new(CHUNK_FLOATS * sizeof(float));

    ck_assert_ptr_nonnull(array);
    for (uint32_t i = 0; i < CHUNK_FLOATS; i++)
        ((float *)array->data)[i] = value;
    return array;
}

static void set_up(void)
{
    static const struct optimizer_spec adam = {
        .type = OPTIMIZER_ADAM, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-7};
    const struct dense_params params = {.floats = 4 * CHUNK_FLOATS,
                                        .chunk_floats = CHUNK_FLOATS,
                                        .chunk_count = 4,
                                        .microbatches = 4,
                                        .optimizer = &adam};

    ck_assert_int_eq(dense_table_new(&params, NULL, 0, 0, &table, NULL), CAIRN_OK);
    for (int i = 0; i < 4; i++)
        arrays[i] = filled((float)(i + 1));
}

static void tear_down(void)
{
    dense_table_free(table);
    for (int i = 0; i < 4; i++)
        buffer_unref(arrays[i]);
}

static struct dense_chunk *copy_come(uint32_t number, bool has_previous)
{
    const struct dense_state state = {.version = 7,
                                      .current = arrays[0],
                                      .previous = has_previous ? arrays[1] : NULL,
                                      .slots = {arrays[2], arrays[3]}};
    struct dense_chunk *chunk;

    ck_assert_int_eq(dense_chunk_add(table, number, 0, &chunk, NULL), CAIRN_OK);
    ck_assert_int_eq(dense_restore(chunk, &state, NULL), CAIRN_OK);
    return chunk;
}

static void check_equal(const struct buffer *array, const struct buffer *wanted)
{
    ck_assert_uint_eq(array->length_bytes, wanted->length_bytes);
    ck_assert_int_eq(memcmp(array->data, wanted->data, wanted->length_bytes), 0);
}

/* Else the network's allocator would have to find room for all that is copied here, and keep it. */
START_TEST(a_copy_lies_in_the_tables_own_memory)
{
    const struct dense_chunk *chunk = copy_come(2, true);

    for (int i = 0; i < 4; i++)
        ck_assert(buffer_is_exclusive(arrays[i]));
    ck_assert_uint_eq(chunk->version, 7);
    ck_assert_uint_eq(chunk->first_version, 7);
    check_equal(dense_version(chunk, 7), arrays[0]);
    check_equal(dense_version(chunk, 6), arrays[1]);
    check_equal(chunk->slots[0], arrays[2]);
    check_equal(chunk->slots[1], arrays[3]);
}
END_TEST

START_TEST(a_copy_may_have_one_version)
{
    const struct dense_chunk *chunk = copy_come(0, false);

    check_equal(dense_version(chunk, 7), arrays[0]);
    ck_assert_ptr_null(dense_version(chunk, 6));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("dense_table");
    TCase *tests = tcase_create("copies");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_copy_lies_in_the_tables_own_memory);
    tcase_add_test(tests, a_copy_may_have_one_version);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
