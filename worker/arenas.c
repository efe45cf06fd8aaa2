/* Gradient arenas in a list that only grows at its head, so that walking it needs no lock and no node can be
 * freed under a walker. Knows nothing of layers or trees. */
#include "arenas.h"

#include <stdlib.h>
#include <string.h>

struct arenas {
    uint64_t floats;
    _Atomic(struct arena *) newest;
};

struct arenas *arenas_new(uint64_t floats)
{
    struct arenas *arenas = calloc(1, sizeof(*arenas));

    if (arenas)
        arenas->floats = floats;
    return arenas;
}

void arenas_free(struct arenas *arenas)
{
    struct arena *arena = arenas ? atomic_load(&arenas->newest) : NULL;

    while (arena) {
        struct arena *next = arena->next;

        buffer_unref(arena->buffer);
        free(arena);
        arena = next;
    }
    free(arenas);
}

/* Claims an arena; one whose bytes are still being sent is left alone. */
static bool claim(struct arena *arena)
{
    if (atomic_exchange_explicit(&arena->taken, true, memory_order_acquire))
        return false;
    if (buffer_is_exclusive(arena->buffer))
        return true;
    arenas_give(arena);
    return false;
}

/* A new arena, taken, zero everywhere. */
static struct arena *make(struct arenas *arenas)
{
    struct arena *arena = calloc(1, sizeof(*arena));

    if (!arena)
        return NULL;
    arena->buffer = buffer_new(arenas->floats * sizeof(float));
    if (!arena->buffer) {
        free(arena);
        return NULL;
    }
    arena->floats = arena->buffer->data;
    memset(arena->floats, 0, arenas->floats * sizeof(float));
    atomic_init(&arena->taken, true);
    arena->next = atomic_load(&arenas->newest);
    while (!atomic_compare_exchange_weak(&arenas->newest, &arena->next, arena))
        ;
    return arena;
}

struct arena *arenas_take(struct arenas *arenas)
{
    for (struct arena *arena = atomic_load(&arenas->newest); arena; arena = arena->next) {
        if (claim(arena))
            return arena;
    }
    return make(arenas);
}

void arenas_give(struct arena *arena)
{
    if (arena)
        atomic_store_explicit(&arena->taken, false, memory_order_release);
}

size_t arenas_count(const struct arenas *arenas)
{
    size_t count = 0;

    for (const struct arena *arena = atomic_load(&arenas->newest); arena; arena = arena->next)
        count++;
    return count;
}
