/* The life of a shard's jobs: how they are prepared, replaced and released; what the writer says of them. */
#include "shard.h"

#include "base/clock.h"
#include "base/log.h"
#include "duplicates.h"
#include "shard_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reports */

void shard_tell(struct shard *shard, const struct assignment *assignment, uint64_t incarnation,
                struct shard_report report)
{
    report.shard = shard->owner.shard;
    report.job = assignment->number;
    report.incarnation = incarnation;
    shard->events.report(shard->events.context, &report);
}

static void report_failure(struct shard *shard, const struct assignment *assignment, uint64_t incarnation,
                           const struct error *error)
{
    struct shard_report failure = {.kind = SHARD_FAILED};

    snprintf(failure.message, sizeof(failure.message), "%s", error->message);
    shard_tell(shard, assignment, incarnation, failure);
}

void shard_fail(struct shard *shard, struct shard_job *job, const struct error *error)
{
    if (job->failed)
        return;
    job->failed = true;
    report_failure(shard, job->assignment, job->incarnation, error);
}

void shard_abandon(struct shard *shard, struct shard_job *job, const struct error *error)
{
    commits_abandon(&job->commits);
    shard_fail(shard, job, error);
}

static void report_committed(struct shard *shard, const struct shard_job *job, uint64_t step)
{
    shard_tell(shard, job->assignment, job->incarnation,
               (struct shard_report){.kind = SHARD_COMMITTED, .step = step});
}

/* ---- a job's state */

static void part_free(struct shard_job *job)
{
    if (!job)
        return;
    commits_fini(&job->commits);
    duplicates_free(job->duplicates);
    tables_free(job->tables);
    store_close(job->store);
    slot_map_unref(job->map);
    assignment_unref(job->assignment);
    free(job->roster);
    for (uint32_t i = 0; i < job->older_count; i++)
        assignment_unref(job->older[i]);
    free(job->older);
    assignment_unref(job->successor.assignment);
    free(job);
}

/* Opens the job's store, which has version `step`, or makes an empty one for a job that begins anew. A shard
 * that has nothing at that version may have a store all the same, whose records the job may need once more.
 */
static enum status store_open_for(struct shard *shard, struct shard_job *job, uint64_t step,
                                  struct error *error)
{
    size_t map_bytes = generation_map_bytes(job->tables);
    enum status status;

    if (step == 0)
        return job_store_begin(&shard->owner, job->assignment, map_bytes, &job->store, error);
    status = job_store_resume(&shard->owner, job->assignment, map_bytes, &job->store, error);
    if (status != CAIRN_OK && !assignment_has_state(job->assignment, shard->owner.shard))
        return job_store_begin(&shard->owner, job->assignment, map_bytes, &job->store, error);
    return status;
}

/* The values of version `step`: from the store, or the initial ones. */
static enum status values_load(struct shard *shard, struct shard_job *job, uint64_t step, struct error *error)
{
    uint32_t sparse_count = tables_sparse_count(job->assignment, shard->owner.shard, 0);
    uint64_t began_ns = clock_ns();
    enum status status = store_open_for(shard, job, step, error);

    if (status == CAIRN_OK && step > 0)
        status = generation_load(job->store, job->tables, step, error);
    if (status == CAIRN_OK)
        tables_initialize(job->tables, 0, step);
    if (status == CAIRN_OK)
        status = shard_memory_yield(shard, sparse_count, error);
    if (status == CAIRN_OK)
        status = tables_open_rows(job->tables, job->assignment, &shard->owner, job->store,
                                  shard_memory_share(shard, sparse_count), step, error);
    if (status == CAIRN_OK && step > 0)
        generation_log_loaded(job->tables, &shard->owner, job->assignment->number, step, began_ns);
    return status;
}

static enum status job_open(struct shard *shard, struct assignment *assignment, uint64_t incarnation,
                            uint64_t step, struct shard_job **out, struct error *error)
{
    struct shard_job *job = calloc(1, sizeof(*job));
    enum status status;

    if (!job)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    job->assignment = assignment_ref(assignment);
    job->map = slot_map_ref(assignment->map);
    job->incarnation = incarnation;
    shard_announce(job);
    status = tables_new(assignment, shard->owner.shard, step, &job->tables, error);
    if (status == CAIRN_OK) {
        tables_link(job->tables, shard->owner.shard);
        job->has_chains = slot_map_has_neighbours(job->map, shard->owner.shard);
    }
    if (status == CAIRN_OK && step > 0)
        shard_await_heads(job);
    if (status == CAIRN_OK)
        status = values_load(shard, job, step, error);
    if (status == CAIRN_OK && shard_duplicates_open(job) != CAIRN_OK)
        status = error_set(error, CAIRN_NO_MEMORY, "out of memory");
    if (status != CAIRN_OK) {
        part_free(job);
        return status;
    }
    commits_init(&job->commits, job->tables, job->store,
                 job_is_throughput(assignment->job) ? 0 : assignment->job->commit_every, step);
    commits_set_away(&job->commits, shard->is_away);
    *out = job;
    return CAIRN_OK;
}

/* ---- the list of jobs */

static struct shard_job *find_any(struct shard *shard, uint64_t number)
{
    struct shard_job *job = shard->jobs;

    while (job && job->assignment->number != number)
        job = job->next;
    return job;
}

struct shard_job *shard_find(struct shard *shard, uint64_t number)
{
    struct shard_job *job = find_any(shard, number);

    return job && !job->retired ? job : NULL;
}

struct shard_job *shard_find_incarnation(struct shard *shard, uint64_t number, uint64_t incarnation)
{
    struct shard_job *job = shard_find(shard, number);

    return job && job->incarnation == incarnation ? job : NULL;
}

/* Of the job or of what waits to follow it. */
static uint64_t newest_incarnation(const struct shard_job *job)
{
    return job->successor.assignment ? job->successor.incarnation : job->incarnation;
}

static void job_remove(struct shard *shard, struct shard_job *job)
{
    struct shard_job **link = &shard->jobs;

    shard_chains_flush(shard);
    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    shard->events.parted(shard->events.context, job->assignment->number);
    part_free(job);
    shard_memory_spread(shard);
}

void shard_reply_check(const struct reply_subject *subject, enum status status)
{
    if (status != CAIRN_OK)
        log_error("reply_lost", "job=%" PRIu64 " table=%u reason=\"%s\"", subject->job, subject->table,
                  status_text(status));
}

struct reply_subject shard_subject(const struct shard_job *job, uint32_t table, const struct wait *wait)
{
    return (struct reply_subject){job->assignment->number, job->incarnation, table, wait->version,
                                  wait->request};
}

void shard_refuse_waiting(struct shard *shard, const struct shard_job *job, uint32_t table,
                          struct waiting_list *list, enum data_refused reason, const char *message)
{
    struct wait wait;

    while (subscriber_take(shard->subscribers, list, UINT64_MAX, &wait)) {
        struct reply_subject subject = shard_subject(job, table, &wait);

        shard_reply_check(&subject, replies_refuse(shard->replies, &subject, wait.client, reason, message));
        wait_release(shard->subscribers, &wait);
    }
}

#define ENDED "the job was released or has a newer incarnation"

static void waiting_end(struct shard *shard, const struct shard_job *job, uint32_t table,
                        struct waiting_list *list)
{
    shard_refuse_waiting(shard, job, table, list, DATA_REFUSED_STALE, ENDED);
}

static void table_end(struct shard *shard, const struct shard_job *job, uint32_t number)
{
    struct table *table = &job->tables->items[number];

    for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++) {
        waiting_end(shard, job, number, &table->dense->chunks[i]->waiting);
        shard_refuse_updates(shard, job, table->dense->chunks[i], DATA_REFUSED_STALE, ENDED);
    }
    if (table->sums)
        waiting_end(shard, job, number, &table->sums->waiting);
    if (table->sparse) {
        waiting_end(shard, job, number, &table->sparse->waiting);
        waiting_end(shard, job, number, &table->sparse->asking);
    }
}

/* Ends a job's live state; what the writer still has is waited for. Returns whether the job is gone. */
static bool job_retire(struct shard *shard, struct shard_job *job)
{
    for (uint32_t number = 0; number < job->tables->count; number++)
        table_end(shard, job, number);
    shard_log_updates(shard, job);
    job->retired = true;
    if (commits_writing(&job->commits))
        return false;
    job_remove(shard, job);
    return true;
}

/* ---- what goes on by itself */

bool shard_work(struct shard *shard)
{
    bool has_more = false;
    struct error error;

    for (struct shard_job *job = shard->jobs; job && !has_more; job = job->next) {
        if (!job->retired && commits_work(&job->commits, &has_more, &error) != CAIRN_OK)
            shard_abandon(shard, job, &error);
    }
    if (has_more)
        shard_flush(shard);
    return has_more;
}

void shard_flush(struct shard *shard)
{
    struct reply *reply;

    shard_chains_flush(shard);
    for (struct shard_job *job = shard->jobs; job; job = job->next) {
        struct generation *generation = job->retired ? NULL : commits_next(&job->commits);

        shard_tell_dropped(shard, job);
        if (generation) {
            generation->owner = job;
            shard->events.write(shard->events.context, generation);
        }
    }
    while ((reply = replies_next(shard->replies))) {
        const struct shard_job *job = shard_find(shard, reply->header.job);

        reply->header.tables = job ? job->tables_told : 0;
        shard->events.reply(shard->events.context, reply);
    }
}

/* ---- commands */

static void archive_close(struct shard *shard)
{
    store_close(shard->archive);
    shard->archive = NULL;
}

/* Opens a job that has no state in the list. */
static void job_begin(struct shard *shard, struct assignment *assignment, uint64_t incarnation, uint64_t step)
{
    struct shard_job *job = NULL;
    struct error error;

    if (shard->archive && shard->archive_job == assignment->number)
        archive_close(shard);
    if (job_open(shard, assignment, incarnation, step, &job, &error) != CAIRN_OK) {
        report_failure(shard, assignment, incarnation, &error);
        shard_memory_spread(shard);
        return;
    }
    job->next = shard->jobs;
    shard->jobs = job;
    shard_tell(
        shard, assignment, incarnation,
        (struct shard_report){.kind = SHARD_PREPARED, .holds_pieces = tables_have_pieces(job->tables)});
    shard_begin_chains(shard, job);
}

void shard_prepare(struct shard *shard, struct assignment *assignment, uint64_t incarnation, uint64_t step)
{
    struct shard_job *job = find_any(shard, assignment->number);

    if (job && newest_incarnation(job) > incarnation) {
        struct error error;

        error_set(&error, CAIRN_STALE, "job %" PRIu64 " is here already with incarnation %" PRIu64,
                  assignment->number, newest_incarnation(job));
        report_failure(shard, assignment, incarnation, &error);
    } else if (job && !job_retire(shard, job)) {
        assignment_unref(job->successor.assignment);
        job->successor = (struct successor){assignment_ref(assignment), incarnation, step};
    } else {
        job_begin(shard, assignment, incarnation, step);
    }
    shard_flush(shard);
}

void shard_release(struct shard *shard, uint64_t number, uint64_t incarnation)
{
    struct shard_job *job = find_any(shard, number);

    if (!job || newest_incarnation(job) > incarnation)
        return;
    assignment_unref(job->successor.assignment);
    job->successor.assignment = NULL;
    job_retire(shard, job);
    shard_flush(shard);
}

/* Takes a job's store out of reach, which nobody has open but for committed pulls. */
static void store_discard(struct shard *shard, uint64_t number)
{
    struct shard_report removed = {.kind = SHARD_REMOVED, .shard = shard->owner.shard, .job = number};
    struct error error;

    if (shard->archive && shard->archive_job == number)
        archive_close(shard);
    if (job_store_discard(&shard->owner, number, &error) != CAIRN_OK)
        snprintf(removed.message, sizeof(removed.message), "%s", error.message);
    shard->events.report(shard->events.context, &removed);
}

void shard_remove(struct shard *shard, uint64_t number)
{
    struct shard_job *job = find_any(shard, number);

    if (job) {
        assignment_unref(job->successor.assignment);
        job->successor.assignment = NULL;
        job->deleted = true;
    }
    if (!job || job_retire(shard, job))
        store_discard(shard, number);
    shard_flush(shard);
}

/* The last write of a retired job has ended. */
static void job_succeed(struct shard *shard, struct shard_job *job)
{
    struct successor successor = job->successor;
    uint64_t number = job->assignment->number;
    bool is_deleted = job->deleted;

    job->successor.assignment = NULL;
    job_remove(shard, job);
    if (is_deleted)
        store_discard(shard, number);
    if (!successor.assignment)
        return;
    job_begin(shard, successor.assignment, successor.incarnation, successor.step);
    assignment_unref(successor.assignment);
}

void shard_written(struct shard *shard, struct generation *generation, enum status status,
                   const struct error *error)
{
    struct shard_job *job = generation->owner;
    uint64_t step = generation->step;

    commits_written(&job->commits, status == CAIRN_OK);
    if (job->retired) {
        job_succeed(shard, job);
    } else if (status == CAIRN_OK) {
        report_committed(shard, job, step);
        shard_commits_go_on(shard, job); /* with rows that it held, too */
    } else {
        shard_abandon(shard, job, error);
        shard_advance_all(shard, job);
    }
    shard_flush(shard);
}

enum status shard_store(struct shard *shard, uint64_t number, struct store **store, struct error *error)
{
    struct shard_job *job = find_any(shard, number);
    enum status status;

    if (job) {
        *store = job->store;
        return CAIRN_OK;
    }
    if (!shard->archive || shard->archive_job != number) {
        archive_close(shard);
        status = job_store_archive(&shard->owner, number, &shard->archive, error);
        if (status != CAIRN_OK)
            return status;
        shard->archive_job = number;
    }
    *store = shard->archive;
    return CAIRN_OK;
}

/* ---- life */

struct shard *shard_new(const struct job_store_owner *owner, uint64_t memory_bytes,
                        const struct shard_events *events)
{
    struct shard *shard = calloc(1, sizeof(*shard));

    if (!shard)
        return NULL;
    shard->owner = *owner;
    shard->memory_bytes = memory_bytes;
    shard->events = *events;
    shard->subscribers = subscribers_new();
    shard->replies = shard->subscribers ? replies_new(shard->subscribers) : NULL;
    if (!shard->replies) {
        shard_free(shard);
        return NULL;
    }
    return shard;
}

void shard_free(struct shard *shard)
{
    if (!shard)
        return;
    while (shard->jobs) {
        struct shard_job *job = shard->jobs;

        if (commits_writing(&job->commits))
            commits_written(&job->commits, false); /* the writer has stopped */
        job_retire(shard, job);
    }
    replies_free(shard->replies);
    archive_close(shard);
    subscribers_free(shard->subscribers);
    free(shard);
}
