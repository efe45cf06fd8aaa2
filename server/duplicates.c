/* Checksums of nodes: at each place two short lists, searched from the front. */
#include "duplicates.h"

#include <stdlib.h>

struct note {
    struct tree_node node;
    uint64_t checksum;
};

/* What came at a place in a step. */
struct notes {
    bool is_used;
    uint64_t step;
    uint32_t count, room;
    struct note *items;
};

struct duplicates {
    uint32_t places;
    struct notes notes[]; /* [places, 2] */
};

struct duplicates *duplicates_new(uint32_t places)
{
    struct duplicates *duplicates =
        calloc(1, sizeof(*duplicates) + 2 * (size_t)places * sizeof(duplicates->notes[0]));

    if (duplicates)
        duplicates->places = places;
    return duplicates;
}

void duplicates_free(struct duplicates *duplicates)
{
    if (!duplicates)
        return;
    for (size_t i = 0; i < 2 * (size_t)duplicates->places; i++)
        free(duplicates->notes[i].items);
    free(duplicates);
}

/* The notes of a step, the older ones' place if it is a new one; NULL: it is older than both. */
static struct notes *notes_of(struct duplicates *duplicates, uint32_t place, uint64_t step)
{
    struct notes *both = &duplicates->notes[2 * (size_t)place];
    struct notes *older =
        !both[0].is_used || (both[1].is_used && both[0].step < both[1].step) ? &both[0] : &both[1];

    for (int i = 0; i < 2; i++) {
        if (both[i].is_used && both[i].step == step)
            return &both[i];
    }
    if (older->is_used && step < older->step)
        return NULL;
    older->is_used = true;
    older->step = step;
    older->count = 0;
    return older;
}

static bool notes_room(struct notes *notes)
{
    uint32_t room = notes->room > 0 ? 2 * notes->room : 4;
    struct note *items;

    if (notes->count < notes->room)
        return true;
    if (room > DUPLICATES_NODES_MAX)
        return false;
    items = realloc(notes->items, room * sizeof(*items));
    if (!items)
        return false;
    notes->items = items;
    notes->room = room;
    return true;
}

bool duplicates_agree(struct duplicates *duplicates, uint32_t place, uint64_t step, struct tree_node node,
                      uint64_t checksum)
{
    struct notes *notes = notes_of(duplicates, place, step);

    for (uint32_t i = 0; notes && i < notes->count; i++) {
        const struct note *note = &notes->items[i];

        if (note->node.begin == node.begin && note->node.end == node.end)
            return note->checksum == checksum;
    }
    if (notes && notes_room(notes))
        notes->items[notes->count++] = (struct note){node, checksum};
    return true;
}
