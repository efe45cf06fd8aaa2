/* A generation: all that a shard holds of a job at one version, weights and optimizer slots, on its way to
 * disk and back. Its pieces are the dense chunks and the sparse tables (tables.h). Chunks may come to the
 * shard and leave it meanwhile: one that comes with an older version will be a piece, one that leaves before
 * it has been captured is none.
 *
 * Capturing a chunk takes references, no copies: the writer thread writes what the shard thread has moved on
 * from. Of a sparse table rows that changed are copied, a few at a time (rows.h). Each piece is captured when
 * it reaches the version, so the generation is complete once all have. Records of chunks have two places; a
 * write leaves the one that holds the job's committed step alone (`keep_step`), whatever a run that was
 * rolled back may have left in the other.
 *
 * Threads: captured by the shard's thread; from generation_write's start to its report the writer's. */
#ifndef CAIRN_SERVER_GENERATION_H
#define CAIRN_SERVER_GENERATION_H

#include "store/store.h"
#include "tables.h"

#include <stdbool.h>
#include <stdint.h>

enum generation_state {
    GENERATION_COLLECTING, /* chunks are still to come, or it waits for the one before */
    GENERATION_WRITING,    /* the writer has it */
    GENERATION_WRITTEN     /* durable here; waits for the job's other shards */
};

struct generation {
    enum generation_state state;
    void *owner;         /* the shard's own */
    struct store *store; /* borrowed */
    uint64_t step, keep_step;
    bool is_asked; /* somebody waits for this one; none of a later step will do */
    uint32_t piece_count, captured; /* how many it is to have; how many are whole */
    uint32_t held, room;            /* pieces there are, and could be */
    struct generation_piece {
        uint32_t table, chunk;
        uint32_t array_count;                    /* of a dense chunk: 1 + optimizer slots */
        struct buffer *arrays[DENSE_ARRAYS_MAX]; /* [0] NULL: not captured yet, or no chunk */
        uint64_t version;                        /* of a chunk with clocks, and these: */
        struct clock *clocks;                    /* [clock_count], owned; NULL: it has none */
        uint32_t clock_count;
        struct sparse_table *sparse;             /* NULL: not captured yet, or a chunk */
        struct rows_capture *rows, *candidates;  /* candidates NULL: the table admits all */
        bool rows_whole, candidates_whole;
    } * pieces; /* [held], in order of table and chunk once it is written */
};

/* An empty generation of `step` for all pieces of a job's tables that it has any of. NULL: out of memory.
 * Owns: the caller. */
struct generation *generation_new(const struct tables *tables, uint64_t step);
void generation_free(struct generation *generation);

/* Whether a chunk is a piece of a generation of this step; one that came later, or with the same version, is
 * not expected to be. */
static inline bool generation_expects(uint64_t step, const struct dense_chunk *chunk)
{
    return chunk->first_version < step && !chunk->link.awaits;
}

/* A chunk that is expected has come to the shard, or leaves it. */
void generation_arrived(struct generation *generation, const struct dense_chunk *chunk);
void generation_left(struct generation *generation, const struct dense_chunk *chunk);

/* Takes references to a chunk of a table, which must be at the generation's step, unless it has clocks: they
 * are copied, and tell the version that it is at; once a chunk. Errors: CAIRN_NO_MEMORY; the generation can
 * never be complete then. */
enum status generation_capture_dense(struct generation *generation, uint32_t table,
                                     const struct dense_chunk *chunk, struct error *error) MUST_CHECK;

/* Begins to capture a sparse table, which must be at the generation's step and in no other capture; once a
 * table. generation_capture_more does the rest.
 * Errors: those of rows_capture; the generation can never be complete then. */
enum status generation_capture_sparse(struct generation *generation, const struct tables *tables,
                                      uint32_t table, struct error *error) MUST_CHECK;

/* Copies some more rows of the sparse tables that are being captured; *has_more: there are still others.
 * Errors: as above. */
enum status generation_capture_more(struct generation *generation, bool *has_more,
                                    struct error *error) MUST_CHECK;

/* Whether a sparse table's rows are held by this generation, so that they can be in no other. */
bool generation_holds(const struct generation *generation, const struct sparse_table *sparse);

bool generation_is_complete(const struct generation *generation);

/* Drops what was captured, so that slots are updated in place again; is_durable: it was written. */
void generation_drop(struct generation *generation, bool is_durable);

/* Writes a complete generation in one synchronous transaction.
 * Errors: CAIRN_FULL and others of the store; what was durable before is as it was. */
enum status generation_write(struct generation *generation, struct error *error) MUST_CHECK;

/* Fills the dense tables' current values and slots from the records of their version, `step`; but for those
 * that begin there. Chunks with clocks get these, and the version that they tell.
 * Errors: CAIRN_NOT_FOUND, CAIRN_CORRUPT (also when a record does not fit the table); the values are
 * unspecified then, the store is never changed. */
enum status generation_load(struct store *store, const struct tables *tables, uint64_t step,
                            struct error *error) MUST_CHECK;

/* The same of one chunk that was passed over, since it awaited what another shard has. table: its number. */
enum status generation_load_chunk(struct store *store, uint32_t table, struct dense_chunk *chunk,
                                  struct error *error) MUST_CHECK;

/* Says in the log what a resumed job was given: which state, how much of it, and how fast it came.
 * began_ns: by clock_ns, before the store was opened. */
void generation_log_loaded(const struct tables *tables, const struct job_store_owner *owner, uint64_t job,
                           uint64_t step, uint64_t began_ns);

/* Bytes of map that the dense tables' records need, with room for two places and what is free but not yet
 * reusable.
 */
size_t generation_map_bytes(const struct tables *tables);

#endif
