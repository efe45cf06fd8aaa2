/* A shard's place in the chain of a chunk, and what is known of the one after it (docs/design.md,
 * replication).
 *
 * A step's whole sum goes down the chain, and the version that it makes exists on a shard only when it exists
 * on the one after: so versions never grow down the chain by more than one step, the last shard has all that
 * any other has, and what a client was told outlives all but the last to die. Plain data and its rules; who
 * sends and receives is the shard. */
#ifndef CAIRN_SERVER_CHAIN_H
#define CAIRN_SERVER_CHAIN_H

#include "slot_map.h"

struct chain_link {
    struct slot_place place;
    bool awaits;            /* nothing is here yet: a snapshot is to come */
    uint64_t before_since;  /* the number of the map from which on it has this neighbour before it, and */
    uint64_t after_since;   /* after it: what these said by older maps was about something else */
    uint64_t sent_version;  /* the newest that the one after has been sent the sum of */
    uint64_t after_version; /* the newest that it is known to have */
};

/* A shard of its own: nobody before or after it. */
static inline struct chain_link chain_alone(void)
{
    return (struct chain_link){
        .place = {.is_member = true, .is_head = true, .before = SLOT_NOBODY, .after = SLOT_NOBODY}};
}

/* Whether clients may ask for the chunk here. */
static inline bool chain_serves(const struct chain_link *link)
{
    return link->place.is_head && !link->awaits;
}

/* Whether what a shard said by a map is of the neighbour that a link has before it, or after it, now, by a
 * map in which it was that: what it said by older ones, and comes late, was about another copy. */
static inline bool chain_is_from_before(const struct chain_link *link, uint64_t from, uint64_t map)
{
    return link->place.before == from && map >= link->before_since;
}

static inline bool chain_is_from_after(const struct chain_link *link, uint64_t from, uint64_t map)
{
    return link->place.after == from && map >= link->after_since;
}

/* Whether the sum that makes `version` is to be sent to the one after. */
static inline bool chain_is_to_send(const struct chain_link *link, uint64_t version)
{
    return link->place.after != SLOT_NOBODY && link->sent_version < version;
}

/* Whether `version` may exist here. */
static inline bool chain_allows(const struct chain_link *link, uint64_t version)
{
    return link->place.after == SLOT_NOBODY || link->after_version >= version;
}

#endif
