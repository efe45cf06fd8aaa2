/* Positions of keys: put, found, told apart, whatever the keys look like. */
#include "check_main.h"
#include "key_index.h"
#include "must.h"

#include <string.h>

/* Keys of some pattern, all different. */
static uint64_t key_of(int pattern, uint64_t i)
{
    switch (pattern) {
    case 0:
        return i;
    case 1:
        return i << 40;
    case 2:
        return UINT64_MAX - i * 1024;
    default:
        return i * UINT64_C(0x9e3779b97f4a7c15);
    }
}

static uint32_t find(const struct key_index *index, const uint64_t *keys, uint64_t key)
{
    uint64_t hash;

    key_index_ahead(index, &key, 1, &hash);
    return key_index_find(index, keys, key, hash);
}

static uint32_t put(struct key_index *index, const uint64_t *keys, uint64_t key, uint32_t position)
{
    return key_index_put(index, keys, key, key_index_hash(key), position);
}

START_TEST(keys_are_found_where_they_were_put)
{
    static const size_t counts[] = {1, 2, 32, 33, 1000, 65536, 200000};
    struct key_index index = {NULL, 0, 0, 0};
    uint64_t *keys = malloc(200000 * sizeof(*keys));

    ck_assert_ptr_nonnull(keys);
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        ck_assert_int_eq(key_index_reset(&index, counts[c]), CAIRN_OK);
        for (uint32_t i = 0; i < counts[c]; i++) {
            keys[i] = key_of(_i, i);
            MUST(find(&index, keys, keys[i]) == KEY_INDEX_NONE);
            MUST(put(&index, keys, keys[i], i) == KEY_INDEX_NONE);
            MUST(put(&index, keys, keys[i], i) == i);
        }
        for (uint32_t i = 0; i < counts[c]; i++)
            MUST(find(&index, keys, keys[i]) == i);
        for (uint64_t i = counts[c]; i < 2 * counts[c]; i++)
            MUST(find(&index, keys, key_of(_i, i)) == KEY_INDEX_NONE);
    }
    key_index_fini(&index);
    free(keys);
}
END_TEST

START_TEST(a_reset_forgets_all_and_keeps_the_memory)
{
    const uint64_t keys[] = {5, 7, 0};
    struct key_index index = {NULL, 0, 0, 0};
    const uint32_t *memory;

    ck_assert_int_eq(key_index_reset(&index, 100), CAIRN_OK);
    memory = index.slots;
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_uint_eq(put(&index, keys, keys[i], i), KEY_INDEX_NONE);
    for (size_t most = 0; most <= 100; most += 50) {
        ck_assert_int_eq(key_index_reset(&index, most), CAIRN_OK);
        ck_assert_ptr_eq(index.slots, memory);
        for (uint32_t i = 0; i < 3; i++)
            ck_assert_uint_eq(find(&index, keys, keys[i]), KEY_INDEX_NONE);
    }
    key_index_fini(&index);
    ck_assert_ptr_null(index.slots);
    key_index_fini(&index);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("key_index");
    TCase *tests = tcase_create("key_index");

    tcase_add_loop_test(tests, keys_are_found_where_they_were_put, 0, 4);
    tcase_add_test(tests, a_reset_forgets_all_and_keeps_the_memory);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
