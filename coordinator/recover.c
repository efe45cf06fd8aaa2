/* Taking up stored jobs. Knows nothing of where they were stored. */
#include "recover.h"

#include "job/job_message.h"
#include "life.h"

#include <inttypes.h>

/* Whether a person had asked for the end that the job was on its way to. */
static bool was_stopping(const Cairn__JobStatus *status)
{
    return status->state == JOB_STATE(STOPPING) ||
           (status->state == JOB_STATE(COMMITTING) && status->step != status->final_step);
}

/* A job that was under way: it goes on by itself, unless a stop was asked for. */
static enum status take_up(struct turn *turn, struct job_entry *entry, struct error *error)
{
    Cairn__JobStatus *status = entry_status(entry);
    bool stopping = was_stopping(status);
    struct job *job = NULL;
    struct error fault = {.status = CAIRN_OK};
    enum status parsed = job_load_message(entry->record->text, &job, &fault);

    entry->stale_incarnation = status->incarnation;
    if (parsed == CAIRN_NO_MEMORY)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    if (parsed != CAIRN_OK) {
        life_fail(turn, entry, "%s", fault.message);
        return CAIRN_OK;
    }
    entry_set_job(turn, entry, job);
    life_revive(turn, entry);
    if (stopping) {
        life_close(turn, entry, JOB_STATE(STOPPED),
                   "stopped as asked; the coordinator was interrupted meanwhile");
        entry_tell(turn, entry, "stopped as asked, at the committed step %" PRIu64, status->committed_step);
    } else {
        entry_tell(turn, entry,
                   "the coordinator started again: going on from step %" PRIu64 " as incarnation %" PRIu64,
                   status->committed_step, status->incarnation);
    }
    return CAIRN_OK;
}

static bool is_whole(const Cairn__JobRecord *record, const struct jobs *jobs)
{
    const Cairn__JobStatus *status = record->status;

    if (record->format != RECORD_FORMAT || !status || !record->text)
        return false;
    for (size_t i = 0; i < record->n_slot_shards; i++) {
        if (record->slot_shards[i] >= record->n_shards)
            return false;
    }
    return status->number >= jobs_next_number(jobs) && status->incarnation > 0 &&
           status->state >= JOB_STATE(PENDING) && status->state <= JOB_STATE(FAILED) &&
           (status->committed_step == 0 || record->n_shards > 0);
}

enum status recover_job(struct turn *turn, struct jobs *jobs, const Cairn__JobRecord *record,
                        uint64_t newest_entry, struct error *error)
{
    struct job_entry *entry;
    Cairn__JobRecord *copy;

    if (!is_whole(record, jobs))
        return error_set(error, CAIRN_CORRUPT, "the record of job %" PRIu64 " contradicts itself",
                         record->status ? record->status->number : 0);
    copy = turn_copy(turn, record);
    entry = copy ? jobs_add(turn, jobs, copy, NULL) : NULL;
    if (!entry)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    entry->newest_entry = newest_entry;
    return entry_has_ended(entry) ? CAIRN_OK : take_up(turn, entry, error);
}
