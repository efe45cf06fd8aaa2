/* The clocks of a chunk, in the throughput modes: which of each worker's updates it has.
 *
 * A worker's updates of a chunk are numbered by its steps and come in order, so that one number says all: the
 * step that it has not had yet. An update is applied when it is that one, and dropped when it is an earlier
 * one: exactly once. The numbers belong to the chunk's state, as its weights do, and go with it to disk; so
 * what was undone by going back is not taken for applied. A worker's number is never used twice in a job.
 * Those that have left are kept, so that the chunk's version is always the sum of what all have given:
 * clocks_total.
 *
 * Only those that the newest epoch names are live: others are fenced off, and nobody waits for them. Pure.
 * One thread an object. */
#ifndef CAIRN_SERVER_CLOCKS_H
#define CAIRN_SERVER_CLOCKS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The updates of a worker that a chunk has: those of steps [first, next). */
struct clock {
    uint64_t worker, first, next;
};

/* A worker as an epoch names it, and the step that it begins at where it is not known yet. */
struct clock_start {
    uint64_t worker, step;
};

struct clocks {
    struct clock *items; /* [count], in order of worker */
    uint64_t *given;     /* [count]: version of the chunk that the worker was last given */
    bool *live;          /* [count] */
    uint32_t count, capacity;
};

enum clocks_verdict {
    CLOCKS_DUE,    /* the update is the worker's next: clocks_apply */
    CLOCKS_HAD,    /* it was applied before */
    CLOCKS_FENCED, /* the worker is not in the newest epoch */
    CLOCKS_GAP     /* an earlier one has not come */
};

/* All zero: nobody. */
void clocks_fini(struct clocks *clocks);

/* The workers of the newest epoch, in any order; no others are live from now on.
 * Errors: CAIRN_NO_MEMORY; nothing has changed then. */
enum status clocks_begin_epoch(struct clocks *clocks, const struct clock_start *workers, uint32_t count,
                               struct error *error) MUST_CHECK;

/* What an update of a worker's step is. */
enum clocks_verdict clocks_judge(const struct clocks *clocks, uint64_t worker, uint64_t step);

/* Another shard has judged that an update of this step is the worker's next: who is not known yet begins with
 * it, and is not live. Errors: CAIRN_INVALID, it is not the next here; CAIRN_NO_MEMORY. */
enum status clocks_follow(struct clocks *clocks, uint64_t worker, uint64_t step,
                          struct error *error) MUST_CHECK;

/* The worker's next update, which was due, is applied. It may have left meanwhile. */
void clocks_apply(struct clocks *clocks, uint64_t worker);

/* The step of a live worker whose update is to come; false: there is no such worker. */
bool clocks_next(const struct clocks *clocks, uint64_t worker, uint64_t *step);

/* The step of the live worker that is furthest behind; UINT64_MAX: there is none. */
uint64_t clocks_least(const struct clocks *clocks);

/* How many updates were applied, of all workers there ever were. */
uint64_t clocks_total(const struct clocks *clocks);

/* The worker is given this version of the chunk; how many updates came since the version that it was given
 * last (0: it never was). No such worker: nothing, 0. */
void clocks_give(struct clocks *clocks, uint64_t worker, uint64_t version);
uint64_t clocks_staleness(const struct clocks *clocks, uint64_t worker, uint64_t version);

/* Replaces all by clocks from disk or from another shard, of which none is live. items: borrowed, [count].
 * Errors: CAIRN_CORRUPT when they are not in order or contradict themselves; CAIRN_NO_MEMORY. */
enum status clocks_load(struct clocks *clocks, const struct clock *items, uint32_t count,
                        struct error *error) MUST_CHECK;

#endif
