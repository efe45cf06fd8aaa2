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

static enum status slots_copy(struct assignment *assignment, const Cairn__PrepareCommand *command,
                              struct error *error)
{
    uint32_t expected = job_slot_count(assignment->job);

    if (command->n_slot_shards != expected)
        return error_set(error, CAIRN_INVALID, "the job has %zu slots, its tables need %u",
                         command->n_slot_shards, expected);
    assignment->slot_count = expected;
    assignment->slot_shards = calloc(expected, sizeof(assignment->slot_shards[0]));
    if (!assignment->slot_shards)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %u slots", expected);
    for (uint32_t slot = 0; slot < expected; slot++) {
        if (command->slot_shards[slot] >= command->n_shards)
            return error_set(error, CAIRN_INVALID, "slot %u lies on shard %u of %zu", slot,
                             command->slot_shards[slot], command->n_shards);
        assignment->slot_shards[slot] = command->slot_shards[slot];
    }
    return CAIRN_OK;
}

static enum status positions_find(struct assignment *assignment, const Cairn__PrepareCommand *command,
                                  const char *server, struct error *error)
{
    assignment->positions = malloc(assignment->thread_count * sizeof(assignment->positions[0]));
    if (!assignment->positions)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < assignment->thread_count; i++)
        assignment->positions[i] = UINT32_MAX;
    for (uint32_t position = 0; position < command->n_shards; position++) {
        const Cairn__Shard *shard = command->shards[position];

        if (strcmp(shard->server, server) != 0)
            continue;
        if (shard->index >= assignment->thread_count)
            return error_set(error, CAIRN_INVALID,
                             "the job wants shard thread %u of this server, which has %u", shard->index,
                             assignment->thread_count);
        assignment->positions[shard->index] = position;
    }
    return CAIRN_OK;
}

static enum status endpoints_copy(struct assignment *assignment, const Cairn__PrepareCommand *command,
                                  struct error *error)
{
    bool is_whole;

    assignment->endpoints = calloc(command->n_shards ? command->n_shards : 1, sizeof(char *));
    is_whole = assignment->endpoints != NULL;
    for (size_t i = 0; is_whole && i < command->n_shards; i++) {
        assignment->endpoints[i] = strdup(command->shards[i]->endpoint);
        is_whole = assignment->endpoints[i] != NULL;
    }
    return is_whole ? CAIRN_OK
                    : error_set(error, CAIRN_NO_MEMORY, "out of memory for %zu shards", command->n_shards);
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
    assignment->shard_count = (uint32_t)command->n_shards;
    assignment->thread_count = thread_count;
    assignment->id = strdup(command->job_id);
    status = assignment->id ? job_load(command, &assignment->job, error)
                            : error_set(error, CAIRN_NO_MEMORY, "out of memory");
    if (status == CAIRN_OK && !job_has_tables(assignment->job) && assignment->job->graph->floats == 0)
        status = error_set(error, CAIRN_INVALID, "the model has no parameters to train");
    if (status == CAIRN_OK) {
        job_digest(assignment->job, assignment->digest);
        status = slots_copy(assignment, command, error);
    }
    if (status == CAIRN_OK)
        status = positions_find(assignment, command, server, error);
    if (status == CAIRN_OK)
        status = endpoints_copy(assignment, command, error);
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
    free(assignment->positions);
    free(assignment->slot_shards);
    for (uint32_t i = 0; assignment->endpoints && i < assignment->shard_count; i++)
        free(assignment->endpoints[i]);
    free(assignment->endpoints);
    free(assignment);
}

bool assignment_takes_part(const struct assignment *assignment, uint32_t thread)
{
    return assignment->positions[thread] != UINT32_MAX;
}

bool assignment_owns(const struct assignment *assignment, uint32_t thread, uint32_t table, uint32_t chunk)
{
    uint32_t slot = placement_slot(table, chunk, assignment->slot_count);

    return assignment->slot_shards[slot] == assignment->positions[thread];
}

bool assignment_owns_keys(const struct assignment *assignment, uint32_t thread, const uint64_t *keys,
                          size_t count)
{
    uint32_t position = assignment->positions[thread], foreign = 0;

    if (assignment->shard_count == 1)
        return position == 0;
    for (size_t i = 0; i < count; i++)
        foreign |= assignment->slot_shards[placement_key_slot(keys[i], assignment->slot_count)] ^ position;
    return foreign == 0;
}

void assignment_holders(const struct assignment *assignment, uint32_t table, uint32_t chunk_count,
                        bool *holds)
{
    uint32_t count = chunk_count ? chunk_count : assignment->slot_count;

    memset(holds, 0, assignment->shard_count * sizeof(holds[0]));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = chunk_count ? placement_slot(table, i, assignment->slot_count) : i;

        holds[assignment->slot_shards[slot]] = true;
    }
}

bool assignment_has_state(const struct assignment *assignment, uint32_t thread)
{
    for (uint32_t slot = 0; slot < assignment->slot_count; slot++) {
        if (assignment->slot_shards[slot] == assignment->positions[thread] &&
            job_slot_has_state(assignment->job, slot))
            return true;
    }
    return false;
}

uint32_t assignment_metric_elements(const struct assignment *assignment)
{
    return 3 + assignment->job->model.metric_count;
}
