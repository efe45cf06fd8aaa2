/* Where the row of a key lies: a hash table from keys to places of the slab.
 *
 * Source: the layout of Facebook's F14 (N. Bronson, X. Shi, "Open-sourcing F14", 2019): a bucket is one cache
 * line of 12 one-byte tags, 12 places and a count of the rows that found it full and went on. A look-up
 * compares all tags at once; with the count it ends in the first bucket nearly always.
 *
 * Buckets are in the order of the hash: 64 segments by its highest bits, which grow one by one, by half, at
 * different times (so that growing is a short stall and the memory a row stays even), and inside a segment
 * the home bucket grows with the hash. A full bucket's rows go to the next one. So the rows of a range of
 * hashes lie together, which scans use.
 *
 * Keys are read in the slab's rows. Knows nothing of disks. One thread an object. */
#ifndef CAIRN_SERVER_ROWS_INDEX_H
#define CAIRN_SERVER_ROWS_INDEX_H

#include "base/status.h"
#include "rows_slab.h"

#include <stdbool.h>
#include <stdint.h>

#define INDEX_SEGMENTS      64u
#define INDEX_SEGMENT_SHIFT 58 /* the segment of a hash: its highest bits */
#define BUCKET_ROWS         12u

struct index_bucket {
    uint8_t tags[BUCKET_ROWS]; /* 0: empty */
    uint32_t passed;           /* rows that lie further on because this one was full */
    uint32_t places[BUCKET_ROWS];
};

struct index_segment {
    struct index_bucket *buckets;
    uint32_t bucket_count;
    uint32_t row_count;
    uint32_t rows_most; /* grows beyond it */
};

struct rows_index {
    struct index_segment segments[INDEX_SEGMENTS];
};

/* An empty index. Errors: CAIRN_NO_MEMORY; it may be finished then too. */
enum status index_init(struct rows_index *index, struct error *error) MUST_CHECK;
void index_fini(struct rows_index *index);

/* Finds the rows of keys[count], count <= ROWS_BLOCK_MAX, and their places; SLAB_NONE and NULL: there is no
 * such row. Fills hashes[count]. The rows found are on their way into the cache. Reads ahead, so that many
 * look-ups wait for memory at once. */
void index_find_block(const struct rows_index *index, const struct slab *slab, const uint64_t *keys,
                      uint32_t count, uint64_t *hashes, uint32_t *places, struct row **rows);

/* The place of one key's row, SLAB_NONE: no such row. */
uint32_t index_find(const struct rows_index *index, const struct slab *slab, uint64_t hash, uint64_t key);

/* Adds a row that is not there; its key must be set. False: out of memory, nothing has changed. */
bool index_add(struct rows_index *index, const struct slab *slab, uint64_t hash, uint32_t place) MUST_CHECK;

/* Gives the memory of buckets that so few rows do not need back, as far as there is memory to do so. No walk
 * may be under way. */
void index_shrink(struct rows_index *index, const struct slab *slab);

/* Takes a row that is there out. */
void index_remove(struct rows_index *index, uint64_t hash, uint32_t place);

/* A walk over the rows whose hash lies in a range. */
struct index_walk {
    const struct rows_index *index;
    const struct slab *slab;
    uint64_t first, last; /* inclusive */
    uint32_t segment, at; /* where it is */
    uint32_t straight;    /* buckets that are home to hashes of the range, from `at` on */
    uint32_t left;        /* of the segment's buckets */
    uint32_t found;       /* rows of the bucket that are still to come, as bits */
};

void index_walk_begin(struct index_walk *walk, const struct rows_index *index, const struct slab *slab,
                      uint64_t first, uint64_t last);

/* The next row, in no order; false: there are no more. The row may be removed from the index before the next
 * call; nothing may be added during a walk. */
bool index_walk_next(struct index_walk *walk, uint64_t *hash, uint32_t *place);

/* Bytes that it takes of the system's memory. */
uint64_t index_bytes(const struct rows_index *index);

#endif
