/* Norms over shards: measuring what is summed, telling the other shards, and moving on when all have told.
 *
 * Who is the head of a piece (a chunk, or a slot of a sparse table) measures it and tells all that hold a
 * piece of the table; they go on by what they hear, whether they measure anything themselves or not. Whatever
 * was lost, or told before they were there, is asked for: who waits says where it stands (shard_nudge), with
 * no parts; who is there too tells what it has given, and who is past it tells the total. So it does not
 * matter who gives what, by which map.
 */
#include "shard.h"

#include "base/log.h"
#include "shard_state.h"

#include <inttypes.h>
#include <string.h>

#define EVERYBODY UINT32_MAX

/* In place of a part: who was asked has yet to be pushed what it would measure. */
#define PART_LACKS UINT64_MAX

static struct norm_rounds *rounds_of(const struct shard_job *job, uint32_t number)
{
    const struct table *table = &job->tables->items[number];

    if (table->sparse)
        return table->sparse->rounds;
    return table->dense ? table->dense->rounds : NULL;
}

static struct exchange *exchange_of(const struct shard_job *job, uint32_t number)
{
    return norm_rounds_exchange(rounds_of(job, number));
}

static void fail(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct error error;

    error_set(&error, CAIRN_NO_MEMORY, "out of memory for the norms of table %u", number);
    shard_fail(shard, job, &error);
}

/* ---- out */

/* told: NULL: nothing but where this shard stands. question: which one this is, or answers; 0: none. */
static void part_send(struct shard *shard, const struct shard_job *job, uint32_t number, uint64_t exchange_at,
                      uint64_t question, uint32_t to, struct buffer *told)
{
    struct shard_message part = {.header = {.kind = DATA_PART,
                                            .job = job->assignment->number,
                                            .incarnation = job->incarnation,
                                            .table = number,
                                            .step = question,
                                            .request = exchange_at,
                                            .payload_count = 1},
                                 .endpoint = job->map->endpoints[to],
                                 .payloads = &told};

    part.header.payloads[0] = (struct data_payload){job->map->positions[shard->owner.shard], DATA_UINT64,
                                                    told ? told->length_bytes : 0};
    shard->events.tell(shard->events.context, &part);
}

/* Marks the shards that hold a piece of a table, or are being given one. */
static void holders_mark(const struct shard_job *job, uint32_t number, bool holds[WIRE_SHARDS_MAX])
{
    const struct dense_table *dense = job->tables->items[number].dense;
    const struct slot_map *map = job->map;
    uint32_t count = map->slot_count;

    if (dense && dense->params.chunk_count < count)
        count = dense->params.chunk_count;
    memset(holds, 0, map->shard_count * sizeof(holds[0]));
    for (uint32_t i = 0; i < count; i++)
        slot_map_mark_holders(map, placement_slot(number, i, map->slot_count), holds);
}

/* To one shard, or to all others that hold a piece. */
static void part_tell(struct shard *shard, const struct shard_job *job, uint32_t number, uint64_t question,
                      uint32_t to, struct buffer *told)
{
    uint64_t exchange_at = exchange_number(exchange_of(job, number));
    bool holds[WIRE_SHARDS_MAX];

    if (to != EVERYBODY) {
        part_send(shard, job, number, exchange_at, question, to, told);
        return;
    }
    holders_mark(job, number, holds);
    for (uint32_t position = 0; position < job->map->shard_count; position++) {
        if (holds[position] && position != job->map->positions[shard->owner.shard])
            part_send(shard, job, number, exchange_at, question, position, told);
    }
}

/* Tells the parts that were given here, from byte `at` on. */
static void given_tell(struct shard *shard, struct shard_job *job, uint32_t number, size_t at, uint32_t to)
{
    const struct exchange *exchange = exchange_of(job, number);
    const void *parts;
    size_t length;

    while ((parts = exchange_given(exchange, at, WIRE_GATHER_BYTES, &length)) && length > 0) {
        struct buffer *told = buffer_new(length);

        if (!told) {
            fail(shard, job, number);
            return;
        }
        memcpy(told->data, parts, length);
        part_tell(shard, job, number, 0, to, told);
        buffer_unref(told);
        at += length;
    }
}

static void total_tell(struct shard *shard, struct shard_job *job, uint32_t number, uint64_t exchange_at,
                       uint32_t to)
{
    const struct exchange *exchange = exchange_of(job, number);
    struct buffer *told = buffer_new(exchange_total_bytes(exchange));

    if (!told) {
        fail(shard, job, number);
        return;
    }
    exchange_tell_total(exchange, exchange_at, told->data);
    part_send(shard, job, number, exchange_at, 0, to, told);
    buffer_unref(told);
}

/* Tells who asked that a sum is missing here: so nobody can have all parts. */
static void lacking_tell(struct shard *shard, struct shard_job *job, uint32_t number, uint64_t question,
                         uint32_t to)
{
    struct buffer *told = buffer_new(sizeof(uint64_t));

    if (!told)
        return; /* it asks again */
    *(uint64_t *)told->data = PART_LACKS;
    part_tell(shard, job, number, question, to, told);
    buffer_unref(told);
}

void shard_ask_norms(struct shard *shard, const struct shard_job *job, uint32_t number)
{
    const struct sparse_table *sparse = job->tables->items[number].sparse;

    part_tell(shard, job, number, sparse ? sparse->question : 0, EVERYBODY, NULL);
}

/* ---- measuring */

/* Measures what is summed for the round at hand. */
static enum status measure_all(struct dense_table *dense, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < dense->chunk_count && status == CAIRN_OK; i++)
        status = dense_measure(dense, dense->chunks[i], error);
    return status;
}

/* Tells what was given here and not told yet, once all is there that is to come: one message a shard. */
static void given_tell_new(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct dense_table *dense = job->tables->items[number].dense;
    struct exchange *exchange = exchange_of(job, number);

    if (dense && dense_owes_parts(dense))
        return;
    if (job->map->shard_count > 1)
        given_tell(shard, job, number, exchange_untold(exchange), EVERYBODY);
    exchange_mark_told(exchange);
}

/* Tells what is to be told of chunks, and goes through all rounds that are at their end. */
static void rounds_go_on(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct dense_table *dense = job->tables->items[number].dense;
    struct norm_rounds *rounds = dense->rounds;
    struct error error;

    for (;;) {
        given_tell_new(shard, job, number);
        if (!norm_rounds_settle(rounds))
            return;
        for (uint32_t i = 0; norm_rounds_is_first(rounds) && i < dense->chunk_count; i++)
            shard_advance_dense(shard, job, number, dense->chunks[i]);
        if (measure_all(dense, &error) != CAIRN_OK) {
            shard_fail(shard, job, &error);
            return;
        }
    }
}

/* What is whole goes down the chain before it is measured, so that the next shard has it meanwhile. */
void shard_summed_dense(struct shard *shard, struct shard_job *job, uint32_t number,
                        struct dense_chunk *chunk)
{
    struct dense_table *dense = job->tables->items[number].dense;
    struct error error;

    shard_advance_dense(shard, job, number, chunk);
    if (!dense->rounds)
        return;
    if (dense_measure(dense, chunk, &error) != CAIRN_OK)
        shard_fail(shard, job, &error);
    else
        rounds_go_on(shard, job, number);
}

/* Of rows the parts of the next step may be here before this one's update has been made, which waits for the
 * chains and takes the factors: the next exchange is not ended before. There is one in a version. */
void shard_measure_rows(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sparse_table *sparse = job->tables->items[number].sparse;

    sparse_measure(sparse);
    given_tell_new(shard, job, number);
    if (norm_rounds_is_at(sparse->rounds, sparse->version))
        norm_rounds_settle(sparse->rounds);
}

/* ---- in */

static void part_drop(const struct data_header *header, const char *why)
{
    log_debug("part_dropped", "job=%" PRIu64 " table=%u exchange=%" PRIu64 " reason=\"%s\"", header->job,
              header->table, header->request, why);
}

/* Whether a message is of a live table with norms and from another of the job's shards. */
static bool part_fits(const struct shard *shard, const struct shard_job *job,
                      const struct data_header *header)
{
    return job && job->incarnation == header->incarnation && tables_find(job->tables, header->table) &&
           rounds_of(job, header->table) && header->payload_count == 1 &&
           header->payloads[0].type == DATA_UINT64 && header->payloads[0].chunk < job->map->shard_count &&
           header->payloads[0].chunk != job->map->positions[shard->owner.shard];
}

/* Tells one who waits in an exchange what there is here of it and of those after it. */
static void answer(struct shard *shard, struct shard_job *job, const struct data_header *asked)
{
    uint32_t number = asked->table, from = asked->payloads[0].chunk;
    const struct exchange *exchange = exchange_of(job, number);
    const struct sparse_table *sparse = job->tables->items[number].sparse;
    uint64_t at = asked->request;

    for (; exchange_keeps(exchange, at); at++)
        total_tell(shard, job, number, at, from);
    if (at != exchange_number(exchange))
        return;
    given_tell(shard, job, number, 0, from);
    if (sparse && sparse_lacks_sums(sparse))
        lacking_tell(shard, job, number, asked->step, from);
}

/* What another shard lacks holds up this version's update: who had asked for the newest version when that one
 * was asked is told this one. Who has asked since then may have seen more: for him it is asked again. */
static void lacking_take(struct shard *shard, struct shard_job *job, const struct data_header *header)
{
    struct sparse_table *sparse = job->tables->items[header->table].sparse;

    if (header->request != exchange_number(norm_rounds_exchange(sparse->rounds)) ||
        header->step > sparse->question || header->step <= sparse->lacked)
        return;
    sparse->lacked = header->step;
    shard_advance_sparse(shard, job, header->table);
    if (shard_rows_await_norms(sparse))
        shard_ask_norms(shard, job, header->table);
}

static bool is_lacking(const struct table *table, const struct buffer *told)
{
    return table->sparse && told->length_bytes == sizeof(uint64_t) &&
           *(const uint64_t *)told->data == PART_LACKS;
}

void shard_take_part(struct shard *shard, const struct data_header *header, const struct buffer *told)
{
    struct shard_job *job = shard_find(shard, header->job);
    struct error error;

    if (!part_fits(shard, job, header)) {
        part_drop(header, "of another job, incarnation, table or shard");
    } else if (!told) {
        answer(shard, job, header);
    } else if (is_lacking(&job->tables->items[header->table], told)) {
        lacking_take(shard, job, header);
    } else if (exchange_take(exchange_of(job, header->table), header->request, told->data, told->length_bytes,
                             &error) != CAIRN_OK) {
        log_warn("part_refused", "job=%" PRIu64 " table=%u reason=\"%s\"", header->job, header->table,
                 error.message);
    } else if (job->tables->items[header->table].sparse) {
        shard_advance_sparse(shard, job, header->table);
    } else {
        rounds_go_on(shard, job, header->table);
    }
}

/* ---- chains */

void shard_norms_moved(struct shard *shard, struct shard_job *job)
{
    for (uint32_t number = 0; number < job->tables->count && !job->failed; number++) {
        struct dense_table *dense = job->tables->items[number].dense;
        struct error error;

        if (!dense || !dense->rounds)
            continue;
        dense_places_changed(dense);
        if (measure_all(dense, &error) != CAIRN_OK)
            shard_fail(shard, job, &error);
        else
            rounds_go_on(shard, job, number);
    }
}

bool shard_norms_known(const struct norm_rounds *rounds, struct buffer **known)
{
    size_t bytes = norm_rounds_known_bytes(rounds);

    *known = bytes > 0 ? buffer_new(bytes) : NULL;
    if (*known)
        norm_rounds_tell_known(rounds, (*known)->data);
    return *known || bytes == 0;
}

bool shard_norms_fit(const struct norm_rounds *rounds, uint64_t version, const struct buffer *known)
{
    return norm_rounds_are_known(rounds, version, known ? known->data : NULL,
                                 known ? known->length_bytes : 0);
}

void shard_norms_come(struct shard *shard, struct shard_job *job, uint32_t number, uint64_t version,
                      const struct buffer *known)
{
    bool has_skipped = norm_rounds_take_known(rounds_of(job, number), version, known ? known->data : NULL,
                                              known ? known->length_bytes : 0);

    if (job->tables->items[number].dense)
        rounds_go_on(shard, job, number);
    if (has_skipped)
        shard_ask_norms(shard, job, number);
}

/* ---- waiting */

bool shard_rows_await_norms(const struct sparse_table *sparse)
{
    return sparse->asking.first && sparse->rounds && !norm_rounds_ready(sparse->rounds, sparse->version);
}

static bool table_waits(const struct shard_job *job, uint32_t number)
{
    const struct table *table = &job->tables->items[number];

    if (!rounds_of(job, number))
        return false;
    return table->sparse ? sparse_awaits_parts(table->sparse) || shard_rows_await_norms(table->sparse)
                         : dense_awaits_parts(table->dense);
}

bool shard_waits(const struct shard *shard)
{
    for (const struct shard_job *job = shard->jobs; job; job = job->next) {
        if (job->retired)
            continue;
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
        if (job->retired)
            continue;
        shard_chains_nudge(shard, job);
        for (uint32_t number = 0; number < job->tables->count; number++) {
            if (table_waits(job, number))
                shard_ask_norms(shard, job, number);
        }
    }
    shard_flush(shard);
}
