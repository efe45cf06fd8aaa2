/* The synchronisation: where a job stands, found out by a worker that takes up work in the middle of it
 * (docs/design.md section 5). All versions that shards keep are told, and with them the first step that has
 * not ended: that is where this worker's work begins.
 *
 * Step t has ended when all weights and the metrics have version t + 1, and the validation that is due once t
 * steps are done has come, if one is. Nobody pushes anything of step t + 1 before, so shards keep versions t
 * and t + 1 of everything until then. Answers may be old when they come: a version only grows, so what they
 * say has ended has ended, and when that was long ago the pull that follows is refused as passed.
 *
 * Pure: knows of no sockets. One thread an object. */
#ifndef CAIRN_WORKER_SYNCHRONISE_H
#define CAIRN_WORKER_SYNCHRONISE_H

#include "base/status.h"
#include "schedule.h"

/* Which versions there are. */
struct versions {
    uint64_t weights;    /* the least of all chunks */
    uint64_t metrics;    /* the step that is being summed */
    uint64_t validation; /* of the newest validation that is whole, or less than any that is looked for */
};

/* Where a job stands. */
struct standing {
    uint64_t step;     /* the first that has not ended; the final step: all have */
    bool has_root;     /* the metrics of the step before are kept: it was of this incarnation */
    bool is_validated; /* what is due once `step` steps are done has come */
};

/* schedule: its first_step is the incarnation's. Errors: CAIRN_PROTOCOL for versions that no shard of this
 * incarnation can have. */
enum status standing_of(const struct schedule *schedule, const struct versions *versions,
                        struct standing *standing, struct error *error) MUST_CHECK;

/* The answers of shards, as they come. */
struct synchronise {
    uint32_t chunk_count;
    uint64_t *chunks; /* [chunk_count]: the newest version of each; UINT64_MAX before */
    uint32_t left;    /* answers that are still to come: of chunks, metrics, validation */
    struct versions versions;
    uint64_t weights_most; /* the greatest of all chunks */
};

/* Errors: CAIRN_NO_MEMORY. It may be finished even then, or when it is zero. */
enum status synchronise_init(struct synchronise *synchronise, uint32_t chunk_count,
                             struct error *error) MUST_CHECK;
void synchronise_fini(struct synchronise *synchronise);

/* The newest version of a chunk of a table is told. What was told before, or does not exist, is ignored. */
void synchronise_told(struct synchronise *synchronise, uint32_t table, uint32_t chunk, uint64_t version);

/* Whether all versions are told. */
bool synchronise_is_complete(const struct synchronise *synchronise);

/* A table and chunk of it whose version is not told yet. Only when it is not complete. */
void synchronise_missing(const struct synchronise *synchronise, uint32_t *table, uint32_t *chunk);

#endif
