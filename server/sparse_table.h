/* A shard's piece of a sparse table: rows by key, the reduction of a step's gradients, and two versions.
 *
 * The table stands at a version t and sums the gradients of step t; when the tree's root is there,
 * sparse_update applies the optimizer to the rows in it (lazily: to no others) and keeps what they were, so
 * that version t can still be read. Reading never changes anything: a key that has no row reads as its
 * initial value, a function of seed, table and key. Rows are made by updates alone, after `admit_after` steps
 * that had the key, and end when `expire_after` steps have not had it: both by step, so a row's life depends
 * neither on memory nor on who asked for what.
 *
 * Where rows lie, in memory or on disk, is the rows' own affair (rows.h). Knows nothing of clients or
 * messages. One thread an object. */
#ifndef CAIRN_SERVER_SPARSE_TABLE_H
#define CAIRN_SERVER_SPARSE_TABLE_H

#include "base/buffer.h"
#include "base/status.h"
#include "job/job.h"
#include "job/table_initial.h"
#include "key_index.h"
#include "math/tree.h"
#include "norm_rounds.h"
#include "optimizers/optimizer.h"
#include "rows.h"
#include "sparse_chain.h"
#include "sparse_sum.h"
#include "subscribers.h"

#include <stdbool.h>
#include <stdint.h>

/* What step `version` - 1 did to the rows in it: their weights before, which have taken the place of the
 * step's gradients. */
struct sparse_before {
    struct sparse_sum *sum; /* NULL: that step is not known */
    struct key_index index; /* of its keys, made when somebody asks */
    bool is_indexed, is_known;
};

struct sparse_table {
    const struct table_spec *spec; /* borrowed */
    struct table_initial initial;
    const struct codec_spec *codec; /* the spec's; NULL: float32 */
    uint64_t seed;                  /* the job's, and the table's number: what the codec's chance */
    uint32_t number;                /* is drawn from */
    uint32_t row_floats;            /* weights and optimizer slots */
    float slot_initial[OPTIMIZER_SLOTS_MAX];
    struct optimizer_step step; /* of the update in hand */
    uint64_t version;
    struct rows *rows;
    struct rows *candidates;    /* counts of keys that have not earned a row yet; NULL: every key has */
    struct norm_rounds *rounds; /* NULL: the optimizer needs no norms; pieces are slots */
    struct exact_sum *squares;  /* [slots]: of gradients, as they are measured; with rounds */
    struct tree *tree;          /* of step `version`; its payloads are sums */
    struct key_index scratch;
    uint32_t rows_made;     /* by the step in hand, candidates too */
    uint32_t block_rows;    /* that are updated together */
    float *block_weights;   /* [block_rows, dimension]: theirs before */
    bool is_out_of_memory;  /* a fold failed */
    bool is_torn;           /* an update failed: rows of two versions, none of which can be read */
    struct sparse_sum *sum; /* the step's whole sum, waiting for sparse_update; NULL: not there yet */
    uint64_t sum_samples;
    struct sparse_chain *chain; /* NULL: all slots here lie here alone, and are served; not with rounds */
    bool is_loaded;             /* from a store: rows of slots that are not here may lie here as well */
    uint64_t early; /* the newest map by which a copy was asked for that is not heard of yet; 0: none */
    uint64_t heads_since;       /* the map by which this shard's slots that are served became what they are */
    uint64_t first_version;     /* the one that it came here with: it is in generations of later steps */
    struct sparse_before before;
    struct waiting_list waiting; /* the shard's: who waits for version + 1 */
    struct waiting_list asking;  /* and who asks for the newest, while that comes by itself */
    uint64_t question;           /* the number of the last one of these; they wait for it in the list, */
    uint64_t lacked;             /* and up to which others have said that it does not come by itself */
};

/* A table at `version`. rows and candidates (NULL unless the table admits late) hold that version and are
 * taken, also on failure. job is borrowed. Errors: CAIRN_NO_MEMORY. */
enum status sparse_table_new(const struct job *job, uint32_t number, struct rows *rows,
                             struct rows *candidates, uint64_t version, struct sparse_table **out,
                             struct error *error) MUST_CHECK;

void sparse_table_free(struct sparse_table *table);

/* Floats of a row of this table: its weights and optimizer slots; and of one of its candidates. */
uint32_t sparse_row_floats(const struct table_spec *spec);
#define SPARSE_CANDIDATE_FLOATS 1

/* Takes a tree node's gradients for step `version`; true: the step's sum is whole (table->sum).
 * keys: uint64 [n], kept as they are or read only; values: float32 [n, dimension], exclusively the caller's,
 * taken in every case; both NULL: the node has none here. node is of the job's tree. With a codec, values are
 * its numbers. Errors: CAIRN_NO_MEMORY; the step can never be whole then. */
enum status sparse_push(struct sparse_table *table, struct tree_node node, struct buffer *keys,
                        struct buffer *values, uint64_t samples, bool *is_whole) MUST_CHECK;

/* Makes the table one of a shard whose slots may have other shards before or after them; it is at the places
 * of a map, for a shard thread. Errors: CAIRN_NO_MEMORY; nothing has changed then. */
enum status sparse_table_use_chain(struct sparse_table *table, const struct slot_map *map,
                                   uint32_t thread) MUST_CHECK;

/* What the places of another map have changed. */
struct sparse_moved {
    bool serves; /* other slots: what clients have pushed of the step in hand is to be pushed again, by such
                    as know of that map */
    bool leaves; /* some slot is here no more; its rows are gone */
};

/* Takes the places of another map; only with a chain. Errors: CAIRN_NO_MEMORY, those of the rows. */
enum status sparse_table_place(struct sparse_table *table, const struct slot_map *map, uint32_t thread,
                               struct sparse_moved *moved, struct error *error) MUST_CHECK;

/* Whether it has no version, as nothing of it is here: yet, or any more. */
bool sparse_is_blank(const struct sparse_table *table);

/* Whether it is a piece of a generation of this step: one that came later, or with the same version, is not.
 */
bool sparse_is_expected(const struct sparse_table *table, uint64_t step);

/* Removes the rows of the slots that its chain has marked. Errors: those of the rows. */
enum status sparse_table_remove(struct sparse_table *table, struct error *error) MUST_CHECK;

/* A copy that is open has come to its end: its slots are here, and a table that was blank is at its version.
 * Errors: CAIRN_NO_MEMORY. */
enum status sparse_table_copied(struct sparse_table *table, bool before_is_known) MUST_CHECK;

/* Begins the rounds of an optimizer that needs norms anew, at a version; nothing for others.
 * Errors: CAIRN_NO_MEMORY. */
enum status sparse_begin_norms(struct sparse_table *table, uint32_t slot_count, uint64_t version) MUST_CHECK;

/* Measures the sums that are here of slots that are served here, and gives their parts of the norms, unless
 * that has been done; whether nothing is missing for the update but what others have. Only with rounds. */
void sparse_measure(struct sparse_table *table);
bool sparse_awaits_parts(const struct sparse_table *table);

/* Whether clients have still to push something of a slot that is served here, so that nobody can have all
 * parts of the exchange at hand. Only with rounds. */
bool sparse_lacks_sums(const struct sparse_table *table);

/* Whether sparse_update may be called: the step's sum is whole, and norms that it needs are known. */
bool sparse_is_due(const struct sparse_table *table);

/* Applies the optimizer to the rows of the step's sum, which must be due: the version grows by one.
 * Errors: those of the rows, CAIRN_NO_MEMORY, CAIRN_FULL; no version of the table can be read then. */
enum status sparse_update(struct sparse_table *table, struct error *error) MUST_CHECK;

/* Whether a version can be read: the newest, or the one before if this table has seen it. */
bool sparse_keeps(const struct sparse_table *table, uint64_t version);

/* The rows of keys [count], which may repeat, in their order: weights [count, dimension] of a version that
 * sparse_keeps. Errors: those of the rows, CAIRN_NO_MEMORY. */
enum status sparse_read(struct sparse_table *table, uint64_t version, const uint64_t *keys, size_t count,
                        float *weights, struct error *error) MUST_CHECK;

/* Visits the next slice, of about `most` rows, of those that the newest version reads and that step `since`
 * or a later one changed; rows of it begin with the weights. The table may go on between slices (rows.h).
 * Errors: those of the rows, CAIRN_INVALID (no version can be read), those of visit. */
enum status sparse_scan(struct sparse_table *table, struct rows_scan *scan, uint64_t since, uint32_t most,
                        rows_visit *visit, void *context, struct error *error) MUST_CHECK;

#endif
