/* Which worker works for which job: a pure rule over jobs in order and workers.
 *
 * 1. A job that has more than its target lets the newest go.
 * 2. In the order of jobs, one that is below its minimum gets what it lacks, or nothing if that is not to be
 *    had: free workers first; then those that other jobs have beyond their minima, the newest first; then
 * those of jobs that cannot work anyway, as they are below theirs.
 * 3. In the order of jobs, free workers go to those that have their minimum, up to their targets; and to
 * those that gather workers until they have it.
 *
 * So no job is ever taken below its minimum, what a job has stays with it unless another cannot work without,
 * and the same rule applied twice changes nothing more. Knows nothing of nodes; any thread. */
#ifndef CAIRN_COORDINATOR_ALLOCATION_H
#define CAIRN_COORDINATOR_ALLOCATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALLOCATION_FREE SIZE_MAX

/* A job. minimum <= target. */
struct claim {
    uint32_t minimum, target;
    bool gathers;   /* fewer workers than the minimum are of use to it: they get ready */
    uint32_t count; /* out: how many workers it has */
};

/* A worker. */
struct hand {
    size_t claim;   /* the index of the job that it serves, or ALLOCATION_FREE: in and out */
    int64_t joined; /* greater: it joined that job later; of two that are alike the later in the list did */
    size_t before;  /* allocate's own */
};

/* Whether a worker may work for a job. */
typedef bool allocation_fits(const void *context, size_t hand, size_t claim);

/* Gives every worker to a job or to none, by the rule above. */
void allocate(struct claim *claims, size_t claim_count, struct hand *hands, size_t hand_count,
              allocation_fits *fits, const void *context);

#endif
