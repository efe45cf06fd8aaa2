/* Servers that hold one sparse table and a client that pushes to and pulls from it in batches of random keys;
 * and, as a limit, the hash table alone, in one process without messages. For benchmarks.
 *
 * All rows are made before the first run. What a run does, its cell, is in memory that the processes share,
 * so that one filled table serves for many cells. */
#ifndef CAIRN_BENCH_ROW_CLUSTER_H
#define CAIRN_BENCH_ROW_CLUSTER_H

#include "crew.h"

#include <stdint.h>

#define ROW_FLOATS     16
#define ROW_BATCH_MAX  100000u
#define ROW_WINDOW_MAX 16u

enum row_pattern {
    ROW_PUSH,     /* gradients there, acknowledged when they are applied */
    ROW_PULL,     /* the newest rows */
    ROW_PUSH_PULL /* gradients there, the rows that come of them back */
};

/* A step is one batch. Changed only while no run is under way. */
struct row_cell {
    enum row_pattern pattern;
    uint32_t batch, window; /* keys a step, at most ROW_BATCH_MAX; steps under way, at most ROW_WINDOW_MAX */
};

struct row_params {
    uint64_t rows;               /* keys are below it */
    bool ascend;                 /* a batch's keys, which are distinct then */
    const char *optimizer;       /* as in a job file */
    uint32_t slots;              /* floats that the optimizer keeps beside each weight; of the table alone */
    const struct row_cell *cell; /* shared by the processes */
};

/* For crew_start; their argument is a struct row_params. One client each; the table alone has no servers. */
extern const struct crew_roles row_cluster_roles, row_table_roles;

#endif
