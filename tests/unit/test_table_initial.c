/* What tables begin with: Keras's distributions, the same bits in any order and part, and the same for ever.
 */
#include "check_main.h"
#include "job/table_initial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS      5000u
#define DIMENSION 17u /* no multiple of a group */

static struct table_spec sparse(enum initializer type, uint32_t dimension)
{
    return (struct table_spec){
        .kind = TABLE_KIND_SPARSE, .dimension = dimension, .initializer = initializer_default(type)};
}

static struct table_spec dense(enum initializer type, uint64_t size)
{
    return (struct table_spec){
        .kind = TABLE_KIND_DENSE, .size = size, .initializer = initializer_default(type)};
}

/* ---- distributions */

static const struct {
    struct initializer_spec initializer;
    double mean, deviation, low, high; /* of the distribution; no value is beyond low and high */
} distributions[] = {
    {{INITIALIZER_RANDOM_UNIFORM, -0.05, 0.05, 0, 0}, 0, 0.0288675, -0.05, 0.05},
    {{INITIALIZER_RANDOM_UNIFORM, 2, 5, 0, 0}, 3.5, 0.8660254, 2, 5},
    {{INITIALIZER_RANDOM_NORMAL, 0, 0, 0, 0.05}, 0, 0.05, -0.4, 0.4},
    {{INITIALIZER_RANDOM_NORMAL, 0, 0, -3, 2}, -3, 2, -19, 13},
    {{INITIALIZER_TRUNCATED_NORMAL, 0, 0, 1, 0.5}, 1, 0.5 * 0.87962566, 0, 2},
    /* of a row: fans 1 and 17, variance 1/9 */
    {{INITIALIZER_GLOROT_UNIFORM, 0, 0, 0, 0}, 0, 1.0 / 3, -0.5773503, 0.5773503},
    {{INITIALIZER_GLOROT_NORMAL, 0, 0, 0, 0}, 0, 1.0 / 3, -0.7579, 0.7579},
};

START_TEST(distributions_are_those_of_keras)
{
    const double count = ROWS * DIMENSION, mean = distributions[_i].mean;
    const double deviation = distributions[_i].deviation;
    struct table_spec table = sparse(INITIALIZER_ZEROS, DIMENSION);
    double sum = 0, squares = 0, low = INFINITY, high = -INFINITY;
    struct table_initial initial;
    float row[DIMENSION];

    table.initializer = distributions[_i].initializer;
    table_initial_init(&initial, &table, TABLE_FIRST_USER, 42);
    for (uint64_t key = 0; key < ROWS; key++) {
        table_initial_row(&initial, key, row);
        for (uint32_t i = 0; i < DIMENSION; i++) {
            sum += row[i] - mean;
            squares += (row[i] - mean) * (row[i] - mean);
            low = fmin(low, row[i]);
            high = fmax(high, row[i]);
        }
    }
    /* five standard errors of the mean and (of a normal) of the deviation */
    ck_assert_double_le(fabs(sum / count), 5 * deviation / sqrt(count));
    ck_assert_double_le(fabs(sqrt(squares / count) / deviation - 1), 5 / sqrt(2 * count));
    ck_assert_double_ge(low, distributions[_i].low - 1e-6);
    ck_assert_double_le(high, distributions[_i].high + 1e-6);
}
END_TEST

START_TEST(a_dense_table_scales_by_its_size)
{
    struct table_spec table = dense(INITIALIZER_GLOROT_UNIFORM, 30000);
    float *values = malloc(table.size * sizeof(*values));
    struct table_initial initial;
    double largest = 0;

    table_initial_init(&initial, &table, TABLE_FIRST_USER, 1);
    table_initial_values(&initial, 0, table.size, values);
    for (uint64_t i = 0; i < table.size; i++)
        largest = fmax(largest, fabs((double)values[i]));
    ck_assert_double_le(largest, 0.01); /* sqrt(3 / 30000) */
    ck_assert_double_ge(largest, 0.00999);
    free(values);
}
END_TEST

START_TEST(constants)
{
    const enum initializer types[] = {INITIALIZER_ZEROS, INITIALIZER_ONES};

    for (int type = 0; type < 2; type++) {
        struct table_spec rows = sparse(types[type], DIMENSION), vector = dense(types[type], 100);
        struct table_initial initial;
        float values[100];

        memset(values, 0xff, sizeof(values));
        table_initial_init(&initial, &rows, TABLE_FIRST_USER, 7);
        table_initial_row(&initial, 3, values);
        for (uint32_t i = 0; i < DIMENSION; i++)
            ck_assert_float_eq(values[i], (float)type);
        table_initial_init(&initial, &vector, TABLE_FIRST_USER, 7);
        table_initial_values(&initial, 0, 100, values);
        for (int i = 0; i < 100; i++)
            ck_assert_float_eq(values[i], (float)type);
    }
}
END_TEST

/* ---- bits */

START_TEST(any_part_can_be_made_anywhere)
{
    enum { FLOATS = 1000 };
    const enum initializer types[] = {INITIALIZER_RANDOM_UNIFORM, INITIALIZER_TRUNCATED_NORMAL,
                                      INITIALIZER_ONES};
    static float whole[FLOATS], part[FLOATS];

    for (int type = 0; type < 3; type++) {
        struct table_spec table = dense(types[type], FLOATS);
        struct table_initial initial;

        table_initial_init(&initial, &table, TABLE_FIRST_USER, 5);
        table_initial_values(&initial, 0, FLOATS, whole);
        for (uint64_t step = 1; step <= FLOATS; step = step * 2 + 1) {
            for (uint64_t begin = 0; begin < FLOATS; begin += step) {
                uint64_t end = begin + step < FLOATS ? begin + step : FLOATS;

                memset(part, 0xff, sizeof(part));
                table_initial_values(&initial, begin, end, part);
                ck_assert_mem_eq(part, whole + begin, (end - begin) * sizeof(*part));
            }
        }
        table_initial_values(&initial, FLOATS, FLOATS, NULL); /* nothing */
    }
}
END_TEST

START_TEST(a_row_stays_within_its_floats)
{
    for (uint32_t dimension = 1; dimension <= 40; dimension++) {
        struct table_spec table = sparse(INITIALIZER_RANDOM_UNIFORM, dimension);
        struct table_initial initial;
        float row[41], longer[40];

        table_initial_init(&initial, &table, TABLE_FIRST_USER, 5);
        row[dimension] = 7;
        table_initial_row(&initial, 99, row);
        ck_assert_float_eq(row[dimension], 7);
        /* a longer row begins with the same values */
        table.dimension = 40;
        table_initial_init(&initial, &table, TABLE_FIRST_USER, 5);
        table_initial_row(&initial, 99, longer);
        ck_assert_mem_eq(row, longer, dimension * sizeof(*row));
    }
}
END_TEST

START_TEST(seeds_tables_and_keys_differ)
{
    const struct table_spec table = sparse(INITIALIZER_RANDOM_NORMAL, 1);
    float values[2 * 2 * 4];
    int count = 0;

    for (uint64_t seed = 0; seed < 2; seed++) {
        for (uint32_t number = TABLE_FIRST_USER; number < TABLE_FIRST_USER + 2; number++) {
            const uint64_t keys[] = {0, 1, UINT64_C(1) << 32, UINT64_MAX};
            struct table_initial initial;

            table_initial_init(&initial, &table, number, seed);
            for (int i = 0; i < 4; i++)
                table_initial_row(&initial, keys[i], &values[count++]);
        }
    }
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < i; j++)
            ck_assert_float_ne(values[i], values[j]);
    }
}
END_TEST

/* Hashes worked out apart from this code in Python (its own Philox, statistics.NormalDist, hashlib). Whoever
 * changes these bits changes the rows of every table that is in use. */

static void assert_rows(const struct table_spec *table, uint32_t number, const char *expected)
{
    const uint64_t keys[] = {0, 1, UINT64_C(1) << 32, UINT64_MAX, 0x123456789abcdef0};
    struct table_initial initial;
    struct hash hash;
    char text[65];

    table_initial_init(&initial, table, number, 1);
    hash_init(&hash);
    for (int i = 0; i < 5; i++) {
        float row[DIMENSION + 2];

        table_initial_row(&initial, keys[i], row);
        hash_update(&hash, row, table->dimension * sizeof(*row));
    }
    hash_text(&hash, text);
    ck_assert_str_eq(text, expected);
}

static void assert_values(const struct table_spec *table, uint32_t number, uint64_t seed, uint64_t begin,
                          const char *expected)
{
    struct table_initial initial;
    struct hash hash;
    float values[1000];
    size_t count = table->size - begin;
    char text[65];

    table_initial_init(&initial, table, number, seed);
    table_initial_values(&initial, begin, table->size, values);
    hash_init(&hash);
    hash_update(&hash, values, count * sizeof(*values));
    hash_text(&hash, text);
    ck_assert_str_eq(text, expected);
}

START_TEST(bits_are_fixed)
{
    struct table_spec uniform = sparse(INITIALIZER_RANDOM_UNIFORM, 19);
    struct table_spec truncated = sparse(INITIALIZER_TRUNCATED_NORMAL, 16);
    struct table_spec normal = dense(INITIALIZER_RANDOM_NORMAL, 1000);
    struct table_spec far = dense(INITIALIZER_RANDOM_UNIFORM, (UINT64_C(1) << 36) + 40);

    truncated.initializer.mean = 1;
    truncated.initializer.stddev = 0.5;
    far.initializer.minval = -1;
    far.initializer.maxval = 3;
    assert_rows(&uniform, 3, "8dc4db328fc90611c8d626c340b88e80925da73fe8cd619d4499705628837858");
    assert_rows(&truncated, 5, "83396e0e16ae6719ec014f9553f58b66f722adcba161e2b3bd15c8b343d42760");
    assert_values(&normal, 4, 1, 0, "3d25cc7870c5e937bebae2c7d4f1b30ae872408f13a6bf194b4491e5b1e6065e");
    assert_values(&far, 258, 2, (UINT64_C(1) << 36) - 10,
                  "456bc576ff2313e6ce03476a8937c681ce643f8f23698a254f25358ed27f79aa");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("table_initial");
    TCase *values = tcase_create("values"), *bits = tcase_create("bits");

    tcase_add_loop_test(values, distributions_are_those_of_keras, 0,
                        (int)(sizeof(distributions) / sizeof(distributions[0])));
    tcase_add_test(values, a_dense_table_scales_by_its_size);
    tcase_add_test(values, constants);
    suite_add_tcase(suite, values);
    tcase_add_test(bits, any_part_can_be_made_anywhere);
    tcase_add_test(bits, a_row_stays_within_its_floats);
    tcase_add_test(bits, seeds_tables_and_keys_differ);
    tcase_add_test(bits, bits_are_fixed);
    suite_add_tcase(suite, bits);
    return suite;
}

CHECK_MAIN(make_suite)
