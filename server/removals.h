/* Jobs that were deleted and are to be removed from the disk, one after the other: for the one in hand each
 * shard takes its store out of reach (shard_remove), then a thread of its own removes the files, since that
 * takes a second a GB on some disks, in which neither steps nor heartbeats are to wait. The list is in
 * memory: the coordinator tells a server of what it has not heard the end of whenever it registers.
 *
 * Knows nothing of shards. The main thread. */
#ifndef CAIRN_SERVER_REMOVALS_H
#define CAIRN_SERVER_REMOVALS_H

#include "base/status.h"
#include "net/actor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct removals {
    struct actor *thread;
    uint64_t *jobs; /* [count], the first is in hand */
    size_t count;
};

/* How a removal ended. */
struct removal {
    uint64_t job;
    char problem[512]; /* one line; empty: nothing of it is left */
};

/* Starts the thread. data_directory: borrowed until removals_fini, which is right also after a failure.
 * Errors: those of actor_start. */
enum status removals_init(struct removals *removals, void *zmq_context, const char *data_directory,
                          struct error *error) MUST_CHECK;

/* After the removal in hand. */
void removals_fini(struct removals *removals);

/* Whether a job is there, or is the one in hand. */
bool removals_include(const struct removals *removals, uint64_t job);
bool removals_is_first(const struct removals *removals, uint64_t job);

/* Adds a job, unless it is there. When memory is out it is not. */
void removals_add(struct removals *removals, uint64_t job);

/* Nobody opens anything of the job in hand any more: has its files removed.
 * Errors: CAIRN_CLOSED and others of actor_tell. */
enum status removals_begin(struct removals *removals, struct error *error) MUST_CHECK;

/* The end of what was begun; false: there is none yet. The job stays the one in hand. */
bool removals_hear(struct removals *removals, struct removal *removal);

/* The next job is the one in hand, if there is one more. */
void removals_next(struct removals *removals);

#endif
