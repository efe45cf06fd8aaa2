/* Reading PrepareCommands. */
#include "assignment.h"

#include "job/job_message.h"

#include <stdlib.h>
#include <string.h>

static enum status job_load(const Cairn__PrepareCommand *command, struct job **job, struct error *error)
{
    if (!command->text)
        return error_set(error, CAIRN_INVALID, "the job has no text");
    return job_load_message(command->text, job, error);
}

static enum status map_make(struct assignment *assignment, const Cairn__PrepareCommand *command,
                            const char *server, uint32_t thread_count, struct error *error)
{
    const struct slot_map_params params = {.shards = command->shards,
                                           .shard_count = command->n_shards,
                                           .slot_shards = command->slot_shards,
                                           .place_count = command->n_slot_shards,
                                           .replicas = command->replicas ? command->replicas : 1};

    return slot_map_new(&params, server, thread_count, job_slot_count(assignment->job), &assignment->map,
                        error);
}

enum status assignment_new(const Cairn__PrepareCommand *command, const char *server, uint32_t thread_count,
                           struct assignment **out, struct error *error)
{
    struct assignment *assignment = calloc(1, sizeof(*assignment));
    enum status status;

    if (!assignment)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    atomic_init(&assignment->references, 1);
    assignment->number = command->job;
    assignment->id = strdup(command->job_id);
    status = assignment->id ? job_load(command, &assignment->job, error)
                            : error_set(error, CAIRN_NO_MEMORY, "out of memory");
    if (status == CAIRN_OK && !job_has_tables(assignment->job) && assignment->job->graph->floats == 0)
        status = error_set(error, CAIRN_INVALID, "the model has no parameters to train");
    if (status == CAIRN_OK) {
        job_digest(assignment->job, assignment->digest);
        status = map_make(assignment, command, server, thread_count, error);
    }
    if (status != CAIRN_OK) {
        assignment_unref(assignment);
        return status;
    }
    *out = assignment;
    return CAIRN_OK;
}

struct assignment *assignment_ref(struct assignment *assignment)
{
    atomic_fetch_add(&assignment->references, 1);
    return assignment;
}

void assignment_unref(struct assignment *assignment)
{
    if (!assignment || atomic_fetch_sub(&assignment->references, 1) != 1)
        return;
    free(assignment->id);
    job_free(assignment->job);
    slot_map_unref(assignment->map);
    free(assignment);
}

bool assignment_has_state(const struct assignment *assignment, uint32_t thread)
{
    const struct slot_map *map = assignment->map;

    for (uint32_t slot = 0; slot < map->slot_count; slot++) {
        if (slot_map_place(map, thread, slot).is_member && job_slot_has_state(assignment->job, slot))
            return true;
    }
    return false;
}

uint32_t assignment_metric_elements(const struct assignment *assignment)
{
    return 3 + assignment->job->model.metric_count;
}
