/* A list of processes. */
#include "draining.h"

#include "nodes.h"

#include <stdlib.h>
#include <string.h>

void draining_fini(struct draining *draining)
{
    for (size_t i = 0; i < draining->count; i++)
        message_free(draining->items[i]);
    free(draining->items);
    *draining = (struct draining){NULL, 0};
}

static void append(struct turn *turn, struct draining *draining, const Cairn__Registration *registration)
{
    Cairn__Registration **items = realloc(draining->items, (draining->count + 1) * sizeof(*items));
    Cairn__Registration plain = *registration;

    if (!items) {
        turn->effects->failed = true;
        return;
    }
    draining->items = items;
    plain.n_endpoints = plain.n_engagements = 0;
    items[draining->count] = turn_copy(turn, &plain);
    draining->count += items[draining->count] != NULL;
}

static void store(struct turn *turn, const struct draining *draining)
{
    Cairn__DrainingNodes record = CAIRN__DRAINING_NODES__INIT;

    record.n_nodes = draining->count;
    record.nodes = draining->items;
    effects_draining(turn->effects, &record);
}

void draining_load(struct turn *turn, struct draining *draining, const Cairn__DrainingNodes *record)
{
    for (size_t i = 0; i < record->n_nodes; i++)
        append(turn, draining, record->nodes[i]);
}

/* The place of a name; count: it is not there. */
static size_t find(const struct draining *draining, const char *name)
{
    size_t i = 0;

    while (i < draining->count && strcmp(draining->items[i]->name, name) != 0)
        i++;
    return i;
}

static void drop(struct draining *draining, size_t place)
{
    message_free(draining->items[place]);
    draining->items[place] = draining->items[--draining->count];
}

void draining_add(struct turn *turn, struct draining *draining, const Cairn__Registration *registration)
{
    size_t place = find(draining, registration->name);

    if (place < draining->count)
        drop(draining, place);
    append(turn, draining, registration);
    store(turn, draining);
}

void draining_remove(struct turn *turn, struct draining *draining, const char *name)
{
    size_t place = find(draining, name);

    if (place == draining->count)
        return;
    drop(draining, place);
    store(turn, draining);
}

bool draining_includes(struct turn *turn, struct draining *draining, const Cairn__Registration *registration)
{
    size_t place = find(draining, registration->name);

    if (place < draining->count && registration_same_process(draining->items[place], registration))
        return true;
    draining_remove(turn, draining, registration->name);
    return false;
}
