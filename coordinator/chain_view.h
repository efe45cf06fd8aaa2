/* A map of slots as the record has it: chains of shards, by their places in the record's list. Pure. */
#ifndef CAIRN_COORDINATOR_CHAIN_VIEW_H
#define CAIRN_COORDINATOR_CHAIN_VIEW_H

#include "jobs.h"
#include "net/wire.h"

#define CHAIN_NOBODY    UINT32_MAX
#define CHAIN_WIDTH_MAX WIRE_REPLICAS_MAX

/* A map of slots: [slots, width] shards. */
struct chain_view {
    uint32_t *places;
    uint32_t width, slots;
};

struct chain_view chain_view_durable(const Cairn__JobRecord *record);
struct chain_view chain_view_live(const Cairn__JobRecord *record);

/* Whether a shard (or nobody) is of a server. */
bool chain_is_on(const Cairn__JobRecord *record, uint32_t shard, const char *server);

/* Whether a server is anywhere in a map. */
bool chain_view_names(const Cairn__JobRecord *record, struct chain_view view, const char *server);

/* Whether a slot has anything in it: weights, or sums; or may have: a table that is added is to find
 * replicas. */
bool chain_slot_is_used(const struct job_entry *entry, uint32_t slot);

/* How many shards a slot's chain has. */
uint32_t chain_length(struct chain_view view, uint32_t slot);

/* Whether a place of a slot's chain of now is in generations of a step, which is no earlier than the
 * committed one that the incarnation began at. */
bool chain_holds(const Cairn__JobRecord *record, uint32_t slot, uint32_t place, uint64_t step);

/* Takes out of a chain, and of what belongs to its places (NULL: nothing does), all but those that keep tells
 * of; those after move up. keep: [width] */
void chain_compact(uint32_t *chain, uint64_t *since, uint32_t width, const bool *keep);

/* Slots without a shard get one: they have nothing in them, but need somebody all the same. */
void chain_fill_empty(struct chain_view view, uint32_t anybody);

#endif
