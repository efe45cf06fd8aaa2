/* The throughput modes, async and ssp (docs/design.md, section 12): each push of a worker is an update by
 * itself, applied at once, and once.
 *
 * A worker speaks in steps of its own: what it is answered with is the newest there is, called by the step
 * that it goes on to. A chunk's own version counts the updates of all, and is told to nobody but who asks for
 * it. In ssp a worker that would go on to step c waits until no live worker has less than c - staleness
 * updates in this chunk: in the chunk's list of those who wait, with version c. Whatever may end that looks
 * through the list: an update, and an epoch. That a push was applied (`acknowledge`) is answered at once. */
#include "shard_state.h"

#include "base/log.h"

#include <inttypes.h>

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

/* Gives a chunk to who goes on to `step`, as soon as it may. */
static void give_when_due(const struct request *request, struct dense_chunk *chunk, uint64_t step)
{
    const struct wait wait = wait_of(request, step, request->header->exact ? ANSWER_EXACT : ANSWER_VALUES);
    const struct reply_subject subject = request_subject(request, step);

    if (step <= limit_of(request->job, chunk))
        give(request->shard, &subject, &wait, chunk);
    else if (subscribe(request->shard->subscribers, &chunk->waiting, &wait) != CAIRN_OK)
        request_refuse(request, DATA_REFUSED_LOST, "this shard cannot keep more subscriptions");
}

/* Answers those whose time has come. */
static void chunk_answer(struct shard *shard, const struct shard_job *job, struct dense_chunk *chunk)
{
    struct wait wait;

    while (subscriber_take(shard->subscribers, &chunk->waiting, limit_of(job, chunk), &wait)) {
        const struct reply_subject subject = shard_subject(job, TABLE_WEIGHTS, &wait);

        give(shard, &subject, &wait, chunk);
        wait_release(shard->subscribers, &wait);
    }
}

/* ---- pushes */

static bool refuse_stranger(const struct request *request)
{
    return request_refuse(request, DATA_REFUSED_PASSED, "worker %" PRIu64 " is not in epoch %" PRIu64,
                          request->header->worker, request->job->epoch);
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

static double divisor_of(const struct request *request, const struct dense_chunk *chunk)
{
    uint64_t staleness = clocks_staleness(chunk->clocks, request->header->worker, chunk->version);

    return request->job->assignment->job->staleness_damping && staleness > 1 ? (double)staleness : 1;
}

/* Applies one chunk's update, unless it was here before. */
static void update(const struct request *request, struct dense_chunk *chunk, struct buffer *gradients)
{
    const struct data_header *header = request->header;
    struct error error;

    if (clocks_judge(chunk->clocks, header->worker, header->step) != CLOCKS_DUE) {
        buffer_unref(gradients);
        return;
    }
    if (dense_apply(chunk, gradients, header->samples, divisor_of(request, chunk), &error) != CAIRN_OK) {
        shard_fail(request->shard, request->job, &error);
        return;
    }
    clocks_apply(chunk->clocks, header->worker);
}

void request_push_updates(const struct request *request, struct buffer *const arrays[])
{
    const struct data_header *header = request->header;

    for (uint32_t i = 0; i < header->payload_count; i++) {
        struct dense_chunk *chunk = dense_find(request->table->dense, header->payloads[i].chunk);
        const struct wait told = wait_of(request, header->step + 1, ANSWER_EXISTENCE);
        const struct reply_subject subject = request_subject(request, header->step + 1);

        update(request, chunk, arrays[i]);
        if (request->job->failed)
            continue;
        chunk_answer(request->shard, request->job, chunk);
        if (header->acknowledge)
            give(request->shard, &subject, &told, chunk);
        if (header->subscribe)
            give_when_due(request, chunk, header->step + 1);
    }
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

static bool pull(const struct request *request, struct dense_chunk *chunk)
{
    const struct data_header *header = request->header;
    const struct wait wait = wait_of(request, 0, header->exact ? ANSWER_EXACT : ANSWER_VALUES);
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
    give_when_due(request, chunk, header->step);
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

void shard_begin_epoch(struct shard *shard, uint64_t number, uint64_t incarnation,
                       const struct roster *roster)
{
    struct shard_job *job = shard_find_incarnation(shard, number, incarnation);
    struct dense_table *weights = job ? weights_of(job) : NULL;
    struct error error;

    if (!weights || roster->number <= job->epoch)
        return;
    job->epoch = roster->number;
    for (uint32_t i = 0; i < weights->chunk_count; i++) {
        struct dense_chunk *chunk = weights->chunks[i];

        if (clocks_begin_epoch(chunk->clocks, roster->workers, roster->count, &error) != CAIRN_OK) {
            shard_fail(shard, job, &error);
            break;
        }
        chunk_answer(shard, job, chunk);
    }
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
