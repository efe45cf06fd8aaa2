/* Places for rows. A freed place holds the number of the next one of the chain in its first bytes. */
#include "rows_slab.h"

#include "rows_region.h"

#include <stdlib.h>
#include <string.h>

void slab_init(struct slab *slab, uint32_t floats, size_t chunk_bytes)
{
    *slab = (struct slab){.stride = sizeof(struct row) + floats * sizeof(float), .free_first = SLAB_NONE};
    slab->chunk_shift = 6;
    while (slab->chunk_shift < 24 && (slab->stride << (slab->chunk_shift + 1)) <= chunk_bytes)
        slab->chunk_shift++;
}

static size_t bytes_of_chunk(const struct slab *slab)
{
    return slab->stride << slab->chunk_shift;
}

static size_t flag_bytes(const struct slab *slab)
{
    return SLAB_FLAGS * ((size_t)1 << slab->chunk_shift) / 8;
}

void slab_fini(struct slab *slab)
{
    for (uint32_t i = 0; i < slab->chunk_count; i++) {
        region_unmap(slab->chunks[i], bytes_of_chunk(slab));
        region_unmap(slab->flags[i], flag_bytes(slab));
    }
    free(slab->chunks);
    free(slab->flags);
    *slab = (struct slab){.free_first = SLAB_NONE};
}

/* Room for one more chunk in the two lists. */
static bool lists_grow(struct slab *slab)
{
    uint32_t room = slab->chunk_room ? 2 * slab->chunk_room : 16;
    unsigned char **chunks = realloc(slab->chunks, room * sizeof(*chunks));
    uint64_t **flags;

    if (!chunks)
        return false;
    slab->chunks = chunks;
    flags = realloc(slab->flags, room * sizeof(*flags));
    if (!flags)
        return false;
    slab->flags = flags;
    slab->chunk_room = room;
    return true;
}

static bool chunk_add(struct slab *slab)
{
    unsigned char *rows;
    uint64_t *flags;

    if (slab->chunk_count == slab->chunk_room && !lists_grow(slab))
        return false;
    rows = region_map(bytes_of_chunk(slab));
    flags = region_map(flag_bytes(slab));
    if (!rows || !flags) {
        region_unmap(rows, bytes_of_chunk(slab));
        region_unmap(flags, flag_bytes(slab));
        return false;
    }
    slab->chunks[slab->chunk_count] = rows;
    slab->flags[slab->chunk_count++] = flags;
    return true;
}

uint32_t slab_take(struct slab *slab)
{
    uint32_t place = slab->free_first;

    if (place != SLAB_NONE) {
        memcpy(&slab->free_first, slab_row(slab, place), sizeof(slab->free_first));
        slab->free_count--;
    } else {
        if (slab->high == SLAB_ROWS_MOST ||
            (slab->high >> slab->chunk_shift == slab->chunk_count && !chunk_add(slab)))
            return SLAB_NONE;
        place = slab->high++;
    }
    slab_set(slab, SLAB_LIVE, place);
    return place;
}

static void chain_add(struct slab *slab, uint32_t place)
{
    memcpy(slab_row(slab, place), &slab->free_first, sizeof(slab->free_first));
    slab->free_first = place;
    slab->free_count++;
}

void slab_give(struct slab *slab, uint32_t place)
{
    for (unsigned flag = 0; flag < SLAB_FLAGS; flag++)
        slab_clear(slab, flag, place);
    chain_add(slab, place);
}

/* The chain of the places that are free, the lowest first. */
static void chain_make(struct slab *slab)
{
    slab->free_first = SLAB_NONE;
    slab->free_count = 0;
    for (uint32_t place = slab->high; place-- > 0;) {
        if (!slab_is(slab, SLAB_LIVE, place))
            chain_add(slab, place);
    }
}

void slab_shrink(struct slab *slab, uint32_t high)
{
    uint32_t inner = high & (((uint32_t)1 << slab->chunk_shift) - 1);
    uint32_t chunks = (high >> slab->chunk_shift) + (inner > 0);

    if (high >= slab->high)
        return;
    while (slab->chunk_count > chunks) {
        region_unmap(slab->chunks[--slab->chunk_count], bytes_of_chunk(slab));
        region_unmap(slab->flags[slab->chunk_count], flag_bytes(slab));
    }
    if (inner > 0)
        region_forget(slab->chunks[chunks - 1], bytes_of_chunk(slab), inner * slab->stride);
    slab->high = high;
    chain_make(slab);
}

/* Huge pages, which large chunks have, are touched as a whole. */
uint64_t slab_bytes(const struct slab *slab)
{
    const uint64_t huge = (uint64_t)2 << 20;
    uint64_t whole = slab->high >> slab->chunk_shift;
    uint64_t rest = (slab->high & (((uint32_t)1 << slab->chunk_shift) - 1)) * (uint64_t)slab->stride;
    uint64_t chunk = bytes_of_chunk(slab);

    if (chunk >= huge)
        rest = (rest + huge - 1) / huge * huge;
    return whole * chunk + (rest < chunk ? rest : chunk) + slab->chunk_count * flag_bytes(slab) +
           slab->chunk_room * (sizeof(*slab->chunks) + sizeof(*slab->flags));
}
