/* A sparse table's places in a map: which of its slots are here and served here, whose rows go with a slot
 * that leaves, and what a slot that was copied here brings. Knows nothing of messages. */
#include "sparse_table.h"

#include "cluster/placement.h"

bool sparse_is_blank(const struct sparse_table *table)
{
    return table->chain && sparse_chain_is_blank(table->chain);
}

bool sparse_is_expected(const struct sparse_table *table, uint64_t step)
{
    return !sparse_is_blank(table) && table->first_version < step;
}

/* Keys of marked slots, some at a time. */
struct marked_keys {
    const struct sparse_chain *chain;
    uint64_t keys[ROWS_BLOCK_MAX];
    uint32_t count;
};

static enum status marked_collect(void *context, const struct row *row, struct error *error)
{
    struct marked_keys *marked = context;

    if (!marked->chain->marks[placement_key_slot(row->key, marked->chain->slot_count)])
        return CAIRN_OK;
    if (marked->count == ROWS_BLOCK_MAX)
        return error_set(error, CAIRN_AGAIN, "more than a block");
    marked->keys[marked->count++] = row->key;
    return CAIRN_OK;
}

/* A slice that has more than a block is looked at again, when these are gone. */
static enum status rows_remove_marked(struct rows *rows, const struct sparse_chain *chain,
                                      struct error *error)
{
    struct marked_keys marked = {.chain = chain};
    struct rows_scan scan = {0};
    enum status status = CAIRN_OK;

    while (rows && status == CAIRN_OK && !scan.is_done) {
        marked.count = 0;
        status = rows_scan(rows, &scan, 0, ROWS_BLOCK_MAX, marked_collect, &marked, error);
        if (status == CAIRN_AGAIN)
            status = CAIRN_OK;
        if (status == CAIRN_OK && marked.count > 0)
            status = rows_remove(rows, marked.keys, marked.count, error);
    }
    return status;
}

enum status sparse_table_remove(struct sparse_table *table, struct error *error)
{
    enum status status = rows_remove_marked(table->rows, table->chain, error);

    return status == CAIRN_OK ? rows_remove_marked(table->candidates, table->chain, error) : status;
}

/* Nothing is left of a table whose last slot has gone. */
static void blank(struct sparse_table *table)
{
    tree_clear(table->tree);
    sparse_sum_free(table->before.sum);
    table->before.sum = NULL;
    table->before.is_known = table->before.is_indexed = false;
    table->chain->passes = 0;
}

/* Rows of slots that have left, or come anew, go; and those that a copy on its way has brought, which begins
 * anew. */
static enum status slots_leave(struct sparse_table *table, struct error *error)
{
    sparse_chain_close_copy(table->chain);
    if (sparse_chain_forget(table->chain) != CAIRN_OK)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for the sums of table %s", table->spec->name);
    for (uint32_t slot = 0; slot < table->chain->slot_count; slot++) {
        struct sparse_slot *at = &table->chain->slots[slot];

        table->chain->marks[slot] = at->is_dirty && (!at->place.is_member || at->awaits);
        at->is_dirty = at->is_dirty && !table->chain->marks[slot];
    }
    if (sparse_chain_is_blank(table->chain))
        blank(table);
    return sparse_table_remove(table, error);
}

enum status sparse_table_place(struct sparse_table *table, const struct slot_map *map, uint32_t thread,
                               struct sparse_moved *moved, struct error *error)
{
    struct sparse_chain *chain = table->chain;

    *moved = (struct sparse_moved){false, false};
    for (uint32_t slot = 0; slot < map->slot_count; slot++) {
        const struct slot_place place = slot_map_place(map, thread, slot);
        bool was_head = chain->slots[slot].place.is_head;
        enum sparse_move move = sparse_chain_place(chain, slot, &place, map->number);

        moved->serves = moved->serves || was_head != place.is_head;
        moved->leaves = moved->leaves || move == SPARSE_LEAVES;
        chain->slots[slot].is_dirty = chain->slots[slot].is_dirty || move == SPARSE_LEAVES;
    }
    if (moved->serves)
        tree_clear(table->tree);
    sparse_chain_check_copy(chain);
    return moved->leaves ? slots_leave(table, error) : CAIRN_OK;
}

enum status sparse_table_copied(struct sparse_table *table, bool before_is_known)
{
    bool was_blank = sparse_is_blank(table);
    struct sparse_sum *known = was_blank ? NULL : table->before.sum, *before;

    if (!was_blank)
        table->before.sum = NULL; /* taken */
    before = sparse_chain_join_before(table->chain, known);
    if (!before)
        return CAIRN_NO_MEMORY;
    sparse_sum_free(table->before.sum);
    table->before.sum = before;
    table->before.is_indexed = false;
    if (was_blank) { /* what was known of norms is of when it was here last, if ever */
        if (sparse_begin_norms(table, table->chain->slot_count, 0) != CAIRN_OK)
            return CAIRN_NO_MEMORY;
        table->before.is_known = before_is_known;
        table->version = table->first_version = table->chain->copying.step;
        tree_clear(table->tree);
        rows_loosen(table->rows);
        if (table->candidates)
            rows_loosen(table->candidates);
    }
    sparse_chain_copied(table->chain);
    return CAIRN_OK;
}

enum status sparse_table_use_chain(struct sparse_table *table, const struct slot_map *map, uint32_t thread)
{
    struct sparse_chain *chain = sparse_chain_new(map->slot_count, table->spec->dimension, table->version);
    struct sparse_sum *sum = table->sum;

    if (!chain)
        return CAIRN_NO_MEMORY;
    for (uint32_t slot = 0; slot < map->slot_count; slot++) {
        const struct slot_place place = slot_map_place(map, thread, slot);

        sparse_chain_begin(chain, slot, &place);
        chain->slots[slot].is_dirty = table->version > 0;
    }
    table->chain = chain;
    table->sum = NULL;
    return sum ? sparse_chain_take_own(chain, table->version, sum, table->sum_samples) : CAIRN_OK;
}
