/* Norms over shards: measuring what is summed, telling the other shards, and moving on when all have told.
 *
 * A part may be lost with a connection. So a shard that waits says its own again now and then (shard_nudge),
 * and one that hears a part of the exchange before answers with its own of that. */
#include "shard.h"

#include "base/log.h"
#include "shard_state.h"

#include <inttypes.h>
#include <string.h>

static struct norm_rounds *rounds_of(const struct shard_job *job, uint32_t number)
{
    const struct table *table = &job->tables->items[number];

    if (table->sparse)
        return table->sparse->rounds;
    return table->dense ? table->dense->rounds : NULL;
}

/* ---- out */

static void part_send(struct shard *shard, const struct shard_job *job, uint32_t number, uint64_t exchange,
                      uint32_t to, struct buffer *sums)
{
    struct shard_message part = {.header = {.kind = DATA_PART,
                                            .job = job->assignment->number,
                                            .incarnation = job->incarnation,
                                            .table = number,
                                            .request = exchange,
                                            .payload_count = 1},
                                 .endpoint = job->map->endpoints[to],
                                 .payloads = &sums};

    part.header.payloads[0] =
        (struct data_payload){job->map->positions[shard->owner.shard], DATA_UINT64, sums->length_bytes};
    shard->events.tell(shard->events.context, &part);
}

/* Sends sums to one shard, or to all others (to: UINT32_MAX). */
static void sums_send(struct shard *shard, struct shard_job *job, uint32_t number, uint64_t exchange_at,
                      uint32_t to, const struct exact_sum *sums)
{
    struct exchange *exchange = norm_rounds_exchange(rounds_of(job, number));
    struct buffer *buffer = buffer_new(exchange_sum_count(exchange) * sizeof(*sums));
    uint32_t own = job->map->positions[shard->owner.shard];
    struct error error;

    if (!buffer) {
        error_set(&error, CAIRN_NO_MEMORY, "out of memory for the norms of table %u", number);
        shard_fail(shard, job, &error);
        return;
    }
    memcpy(buffer->data, sums, buffer->length_bytes);
    for (uint32_t position = 0; position < job->map->shard_count; position++) {
        if (position != own && exchange_has(exchange, position) && (to == UINT32_MAX || to == position))
            part_send(shard, job, number, exchange_at, position, buffer);
    }
    buffer_unref(buffer);
}

static void own_part_send(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct exchange *exchange = norm_rounds_exchange(rounds_of(job, number));

    sums_send(shard, job, number, exchange_number(exchange), UINT32_MAX, exchange_part(exchange));
}

/* ---- measuring */

/* Measures what is summed for the round at hand; *is_whole: this shard's part is whole. */
static enum status measure_all(const struct table *table, bool *is_whole, struct error *error)
{
    enum status status = CAIRN_OK;

    *is_whole = false;
    if (table->sparse)
        sparse_measure(table->sparse, is_whole);
    for (uint32_t i = 0; table->dense && i < table->dense->chunk_count && !*is_whole && status == CAIRN_OK;
         i++)
        status = dense_measure(table->dense, table->dense->chunks[i], is_whole, error);
    return status;
}

static void advance_table(struct shard *shard, struct shard_job *job, uint32_t number)
{
    const struct table *table = &job->tables->items[number];

    for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++)
        shard_advance_dense(shard, job, number, table->dense->chunks[i]);
    if (table->sparse)
        shard_advance_sparse(shard, job, number);
}

/* Sends this shard's part if it has just become whole, and goes through all rounds that are at their end. */
static void rounds_go_on(struct shard *shard, struct shard_job *job, uint32_t number, bool is_whole)
{
    const struct table *table = &job->tables->items[number];
    struct norm_rounds *rounds = rounds_of(job, number);
    struct error error;

    for (;;) {
        if (is_whole)
            own_part_send(shard, job, number);
        if (!norm_rounds_settle(rounds))
            return;
        if (norm_rounds_is_ready(rounds))
            break;
        if (measure_all(table, &is_whole, &error) != CAIRN_OK) {
            shard_fail(shard, job, &error);
            return;
        }
    }
    advance_table(shard, job, number);
}

void shard_summed_dense(struct shard *shard, struct shard_job *job, uint32_t number,
                        struct dense_chunk *chunk)
{
    struct dense_table *dense = job->tables->items[number].dense;
    bool is_whole;
    struct error error;

    if (!dense->rounds)
        shard_advance_dense(shard, job, number, chunk);
    else if (dense_measure(dense, chunk, &is_whole, &error) != CAIRN_OK)
        shard_fail(shard, job, &error);
    else
        rounds_go_on(shard, job, number, is_whole);
}

void shard_summed_sparse(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sparse_table *sparse = job->tables->items[number].sparse;
    bool is_whole;

    if (!sparse->rounds) {
        shard_advance_sparse(shard, job, number);
        return;
    }
    sparse_measure(sparse, &is_whole);
    rounds_go_on(shard, job, number, is_whole);
}

/* ---- in */

/* Whether a part is of a live table with norms and has its size. */
static bool part_fits(const struct shard_job *job, const struct data_header *header)
{
    struct norm_rounds *rounds;

    if (!job || job->incarnation != header->incarnation || !tables_find(job->tables, header->table))
        return false;
    rounds = rounds_of(job, header->table);
    return rounds && header->payload_count == 1 &&
           header->payloads[0].length_bytes ==
               exchange_sum_count(norm_rounds_exchange(rounds)) * sizeof(struct exact_sum);
}

void shard_take_part(struct shard *shard, const struct data_header *header, const struct buffer *sums)
{
    struct shard_job *job = shard_find(shard, header->job);
    uint32_t from = header->payload_count > 0 ? header->payloads[0].chunk : 0;
    struct exchange *exchange;
    bool is_late;
    struct error error = {.message = "of another job, incarnation, table or size"};

    if (!part_fits(job, header)) {
        log_debug("part_dropped", "job=%" PRIu64 " table=%u reason=\"%s\"", header->job, header->table,
                  error.message);
        return;
    }
    exchange = norm_rounds_exchange(rounds_of(job, header->table));
    if (exchange_take(exchange, header->request, from, sums->data, &is_late, &error) != CAIRN_OK) {
        log_warn("part_refused", "job=%" PRIu64 " table=%u reason=\"%s\"", header->job, header->table,
                 error.message);
        return;
    }
    if (is_late)
        sums_send(shard, job, header->table, header->request, from, exchange_before_part(exchange));
    rounds_go_on(shard, job, header->table, false);
}

/* ---- waiting */

static bool table_waits(const struct shard_job *job, uint32_t number)
{
    struct norm_rounds *rounds = rounds_of(job, number);

    return rounds && !job->retired && exchange_waits(norm_rounds_exchange(rounds));
}

bool shard_waits(const struct shard *shard)
{
    for (const struct shard_job *job = shard->jobs; job; job = job->next) {
        if (shard_chains_wait(job))
            return true;
        for (uint32_t number = 0; number < job->tables->count; number++) {
            if (table_waits(job, number))
                return true;
        }
    }
    return false;
}

void shard_nudge(struct shard *shard)
{
    for (struct shard_job *job = shard->jobs; job; job = job->next) {
        shard_chains_nudge(shard, job);
        for (uint32_t number = 0; number < job->tables->count; number++) {
            if (table_waits(job, number))
                own_part_send(shard, job, number);
        }
    }
    shard_flush(shard);
}
