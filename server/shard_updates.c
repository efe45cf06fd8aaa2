/* The throughput modes, async and ssp (docs/design.md, section 12): each push of a worker is an update by
 * itself, applied at once, and once.
 *
 * A worker speaks in steps of its own: what it is answered with is the newest there is, called by the step
 * that it goes on to. A chunk's own version counts the updates of all, and is told to nobody but who asks for
 * it. In ssp a worker that would go on to step c waits until no live worker has less than c - staleness
 * updates in this chunk: in the chunk's list of those who wait, with version c. Whatever may end that looks
 * through the list: an update, and an epoch. That a push was applied (`acknowledge`) is answered at once.
 *
 * Where a chunk has replicas an update goes down the chain first: it waits in chunk->updates, with those who
 * are to hear of it, until the one after has it, and only then is it applied here. So what a worker was told
 * is on all of the chain. Several may be on their way; one that is pushed again meanwhile is the same one. */
#include "shard_state.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- answers */

/* The step up to which workers may go on, as far as this chunk knows. */
static uint64_t limit_of(const struct shard_job *job, const struct dense_chunk *chunk)
{
    const struct job *described = job->assignment->job;
    uint64_t least = clocks_least(chunk->clocks);

    return described->mode != TRAIN_SSP || least == UINT64_MAX ? UINT64_MAX : least + described->staleness;
}

/* Gives what the chunk has now. subject: with the worker's step. */
static void give(struct shard *shard, const struct reply_subject *subject, const struct wait *wait,
                 struct dense_chunk *chunk)
{
    bool is_coded = wait->answer != ANSWER_EXACT && chunk->table->coded_pool;
    struct buffer *values = wait->answer == ANSWER_EXISTENCE ? NULL : chunk->current;
    enum status status = CAIRN_OK;

    if (values && is_coded)
        status = dense_version_coded(chunk, chunk->version, &values, NULL);
    if (status == CAIRN_OK)
        status = replies_values(shard->replies, subject, wait->client, chunk->number,
                                is_coded ? DATA_CODED : DATA_FLOAT32, values);
    shard_reply_check(subject, status);
    if (values)
        clocks_give(chunk->clocks, wait->worker, chunk->version);
}

static struct wait wait_of(const struct request *request, uint64_t step, enum answer answer)
{
    return (struct wait){.client = request->client,
                         .version = step,
                         .request = request->header->request,
                         .answer = answer,
                         .worker = request->header->worker};
}

static void give_wait(struct shard *shard, const struct shard_job *job, const struct wait *wait,
                      struct dense_chunk *chunk)
{
    const struct reply_subject subject = shard_subject(job, TABLE_WEIGHTS, wait);

    give(shard, &subject, wait, chunk);
}

/* Lets somebody wait in a list, or says that it cannot. */
static void wait_in(struct shard *shard, const struct shard_job *job, struct waiting_list *list,
                    const struct wait *wait)
{
    const struct reply_subject subject = shard_subject(job, TABLE_WEIGHTS, wait);

    if (subscribe(shard->subscribers, list, wait) != CAIRN_OK)
        shard_reply_check(&subject, replies_refuse(shard->replies, &subject, wait->client, DATA_REFUSED_LOST,
                                                   "this shard cannot keep more subscriptions"));
}

/* Gives a chunk to who goes on to a step, as soon as it may; who only asks whether it is applied, now. */
static void give_when_due(struct shard *shard, const struct shard_job *job, struct dense_chunk *chunk,
                          const struct wait *wait)
{
    if (wait->answer == ANSWER_EXISTENCE || wait->version <= limit_of(job, chunk))
        give_wait(shard, job, wait, chunk);
    else
        wait_in(shard, job, &chunk->waiting, wait);
}

/* Answers those whose time has come. */
static void chunk_answer(struct shard *shard, const struct shard_job *job, struct dense_chunk *chunk)
{
    struct wait wait;

    while (subscriber_take(shard->subscribers, &chunk->waiting, limit_of(job, chunk), &wait)) {
        give_wait(shard, job, &wait, chunk);
        wait_release(shard->subscribers, &wait);
    }
}

/* ---- pushes */

static bool refuse_stranger(const struct request *request)
{
    return request_refuse(request, DATA_REFUSED_PASSED, "worker %" PRIu64 " is not in epoch %" PRIu64,
                          request->header->worker, request->job->roster ? request->job->roster->number : 0);
}

bool request_check_updates(const struct request *request)
{
    const struct data_header *header = request->header;

    for (uint32_t i = 0; i < header->payload_count; i++) {
        const struct dense_chunk *chunk = dense_find(request->table->dense, header->payloads[i].chunk);

        switch (clocks_judge(chunk->clocks, header->worker, header->step)) {
        case CLOCKS_DUE:
        case CLOCKS_HAD:
            break;
        case CLOCKS_FENCED:
            return refuse_stranger(request);
        case CLOCKS_GAP:
            return request_refuse(request, DATA_REFUSED_LOST,
                                  "chunk %u has not had the update of worker %" PRIu64
                                  " before step %" PRIu64,
                                  chunk->number, header->worker, header->step);
        }
    }
    return true;
}

/* What divides the learning rate of an update that comes after all that are on their way. */
static uint64_t divisor_of(const struct request *request, const struct dense_chunk *chunk)
{
    uint64_t staleness =
        clocks_staleness(chunk->clocks, request->header->worker, chunk->version + chunk->updates.count);

    return request->job->assignment->job->staleness_damping && staleness > 1 ? staleness : 1;
}

/* Applies an update, whose gradients it takes; false: the job has failed. */
static bool apply(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk,
                  const struct update *update)
{
    struct error error;

    if (dense_apply(chunk, update->gradients, update->samples, (double)update->divisor, &error) != CAIRN_OK) {
        shard_fail(shard, job, &error);
        return false;
    }
    clocks_apply(chunk->clocks, update->worker);
    chunk_answer(shard, job, chunk);
    return true;
}

/* Tells of a push what it wants to hear, where the update is applied (NULL), or lets it wait for that. */
static void push_answer(const struct request *request, struct dense_chunk *chunk, struct update *update)
{
    const struct data_header *header = request->header;
    const struct wait told = wait_of(request, header->step + 1, ANSWER_EXISTENCE);
    const struct wait given =
        wait_of(request, header->step + 1, header->exact ? ANSWER_EXACT : ANSWER_VALUES);

    if (header->acknowledge && update)
        wait_in(request->shard, request->job, &update->waiting, &told);
    else if (header->acknowledge)
        give_wait(request->shard, request->job, &told, chunk);
    if (header->subscribe && update)
        wait_in(request->shard, request->job, &update->waiting, &given);
    else if (header->subscribe)
        give_when_due(request->shard, request->job, chunk, &given);
}

/* Whether an update may be applied at once. */
static bool is_last_of_chain(const struct dense_chunk *chunk)
{
    return chunk->link.place.after == SLOT_NOBODY && chunk->updates.count == 0;
}

/* Takes an update that the one after is to have first; if it is on its way already only who waits. */
static void push_on(const struct request *request, struct dense_chunk *chunk, const struct update *update)
{
    struct update *queued = update_queue_find(&chunk->updates, update->worker, update->step);
    struct error error;

    if (queued) {
        buffer_unref(update->gradients);
    } else if (update_queue_add(&chunk->updates, update, &queued) != CAIRN_OK) {
        error_set(&error, CAIRN_NO_MEMORY, "out of memory for an update of chunk %u", chunk->number);
        buffer_unref(update->gradients);
        shard_fail(request->shard, request->job, &error);
        return;
    }
    push_answer(request, chunk, queued);
    shard_advance_updates(request->shard, request->job, chunk);
}

static void push_chunk(const struct request *request, struct dense_chunk *chunk, struct buffer *gradients)
{
    const struct data_header *header = request->header;
    struct update update = {.worker = header->worker,
                            .step = header->step,
                            .samples = header->samples,
                            .divisor = divisor_of(request, chunk),
                            .gradients = gradients};

    if (clocks_judge(chunk->clocks, header->worker, header->step) != CLOCKS_DUE) {
        buffer_unref(gradients); /* it was here before */
        push_answer(request, chunk, NULL);
    } else if (!is_last_of_chain(chunk)) {
        push_on(request, chunk, &update);
    } else if (apply(request->shard, request->job, chunk, &update)) {
        push_answer(request, chunk, NULL);
    }
}

void request_push_updates(const struct request *request, struct buffer *const arrays[])
{
    const struct data_header *header = request->header;

    for (uint32_t i = 0; i < header->payload_count; i++) {
        if (request->job->failed)
            buffer_unref(arrays[i]);
        else
            push_chunk(request, dense_find(request->table->dense, header->payloads[i].chunk), arrays[i]);
    }
}

/* ---- chains */

/* Applies the first update that is on its way, and answers those who wait for that. */
static void apply_first(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk)
{
    struct update update = update_queue_take(&chunk->updates);
    struct wait wait;

    if (!apply(shard, job, chunk, &update)) {
        shard_refuse_waiting(shard, job, TABLE_WEIGHTS, &update.waiting, DATA_REFUSED_LOST,
                             "the update could not be applied");
        return;
    }
    while (subscriber_take(shard->subscribers, &update.waiting, UINT64_MAX, &wait)) {
        give_when_due(shard, job, chunk, &wait);
        wait_release(shard->subscribers, &wait);
    }
}

void shard_advance_updates(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk)
{
    uint64_t version = chunk->version;

    shard_forward_updates(shard, job, chunk);
    while (chunk->updates.count > 0 && !job->failed && chain_allows(&chunk->link, chunk->version + 1))
        apply_first(shard, job, chunk);
    if (chunk->version > version)
        shard_acknowledge(shard, job, TABLE_WEIGHTS, chunk->number, &chunk->link, chunk->version);
}

void shard_refuse_updates(struct shard *shard, const struct shard_job *job, struct dense_chunk *chunk,
                          enum data_refused reason, const char *message)
{
    for (uint32_t i = 0; i < chunk->updates.count; i++)
        shard_refuse_waiting(shard, job, TABLE_WEIGHTS, &update_queue_at(&chunk->updates, i)->waiting, reason,
                             message);
}

/* ---- pulls */

/* Tells a worker which of its updates is to come, and others how many there were. */
static bool tell_next(const struct request *request, struct dense_chunk *chunk)
{
    const struct wait told = wait_of(request, 0, ANSWER_EXISTENCE);
    uint64_t number = chunk->version;
    struct reply_subject subject;

    if (request->header->worker > 0 && !clocks_next(chunk->clocks, request->header->worker, &number))
        return refuse_stranger(request);
    subject = request_subject(request, number);
    give(request->shard, &subject, &told, chunk);
    return true;
}

/* The weights as they are when all updates that are on their way have been applied: a model that is read at
 * its end is the one that stays. */
static void give_whole(const struct request *request, struct dense_chunk *chunk, const struct wait *wait)
{
    struct update *last =
        chunk->updates.count > 0 ? update_queue_at(&chunk->updates, chunk->updates.count - 1) : NULL;

    if (last && wait->answer == ANSWER_EXACT)
        wait_in(request->shard, request->job, &last->waiting, wait);
    else
        give_when_due(request->shard, request->job, chunk, wait);
}

static bool pull(const struct request *request, struct dense_chunk *chunk)
{
    const struct data_header *header = request->header;
    const struct wait wait = wait_of(request, header->step, header->exact ? ANSWER_EXACT : ANSWER_VALUES);
    const struct reply_subject subject = request_subject(request, chunk->version);
    uint64_t next;

    if (header->newest && header->acknowledge)
        return tell_next(request, chunk);
    if (header->newest) {
        give(request->shard, &subject, &wait, chunk);
        return true;
    }
    if (!clocks_next(chunk->clocks, header->worker, &next))
        return refuse_stranger(request);
    give_whole(request, chunk, &wait);
    return true;
}

void request_pull_updates(const struct request *request)
{
    for (uint32_t i = 0; i < request->header->payload_count; i++) {
        if (!pull(request, dense_find(request->table->dense, request->header->payloads[i].chunk)))
            return;
    }
}

/* ---- epochs */

static struct dense_table *weights_of(const struct shard_job *job)
{
    struct table *weights = tables_find(job->tables, TABLE_WEIGHTS);

    return job_is_throughput(job->assignment->job) && weights ? weights->dense : NULL;
}

enum status shard_name_workers(const struct shard_job *job, struct dense_chunk *chunk, struct error *error)
{
    const struct roster *roster = job->roster;

    return roster ? clocks_begin_epoch(chunk->clocks, roster->workers, roster->count, error) : CAIRN_OK;
}

void shard_begin_epoch(struct shard *shard, uint64_t number, uint64_t incarnation,
                       const struct roster *roster)
{
    struct shard_job *job = shard_find_incarnation(shard, number, incarnation);
    struct dense_table *weights = job ? weights_of(job) : NULL;
    enum status status = CAIRN_OK;
    struct error error;

    if (!weights || (job->roster && roster->number <= job->roster->number))
        return;
    free(job->roster);
    job->roster = roster_copy(roster);
    if (!job->roster)
        status = error_set(&error, CAIRN_NO_MEMORY, "out of memory for an epoch");
    for (uint32_t i = 0; i < weights->chunk_count && status == CAIRN_OK; i++) {
        status = shard_name_workers(job, weights->chunks[i], &error);
        if (status == CAIRN_OK)
            chunk_answer(shard, job, weights->chunks[i]);
    }
    if (status != CAIRN_OK)
        shard_fail(shard, job, &error);
    shard_flush(shard);
}

static void log_chunk(const struct shard *shard, const struct shard_job *job, const struct dense_chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->clocks->count; i++) {
        const struct clock *clock = &chunk->clocks->items[i];

        log_debug("updates_had",
                  "job=%" PRIu64 " incarnation=%" PRIu64 " shard=%u chunk=%u version=%" PRIu64
                  " worker=%" PRIu64 " first=%" PRIu64 " next=%" PRIu64,
                  job->assignment->number, job->incarnation, shard->owner.shard, chunk->number,
                  chunk->version, clock->worker, clock->first, clock->next);
    }
}

void shard_log_updates(const struct shard *shard, const struct shard_job *job)
{
    const struct dense_table *weights = weights_of(job);
    uint64_t least = UINT64_MAX, most = 0;

    if (job->retired || !weights)
        return;
    for (uint32_t i = 0; i < weights->chunk_count; i++) {
        const struct dense_chunk *chunk = weights->chunks[i];

        least = chunk->version < least ? chunk->version : least;
        most = chunk->version > most ? chunk->version : most;
        log_chunk(shard, job, chunk);
    }
    log_info("updates_end", "job=%" PRIu64 " shard=%u chunks=%u least=%" PRIu64 " most=%" PRIu64,
             job->assignment->number, shard->owner.shard, weights->chunk_count, least, most);
}
