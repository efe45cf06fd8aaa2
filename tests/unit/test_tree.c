/* The reduction tree against a plain recursive sum, bit for bit, over random arrival orders, duplicates and
 * overlapping nodes. Payloads are counted, so that none is lost or dropped twice. */
#include "math/tree.h"

#include "check_main.h"

#include <stdio.h>
#include <string.h>

#define LEAVES_MAX 70

/* What a payload is here: one float, and who holds how many of them. */
struct fixture {
    uint64_t random;
    int alive;
    uint32_t leaves;
    float values[LEAVES_MAX];
    uint64_t samples[LEAVES_MAX];
};

static uint64_t draw(struct fixture *fixture, uint64_t bound)
{
    fixture->random = fixture->random * 6364136223846793005u + 1442695040888963407u;
    return (fixture->random >> 33) % bound;
}

static float *payload_new(struct fixture *fixture, float value)
{
    float *payload = malloc(sizeof(*payload));

    ck_assert_ptr_nonnull(payload);
    *payload = value;
    fixture->alive++;
    return payload;
}

static void drop(void *context, void *payload)
{
    struct fixture *fixture = context;

    fixture->alive--;
    free(payload);
}

static float reference_sum(const struct fixture *fixture, uint32_t begin, uint32_t end);

/* The sum is in one of the two, now this and now that. */
static void *fold(void *context, struct tree_node node, void *left, void *right)
{
    struct fixture *fixture = context;
    uint32_t middle = node.begin + (node.end - node.begin) / 2;
    float sum = *(float *)left + *(float *)right;
    void *kept = fixture->alive % 2 ? left : right;

    if (fixture->leaves > 0) { /* the values are known */
        ck_assert_float_eq(*(float *)left, reference_sum(fixture, node.begin, middle));
        ck_assert_float_eq(*(float *)right, reference_sum(fixture, middle, node.end));
    }
    *(float *)kept = sum;
    drop(context, kept == left ? right : left);
    return kept;
}

static const struct tree_ops ops = {fold, drop};

/* The sum that the header promises, from its sentence alone. */
static float reference_sum(const struct fixture *fixture, uint32_t begin, uint32_t end)
{
    uint32_t middle = begin + (end - begin) / 2;

    if (end - begin == 1)
        return fixture->values[begin];
    return reference_sum(fixture, begin, middle) + reference_sum(fixture, middle, end);
}

static uint64_t reference_samples(const struct fixture *fixture, uint32_t begin, uint32_t end)
{
    uint64_t sum = 0;

    for (uint32_t i = begin; i < end; i++)
        sum += fixture->samples[i];
    return sum;
}

/* Values of very different sizes, so that another order of addition shows. */
static void fixture_fill(struct fixture *fixture, uint32_t leaves)
{
    fixture->leaves = leaves;
    for (uint32_t i = 0; i < leaves; i++) {
        fixture->values[i] = ((float)draw(fixture, 2000001) - 1000000.0f) * (float)(1u << draw(fixture, 12));
        fixture->samples[i] = draw(fixture, 100);
    }
}

static enum tree_outcome add_node(struct fixture *fixture, struct tree *tree, struct tree_node node)
{
    return tree_add(tree, node, payload_new(fixture, reference_sum(fixture, node.begin, node.end)),
                    reference_samples(fixture, node.begin, node.end));
}

static void assert_root(struct fixture *fixture, struct tree *tree)
{
    uint64_t samples = 0;
    float *root = tree_take_root(tree, &samples), expected = reference_sum(fixture, 0, fixture->leaves);

    ck_assert_int_eq(memcmp(root, &expected, sizeof(expected)), 0);
    ck_assert_uint_eq(samples, reference_samples(fixture, 0, fixture->leaves));
    drop(fixture, root);
    ck_assert_int_eq(fixture->alive, 0);
}

static struct tree_node random_node(struct fixture *fixture)
{
    struct tree_node node = {0, fixture->leaves};

    while (node.end - node.begin > 1 && draw(fixture, 4) != 0) {
        uint32_t middle = node.begin + (node.end - node.begin) / 2;

        if (draw(fixture, 2))
            node.begin = middle;
        else
            node.end = middle;
    }
    return node;
}

/* Adds nodes at random, with duplicates and overlaps, until the root is there; says what each add must say by
 * a plain set of covered leaves. */
static void run_random_nodes(struct fixture *fixture, struct tree *tree)
{
    bool covered[LEAVES_MAX] = {false};
    uint32_t missing = fixture->leaves;

    while (missing > 0) {
        struct tree_node node = random_node(fixture);
        uint32_t fresh = 0;
        enum tree_outcome outcome;

        for (uint32_t i = node.begin; i < node.end; i++)
            fresh += !covered[i];
        ck_assert_int_eq(tree_covers(tree, node), fresh == 0);
        outcome = add_node(fixture, tree, node);
        missing -= fresh;
        ck_assert_int_eq(outcome, fresh == 0 ? TREE_COVERED : missing == 0 ? TREE_ROOT : TREE_HELD);
        memset(covered + node.begin, true, node.end - node.begin);
        ck_assert_int_le(fixture->alive, (int)fixture->leaves);
    }
    ck_assert_int_eq(add_node(fixture, tree, random_node(fixture)), TREE_COVERED);
    ck_assert_int_eq(fixture->alive, 1);
}

START_TEST(any_order_gives_the_same_bits)
{
    struct fixture fixture = {.random = 20240501};

    for (uint32_t leaves = 1; leaves <= LEAVES_MAX; leaves++) {
        struct tree *tree = tree_new(leaves, &ops, &fixture);

        ck_assert_ptr_nonnull(tree);
        for (int round = 0; round < 30; round++) { /* the same tree serves step after step */
            fixture_fill(&fixture, leaves);
            run_random_nodes(&fixture, tree);
            assert_root(&fixture, tree);
        }
        tree_free(tree);
    }
}
END_TEST

/* As workers do it: spans cut at random, each sent as its cover, in random order and some of it twice. */
static void run_random_spans(struct fixture *fixture, struct tree *tree)
{
    struct tree_node nodes[2 * LEAVES_MAX], cover[TREE_COVER_MAX];
    uint32_t count = 0, begin = 0;
    enum tree_outcome outcome = TREE_HELD;

    while (begin < fixture->leaves) {
        uint32_t end = begin + 1 + (uint32_t)draw(fixture, fixture->leaves - begin);
        uint32_t covering = tree_cover(fixture->leaves, begin, end, cover);

        for (uint32_t i = 0; i < covering; i++)
            nodes[count++] = cover[i];
        begin = end;
    }
    for (uint32_t sent = 0; sent < count; sent++) {
        uint32_t other = sent + (uint32_t)draw(fixture, count - sent);
        struct tree_node node = nodes[other];

        nodes[other] = nodes[sent];
        nodes[sent] = node;
        outcome = add_node(fixture, tree, node);
        ck_assert_int_eq(outcome, sent + 1 == count ? TREE_ROOT : TREE_HELD);
        if (draw(fixture, 3) == 0)
            ck_assert_int_eq(add_node(fixture, tree, nodes[draw(fixture, sent + 1)]), TREE_COVERED);
    }
}

START_TEST(any_spans_give_the_same_bits)
{
    struct fixture fixture = {.random = 77};

    for (uint32_t leaves = 1; leaves <= LEAVES_MAX; leaves++) {
        struct tree *tree = tree_new(leaves, &ops, &fixture);

        for (int round = 0; round < 30; round++) {
            fixture_fill(&fixture, leaves);
            run_random_spans(&fixture, tree);
            assert_root(&fixture, tree);
        }
        tree_free(tree);
    }
}
END_TEST

START_TEST(clearing_and_freeing_drop_everything)
{
    struct fixture fixture = {.random = 5};
    struct tree *tree = tree_new(33, &ops, &fixture);

    fixture_fill(&fixture, 33);
    for (uint32_t leaf = 0; leaf < 33; leaf += 3)
        ck_assert_int_eq(add_node(&fixture, tree, (struct tree_node){leaf, leaf + 1}), TREE_HELD);
    ck_assert_int_eq(fixture.alive, 11);
    tree_clear(tree);
    ck_assert_int_eq(fixture.alive, 0);
    ck_assert(!tree_covers(tree, (struct tree_node){0, 1}));
    ck_assert_int_eq(add_node(&fixture, tree, (struct tree_node){0, 16}), TREE_HELD);
    tree_free(tree);
    ck_assert_int_eq(fixture.alive, 0);
    tree_free(NULL);
}
END_TEST

START_TEST(foreign_nodes_are_dropped)
{
    struct fixture fixture = {.random = 5};
    struct tree *tree = tree_new(10, &ops, &fixture);
    const struct tree_node nodes[] = {{0, 0},  {3, 3}, {5, 2},          {0, 11},
                                      {0, 3},  {1, 3}, {9, UINT32_MAX}, {UINT32_MAX, UINT32_MAX},
                                      {1, 10}, {4, 6}, {UINT32_MAX, 0}};

    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        ck_assert(!tree_has_node(10, nodes[i]));
        ck_assert_int_eq(tree_add(tree, nodes[i], payload_new(&fixture, 1), 1), TREE_FOREIGN);
        ck_assert_int_eq(fixture.alive, 0);
    }
    ck_assert(!tree_has_node(0, (struct tree_node){0, 0}));
    ck_assert(!tree_has_node(0, (struct tree_node){0, 1}));
    tree_free(tree);
}
END_TEST

static uint32_t count_nodes(uint32_t leaves, struct tree_node node)
{
    struct tree_node parent;
    uint32_t middle = node.begin + (node.end - node.begin) / 2;
    bool is_left;

    ck_assert(tree_has_node(leaves, node));
    if (node.end - node.begin == leaves)
        ck_assert(!tree_parent(leaves, node, &parent, &is_left));
    if (node.end - node.begin == 1)
        return 1;
    ck_assert(tree_parent(leaves, (struct tree_node){node.begin, middle}, &parent, &is_left));
    ck_assert(is_left && parent.begin == node.begin && parent.end == node.end);
    ck_assert(tree_parent(leaves, (struct tree_node){middle, node.end}, &parent, &is_left));
    ck_assert(!is_left && parent.begin == node.begin && parent.end == node.end);
    return 1 + count_nodes(leaves, (struct tree_node){node.begin, middle}) +
           count_nodes(leaves, (struct tree_node){middle, node.end});
}

START_TEST(the_tree_has_just_its_nodes)
{
    for (uint32_t leaves = 1; leaves <= LEAVES_MAX; leaves++) {
        uint32_t found = 0;

        for (uint32_t begin = 0; begin <= leaves; begin++) {
            for (uint32_t end = 0; end <= leaves + 1; end++)
                found += tree_has_node(leaves, (struct tree_node){begin, end});
        }
        ck_assert_uint_eq(found, 2 * leaves - 1);
        ck_assert_uint_eq(count_nodes(leaves, (struct tree_node){0, leaves}), 2 * leaves - 1);
    }
}
END_TEST

/* The cover is contiguous and holds no two siblings that could be one node. */
static void assert_cover(uint32_t leaves, uint32_t begin, uint32_t end)
{
    struct tree_node nodes[TREE_COVER_MAX], parent;
    uint32_t count = tree_cover(leaves, begin, end, nodes), reached = begin;
    bool is_left;

    uint32_t wrong = 0; /* one assertion a cover: Check's are slow, and there are many covers */

    for (uint32_t i = 0; i < count; i++) {
        wrong += nodes[i].begin != reached || !tree_has_node(leaves, nodes[i]);
        reached = nodes[i].end;
        if (tree_parent(leaves, nodes[i], &parent, &is_left))
            wrong += parent.begin >= begin && parent.end <= end;
    }
    ck_assert(wrong == 0 && reached == end);
}

START_TEST(covers_are_exact_and_least)
{
    const uint32_t most[] = {4095, 4096, 3000, 2049};

    for (uint32_t leaves = 1; leaves <= LEAVES_MAX; leaves++) {
        for (uint32_t begin = 0; begin <= leaves; begin++) {
            for (uint32_t end = begin; end <= leaves; end++)
                assert_cover(leaves, begin, end);
        }
    }
    for (int i = 0; i < 4; i++) {
        for (uint32_t cut = 1; cut < 300; cut++)
            assert_cover(most[i], cut, most[i] - cut);
    }
}
END_TEST

START_TEST(the_largest_tree_works)
{
    struct fixture fixture = {.random = 1};
    struct tree *tree = tree_new(TREE_LEAVES_MAX, &ops, &fixture);
    uint64_t samples = 0;
    float *root;

    for (uint32_t leaf = TREE_LEAVES_MAX; leaf-- > 0;) {
        enum tree_outcome outcome =
            tree_add(tree, (struct tree_node){leaf, leaf + 1}, payload_new(&fixture, 1), leaf);

        ck_assert_int_eq(outcome, leaf == 0 ? TREE_ROOT : TREE_HELD);
    }
    root = tree_take_root(tree, &samples);
    ck_assert(*root == (float)TREE_LEAVES_MAX);
    ck_assert_uint_eq(samples, (uint64_t)TREE_LEAVES_MAX * (TREE_LEAVES_MAX - 1) / 2);
    drop(&fixture, root);
    tree_free(tree);
    ck_assert_int_eq(fixture.alive, 0);
}
END_TEST

static Suite *tree_suite(void)
{
    Suite *suite = suite_create("tree");
    TCase *cases = tcase_create("tree");

    tcase_set_timeout(cases, 30);
    tcase_add_test(cases, any_order_gives_the_same_bits);
    tcase_add_test(cases, any_spans_give_the_same_bits);
    tcase_add_test(cases, clearing_and_freeing_drop_everything);
    tcase_add_test(cases, foreign_nodes_are_dropped);
    tcase_add_test(cases, the_tree_has_just_its_nodes);
    tcase_add_test(cases, covers_are_exact_and_least);
    tcase_add_test(cases, the_largest_tree_works);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(tree_suite)
