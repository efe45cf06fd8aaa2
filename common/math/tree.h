/* The reduction tree: the fixed shape in which sums over a batch's microbatches are formed.
 *
 * Problem: float addition does not associate, so a sum's bits depend on who adds what first. Design: the tree
 * over microbatch indices [0, leaves) is fixed; node [begin, end) is the sum of its two halves, split at
 * begin + (end - begin) / 2, left first. Whoever computes a node, whenever it arrives, however often: the
 * root's bits are the same.
 *
 * This module is the logic only: it knows nothing of sockets, buffers or floats. It tells its caller which
 * payloads to keep, drop and add. It is used by shards (one tree a chunk) and, through tree_cover, by
 * workers. One thread an object.
 *
 * Invariant: the held nodes are disjoint, and no two held nodes are siblings. */
#ifndef CAIRN_MATH_TREE_H
#define CAIRN_MATH_TREE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Upper bound of microbatches a step, so that foreign numbers cannot make us allocate without bound. */
#define TREE_LEAVES_MAX 4096
/* The most nodes that cover a span. */
#define TREE_COVER_MAX 24

/* Half-open range of microbatch indices. */
struct tree_node {
    uint32_t begin, end;
};

/* Whether node is one of the tree over [0, leaves). Accepts any numbers. */
bool tree_has_node(uint32_t leaves, struct tree_node node);

/* The parent of a node and whether the node is its left half; false for the root. node must be of the tree. */
bool tree_parent(uint32_t leaves, struct tree_node node, struct tree_node *parent, bool *is_left);

/* The fewest nodes, from left to right, whose union is [begin, end), begin <= end <= leaves.
 * Returns their number (0 for an empty span), at most TREE_COVER_MAX. */
uint32_t tree_cover(uint32_t leaves, uint32_t begin, uint32_t end, struct tree_node nodes[TREE_COVER_MAX]);

struct tree;

/* What to do with payloads, called during tree_add, in order. Payloads are opaque, never NULL. */
struct tree_ops {
    /* The payload of node, the sum of its halves left + right: one of the two, or another. Takes both. */
    void *(*fold)(void *context, struct tree_node node, void *left, void *right);
    /* The payload is needed no more. */
    void (*drop)(void *context, void *payload);
};

enum tree_outcome {
    TREE_HELD,    /* kept (perhaps folded), the root is not there yet */
    TREE_ROOT,    /* the root is there: tree_take_root */
    TREE_COVERED, /* known already: the payload was dropped */
    TREE_FOREIGN  /* not a node of this tree: the payload was dropped */
};

/* An empty tree; NULL: out of memory. leaves in [1, TREE_LEAVES_MAX]. Owns: the caller. */
struct tree *tree_new(uint32_t leaves, const struct tree_ops *ops, void *context);

/* Drops all payloads and the tree. NULL is allowed. */
void tree_free(struct tree *tree);

/* Adds the payload of a node: idempotent, in any order. Takes the payload in every case. samples is summed
 * along. A node that contains held ones replaces them (they are the same sum in parts; they are dropped). */
enum tree_outcome tree_add(struct tree *tree, struct tree_node node, void *payload, uint64_t samples);

/* The root's payload and the samples in it; the tree is empty afterwards and keeps its memory.
 * Owns: the caller takes the payload. Only after TREE_ROOT. */
void *tree_take_root(struct tree *tree, uint64_t *samples);

/* Drops all payloads; the tree is empty and keeps its memory. */
void tree_clear(struct tree *tree);

/* Whether [node) is covered by what is held. */
bool tree_covers(const struct tree *tree, struct tree_node node);

#endif
