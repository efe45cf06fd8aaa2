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
    table->step = table->base = step;
    table->link = chain_alone();
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
    sum_clear(table);
    tree_free(table->tree);
    free(table);
}

void sum_clear(struct sum_table *table)
{
    if (table->tree)
        tree_clear(table->tree);
    for (uint32_t i = 0; i < table->whole_count; i++)
        buffer_unref(table->whole[i].values);
    table->whole_count = 0;
    for (int i = 0; i < 2; i++) {
        buffer_unref(table->kept[i].values);
        table->kept[i] = (struct sum_version){0};
    }
    table->begun = false;
}

bool sum_table_takes(const struct sum_table *table, uint64_t step)
{
    if (table->whole_count == SUMS_WHOLE_MAX)
        return false;
    return step == table->step || (step > table->step && table->may_skip && !table->begun);
}

/* The sum of a step is whole: takes it, and the next step is in hand. */
static void whole_add(struct sum_table *table, uint64_t step, struct buffer *sums)
{
    table->whole[table->whole_count++] = (struct sum_version){step + 1, table->base, sums};
    table->step = table->base = step + 1;
    table->begun = false;
}

bool sum_push(struct sum_table *table, uint64_t step, struct tree_node node, struct buffer *sums)
{
    uint64_t samples; /* are in the sums themselves */

    BUG_IF(!sum_table_takes(table, step));
    table->step = step;
    table->begun = true;
    if (tree_add(table->tree, node, sums, 0) != TREE_ROOT)
        return false;
    whole_add(table, step, tree_take_root(table->tree, &samples));
    return true;
}

bool sum_take_whole(struct sum_table *table, uint64_t base, uint64_t step, struct buffer *sums)
{
    if (base != table->base || step < base || table->whole_count == SUMS_WHOLE_MAX) {
        buffer_unref(sums);
        return false;
    }
    tree_clear(table->tree);
    whole_add(table, step, sums);
    return true;
}

void sum_update(struct sum_table *table)
{
    BUG_IF(table->whole_count == 0);
    buffer_unref(table->kept[1].values);
    table->kept[1] = table->kept[0];
    table->kept[0] = table->whole[0];
    table->whole_count--;
    table->whole[0] = table->whole[1];
}

void sum_restore(struct sum_table *table, uint64_t step, const struct sum_version kept[2])
{
    table->step = table->base = step;
    for (int i = 0; i < 2; i++) {
        buffer_unref(table->kept[i].values);
        table->kept[i] = kept[i];
        if (kept[i].values)
            buffer_ref(kept[i].values);
    }
}

struct buffer *sum_version(const struct sum_table *table, uint64_t version)
{
    for (int i = 0; i < 2; i++) {
        if (table->kept[i].values && table->kept[i].version == version)
            return table->kept[i].values;
    }
    return NULL;
}

uint64_t sum_table_version(const struct sum_table *table)
{
    return table->whole_count > 0 ? table->whole[0].version - 1 : table->step;
}
