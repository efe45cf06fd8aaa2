/* Copying and comparing. */
#include "routes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void routes_free(struct routes **list)
{
    while (*list) {
        struct routes *routes = *list;

        *list = routes->next;
        for (uint32_t i = 0; routes->endpoints && i < routes->shard_count; i++)
            free(routes->endpoints[i]);
        free(routes->endpoints);
        free(routes->slot_shards);
        free(routes);
    }
}

static bool are_those_of(const struct routes *routes, const Cairn__EpochCommand *epoch)
{
    if (routes->shard_count != epoch->n_shards || routes->slot_count != epoch->n_slot_shards ||
        memcmp(routes->slot_shards, epoch->slot_shards, epoch->n_slot_shards * sizeof(uint32_t)) != 0)
        return false;
    for (size_t i = 0; i < epoch->n_shards; i++) {
        if (strcmp(routes->endpoints[i], epoch->shards[i]->endpoint) != 0)
            return false;
    }
    return true;
}

enum status routes_add(struct routes **list, const Cairn__EpochCommand *epoch, struct error *error)
{
    struct routes *routes;
    bool is_whole;

    if (*list && are_those_of(*list, epoch))
        return CAIRN_OK;
    routes = calloc(1, sizeof(*routes));
    is_whole = routes != NULL;
    if (is_whole) {
        routes->endpoints = calloc(epoch->n_shards, sizeof(routes->endpoints[0]));
        routes->slot_shards = malloc(epoch->n_slot_shards * sizeof(routes->slot_shards[0]));
        is_whole = routes->endpoints && routes->slot_shards;
    }
    for (size_t i = 0; is_whole && i < epoch->n_shards; i++) {
        routes->endpoints[i] = strdup(epoch->shards[i]->endpoint);
        is_whole = routes->endpoints[i] != NULL;
        routes->shard_count++;
    }
    if (!is_whole) {
        routes_free(&routes);
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %zu shards", epoch->n_shards);
    }
    routes->slot_count = (uint32_t)epoch->n_slot_shards;
    memcpy(routes->slot_shards, epoch->slot_shards, epoch->n_slot_shards * sizeof(routes->slot_shards[0]));
    routes->next = *list;
    *list = routes;
    return CAIRN_OK;
}
