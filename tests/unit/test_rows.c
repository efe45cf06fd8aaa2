/* Rows in memory: look-ups, new rows, removals, against a plain model; the hash; the memory a row takes. */
#include "check_main.h"
#include "rows.h"
#include "rows_hash.h"

#include <string.h>

#define FLOATS 16u

static uint64_t chance_state;

static uint64_t chance(void)
{
    chance_state += 0x9e3779b97f4a7c15u;
    return rows_hash(chance_state ^ 0x5555);
}

static struct rows *table_new(uint32_t floats)
{
    struct rows_options options = {.floats = floats};
    struct rows *rows = NULL;
    struct error error;

    ck_assert_msg(rows_new(&options, &rows, &error) == CAIRN_OK, "%s", error.message);
    return rows;
}

static void row_fill(struct row *row, float value)
{
    for (uint32_t i = 0; i < FLOATS; i++)
        row->floats[i] = value + (float)i;
}

static void row_expect(const struct row *row, uint64_t key, float value)
{
    bool is_good = row && row->key == key;

    for (uint32_t i = 0; is_good && i < FLOATS; i++)
        is_good = row->floats[i] == value + (float)i;
    if (!is_good) /* Check writes a line for each assertion */
        ck_abort_msg("the row of key %llu is not %g...", (unsigned long long)key, (double)value);
}

START_TEST(the_hash_can_be_undone)
{
    static const uint64_t edges[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, (uint64_t)1 << 63};

    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
        ck_assert_uint_eq(rows_unhash(rows_hash(edges[i])), edges[i]);
    for (int i = 0; i < 10000; i++) {
        uint64_t key = chance();

        ck_assert_uint_eq(rows_unhash(rows_hash(key)), key);
    }
}
END_TEST

START_TEST(impossible_rows_are_refused)
{
    struct rows *rows = NULL;
    struct error error;

    ck_assert_int_eq(rows_new(&(struct rows_options){.floats = 0}, &rows, &error), CAIRN_INVALID);
    ck_assert_int_eq(rows_new(&(struct rows_options){.floats = ROWS_FLOATS_MAX + 1}, &rows, NULL),
                     CAIRN_INVALID);
    ck_assert_ptr_null(rows);
    rows_free(NULL);
}
END_TEST

START_TEST(a_row_is_made_once_and_found)
{
    static const uint64_t keys[] = {0, UINT64_MAX, 7}, asked[] = {7, 8, 0, 7, UINT64_MAX};
    struct rows *rows = table_new(FLOATS);
    struct row *made[3], *found[5];
    struct rows_facts facts;
    bool is_new[3];

    ck_assert_int_eq(rows_make(rows, keys, 3, made, is_new, NULL), CAIRN_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert(is_new[i]);
        ck_assert_uint_eq(made[i]->used_step, 0);
        row_fill(made[i], (float)i);
    }
    ck_assert_int_eq(rows_make(rows, keys + 1, 1, made, is_new, NULL), CAIRN_OK);
    ck_assert(!is_new[0]);
    row_expect(made[0], UINT64_MAX, 1);
    ck_assert_int_eq(rows_find(rows, asked, 5, found, NULL), CAIRN_OK);
    row_expect(found[0], 7, 2);
    ck_assert_ptr_null(found[1]);
    row_expect(found[2], 0, 0);
    ck_assert_ptr_eq(found[3], found[0]);
    row_expect(found[4], UINT64_MAX, 1);
    rows_facts(rows, &facts);
    ck_assert_uint_eq(facts.rows, 3);
    rows_free(rows);
}
END_TEST

/* Keys that differ in few bits, as an enumeration's or a placement's do. */
START_TEST(rows_keep_their_places_while_the_table_grows)
{
    static const uint64_t factors[] = {1, 1024, (uint64_t)1 << 40};
    enum { ROWS = 200000 };

    for (size_t f = 0; f < sizeof(factors) / sizeof(factors[0]); f++) {
        struct rows *rows = table_new(1);
        struct row **all = calloc(ROWS, sizeof(*all)), *found[ROWS_BLOCK_MAX];
        uint64_t keys[ROWS_BLOCK_MAX];
        bool is_new[ROWS_BLOCK_MAX];

        ck_assert_ptr_nonnull(all);
        for (uint32_t i = 0; i < ROWS; i += 500) {
            for (uint32_t j = 0; j < 500; j++)
                keys[j] = (i + j) * factors[f];
            ck_assert_int_eq(rows_make(rows, keys, 500, all + i, is_new, NULL), CAIRN_OK);
            for (uint32_t j = 0; j < 500; j++)
                all[i + j]->floats[0] = (float)(i + j);
        }
        for (uint32_t i = 0; i < ROWS; i += 500) {
            for (uint32_t j = 0; j < 500; j++)
                keys[j] = (i + j) * factors[f];
            ck_assert_int_eq(rows_find(rows, keys, 500, found, NULL), CAIRN_OK);
            for (uint32_t j = 0; j < 500; j++) {
                if (found[j] != all[i + j] || found[j]->floats[0] != (float)(i + j))
                    ck_abort_msg("row %u has moved", i + j);
            }
        }
        free(all);
        rows_free(rows);
    }
}
END_TEST

/* All operations at random on a small set of keys, against an array. */
START_TEST(random_operations_agree_with_a_plain_map)
{
    enum { KEYS = 3000, ROUNDS = 4000 };
    struct rows *rows = table_new(FLOATS);
    float *model = calloc(KEYS, sizeof(*model)); /* 0: no row */
    uint64_t present = 0, keys[ROWS_BLOCK_MAX];
    struct row *found[ROWS_BLOCK_MAX];
    bool is_new[ROWS_BLOCK_MAX];
    struct rows_facts facts;

    ck_assert_ptr_nonnull(model);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        uint32_t count = (uint32_t)(chance() % 64), first = (uint32_t)(chance() % KEYS);
        uint32_t what = (uint32_t)(chance() % (round / 1000 % 2 ? 5 : 3));

        for (uint32_t i = 0; i < count; i++)
            keys[i] = ((first + i * 17) % KEYS) * 4096;
        if (what == 0) {
            ck_assert_int_eq(rows_find(rows, keys, count, found, NULL), CAIRN_OK);
            for (uint32_t i = 0; i < count; i++) {
                if (model[keys[i] / 4096] == 0)
                    ck_assert_ptr_null(found[i]);
                else
                    row_expect(found[i], keys[i], model[keys[i] / 4096]);
            }
        } else if (what <= 2) {
            ck_assert_int_eq(rows_make(rows, keys, count, found, is_new, NULL), CAIRN_OK);
            for (uint32_t i = 0; i < count; i++) {
                ck_assert_int_eq(is_new[i], model[keys[i] / 4096] == 0);
                if (!is_new[i])
                    row_expect(found[i], keys[i], model[keys[i] / 4096]);
                present += is_new[i];
                model[keys[i] / 4096] = (float)round;
                row_fill(found[i], (float)round);
            }
        } else {
            if (count > 0)
                keys[count++] = keys[0]; /* twice */
            ck_assert_int_eq(rows_remove(rows, keys, count, NULL), CAIRN_OK);
            for (uint32_t i = 0; i < count; i++) {
                present -= model[keys[i] / 4096] != 0;
                model[keys[i] / 4096] = 0;
            }
        }
        rows_facts(rows, &facts);
        ck_assert_uint_eq(facts.rows, present);
    }
    free(model);
    rows_free(rows);
}
END_TEST

/* Weights, slots and key of 16 floats are 72 bytes: at most 1.25 times that, at every moment of growth once
 * the table is larger than a few pages. */
START_TEST(a_row_takes_little_memory)
{
    enum { ROWS = 2000000 };
    struct rows *rows = table_new(FLOATS);
    struct row *made[ROWS_BLOCK_MAX];
    uint64_t keys[ROWS_BLOCK_MAX];
    bool is_new[ROWS_BLOCK_MAX];
    struct rows_facts facts;
    double worst = 0;

    for (uint32_t i = 0; i < ROWS; i += 500) {
        for (uint32_t j = 0; j < 500; j++)
            keys[j] = i + j;
        ck_assert_int_eq(rows_make(rows, keys, 500, made, is_new, NULL), CAIRN_OK);
        rows_facts(rows, &facts);
        if (i >= 500000 && (double)facts.memory_bytes / (double)facts.rows > worst)
            worst = (double)facts.memory_bytes / (double)facts.rows;
    }
    ck_assert_double_le(worst, 1.25 * (8 + FLOATS * sizeof(float)));
    rows_free(rows);
}
END_TEST

static Suite *rows_suite(void)
{
    Suite *suite = suite_create("rows");
    TCase *tests = tcase_create("rows");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, the_hash_can_be_undone);
    tcase_add_test(tests, impossible_rows_are_refused);
    tcase_add_test(tests, a_row_is_made_once_and_found);
    tcase_add_test(tests, rows_keep_their_places_while_the_table_grows);
    tcase_add_test(tests, random_operations_agree_with_a_plain_map);
    tcase_add_test(tests, a_row_takes_little_memory);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(rows_suite)
