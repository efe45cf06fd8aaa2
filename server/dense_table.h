/* A shard's piece of a dense table: for each chunk the reduction of a step's gradients, the optimizer's state
 * and two versions of the values.
 *
 * A chunk stands at a version t and sums the gradients of step t; when the tree's root is there, dense_update
 * makes version t + 1 in a fresh buffer and keeps t. Nothing here knows of clients, messages or disks: those
 * who send or store a version hold a reference to its buffer. Optimizer slots are updated in place unless
 * somebody else (a generation) holds them; then into fresh buffers. A step of which all nodes are empty
 * changes nothing but the version. One thread an object. */
#ifndef CAIRN_SERVER_DENSE_TABLE_H
#define CAIRN_SERVER_DENSE_TABLE_H

#include "base/buffer.h"
#include "base/status.h"
#include "chain.h"
#include "clocks.h"
#include "codec/codec.h"
#include "math/tree.h"
#include "norm_rounds.h"
#include "optimizers/optimizer.h"
#include "subscribers.h"
#include "update_queue.h"

#include <stdbool.h>
#include <stdint.h>

#define DENSE_ARRAYS_MAX (1 + OPTIMIZER_SLOTS_MAX)

/* How a table lies in chunks, how it is updated, and in which numbers its gradients are added. */
struct dense_params {
    uint64_t floats;
    uint32_t chunk_floats, chunk_count;
    uint32_t microbatches;
    const struct optimizer_spec *optimizer; /* borrowed for the table's life */
    const struct graph *graph;              /* borrowed likewise: the table's parameters; NULL: it is one */
    const struct codec_spec *codec;         /* borrowed likewise; NULL: float32 */
    uint64_t seed;                          /* the job's, and the table's number: what the codec's chance */
    uint32_t number;                        /* is drawn from */
    bool has_clocks;                        /* each push is an update by itself (dense_apply) */
};

struct dense_table;

struct dense_chunk {
    struct dense_table *table; /* borrowed: the one that it is of */
    uint32_t number;           /* in the table's address space */
    uint32_t floats;
    uint64_t begin;         /* its first float */
    uint64_t version;       /* of current */
    uint64_t first_version; /* the one that it came here with: it is in generations of later steps */
    struct buffer *current;
    struct buffer *previous;               /* version - 1; NULL: not known (the table began here) */
    struct buffer *coded, *previous_coded; /* the same in the codec's bytes; NULL: nobody has asked yet */
    struct buffer *slots[OPTIMIZER_SLOTS_MAX];
    struct tree *tree;  /* of step `version` */
    bool is_summed;     /* the step's whole sum is there and waits for dense_update */
    struct buffer *sum; /* that sum; NULL: nobody had gradients */
    uint64_t sum_samples;
    bool has_next_slots;                            /* lamb: measuring has made them, if there is a sum */
    struct buffer *next_slots[OPTIMIZER_SLOTS_MAX]; /* room for them; NULL: none yet */
    struct waiting_list waiting;                    /* the shard's: who waits for version + 1 */
    struct chain_link link;                         /* the shard's: its place in the chunk's chain */
    struct clocks *clocks;                          /* whose updates it has; NULL: not params.has_clocks */
    struct update_queue updates; /* the shard's: with clocks, those that the one after has not */
};

struct dense_table {
    struct dense_params params;
    uint32_t slot_count; /* optimizer slots */
    uint64_t prepared;   /* the update that optimizer_step is of; 0: none yet */
    struct optimizer_step optimizer_step;
    struct norm_rounds *rounds;     /* NULL: the optimizer needs no norms */
    uint64_t measured_number;       /* of an exchange for which the chunks before this one of `chunks` */
    uint32_t measured_chunks;       /* need not be measured */
    struct buffer_pool *pool;       /* of buffers of one chunk */
    struct buffer_pool *coded_pool; /* of a chunk's values in the codec; NULL: they travel as they are */
    struct dense_chunk **index;     /* [params.chunk_count]: by number; NULL: not here */
    uint32_t chunk_count;
    struct dense_chunk **chunks; /* in order of number */
};

/* A table of the chunks `numbers` (ascending) at `version`, all values zero and all slots as the optimizer
 * begins them: fill them from the job or from a generation. Owns: the caller. Errors: CAIRN_NO_MEMORY. */
enum status dense_table_new(const struct dense_params *params, const uint32_t *numbers, uint32_t count,
                            uint64_t version, struct dense_table **out, struct error *error) MUST_CHECK;
void dense_table_free(struct dense_table *table);

/* Adds a chunk that is not there, less than params.chunk_count, made as above; takes one out again, with its
 * memory. Errors: CAIRN_NO_MEMORY; the table is as it was. */
enum status dense_chunk_add(struct dense_table *table, uint32_t number, uint64_t version,
                            struct dense_chunk **out, struct error *error) MUST_CHECK;
void dense_chunk_remove(struct dense_table *table, struct dense_chunk *chunk);

/* The chunk of that number, NULL when it is not of this piece. Any number. */
struct dense_chunk *dense_find(struct dense_table *table, uint32_t number);

/* The buffer of a version, borrowed; NULL: not kept. */
struct buffer *dense_version(const struct dense_chunk *chunk, uint64_t version);

/* The same in the table's codec, which must carry values (codec.h): made once, at the first call for a
 * version that is kept. Borrowed. Errors: CAIRN_NO_MEMORY. */
enum status dense_version_coded(struct dense_chunk *chunk, uint64_t version, struct buffer **out,
                                struct error *error) MUST_CHECK;

/* A tree node's sum from its coded bytes, fit for dense_push. bytes: borrowed, from outside. Owns: the
 * caller. Errors: CAIRN_PROTOCOL for bytes that no encoder writes, CAIRN_NO_MEMORY. */
enum status dense_decode(const struct dense_chunk *chunk, const struct buffer *bytes, struct buffer **out,
                         struct error *error) MUST_CHECK;

/* Takes a tree node's sum for the chunk's step; true: the step's sum is whole (chunk->is_summed).
 * gradients: chunk->floats floats, numbers of the table's codec, aligned for them, exclusively the caller's;
 * taken in every case; NULL: the node has none. A node that is covered already, or comes while the whole sum
 * waits, is dropped. node is of the job's tree. */
bool dense_push(struct dense_chunk *chunk, struct tree_node node, struct buffer *gradients, uint64_t samples);

/* Takes the step's whole sum as another shard has formed it; what has come of it here is dropped. sum: as
 * gradients above; dropped if the whole sum is there. */
void dense_take_sum(struct dense_chunk *chunk, struct buffer *sum, uint64_t samples);

/* What a chunk is at a version: the values of it and of the one before (NULL: not kept) and the slots. */
struct dense_state {
    uint64_t version;
    struct buffer *current, *previous, *slots[OPTIMIZER_SLOTS_MAX];
};

/* Puts a chunk into a state; nothing may have been pushed to it. The buffers, of chunk->floats floats each,
 * are borrowed and copied: they are frames of a message, whose memory the table's own is better than, since
 * it goes back to the system when the chunk leaves, and lies in large pages. Errors: CAIRN_NO_MEMORY; the
 * chunk is then only good to be removed. */
enum status dense_restore(struct dense_chunk *chunk, const struct dense_state *state,
                          struct error *error) MUST_CHECK;

/* In place of dense_push and dense_update: applies the gradients of one push, the mean of which over its
 * samples is an update by itself: the version grows by one. gradients: as dense_push's; with samples 0 they
 * count for nothing. divisor: of the learning rate, >= 1. Only with params.has_clocks. Errors:
 * CAIRN_NO_MEMORY; nothing has changed then. */
enum status dense_apply(struct dense_chunk *chunk, struct buffer *gradients, uint64_t samples, double divisor,
                        struct error *error) MUST_CHECK;

/* Measures a chunk whose sum is whole for the round at hand, and gives its part if this shard is its chain's
 * head; unless that was done or need not be. Only with rounds. Errors: CAIRN_NO_MEMORY; nothing has changed
 * then. */
enum status dense_measure(struct dense_table *table, struct dense_chunk *chunk,
                          struct error *error) MUST_CHECK;

/* Whether parts of chunks that this shard is the head of are still to come in the round at hand; and whether
 * that round holds up an update here for which nothing is missing but what others have. Only with rounds. */
bool dense_owes_parts(struct dense_table *table);
bool dense_awaits_parts(struct dense_table *table);

/* Chunks have other places than before. */
void dense_places_changed(struct dense_table *table);

/* Whether dense_update may be called: the step's sum is whole, and norms that it needs are known. */
bool dense_is_due(const struct dense_table *table, const struct dense_chunk *chunk);

/* Applies the optimizer to the step's sum of a chunk that is due: the version grows by one.
 * Errors: CAIRN_NO_MEMORY; nothing has changed then. */
enum status dense_update(struct dense_table *table, struct dense_chunk *chunk,
                         struct error *error) MUST_CHECK;

#endif
