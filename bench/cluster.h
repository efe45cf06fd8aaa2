/* A small cluster of the data plane alone, for benchmarks: shard threads as they ship, one a server process,
 * and clients that speak to them through sessions. No coordinator, no command line.
 *
 * A job of `tables` dense tables of `floats` each, updated by plain SGD (one multiply and add a float) or
 * another optimizer in sync mode: a step of a table is whole when every client has done its part. Up to
 * `tables` steps are under way at once, one a table, which is what the window of a benchmark means here. */
#ifndef CAIRN_BENCH_CLUSTER_H
#define CAIRN_BENCH_CLUSTER_H

#include "crew.h"

#include <stdint.h>

enum cluster_pattern {
    CLUSTER_PUSH,     /* gradients there, acknowledged when they are applied */
    CLUSTER_PULL,     /* the newest version of all chunks */
    CLUSTER_PUSH_PULL /* a sync step: gradients there, the next version back */
};

struct cluster_params {
    enum cluster_pattern pattern;
    uint64_t floats; /* of a table */
    uint32_t tables;
    const char *optimizer; /* as a job file has it; NULL: plain SGD */
    uint32_t commit_every; /* steps; 0: never. Each server's generation counts as the job's. */
    const char *codec;     /* as a job file has it; NULL: float32 */
};

/* For crew_start; its argument is a struct cluster_params. */
extern const struct crew_roles cluster_roles;

#endif
