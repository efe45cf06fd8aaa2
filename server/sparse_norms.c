/* Norms of a sparse table's gradients: a part for each slot, of the sums that are here. Who is the head of a
 * slot gives its part, once the whole sum is here, whoever has formed it. Knows nothing of messages. */
#include "sparse_table.h"

#include "cluster/placement.h"

#include <stdlib.h>
#include <string.h>

/* A shard is at most a version ahead of the next in a row of shards that have a slot, and nobody is more than
 * a version ahead of a head. */
enum { VERSIONS_APART = SLOT_ROW_MAX };

enum status sparse_begin_norms(struct sparse_table *table, uint32_t slot_count, uint64_t version)
{
    const struct norm_params params = {
        .spec = &table->spec->optimizer, .piece_count = slot_count, .apart = VERSIONS_APART};

    if (!optimizer_spec_needs_norms(params.spec))
        return CAIRN_OK;
    BUG_IF(params.spec->type == OPTIMIZER_LAMB);
    norm_rounds_free(table->rounds);
    table->rounds = norm_rounds_new(&params, version);
    if (!table->squares)
        table->squares = calloc(slot_count, sizeof(table->squares[0]));
    return table->rounds && table->squares ? CAIRN_OK : CAIRN_NO_MEMORY;
}

/* Marks the slots whose parts are owed, and can be given; how many. */
static uint32_t mark_owed(const struct sparse_table *table)
{
    const struct exchange *exchange = norm_rounds_exchange(table->rounds);
    const struct sparse_chain *chain = table->chain;
    uint32_t count = 0;

    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        const struct sparse_slot *at = &chain->slots[slot];

        chain->marks[slot] = at->place.is_head && !at->awaits && at->has > table->version &&
                             !exchange_has_given(exchange, slot);
        count += chain->marks[slot];
    }
    return count;
}

/* Adds the squares of a sum's keys to those of their slots that are marked. */
static void measure(const struct sparse_table *table, const struct sparse_sum *sum, float samples)
{
    const struct sparse_chain *chain = table->chain;
    const uint64_t *keys = sparse_sum_keys(sum);
    uint32_t dimension = table->spec->dimension;

    for (uint32_t i = 0; i < sum->count; i++) {
        uint32_t slot = placement_key_slot(keys[i], chain->slot_count);

        if (chain->marks[slot])
            exact_sum_add(
                &table->squares[slot],
                norms_gradient_squares(sparse_sum_values(sum) + (size_t)i * dimension, samples, dimension));
    }
}

void sparse_measure(struct sparse_table *table)
{
    const struct sparse_chain *chain = table->chain;
    float samples = chain->now.samples ? (float)chain->now.samples : 1.0f;

    if (!norm_rounds_is_at(table->rounds, table->version) || mark_owed(table) == 0)
        return;
    memset(table->squares, 0, chain->slot_count * sizeof(table->squares[0]));
    for (uint32_t i = 0; i < chain->now.count; i++)
        measure(table, chain->now.items[i], samples);
    for (uint32_t slot = 0; slot < chain->slot_count; slot++) {
        if (!chain->marks[slot])
            continue;
        norm_rounds_begin(table->rounds, slot);
        norm_rounds_add_gradients(table->rounds, 0, &table->squares[slot]);
        norm_rounds_give(table->rounds);
    }
}

bool sparse_lacks_sums(const struct sparse_table *table)
{
    uint32_t open, heads;

    sparse_chain_count(table->chain, table->version, &open, &heads);
    return open > 0 && norm_rounds_is_at(table->rounds, table->version);
}

bool sparse_awaits_parts(const struct sparse_table *table)
{
    return !sparse_is_blank(table) && sparse_chain_is_whole(table->chain, table->version) &&
           norm_rounds_is_at(table->rounds, table->version);
}
