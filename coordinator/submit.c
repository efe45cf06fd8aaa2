/* New jobs and resumed ones. */
#include "requests.h"

#include "job/job_message.h"
#include "life.h"
#include "server_choice.h"
#include "trials.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A record of a job that has only been submitted; NULL: memory is out. */
static Cairn__JobRecord *record_new(struct turn *turn, const Cairn__JobText *text, const struct job *job,
                                    uint64_t number)
{
    Cairn__JobRecord *record = malloc(sizeof(*record));
    Cairn__JobStatus *status = malloc(sizeof(*status));
    char digest[HASH_TEXT_BYTES];

    if (!record || !status) {
        turn->effects->failed = true;
        free(record);
        free(status);
        return NULL;
    }
    cairn__job_record__init(record);
    cairn__job_status__init(status);
    record->status = status;
    record->format = RECORD_FORMAT;
    record->text = turn_copy(turn, text);
    job_digest(job, digest);
    turn_set_text(turn, &record->digest, "%s", digest);
    status->number = number;
    status->state = JOB_STATE(PENDING);
    status->incarnation = 1;
    status->submitted_ms = status->state_ms = turn->now.unix_ms;
    if (!record->text) {
        message_free(record);
        return NULL;
    }
    return record;
}

static enum status no_memory(struct turn *turn, struct error *error)
{
    turn->effects->failed = true;
    return error_set(error, CAIRN_NO_MEMORY, "out of memory");
}

enum status submit_new(struct turn *turn, struct jobs *jobs, const Cairn__JobText *text,
                       struct job_entry **out, struct error *error)
{
    Cairn__JobRecord *record;
    struct job_entry *entry;
    struct job *job = NULL;
    enum status status = job_load_message(text, &job, error);

    if (status != CAIRN_OK)
        return status;
    record = record_new(turn, text, job, jobs_next_number(jobs));
    if (!record) {
        job_free(job);
        return no_memory(turn, error);
    }
    entry = jobs_add(turn, jobs, record, job);
    if (!entry)
        return no_memory(turn, error);
    entry->unsaved = true;
    entry_tell(turn, entry, "submitted");
    *out = entry;
    return CAIRN_OK;
}

static bool digest_matches(const struct job_entry *entry, const struct job *job)
{
    char digest[HASH_TEXT_BYTES];

    job_digest(job, digest);
    return strcmp(digest, entry->record->digest) == 0;
}

/* The final step under a new text; 0: the data has not been counted yet. */
static uint64_t new_final_step(const struct job_entry *entry, const struct job *job)
{
    uint64_t samples = entry->record->training_samples;

    return samples > 0 ? job_final_step(job, samples) : 0;
}

/* Whether a job that nobody works on may go on under a new text. */
static enum status check_resume(const struct job_entry *entry, const struct job *job, struct error *error)
{
    const Cairn__JobStatus *status = entry_status(entry);
    uint64_t final_step = new_final_step(entry, job);

    if (!digest_matches(entry, job))
        return error_set(error, CAIRN_INVALID,
                         "the job file changed in what the model depends on (model or tables, data, seed, "
                         "optimizer, batch) "
                         "since %s was submitted: undo the change, or submit it as a new job",
                         status->id);
    if (status->committed_step > 0 && final_step > 0 && final_step < status->committed_step)
        return error_set(error, CAIRN_INVALID,
                         "%s has trained %" PRIu64 " steps already, more than the %" PRIu64
                         " that the job file asks for now",
                         status->id, status->committed_step, final_step);
    return CAIRN_OK;
}

/* Whether the newest job of the name stays as it is: nodes work on it, or it is complete and asked no more.
 */
static bool stays(const struct job_entry *entry, const struct job *job)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (entry_is_live(entry))
        return true;
    return status->state == JOB_STATE(COMPLETED) && digest_matches(entry, job) &&
           new_final_step(entry, job) <= status->final_step;
}

/* Moves the tables that were added from one text to another. */
static void move_added(Cairn__JobText *from, Cairn__JobText *to)
{
    to->added = from->added;
    to->n_added = from->n_added;
    from->added = NULL;
    from->n_added = 0;
}

/* Takes job, which is the text's, without what was added. */
static enum status go_on(struct turn *turn, struct job_entry *entry, const Cairn__JobText *text,
                         struct job *job, struct error *error)
{
    Cairn__JobText *copy = turn_copy(turn, text);
    enum status status = CAIRN_OK;

    if (copy) {
        move_added(entry->record->text, copy);
        message_free(entry->record->text);
        entry->record->text = copy;
    }
    if (copy && copy->n_added > 0) {
        job_free(job);
        job = NULL;
        status = job_load_message(copy, &job, error);
    }
    if (!copy || status != CAIRN_OK) {
        job_free(job);
        return status == CAIRN_OK || status == CAIRN_NO_MEMORY ? no_memory(turn, error) : status;
    }
    entry->record->workers_target = entry->record->servers_target = 0;
    entry_set_job(turn, entry, job);
    trials_forget(entry);
    life_revive(turn, entry);
    entry_tell(turn, entry, "resumed from step %" PRIu64 " as incarnation %" PRIu64,
               entry_status(entry)->committed_step, entry_status(entry)->incarnation);
    return CAIRN_OK;
}

enum status submit_resume(struct turn *turn, struct jobs *jobs, const Cairn__JobText *text,
                          struct job_entry **out, struct error *error)
{
    struct job *job = NULL;
    struct job_entry *entry;
    enum status status = job_load_message(text, &job, error);

    if (status != CAIRN_OK)
        return status;
    entry = jobs_newest(jobs, job->name);
    if (!entry) {
        status = error_set(error, CAIRN_NOT_FOUND, "there is no job %s to resume: submit it as a new one",
                           job->name);
    } else if (stays(entry, job)) {
        *out = entry;
    } else {
        status = check_resume(entry, job, error);
        if (status == CAIRN_OK) {
            *out = entry;
            return go_on(turn, entry, text, job, error);
        }
    }
    job_free(job);
    return status;
}

/* Whether a job that has not ended is the one that a text means. */
static enum status check_same(const struct job_entry *entry, const Cairn__JobText *text, struct error *error)
{
    struct job *job = NULL;
    enum status status = job_load_message(text, &job, error);

    if (status == CAIRN_OK && !digest_matches(entry, job))
        status = error_set(error, CAIRN_INVALID,
                           "%s is there already, with other tables, seed or microbatches: stop it, or take "
                           "another name",
                           entry_status(entry)->id);
    job_free(job);
    return status;
}

enum status submit_join(struct turn *turn, struct jobs *jobs, const Cairn__JobText *text, bool resume,
                        struct job_entry **out, struct error *error)
{
    struct job *job = NULL;
    struct job_entry *entry;
    enum status status = job_load_message(text, &job, error);

    if (status != CAIRN_OK)
        return status;
    entry = jobs_newest(jobs, job->name);
    job_free(job);
    if (entry && !entry_has_ended(entry)) {
        *out = entry;
        return check_same(entry, text, error);
    }
    return entry && resume ? submit_resume(turn, jobs, text, out, error)
                           : submit_new(turn, jobs, text, out, error);
}
