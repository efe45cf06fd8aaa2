/* Sums by key: what a push brings, and folds in the tree's shape, bit for bit against the plain definition.
 */
#include "check_main.h"
#include "plain_rows.h"
#include "sparse_sum.h"

#define MICROBATCHES 6
#define D            PLAIN_DIMENSION

static struct sparse_sum *sum_of(const uint64_t *keys, const float *rows, uint32_t count,
                                 struct key_index *scratch)
{
    struct buffer *key_buffer = buffer_new(count * sizeof(*keys));
    struct buffer *values = buffer_new(count * D * sizeof(float));
    struct sparse_sum *sum;

    ck_assert(key_buffer && values);
    memcpy(key_buffer->data, keys, count * sizeof(*keys));
    memcpy(values->data, rows, count * D * sizeof(float));
    sum = sparse_sum_new(D, key_buffer, values, scratch);
    ck_assert_ptr_nonnull(sum);
    /* The keys are the caller's: as they were. */
    ck_assert(memcmp(key_buffer->data, keys, count * sizeof(*keys)) == 0);
    buffer_unref(key_buffer);
    return sum;
}

/* The row of a key, which must be there once; NULL: it is not there. */
static const float *row_of(const struct sparse_sum *sum, uint64_t key)
{
    const float *row = NULL;

    for (uint32_t i = 0; i < sum->count; i++) {
        if (sparse_sum_keys(sum)[i] != key)
            continue;
        MUST(!row);
        row = sparse_sum_values(sum) + (size_t)i * D;
    }
    return row;
}

START_TEST(doubles_add_in_order_of_appearance)
{
    /* 1e8 + 1 - 1e8 is 0 in float32 and 1e8 - 1e8 + 1 is 1: order shows. */
    static const uint64_t keys[] = {9, 4, 9, 4, 9, 0, 4};
    static const float firsts[] = {1e8f, 1e8f, 1, -1e8f, -1e8f, 7, 1};
    float rows[7][D] = {{0}};
    struct key_index scratch = {0};
    struct sparse_sum *sum;

    for (int i = 0; i < 7; i++) {
        rows[i][0] = firsts[i];
        rows[i][D - 1] = (float)i;
    }
    sum = sum_of(keys, rows[0], 7, &scratch);
    ck_assert_uint_eq(sum->count, 3);
    ck_assert(row_of(sum, 9)[0] == 0 && row_of(sum, 9)[D - 1] == 6);
    ck_assert(row_of(sum, 4)[0] == 1 && row_of(sum, 4)[D - 1] == 10);
    ck_assert(row_of(sum, 0)[0] == 7 && row_of(sum, 0)[D - 1] == 5);
    sparse_sum_free(sum);
    key_index_fini(&scratch);
}
END_TEST

/* Keys in ascending order are the sum's as they are: they stay what they were when more come to it. */
START_TEST(ascending_keys_are_kept_and_never_written_to)
{
    static const uint64_t keys[] = {2, 5, UINT64_MAX}, others[] = {1, 5, 7}, kept[] = {2, 5, UINT64_MAX};
    float rows[3][D] = {{1}, {2}, {3}}, other_rows[3][D] = {{10}, {20}, {30}};
    struct key_index scratch = {0};
    struct buffer *key_buffer = buffer_new(8 * sizeof(uint64_t)), *values = buffer_new(sizeof(rows));
    struct sparse_sum *sum, *other = sum_of(others, other_rows[0], 3, &scratch);

    ck_assert(key_buffer && values);
    key_buffer->length_bytes = sizeof(keys); /* there would be room behind them */
    memcpy(key_buffer->data, keys, sizeof(keys));
    memcpy(values->data, rows, sizeof(rows));
    sum = sparse_sum_new(D, key_buffer, values, &scratch);
    ck_assert_ptr_nonnull(sum);
    ck_assert_ptr_eq(sum->keys, key_buffer);
    ck_assert_uint_eq(sum->count, 3);
    ck_assert_int_eq(sparse_sum_add(sum, other, D, NULL, &scratch), CAIRN_OK);
    ck_assert_uint_eq(sum->count, 5);
    ck_assert(row_of(sum, 1)[0] == 10 && row_of(sum, 2)[0] == 1 && row_of(sum, 5)[0] == 22);
    ck_assert(row_of(sum, 7)[0] == 30 && row_of(sum, UINT64_MAX)[0] == 3);
    ck_assert_uint_eq(key_buffer->length_bytes, sizeof(kept));
    ck_assert_mem_eq(key_buffer->data, kept, sizeof(kept));
    sparse_sum_free(sum);
    sparse_sum_free(other);
    buffer_unref(key_buffer);
    key_index_fini(&scratch);
}
END_TEST

/* Two equal ones are found wherever they stand among many that ascend, the same key first and last too. */
START_TEST(doubles_among_many_are_found)
{
    enum { COUNT = 1000 };
    static uint64_t keys[COUNT];
    static float rows[COUNT][D];
    struct key_index scratch = {0};

    for (uint32_t at = 1; at < COUNT; at++) {
        struct sparse_sum *sum;

        for (uint32_t i = 0; i < COUNT; i++)
            keys[i] = 3 * (i - (i >= at)), rows[i][0] = 1;
        sum = sum_of(keys, rows[0], COUNT, &scratch);
        MUST(sum->count == COUNT - 1);
        MUST(row_of(sum, 3 * (at - 1))[0] == 2);
        sparse_sum_free(sum);
    }
    key_index_fini(&scratch);
}
END_TEST

START_TEST(a_push_may_have_no_keys)
{
    static const uint64_t keys[] = {3};
    static const float row[D] = {1, 2, 3, 4, 5};
    struct key_index scratch = {0};
    struct sparse_sum *empty = sparse_sum_new(D, NULL, NULL, &scratch), *other;

    ck_assert_ptr_nonnull(empty);
    ck_assert_uint_eq(empty->count, 0);
    other = sum_of(keys, row, 1, &scratch);
    ck_assert_int_eq(sparse_sum_add(other, empty, D, NULL, &scratch), CAIRN_OK);
    ck_assert_uint_eq(other->count, 1);
    ck_assert_int_eq(sparse_sum_add(empty, other, D, NULL, &scratch), CAIRN_OK);
    ck_assert_uint_eq(empty->count, 1);
    ck_assert_mem_eq(row_of(empty, 3), row, sizeof(row));
    sparse_sum_free(empty);
    sparse_sum_free(other);
    sparse_sum_free(NULL);
    key_index_fini(&scratch);
}
END_TEST

START_TEST(a_minus_zero_that_is_alone_stays_one)
{
    static const uint64_t keys[] = {1, 2};
    const float rows[2][D] = {{-0.0f}, {-0.0f}};
    struct key_index scratch = {0};
    struct sparse_sum *left = sum_of(keys, rows[0], 1, &scratch);
    struct sparse_sum *right = sum_of(keys + 1, rows[1], 1, &scratch);

    ck_assert_int_eq(sparse_sum_add(left, right, D, NULL, &scratch), CAIRN_OK);
    ck_assert_mem_eq(row_of(left, 1), rows[0], sizeof(rows[0]));
    ck_assert_mem_eq(row_of(left, 2), rows[1], sizeof(rows[1]));
    sparse_sum_free(left);
    sparse_sum_free(right);
    key_index_fini(&scratch);
}
END_TEST

/* ---- the tree */

struct fold_context {
    struct key_index scratch;
};

static void *fold(void *context, struct tree_node node, void *left, void *right)
{
    struct fold_context *folds = context;

    (void)node;
    MUST(sparse_sum_add(left, right, D, NULL, &folds->scratch) == CAIRN_OK);
    sparse_sum_free(right);
    return left;
}

static void drop(void *context, void *payload)
{
    (void)context;
    sparse_sum_free(payload);
}

static const struct tree_ops ops = {fold, drop};

static struct sparse_sum *push_of(uint64_t seed, struct tree_node node, struct key_index *scratch)
{
    struct buffer *keys, *rows;
    struct sparse_sum *sum;

    plain_node_push(seed, 3, node, NULL, NULL, &keys, &rows);
    sum = sparse_sum_new(D, keys, rows, scratch);
    MUST(sum);
    buffer_unref(keys);
    return sum;
}

/* Random covers of random spans, until the root is there. */
START_TEST(any_covers_give_the_definitions_bits)
{
    struct fold_context context = {{0}};
    uint64_t seed = (uint64_t)_i;
    struct chance chance = {seed << 32};
    struct tree *tree = tree_new(MICROBATCHES, &ops, &context);
    struct sparse_sum *root;
    uint64_t samples;
    uint32_t present = 0;
    bool is_whole = false;

    ck_assert_ptr_nonnull(tree);
    while (!is_whole) {
        struct tree_node nodes[TREE_COVER_MAX];
        uint32_t begin = draw(&chance, MICROBATCHES), end = begin + 1 + draw(&chance, MICROBATCHES - begin);
        uint32_t count = tree_cover(MICROBATCHES, begin, end, nodes);

        for (uint32_t i = count; i > 0 && !is_whole; i--)
            is_whole =
                tree_add(tree, nodes[i - 1], push_of(seed, nodes[i - 1], &context.scratch), 1) == TREE_ROOT;
    }
    root = tree_take_root(tree, &samples);
    for (uint32_t i = 0; i < PLAIN_KEYS; i++) {
        const float *row = row_of(root, plain_key(i));
        float expected[D];

        MUST(plain_node_row(seed, 3, (struct tree_node){0, MICROBATCHES}, i, expected) == (row != NULL));
        MUST(!row || memcmp(row, expected, sizeof(expected)) == 0);
        present += row != NULL;
    }
    ck_assert_uint_eq(root->count, present);
    sparse_sum_free(root);
    tree_free(tree);
    key_index_fini(&context.scratch);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("sparse_sum");
    TCase *tests = tcase_create("sparse_sum");

    tcase_add_test(tests, doubles_add_in_order_of_appearance);
    tcase_add_test(tests, ascending_keys_are_kept_and_never_written_to);
    tcase_add_test(tests, doubles_among_many_are_found);
    tcase_add_test(tests, a_push_may_have_no_keys);
    tcase_add_test(tests, a_minus_zero_that_is_alone_stays_one);
    tcase_add_loop_test(tests, any_covers_give_the_definitions_bits, 0, 60);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
