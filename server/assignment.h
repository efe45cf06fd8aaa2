/* What a PrepareCommand gives this server to do: the job, and which chunks and rows are its shard threads'
 * when they begin.
 *
 * Made once by the main thread and shared, read only, by the shard threads: reference-counted. */
#ifndef CAIRN_SERVER_ASSIGNMENT_H
#define CAIRN_SERVER_ASSIGNMENT_H

#include "base/status.h"
#include "cluster/placement.h"
#include "control.pb-c.h"
#include "job/job.h"
#include "slot_map.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct assignment {
    atomic_uint references;
    uint64_t number; /* of the job */
    char *id;
    struct job *job;
    char digest[HASH_TEXT_BYTES];
    struct slot_map *map; /* as the job was prepared */
};

/* Reads and checks a command for the server of that name with so many shard threads.
 * Owns: the caller has one reference. Errors: CAIRN_INVALID (job text, slots, shards), CAIRN_NO_MEMORY. */
enum status assignment_new(const Cairn__PrepareCommand *command, const char *server, uint32_t thread_count,
                           struct assignment **out, struct error *error) MUST_CHECK;
struct assignment *assignment_ref(struct assignment *assignment);
void assignment_unref(struct assignment *assignment);

/* Whether a shard thread may have anything to make durable; if not, it takes no part in generations. */
bool assignment_has_state(const struct assignment *assignment, uint32_t thread);

/* Elements (float64) of the vectors of the two metric tables of a training: stop votes, sum of losses, each
 * metric, samples. */
uint32_t assignment_metric_elements(const struct assignment *assignment);

#endif
