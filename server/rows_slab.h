/* The memory of a table's rows: places of one size, numbered from 0, that never move, with a few flags each.
 *
 * Places come from chunks of a power of two of places, so that growing copies nothing and allocates nothing a
 * row. A freed place is the next to be used; its memory goes back to the system by slab_shrink alone. Flags
 * lie in bitmaps of their own, a sweep over them does not touch the rows. Knows nothing of keys' order, of
 * budgets or disks. One thread an object. */
#ifndef CAIRN_SERVER_ROWS_SLAB_H
#define CAIRN_SERVER_ROWS_SLAB_H

#include "base/status.h"
#include "rows.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_NONE      UINT32_MAX
#define SLAB_ROWS_MOST (UINT32_MAX - 1)
#define SLAB_WORD      64u /* places a word of a bitmap */

enum slab_flag {
    SLAB_LIVE,       /* holds a row (set and cleared by slab_take and slab_give) */
    SLAB_DIRTY,      /* newer than every copy on disk */
    SLAB_REFERENCED, /* used since the clock's hand passed */
    SLAB_REMOVED,    /* not a row: hides older ones on disk */
    SLAB_PENDING,    /* in a capture that is not durable yet */
    SLAB_UNCOPIED,   /* and its bytes are still to be copied for it */
    SLAB_FLAGS
};

struct slab {
    size_t stride;        /* bytes of a place */
    uint32_t chunk_shift; /* a chunk has 2^chunk_shift places, at least SLAB_WORD */
    uint32_t chunk_count, chunk_room;
    unsigned char **chunks; /* [chunk_count] places */
    uint64_t **flags;       /* [chunk_count] bitmaps, one flag's words after another's */
    uint32_t high;          /* places from here on were never used */
    uint32_t free_first;    /* chain of freed places, SLAB_NONE: none */
    uint32_t free_count;
};

/* An empty slab of rows of `floats` floats; takes no memory yet. All zero before: nothing to finish.
 * chunk_bytes: of memory to get at once, as a hint. */
void slab_init(struct slab *slab, uint32_t floats, size_t chunk_bytes);
void slab_fini(struct slab *slab);

/* A place for a row, its flags cleared but for live, its bytes undefined; SLAB_NONE: out of memory. */
uint32_t slab_take(struct slab *slab);

/* Frees a live place. */
void slab_give(struct slab *slab, uint32_t place);

/* Gives the memory of all places from `high` on back, none of which may be live. */
void slab_shrink(struct slab *slab, uint32_t high);

/* Bytes that it takes of the system's memory, all included. */
uint64_t slab_bytes(const struct slab *slab);

static inline struct row *slab_row(const struct slab *slab, uint32_t place)
{
    size_t inner = place & (((uint32_t)1 << slab->chunk_shift) - 1);

    return (struct row *)(slab->chunks[place >> slab->chunk_shift] + inner * slab->stride);
}

/* The word of a flag's bitmap that holds the place. */
static inline uint64_t *slab_word(const struct slab *slab, enum slab_flag flag, uint32_t place)
{
    uint32_t words = ((uint32_t)1 << slab->chunk_shift) / SLAB_WORD;
    uint32_t inner = (place & (((uint32_t)1 << slab->chunk_shift) - 1)) / SLAB_WORD;

    return &slab->flags[place >> slab->chunk_shift][flag * words + inner];
}

/* Places in use. */
static inline uint32_t slab_used(const struct slab *slab)
{
    return slab->high - slab->free_count;
}

static inline bool slab_is(const struct slab *slab, enum slab_flag flag, uint32_t place)
{
    return *slab_word(slab, flag, place) >> (place % SLAB_WORD) & 1;
}

static inline void slab_set(struct slab *slab, enum slab_flag flag, uint32_t place)
{
    *slab_word(slab, flag, place) |= (uint64_t)1 << (place % SLAB_WORD);
}

static inline void slab_clear(struct slab *slab, enum slab_flag flag, uint32_t place)
{
    *slab_word(slab, flag, place) &= ~((uint64_t)1 << (place % SLAB_WORD));
}

#endif
