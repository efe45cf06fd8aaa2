/* Sums of steps. */
#include "sum_table.h"

#include "sums.h"

#include <stdlib.h>

static void *fold(void *context, struct tree_node node, void *left, void *right)
{
    const struct sum_table *table = context;

    (void)node;
    sum_float64(((struct buffer *)left)->data, ((struct buffer *)right)->data, table->elements);
    buffer_unref(right);
    return left;
}

static void drop(void *context, void *payload)
{
    (void)context;
    buffer_unref(payload);
}

static const struct tree_ops tree_ops = {fold, drop};

struct sum_table *sum_table_new(uint32_t elements, uint32_t microbatches, bool may_skip, uint64_t step)
{
    struct sum_table *table = calloc(1, sizeof(*table));

    if (!table)
        return NULL;
    table->elements = elements;
    table->may_skip = may_skip;
    table->step = step;
    table->tree = tree_new(microbatches, &tree_ops, table);
    if (!table->tree) {
        free(table);
        return NULL;
    }
    return table;
}

void sum_table_free(struct sum_table *table)
{
    if (!table)
        return;
    tree_free(table->tree);
    buffer_unref(table->values[0]);
    buffer_unref(table->values[1]);
    free(table);
}

bool sum_table_takes(const struct sum_table *table, uint64_t step)
{
    return step == table->step || (step > table->step && table->may_skip && !table->begun);
}

bool sum_push(struct sum_table *table, uint64_t step, struct tree_node node, struct buffer *sums)
{
    uint64_t samples; /* are in the sums themselves */

    BUG_IF(!sum_table_takes(table, step));
    table->step = step;
    table->begun = true;
    if (tree_add(table->tree, node, sums, 0) != TREE_ROOT)
        return false;
    buffer_unref(table->values[1]);
    table->values[1] = table->values[0];
    table->versions[1] = table->versions[0];
    table->values[0] = tree_take_root(table->tree, &samples);
    table->versions[0] = step + 1;
    table->step = step + 1;
    table->begun = false;
    return true;
}

struct buffer *sum_version(const struct sum_table *table, uint64_t version)
{
    for (int i = 0; i < 2; i++) {
        if (table->values[i] && table->versions[i] == version)
            return table->values[i];
    }
    return NULL;
}

uint64_t sum_table_version(const struct sum_table *table)
{
    return table->step;
}
