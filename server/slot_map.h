/* Who holds which slot of a job: for each slot a chain of shards, of which the first, the head, is the one
 * that clients speak to, and at most one shard that the slot is being copied to, which comes after the
 * chain's last.
 *
 * What is common to all shards of a job, by their places in the job's list of shards, and which of these this
 * server's shard threads are. A map never changes; another one with a greater number takes its place. Shared,
 * read only, by the shard threads: reference-counted. Knows nothing of tables. */
#ifndef CAIRN_SERVER_SLOT_MAP_H
#define CAIRN_SERVER_SLOT_MAP_H

#include "base/status.h"
#include "control.pb-c.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SLOT_NOBODY  UINT32_MAX
#define SLOT_ROW_MAX 9 /* shards that may have a slot: of its chain, and whom it is being copied to */

struct slot_map {
    atomic_uint references;
    uint64_t number; /* grows; 0: PrepareCommand's */
    uint32_t thread_count;
    uint32_t *positions; /* of each shard thread among the job's shards; SLOT_NOBODY: takes no part */
    uint32_t slot_count, replicas;
    uint32_t
        *slot_shards; /* [slot_count, replicas]: the chain, head first; SLOT_NOBODY: from there on nobody */
    struct slot_copy {
        uint32_t to;     /* SLOT_NOBODY */
        uint64_t number; /* of the map that the copy began with: tells it from others to the same shard */
    } * copies;          /* [slot_count] */
    uint32_t shard_count;
    char **endpoints; /* [shard_count] */
};

/* What a command says of the slots, checked by net/wire.h. */
struct slot_map_params {
    uint64_t number;
    Cairn__Shard *const *shards;
    size_t shard_count;
    const uint32_t *slot_shards;
    size_t place_count; /* in slot_shards */
    uint32_t replicas;
    Cairn__SlotCopy *const *copies;
    size_t copy_count;
};

/* Where a shard is in a slot's chain. */
struct slot_place {
    bool is_member;         /* it has the slot, or is to have it */
    bool is_head;           /* clients speak to it */
    bool is_copy;           /* it is not in the chain, but being copied to */
    uint32_t before, after; /* its neighbours, copies included; SLOT_NOBODY */
    bool after_is_copy;
    uint64_t copy_number; /* of its copy, or of the one after */
};

/* Of the server of that name with so many shard threads, for a job of so many slots. Owns: the caller has one
 * reference. Errors: CAIRN_INVALID (another number of slots, no such shard thread), CAIRN_NO_MEMORY. */
enum status slot_map_new(const struct slot_map_params *params, const char *server, uint32_t thread_count,
                         uint32_t slot_count, struct slot_map **out, struct error *error) MUST_CHECK;
struct slot_map *slot_map_ref(struct slot_map *map);
void slot_map_unref(struct slot_map *map);

/* Whether a shard thread is one of the job's shards. */
bool slot_map_takes_part(const struct slot_map *map, uint32_t thread);

/* Where a shard thread, which takes part or not, is in a slot's chain. slot < slot_count. */
struct slot_place slot_map_place(const struct slot_map *map, uint32_t thread, uint32_t slot);

/* Marks the shards of a slot's chain, and whom it is being copied to. holds: [shard_count]. */
void slot_map_mark_holders(const struct slot_map *map, uint32_t slot, bool *holds);

/* Whether clients speak to a shard thread about the slots of all keys[count]. */
bool slot_map_heads_keys(const struct slot_map *map, uint32_t thread, const uint64_t *keys, size_t count);

/* Whether a slot of a shard thread has another shard before or after it. */
bool slot_map_has_neighbours(const struct slot_map *map, uint32_t thread);

/* The shard that clients speak to about a slot. */
static inline uint32_t slot_map_head(const struct slot_map *map, uint32_t slot)
{
    return map->slot_shards[(uint64_t)slot * map->replicas];
}

#endif
