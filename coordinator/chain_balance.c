/* Shares and their squares. */
#include "chain_balance.h"

#include "cluster/placement.h"
#include "server_choice.h"

#include <stdlib.h>

#define VERSIONS 2 /* of values, that shards have in memory */

/* ---- what is in a slot */

static double bytes_of(uint64_t floats, const struct optimizer_spec *optimizer)
{
    return (double)floats * (VERSIONS + optimizer_spec_slot_count(optimizer)) * sizeof(float);
}

static double weights_in(const struct job *job, uint32_t slot)
{
    uint32_t chunk = placement_chunk(TABLE_WEIGHTS, slot, job_slot_count(job));
    uint64_t begin, end;

    if (!job->graph || chunk >= job->graph->chunk_count)
        return 0;
    graph_chunk(job->graph, chunk, &begin, &end);
    return bytes_of(end - begin, &job->optimizer);
}

static double table_in(const struct job *job, uint32_t index, uint32_t slot)
{
    const struct table_spec *table = &job->tables[index];
    uint32_t chunk = placement_chunk(TABLE_FIRST_USER + index, slot, job_slot_count(job));
    uint64_t begin, end;

    if (table->kind != TABLE_KIND_DENSE || chunk >= table_chunk_count(table))
        return 0;
    table_chunk(table, chunk, &begin, &end);
    return bytes_of(end - begin, &table->optimizer);
}

static struct chain_slot_content content_of(const struct job_entry *entry, uint32_t slot)
{
    const struct job *job = entry->job;
    struct chain_slot_content content = {.of = {[CHAIN_CHUNKS] = weights_in(job, slot)}};

    for (uint32_t i = 0; i < job->table_count; i++) {
        content.of[CHAIN_CHUNKS] += table_in(job, i, slot);
        if (job->tables[i].kind == TABLE_KIND_SPARSE)
            content.of[CHAIN_ROWS] = 1;
    }
    content.of[CHAIN_EMPTY] = chain_slot_is_used(entry, slot) && !job_slot_has_state(job, slot);
    return content;
}

/* ---- life */

/* Puts in what slots have, and what servers should have of it. */
static void contents_fill(struct chain_balance *balance, const struct job_entry *entry, uint32_t staying)
{
    for (uint32_t slot = 0; slot < job_slot_count(entry->job); slot++) {
        balance->slots[slot] = content_of(entry, slot);
        for (int i = 0; i < CHAIN_CONTENTS; i++) {
            for (uint32_t depth = 0; depth < balance->depths; depth++)
                balance->mean.of[i][depth] +=
                    balance->slots[slot].of[i] * (depth + 1) / (staying > 0 ? staying : 1);
        }
    }
}

bool chain_balance_init(struct chain_balance *balance, const struct job_entry *entry, uint32_t staying)
{
    size_t shards = entry->record->n_shards ? entry->record->n_shards : 1;

    *balance = (struct chain_balance){.shard_count = (uint32_t)entry->record->n_shards,
                                      .depths = entry->job->replicas,
                                      .servers = calloc(shards, sizeof(balance->servers[0])),
                                      .has = calloc(shards, sizeof(balance->has[0])),
                                      .all = calloc(shards, sizeof(balance->all[0])),
                                      .slots = calloc(job_slot_count(entry->job), sizeof(balance->slots[0]))};
    if (!balance->servers || !balance->has || !balance->all || !balance->slots) {
        chain_balance_fini(balance);
        return false;
    }
    for (size_t first = 0, next; first < balance->shard_count; first = next) {
        (void)recorded_server(entry->record, first, &next);
        for (size_t shard = first; shard < next; shard++)
            balance->servers[shard] = (uint32_t)first;
    }
    contents_fill(balance, entry, staying);
    return true;
}

void chain_balance_fini(struct chain_balance *balance)
{
    free(balance->servers);
    free(balance->has);
    free(balance->all);
    free(balance->slots);
}

/* ---- use */

static void share_add(const struct chain_balance *balance, struct chain_share *share, uint32_t slot,
                      uint32_t place, int sign)
{
    uint32_t last = balance->depths - 1;

    for (int i = 0; i < CHAIN_CONTENTS; i++) {
        for (uint32_t depth = place < last ? place : last; depth <= last; depth++)
            share->of[i][depth] += sign * balance->slots[slot].of[i];
    }
}

void chain_balance_add(struct chain_balance *balance, uint32_t slot, const uint32_t *chain, uint32_t length,
                       uint32_t without, int sign)
{
    uint32_t place = 0;

    for (uint32_t i = 0; i < length; i++) {
        if (i == without)
            continue;
        share_add(balance, &balance->has[chain[i]], slot, place, sign);
        share_add(balance, &balance->all[balance->servers[chain[i]]], slot, place, sign);
        place++;
    }
}

/* By how much a square grows when `amount` is added to what is squared. */
static double square_grows(double has, double amount, double mean)
{
    return mean > 0 ? (2 * has + amount) / mean * (amount / mean) : 0;
}

static double share_grows(const struct chain_balance *balance, const struct chain_share *share, uint32_t slot)
{
    uint32_t last = balance->depths - 1;
    double sum = 0;

    for (int i = 0; i < CHAIN_CONTENTS; i++)
        sum += square_grows(share->of[i][last], balance->slots[slot].of[i], balance->mean.of[i][last]);
    return sum;
}

double chain_balance_server_grows(const struct chain_balance *balance, uint32_t slot, uint32_t shard)
{
    return share_grows(balance, &balance->all[balance->servers[shard]], slot);
}

double chain_balance_shard_grows(const struct chain_balance *balance, uint32_t slot, uint32_t shard)
{
    return share_grows(balance, &balance->has[shard], slot);
}

/* Who comes into the first depth + 1 places of a chain when somebody leaves them. */
static uint32_t next_in(const struct chain_balance *balance, const uint32_t *chain, uint32_t length,
                        uint32_t depth, uint32_t to)
{
    if (depth + 1 == balance->depths || depth + 1 == length)
        return to;
    return depth + 1 < length ? chain[depth + 1] : CHAIN_NOBODY;
}

struct chain_share chain_balance_change(const struct chain_balance *balance, uint32_t slot,
                                        const uint32_t *chain, uint32_t length, uint32_t place, uint32_t to)
{
    const struct chain_share *from = &balance->all[balance->servers[chain[place]]];
    uint32_t last = balance->depths - 1;
    struct chain_share change = {{{0}}};

    for (uint32_t depth = place < last ? place : last; depth <= last; depth++) {
        uint32_t next = next_in(balance, chain, length, depth, to);
        const struct chain_share *gets = next != CHAIN_NOBODY ? &balance->all[balance->servers[next]] : NULL;

        for (int i = 0; i < CHAIN_CONTENTS; i++) {
            double amount = balance->slots[slot].of[i], mean = balance->mean.of[i][depth];

            change.of[i][depth] = square_grows(from->of[i][depth], -amount, mean) +
                                  (gets ? square_grows(gets->of[i][depth], amount, mean) : 0);
        }
    }
    return change;
}

double chain_balance_sum(const struct chain_balance *balance, const struct chain_share *change)
{
    double sum = 0;

    for (int i = 0; i < CHAIN_CONTENTS; i++) {
        for (uint32_t depth = 0; depth < balance->depths; depth++)
            sum += change->of[i][depth];
    }
    return sum;
}
