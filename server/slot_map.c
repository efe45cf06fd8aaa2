/* Reading and asking maps of slots. */
#include "slot_map.h"

#include "cluster/placement.h"

#include <stdlib.h>
#include <string.h>

static enum status slots_copy(struct slot_map *map, const struct slot_map_params *params, struct error *error)
{
    size_t places = (size_t)map->slot_count * map->replicas;

    if (params->place_count != places)
        return error_set(error, CAIRN_INVALID, "the job has %zu slots, its tables need %u",
                         params->place_count / map->replicas, map->slot_count);
    map->slot_shards = malloc(places * sizeof(map->slot_shards[0]));
    map->copies = malloc(map->slot_count * sizeof(map->copies[0]));
    if (!map->slot_shards || !map->copies)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %u slots", map->slot_count);
    for (size_t i = 0; i < places; i++) {
        if (params->slot_shards[i] != SLOT_NOBODY && params->slot_shards[i] >= params->shard_count)
            return error_set(error, CAIRN_INVALID, "slot %zu lies on shard %u of %zu", i / map->replicas,
                             params->slot_shards[i], params->shard_count);
        map->slot_shards[i] = params->slot_shards[i];
    }
    for (uint32_t slot = 0; slot < map->slot_count; slot++)
        map->copies[slot] = (struct slot_copy){SLOT_NOBODY, 0};
    for (size_t i = 0; i < params->copy_count; i++) {
        if (params->copies[i]->slot >= map->slot_count)
            return error_set(error, CAIRN_INVALID, "slot %u of %u is to be copied", params->copies[i]->slot,
                             map->slot_count);
        map->copies[params->copies[i]->slot] =
            (struct slot_copy){params->copies[i]->shard, params->copies[i]->number};
    }
    return CAIRN_OK;
}

static enum status positions_find(struct slot_map *map, const struct slot_map_params *params,
                                  const char *server, struct error *error)
{
    map->positions = malloc(map->thread_count * sizeof(map->positions[0]));
    if (!map->positions)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < map->thread_count; i++)
        map->positions[i] = SLOT_NOBODY;
    for (uint32_t position = 0; position < params->shard_count; position++) {
        const Cairn__Shard *shard = params->shards[position];

        if (strcmp(shard->server, server) != 0)
            continue;
        if (shard->index >= map->thread_count)
            return error_set(error, CAIRN_INVALID,
                             "the job wants shard thread %u of this server, which has %u", shard->index,
                             map->thread_count);
        map->positions[shard->index] = position;
    }
    return CAIRN_OK;
}

static enum status endpoints_copy(struct slot_map *map, const struct slot_map_params *params,
                                  struct error *error)
{
    bool is_whole;

    map->endpoints = calloc(params->shard_count ? params->shard_count : 1, sizeof(char *));
    is_whole = map->endpoints != NULL;
    for (size_t i = 0; is_whole && i < params->shard_count; i++) {
        map->endpoints[i] = strdup(params->shards[i]->endpoint);
        is_whole = map->endpoints[i] != NULL;
    }
    return is_whole ? CAIRN_OK
                    : error_set(error, CAIRN_NO_MEMORY, "out of memory for %zu shards", params->shard_count);
}

enum status slot_map_new(const struct slot_map_params *params, const char *server, uint32_t thread_count,
                         uint32_t slot_count, struct slot_map **out, struct error *error)
{
    struct slot_map *map = calloc(1, sizeof(*map));
    enum status status;

    if (!map)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    atomic_init(&map->references, 1);
    map->number = params->number;
    map->thread_count = thread_count;
    map->slot_count = slot_count;
    map->replicas = params->replicas;
    map->shard_count = (uint32_t)params->shard_count;
    status = slots_copy(map, params, error);
    if (status == CAIRN_OK)
        status = positions_find(map, params, server, error);
    if (status == CAIRN_OK)
        status = endpoints_copy(map, params, error);
    if (status != CAIRN_OK) {
        slot_map_unref(map);
        return status;
    }
    *out = map;
    return CAIRN_OK;
}

struct slot_map *slot_map_ref(struct slot_map *map)
{
    atomic_fetch_add(&map->references, 1);
    return map;
}

void slot_map_unref(struct slot_map *map)
{
    if (!map || atomic_fetch_sub(&map->references, 1) != 1)
        return;
    free(map->positions);
    free(map->slot_shards);
    free(map->copies);
    for (uint32_t i = 0; map->endpoints && i < map->shard_count; i++)
        free(map->endpoints[i]);
    free(map->endpoints);
    free(map);
}

bool slot_map_takes_part(const struct slot_map *map, uint32_t thread)
{
    return map->positions[thread] != SLOT_NOBODY;
}

struct slot_place slot_map_place(const struct slot_map *map, uint32_t thread, uint32_t slot)
{
    const uint32_t *chain = map->slot_shards + (uint64_t)slot * map->replicas;
    uint32_t own = map->positions[thread], copy = map->copies[slot].to, length = 0, at;
    struct slot_place place = {.before = SLOT_NOBODY, .after = SLOT_NOBODY};

    while (length < map->replicas && chain[length] != SLOT_NOBODY)
        length++;
    if (own == SLOT_NOBODY)
        return place;
    for (at = 0; at < length && chain[at] != own; at++)
        ;
    place.is_copy = at == length && copy == own;
    place.is_member = at < length || place.is_copy;
    place.is_head = at == 0 && length > 0 && place.is_member;
    if (!place.is_member)
        return place;
    if (at > 0)
        place.before = chain[at - 1];
    if (at + 1 < length)
        place.after = chain[at + 1];
    else if (at + 1 == length)
        place.after = copy;
    place.after_is_copy = at + 1 == length && copy != SLOT_NOBODY;
    if (place.is_copy || place.after_is_copy)
        place.copy_number = map->copies[slot].number;
    return place;
}

void slot_map_mark_holders(const struct slot_map *map, uint32_t slot, bool *holds)
{
    const uint32_t *chain = map->slot_shards + (uint64_t)slot * map->replicas;

    for (uint32_t place = 0; place < map->replicas && chain[place] != SLOT_NOBODY; place++)
        holds[chain[place]] = true;
    if (map->copies[slot].to != SLOT_NOBODY)
        holds[map->copies[slot].to] = true;
}

bool slot_map_heads_keys(const struct slot_map *map, uint32_t thread, const uint64_t *keys, size_t count)
{
    uint32_t position = map->positions[thread], foreign = 0;

    if (map->shard_count == 1)
        return position == 0;
    for (size_t i = 0; i < count; i++)
        foreign |= slot_map_head(map, placement_key_slot(keys[i], map->slot_count)) ^ position;
    return foreign == 0;
}

bool slot_map_has_neighbours(const struct slot_map *map, uint32_t thread)
{
    for (uint32_t slot = 0; slot < map->slot_count; slot++) {
        const struct slot_place place = slot_map_place(map, thread, slot);

        if (place.before != SLOT_NOBODY || place.after != SLOT_NOBODY)
            return true;
    }
    return false;
}
