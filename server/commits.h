/* When a job's versions on one shard become generations, and how far training may run ahead of the disk.
 *
 * Every `every` steps, and when asked to, each piece is captured as it reaches the version. At most two
 * generations are under way: one with the writer, or written and waiting for the job's other shards, and one
 * that is being captured or waits its turn. A piece that would reach a third is held back: back-pressure, not
 * loss. The second is written only once the first is the job's (commits_confirm), so that the job's committed
 * step is on disk at every moment.
 *
 * While the coordinator is away nobody can say that the first is the job's, and nobody shall wait for it: the
 * second is dropped for the third, and so on, so that training goes on with one generation on disk that may
 * be the job's or not, and the newest one in memory. Shards so come to have different ones. One that waits to
 * be the job's and never will be, as some shard has dropped it, is forgone (commits_forgo): told so by
 * whoever knows, and only then, the next one is written over it.
 *
 * Why no schedule loses the job's committed step R: a shard has on disk c, the last one that it was told is
 * the job's, and perhaps one later, u. R is c or u, for R becomes a step only when it is u, or c, of every
 * shard. A write goes over neither c, nor u unless it was forgone; and then R is not u, and cannot become it.
 *
 * Pure logic: it neither writes nor reports. The shard's thread. */
#ifndef CAIRN_SERVER_COMMITS_H
#define CAIRN_SERVER_COMMITS_H

#include "generation.h"
#include "store/store.h"
#include "tables.h"

#include <stdbool.h>
#include <stdint.h>

#define COMMITS_UNDER_WAY 2

struct commits {
    const struct tables *tables; /* borrowed, as the store */
    struct store *store;
    uint64_t every; /* 0: only those that are asked for, whatever versions the pieces have */
    uint64_t committed_step;                     /* the job's */
    uint64_t newest_step; /* of all generations that were asked for here, or that are the job's */
    struct generation *queue[COMMITS_UNDER_WAY]; /* oldest first */
    uint32_t count;
    bool is_away;          /* the coordinator: nobody is held back for it */
    uint32_t dropped;      /* generations, for later ones, since it went away */
    uint64_t dropped_step; /* of the newest one ever; none up to it begins any more */
    uint64_t dropped_after; /* of the one before the last that was dropped: all between the two were, too */
    bool asked;            /* a generation of asked_step waits for room */
    uint64_t asked_step;
    bool missed;    /* room came when the pieces were past asked_step already */
    bool abandoned; /* a write failed: nothing more is captured */
};

enum commits_answer {
    COMMITS_DURABLE, /* the step is on disk */
    COMMITS_COMING,  /* it will be */
    COMMITS_WRONG    /* some piece is at another version, or tables cannot end at it */
};

/* every: 0, or how often a generation is due by itself. */
void commits_init(struct commits *commits, const struct tables *tables, struct store *store, uint64_t every,
                  uint64_t committed_step);
/* Frees what is under way; nothing may be with the writer. */
void commits_fini(struct commits *commits);

/* Whether the coordinator is away: until it is not, generations that wait are dropped for later ones. */
void commits_set_away(struct commits *commits, bool is_away);

/* Whether a piece may reach `version` now. A sparse table whose rows are still held by a generation may not
 * reach the next boundary. */
bool commits_allow(const struct commits *commits, uint64_t version);
bool commits_allow_sparse(const struct commits *commits, const struct sparse_table *sparse, uint64_t version);

/* Does some more of the capturing that is under way; *has_more: some is left.
 * Errors: those of generation_capture_more: give up with commits_abandon. */
enum status commits_work(struct commits *commits, bool *has_more, struct error *error) MUST_CHECK;

/* A dense chunk, or a sparse table, has reached its version, which commits_allow allowed: captures it when a
 * generation of it is due. Errors: CAIRN_NO_MEMORY; those of generation_capture_sparse. */
enum status commits_reached_dense(struct commits *commits, uint32_t table, const struct dense_chunk *chunk,
                                  struct error *error) MUST_CHECK;
enum status commits_reached_sparse(struct commits *commits, uint32_t table, struct error *error) MUST_CHECK;

/* Captures what was asked for and waited for a piece to come to its version, or for room.
 * Errors: as above. */
enum status commits_go_on(struct commits *commits, struct error *error) MUST_CHECK;

/* A dense chunk has come to the shard with its version, or leaves it. One that comes is in no generation that
 * has been given to the writer: its first_version grows to that. One with clocks, whose versions are not
 * generations' steps, is in those that are asked for from now on. */
void commits_arrived(struct commits *commits, struct dense_chunk *chunk);
void commits_left(struct commits *commits, const struct dense_chunk *chunk);

/* The same of a sparse table whose first slots have come, or whose last has left: before it is blank. One
 * that comes back is not in a generation that has its rows of when it was here last. */
void commits_rows_arrived(struct commits *commits, struct sparse_table *sparse);
void commits_rows_left(struct commits *commits, uint64_t first_version, uint64_t version);

/* Makes the version that every piece now has, `step`, durable; with `every` 0 what they have, as step `step`,
 * once all is here that is to come from other shards but for copies.
 * COMMITS_COMING may come to nothing when pieces go on before there is room: commits_missed. Errors: as
 * above. */
enum status commits_ask(struct commits *commits, uint64_t step, enum commits_answer *answer,
                        struct error *error) MUST_CHECK;

/* The generation that is to be given to the writer now (it counts as given), or NULL. */
struct generation *commits_next(struct commits *commits);

/* Whether the writer has one. */
bool commits_writing(const struct commits *commits);

/* The writer is done with the generation that commits_next gave; is_durable: it is durable here. There may be
 * room now: commits_go_on. */
void commits_written(struct commits *commits, bool is_durable);

/* Whether a commit that was asked for came to nothing, told once; *step: which. */
bool commits_missed(struct commits *commits, uint64_t *step);

/* The job has failed: nothing more is captured, nobody is held back. What the writer has is left to it. */
void commits_abandon(struct commits *commits);

/* The job's generation is now `step`: makes room; what this shard has of it or of an older one that was not
 * needed is dropped. False: it was so already. Errors: CAIRN_NO_MEMORY from a generation that was asked for
 * and waited for room. */
enum status commits_confirm(struct commits *commits, uint64_t step, bool *confirmed,
                            struct error *error) MUST_CHECK;

/* The generation of `step` will never be the job's, since some shard has none of it: makes room likewise; the
 * next one goes over it on disk. False when no written generation waits that is of that step; whoever
 * writes it later is told once more (tally.h). Errors: as above. */
enum status commits_forgo(struct commits *commits, uint64_t step, bool *forgone,
                          struct error *error) MUST_CHECK;

#endif
