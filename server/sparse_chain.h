/* A shard's part in the chains of a sparse table's slots: whose sums it has of the step in hand, and of the
 * next.
 *
 * A table has one version for all slots that lie here, and two shards may each be the head of a slot that the
 * other one follows in. So a shard cannot wait until the next of a chain has the version, as it does for a
 * chunk: it waits until that one has the *sum*, in memory, standing at the sum's step; and the next says so
 * once the one after it has it too. Sums are taken and acknowledged whatever other slots lack, so nobody
 * waits in a circle. A shard makes version t + 1 when it has the sums of step t of all its slots and those
 * after it have theirs: what a client was shown, all of each chain have the sums of. A shard is at most one
 * version ahead of the next in any of its chains, so of the step after the one in hand one sum a slot may
 * have to wait here.
 *
 * A copy is at a version. Who it comes from may have the sum of the step in hand already, and may have told
 * of it, so that nobody else need have it any more: that sum is owed to the copy, which is not whole before
 * it has come.
 *
 * A slot that is being copied here is awaited: nothing of it counts until all is here, and the table waits
 * for it at the version that it is being copied at. So does the shard that it is copied from, from the first
 * part on. Where that one is further than this, the table goes on to its version first (`passes`).
 *
 * Sums lie in pieces: the tree's own, of the slots that it is the head of, and what others have sent. Keys of
 * different pieces are different. Pure: knows nothing of messages or rows. One thread an object. */
#ifndef CAIRN_SERVER_SPARSE_CHAIN_H
#define CAIRN_SERVER_SPARSE_CHAIN_H

#include "base/status.h"
#include "slot_map.h"
#include "sparse_sum.h"

#include <stdbool.h>
#include <stdint.h>

struct sparse_slot {
    struct slot_place place;
    uint64_t before_since; /* the number of the map from which on it has this neighbour before it, and */
    uint64_t after_since;  /* after it: what these said by older maps was about something else */
    uint64_t has;   /* the newest version whose sum has come here, or more than that: the table's at least */
    uint64_t sent;  /* the newest version that the one after has been sent the sum of */
    uint64_t after; /* the newest version that the one after is known to have the sum of */
    uint64_t told;  /* the newest version that the one before was told of */
    uint64_t owed;  /* the version whose sum was known before us when it was copied here; 0: none */
    bool awaits;    /* it is being copied here */
    bool is_dirty;  /* there may be rows of it here that are not to be */
    uint64_t since; /* the version that it came here with; 0: it has always been here */
    bool is_frozen; /* the one after is being copied to, at this version */
    bool is_copied; /* and has been given all */
    uint64_t asked; /* the version that the one after wants a copy of; 0: none that is still to come */
};

/* Whether the one after has all that there is of a slot, and is to have what comes. */
static inline bool sparse_slot_is_followed(const struct sparse_slot *slot)
{
    return slot->place.after != SLOT_NOBODY && (!slot->place.after_is_copy || slot->is_copied);
}

/* Whether what a shard said by a map is of the neighbour that a slot has before it, or after it, now. */
static inline bool sparse_slot_is_from_before(const struct sparse_slot *slot, uint64_t from, uint64_t map)
{
    return slot->place.before == from && map >= slot->before_since;
}

static inline bool sparse_slot_is_from_after(const struct sparse_slot *slot, uint64_t from, uint64_t map)
{
    return slot->place.after == from && map >= slot->after_since;
}

/* Whether a slot that was copied here still lacks a sum that it is owed. */
static inline bool sparse_slot_is_owed(const struct sparse_slot *slot)
{
    return slot->has < slot->owed;
}

/* A slot has been copied here from who had the sums up to a version's. */
static inline void sparse_slot_owe(struct sparse_slot *slot, uint64_t version)
{
    slot->owed = version > slot->has ? slot->has + 1 : 0;
}

/* What a place in a new map is for a shard. */
enum sparse_move {
    SPARSE_STAYS,
    SPARSE_SERVES, /* it is the head now and was not, or the other way round */
    SPARSE_LEAVES  /* the slot is here no more, or has come to be copied here anew */
};

/* A copy that is on its way here, of all slots that are awaited from one shard. */
struct sparse_copying {
    bool is_open;
    uint32_t from;
    bool is_any;   /* the version is the other's to say */
    uint64_t step; /* the version */
    uint64_t section, cursor;
    struct buffer *slots; /* uint64 */
};

/* Sums of one step. */
struct sparse_pieces {
    struct sparse_sum **items; /* [count], owned */
    uint32_t count, capacity;
    uint64_t samples;
};

struct sparse_chain {
    uint32_t slot_count, dimension;
    struct sparse_slot *slots;
    struct sparse_pieces now, next; /* of the step in hand, of the one after it */
    uint64_t passes;                /* the version that it goes on to though slots are awaited */
    struct sparse_copying copying;
    struct sparse_pieces before; /* what the copy has brought of the step before */
    bool *marks;                 /* [slot_count], scratch */
};

/* Of a table at a version; all slots begin as nobody's. Owns: the caller. NULL: out of memory. */
struct sparse_chain *sparse_chain_new(uint32_t slot_count, uint32_t dimension, uint64_t version);
void sparse_chain_free(struct sparse_chain *chain);

/* Takes a slot's place in a map of that number. One that comes is awaited. */
enum sparse_move sparse_chain_place(struct sparse_chain *chain, uint32_t slot, const struct slot_place *place,
                                    uint64_t map);

/* The same when all that a map says is here already: the first one. */
void sparse_chain_begin(struct sparse_chain *chain, uint32_t slot, const struct slot_place *place);

/* Forgets sums of slots that are not here. Errors: CAIRN_NO_MEMORY. */
enum status sparse_chain_forget(struct sparse_chain *chain) MUST_CHECK;

/* Whether nothing is here yet, or any more: no version, no sums. */
bool sparse_chain_is_blank(const struct sparse_chain *chain);

/* Opens the copy of what is awaited, from one shard; is_any: at its version, else at this one. false: nothing
 * is awaited that somebody has. marks are of its slots then. Errors: CAIRN_NO_MEMORY. */
enum status sparse_chain_open_copy(struct sparse_chain *chain, bool is_any, uint64_t version,
                                   bool *is_open) MUST_CHECK;
void sparse_chain_close_copy(struct sparse_chain *chain);

/* Closes a copy that is not of what is awaited now. */
void sparse_chain_check_copy(struct sparse_chain *chain);

/* All has come of a copy, which is closed: its slots are here from its version on. */
void sparse_chain_copied(struct sparse_chain *chain);

/* Adds what a copy has brought of the step before. sum: taken. Errors: CAIRN_NO_MEMORY. */
enum status sparse_chain_add_before(struct sparse_chain *chain, struct sparse_sum *sum) MUST_CHECK;

/* That in one with what is known of it here (taken; NULL: nothing). NULL: out of memory. */
struct sparse_sum *sparse_chain_join_before(struct sparse_chain *chain, struct sparse_sum *known);

/* Whether clients' sums of a slot are wanted in the step that makes `version` + 1. */
static inline bool sparse_chain_is_open(const struct sparse_chain *chain, uint32_t slot, uint64_t version)
{
    const struct sparse_slot *at = &chain->slots[slot];

    return at->place.is_head && !at->awaits && at->has == version;
}

/* Of how many slots clients' sums are wanted, and of how many this is the head. */
void sparse_chain_count(const struct sparse_chain *chain, uint64_t version, uint32_t *open, uint32_t *heads);

/* Takes the sum of the step in hand of all open slots. sum: taken in any case. Errors: CAIRN_NO_MEMORY. */
enum status sparse_chain_take_own(struct sparse_chain *chain, uint64_t version, struct sparse_sum *sum,
                                  uint64_t samples) MUST_CHECK;

/* Takes what another shard has sent: the sum of a step of slots[count], each below slot_count. What is not
 * wanted of it is dropped. sum: taken in any case. Errors: CAIRN_NO_MEMORY. */
enum status sparse_chain_take(struct sparse_chain *chain, uint64_t version, uint64_t step,
                              const uint64_t *slots, uint32_t count, struct sparse_sum *sum,
                              uint64_t samples) MUST_CHECK;

/* The version that a slot's sum is known of here and after it: what the one before is told. */
static inline uint64_t sparse_chain_knows(const struct sparse_slot *slot, uint64_t version)
{
    bool is_known = slot->has > version && (!sparse_slot_is_followed(slot) || slot->after > version);

    return is_known ? version + 1 : version;
}

/* Whether the sums of the step in hand are all here and after. */
bool sparse_chain_is_whole(const struct sparse_chain *chain, uint64_t version);

/* Whether the step in hand comes to its end here without anybody pushing anything: the sums of all slots are
 * here, or will be, and what is still awaited others have. Before that, nobody has seen its end. */
bool sparse_chain_ends(const struct sparse_chain *chain, uint64_t version);

/* Whether it waits for those after it, or for a sum from those before. */
bool sparse_chain_waits(const struct sparse_chain *chain, uint64_t version);

/* The step's whole sum, with which it is over: those of the next step take the place. Owns: the caller. NULL:
 * out of memory, nothing has changed. */
struct sparse_sum *sparse_chain_join(struct sparse_chain *chain, uint64_t *samples);

/* A shard that is to be sent sums of the step in hand; SLOT_NOBODY: none is. */
uint32_t sparse_chain_receiver(const struct sparse_chain *chain, uint64_t version);

/* What a receiver is to be sent, which then counts as sent: at most so many bytes of rows, if a single slot
 * has no more. slots: uint64. Owns: the caller gets both. Errors: CAIRN_NO_MEMORY. */
enum status sparse_chain_pick(struct sparse_chain *chain, uint64_t version, uint32_t receiver,
                              size_t bytes_most, struct buffer **slots, struct sparse_sum **sum) MUST_CHECK;

/* The keys of a sum, or of keys and rows that were pushed, whose slots are marked: [slot_count]. NULL: out of
 * memory. */
struct sparse_sum *sparse_chain_select(const struct sparse_chain *chain, const struct sparse_sum *sum,
                                       const bool *marks);

#endif
