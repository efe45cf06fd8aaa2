/* The reduction tree. Knows nothing of sockets, buffers or floats: it only says which payloads to add and
 * drop.
 *
 * Every node of the fixed tree has a place in one array, found from its span alone: a leaf [lo, lo + 1) at
 * lo, an inner node that is split at m at leaves + m - 1 (each m in (0, leaves) splits exactly one node). So
 * a tree allocates once, and holding, looking up and forgetting a node cost nothing but the descent to it. */
#include "math/tree.h"

#include <stddef.h>
#include <stdlib.h>

struct part {
    void *payload; /* NULL: not held */
    uint64_t samples;
};

struct tree {
    uint32_t leaves;
    const struct tree_ops *ops;
    void *context;
    struct part parts[]; /* [2 * leaves - 1] */
};

static uint32_t node_middle(struct tree_node node)
{
    return node.begin + (node.end - node.begin) / 2;
}

static bool node_is_leaf(struct tree_node node)
{
    return node.end - node.begin == 1;
}

static bool node_equals(struct tree_node a, struct tree_node b)
{
    return a.begin == b.begin && a.end == b.end;
}

static struct tree_node left_half(struct tree_node node)
{
    return (struct tree_node){node.begin, node_middle(node)};
}

static struct tree_node right_half(struct tree_node node)
{
    return (struct tree_node){node_middle(node), node.end};
}

/* The half of `at` in which `node` begins. */
static struct tree_node half_towards(struct tree_node at, struct tree_node node)
{
    return node.begin < node_middle(at) ? left_half(at) : right_half(at);
}

bool tree_has_node(uint32_t leaves, struct tree_node node)
{
    struct tree_node at = {0, leaves};

    if (node.begin >= node.end || node.end > leaves)
        return false;
    while (!node_equals(at, node) && !node_is_leaf(at))
        at = half_towards(at, node);
    return node_equals(at, node);
}

bool tree_parent(uint32_t leaves, struct tree_node node, struct tree_node *parent, bool *is_left)
{
    struct tree_node at = {0, leaves};

    if (node_equals(at, node))
        return false;
    while (!node_is_leaf(at)) {
        struct tree_node half = half_towards(at, node);

        if (node_equals(half, node)) {
            *parent = at;
            *is_left = node.begin == at.begin;
            return true;
        }
        at = half;
    }
    BUG("tree_parent of a node that is not of the tree");
}

/* Appends the cover of [begin, end) within `at` to nodes[count]; returns the new count. */
static uint32_t cover_within(struct tree_node at, uint32_t begin, uint32_t end, struct tree_node *nodes,
                             uint32_t count)
{
    if (end <= at.begin || begin >= at.end)
        return count;
    if (begin <= at.begin && at.end <= end) {
        BUG_IF(count == TREE_COVER_MAX);
        nodes[count] = at;
        return count + 1;
    }
    count = cover_within(left_half(at), begin, end, nodes, count);
    return cover_within(right_half(at), begin, end, nodes, count);
}

uint32_t tree_cover(uint32_t leaves, uint32_t begin, uint32_t end, struct tree_node nodes[TREE_COVER_MAX])
{
    BUG_IF(begin > end || end > leaves || leaves > TREE_LEAVES_MAX);
    if (begin == end)
        return 0;
    return cover_within((struct tree_node){0, leaves}, begin, end, nodes, 0);
}

struct tree *tree_new(uint32_t leaves, const struct tree_ops *ops, void *context)
{
    struct tree *tree;

    BUG_IF(leaves == 0 || leaves > TREE_LEAVES_MAX);
    tree = calloc(1, sizeof(*tree) + (2 * (size_t)leaves - 1) * sizeof(tree->parts[0]));
    if (!tree)
        return NULL;
    tree->leaves = leaves;
    tree->ops = ops;
    tree->context = context;
    return tree;
}

void tree_free(struct tree *tree)
{
    if (!tree)
        return;
    tree_clear(tree);
    free(tree);
}

static struct tree_node tree_root(const struct tree *tree)
{
    return (struct tree_node){0, tree->leaves};
}

static uint32_t part_index(const struct tree *tree, struct tree_node node)
{
    return node_is_leaf(node) ? node.begin : tree->leaves + node_middle(node) - 1;
}

static struct part *part_of(struct tree *tree, struct tree_node node)
{
    return &tree->parts[part_index(tree, node)];
}

static bool is_held(const struct tree *tree, struct tree_node node)
{
    return tree->parts[part_index(tree, node)].payload != NULL;
}

/* Whether the part of [node) that lies in `at` is covered by what is held at or under `at`. */
static bool covers_within(const struct tree *tree, struct tree_node at, struct tree_node node)
{
    if (node.end <= at.begin || node.begin >= at.end || is_held(tree, at))
        return true;
    return !node_is_leaf(at) && covers_within(tree, left_half(at), node) &&
           covers_within(tree, right_half(at), node);
}

bool tree_covers(const struct tree *tree, struct tree_node node)
{
    return node.begin < node.end && node.end <= tree->leaves && covers_within(tree, tree_root(tree), node);
}

static void drop_part(struct tree *tree, struct part *part)
{
    void *payload = part->payload;

    *part = (struct part){NULL, 0};
    tree->ops->drop(tree->context, payload);
}

/* Drops what is held at or under `at`. */
static void drop_within(struct tree *tree, struct tree_node at)
{
    if (is_held(tree, at)) {
        drop_part(tree, part_of(tree, at)); /* nothing is held under a held node */
    } else if (!node_is_leaf(at)) {
        drop_within(tree, left_half(at));
        drop_within(tree, right_half(at));
    }
}

/* Makes one part of `at` from its two halves, when both are held. */
static void fold_halves(struct tree *tree, struct tree_node at)
{
    struct part *left = part_of(tree, left_half(at)), *right = part_of(tree, right_half(at));

    if (!left->payload || !right->payload)
        return;
    *part_of(tree, at) = (struct part){tree->ops->fold(tree->context, at, left->payload, right->payload),
                                       left->samples + right->samples};
    *left = *right = (struct part){NULL, 0};
}

/* Puts the part into its place under `at`, then folds on the way back up. */
static void settle(struct tree *tree, struct tree_node at, struct tree_node node, struct part part)
{
    if (node_equals(at, node)) {
        drop_within(tree, node);
        *part_of(tree, node) = part;
    } else {
        settle(tree, half_towards(at, node), node, part);
        fold_halves(tree, at);
    }
}

enum tree_outcome tree_add(struct tree *tree, struct tree_node node, void *payload, uint64_t samples)
{
    if (!tree_has_node(tree->leaves, node)) {
        tree->ops->drop(tree->context, payload);
        return TREE_FOREIGN;
    }
    if (tree_covers(tree, node)) {
        tree->ops->drop(tree->context, payload);
        return TREE_COVERED;
    }
    settle(tree, tree_root(tree), node, (struct part){payload, samples});
    return is_held(tree, tree_root(tree)) ? TREE_ROOT : TREE_HELD;
}

void *tree_take_root(struct tree *tree, uint64_t *samples)
{
    struct part *root = part_of(tree, tree_root(tree));
    void *payload = root->payload;

    BUG_IF(!payload);
    *samples = root->samples;
    *root = (struct part){NULL, 0};
    return payload;
}

void tree_clear(struct tree *tree)
{
    drop_within(tree, tree_root(tree));
}
