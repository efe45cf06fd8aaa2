/* Taking up stored jobs. Knows nothing of where they were stored. */
#include "recover.h"

#include "growth.h"
#include "job/job_message.h"
#include "life.h"
#include "net/wire.h"
#include "retake.h"
#include "throughput.h"

#include <inttypes.h>

/* Whether nodes were at work on the job, as it is, under its present incarnation, and can go on with that. */
static bool was_live(const struct job_entry *entry, uint32_t tables_ready)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (entry_has_tables(entry))
        return status->state == JOB_STATE(RUNNING) && tables_ready <= entry->job->table_count &&
               tables_ready >= entry->job->table_count - entry->job->added_count;
    return entry_has_begun(entry) && status->state != JOB_STATE(PENDING) &&
           status->state != JOB_STATE(PREPARING);
}

static void take_up_again(struct turn *turn, struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (life_is_stopping(entry)) {
        life_end_stop(turn, entry, "the coordinator was interrupted meanwhile");
        return;
    }
    life_go_back(turn, entry);
    entry_tell(turn, entry,
               "the coordinator started again: going on from step %" PRIu64 " as incarnation %" PRIu64,
               status->committed_step, status->incarnation);
}

/* A job that had not ended goes on: as it is if nodes may still be at work on it. One that none was at work
 * on waits as it did. */
static enum status take_up(struct turn *turn, struct job_entry *entry, uint32_t lease_ms, struct error *error)
{
    const Cairn__JobStatus *status = entry_status(entry);
    uint32_t tables_ready = status->tables;
    struct job *job = NULL;
    struct error fault = {.status = CAIRN_OK};
    enum status parsed = job_load_message(entry->record->text, &job, &fault);

    if (parsed == CAIRN_NO_MEMORY)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    if (parsed != CAIRN_OK) {
        life_fail(turn, entry, "%s", fault.message);
        return CAIRN_OK;
    }
    entry_set_job(turn, entry, job);
    if (was_live(entry, tables_ready)) {
        if (entry_has_tables(entry))
            growth_take_up(turn, entry, tables_ready);
        throughput_take_up(entry);
        entry_tell(turn, entry, "the coordinator started again: the job's nodes are awaited");
        retake_await(turn, entry, lease_ms);
    } else if (status->state != JOB_STATE(PENDING) && status->state != JOB_STATE(WAITING)) {
        take_up_again(turn, entry);
    }
    return CAIRN_OK;
}

/* Whether nodes were told where the job's state lies. */
static bool needs_shards(const Cairn__JobRecord *record)
{
    Cairn__JobState state = record->status->state;

    return record->status->committed_step > 0 || record->epoch ||
           (state >= JOB_STATE(PREPARING) && state <= JOB_STATE(COMMITTING));
}

static bool is_whole_epoch(const Cairn__EpochCommand *epoch)
{
    return epoch->n_workers == epoch->n_spans && epoch->n_workers == epoch->n_worker_numbers;
}

static bool are_whole_chains(const Cairn__JobRecord *record)
{
    const Cairn__MapCommand *map = record->map;

    if (record->replicas > WIRE_REPLICAS_MAX ||
        record->n_slot_shards % (record->replicas ? record->replicas : 1) != 0)
        return false;
    if (!map)
        return true;
    if (map->replicas == 0 || map->replicas > WIRE_REPLICAS_MAX || map->n_slot_shards % map->replicas != 0 ||
        record->n_map_since != map->n_slot_shards)
        return false;
    for (size_t i = 0; i < map->n_slot_shards; i++) {
        if (map->slot_shards[i] >= record->n_shards && map->slot_shards[i] != UINT32_MAX)
            return false;
    }
    for (size_t i = 0; i < map->n_copies; i++) {
        if (map->copies[i]->slot >= map->n_slot_shards / map->replicas ||
            map->copies[i]->shard >= record->n_shards)
            return false;
    }
    return true;
}

static bool is_whole(const Cairn__JobRecord *record, const struct jobs *jobs)
{
    const Cairn__JobStatus *status = record->status;

    if (record->format == 0 || record->format > RECORD_FORMAT || !status || !record->text)
        return false;
    for (size_t i = 0; i < record->n_slot_shards; i++) {
        if (record->slot_shards[i] >= record->n_shards && record->slot_shards[i] != UINT32_MAX)
            return false;
    }
    if (!are_whole_chains(record))
        return false;
    if (record->epoch && !is_whole_epoch(record->epoch))
        return false;
    return status->number > jobs_last_number(jobs) && status->incarnation > 0 &&
           status->state >= JOB_STATE(PENDING) && status->state <= JOB_STATE(WAITING) &&
           (record->n_shards > 0 || !needs_shards(record));
}

enum status recover_job(struct turn *turn, struct jobs *jobs, const struct event *event, uint32_t lease_ms,
                        struct error *error)
{
    struct job_entry *entry;
    Cairn__JobRecord *copy;

    if (!is_whole(event->record, jobs))
        return error_set(error, CAIRN_CORRUPT, "the record of job %" PRIu64 " contradicts itself",
                         event->record->status ? event->record->status->number : 0);
    copy = turn_copy(turn, event->record);
    if (copy)
        copy->format = RECORD_FORMAT;
    entry = copy ? jobs_add(turn, jobs, copy, NULL) : NULL;
    if (!entry)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    entry->newest_entry = event->newest_entry;
    return entry_has_ended(entry) ? CAIRN_OK : take_up(turn, entry, lease_ms, error);
}
