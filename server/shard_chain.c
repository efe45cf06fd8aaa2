/* What shards of a chain say to each other: whole sums go down, acknowledgements come up, and a shard that
 * joins is given all there is.
 *
 * Everything may be lost with a connection, and is then said again: a shard that waits for the one after
 * sends its sums again (shard_nudge), one that has nothing yet asks again. All of it may be said twice: a sum
 * of a step that is past is acknowledged and dropped, a snapshot for one that has values likewise. Who says
 * something counts as its place in the job's shards, and what it says is believed only from a neighbour that
 * went by a map in which it was one already; but a sum is a sum whoever has formed it, by whatever map. */
#include "shard_state.h"

#include "base/log.h"

#include <inttypes.h>

/* The numbers of a snapshot of sums, its first payload, and the payloads after it. */
enum { NUMBER_STEP, NUMBER_NEWEST, NUMBER_BEFORE, NUMBER_COUNT };
enum { SUMS_NUMBERS, SUMS_NEWEST, SUMS_BEFORE, SUMS_PAYLOADS };
/* The payloads of a snapshot of a chunk; its slots follow, and what is known of norms. */
enum { CHUNK_CURRENT, CHUNK_PREVIOUS, CHUNK_SLOTS };

/* ---- out */

void shard_chains_flush(struct shard *shard)
{
    struct chain_message *outgoing = &shard->outgoing;
    const struct shard_message message = {
        outgoing->header,
        outgoing->header.payload_count > 0 ? outgoing->job->map->endpoints[outgoing->to] : NULL,
        outgoing->payloads};

    if (outgoing->header.payload_count == 0)
        return;
    shard->events.tell(shard->events.context, &message);
    for (uint32_t i = 0; i < outgoing->header.payload_count; i++)
        buffer_unref(outgoing->payloads[i]);
    outgoing->header.payload_count = 0;
    outgoing->bytes = 0;
}

struct data_header shard_chain_header(const struct shard *shard, const struct shard_job *job,
                                      enum data_kind kind, uint32_t number, uint64_t step)
{
    return (struct data_header){.kind = kind,
                                .job = job->assignment->number,
                                .incarnation = job->incarnation,
                                .table = number,
                                .step = step,
                                .request = job->map->positions[shard->owner.shard],
                                .map = job->map->number};
}

void shard_chain_tell(struct shard *shard, const struct shard_job *job, uint32_t to,
                      const struct data_header *header, struct buffer *const payloads[])
{
    const struct shard_message message = {*header, job->map->endpoints[to], payloads};

    shard_chains_flush(shard);
    shard->events.tell(shard->events.context, &message);
}

/* Whether more can go with what is to be told; else that goes first. */
static bool goes_with(const struct chain_message *outgoing, const struct shard_job *job, uint32_t to,
                      const struct data_header *header)
{
    return outgoing->header.payload_count > 0 && outgoing->header.payload_count < WIRE_PAYLOADS_MAX &&
           outgoing->bytes < WIRE_GATHER_BYTES && outgoing->job == job && outgoing->to == to &&
           outgoing->header.kind == header->kind && outgoing->header.table == header->table &&
           outgoing->header.step == header->step && outgoing->header.samples == header->samples &&
           outgoing->header.worker == header->worker && outgoing->header.worker_step == header->worker_step &&
           outgoing->header.divisor == header->divisor && header->kind != DATA_SNAPSHOT;
}

/* Opens a message, unless what is open will do. */
static void message_open(struct shard *shard, struct shard_job *job, uint32_t to,
                         const struct data_header *header)
{
    if (goes_with(&shard->outgoing, job, to, header))
        return;
    shard_chains_flush(shard);
    shard->outgoing.header = *header;
    shard->outgoing.job = job;
    shard->outgoing.to = to;
}

/* Adds a payload; values NULL: one without a length. */
static void message_add(struct shard *shard, uint32_t chunk, enum data_type type, struct buffer *values)
{
    struct chain_message *outgoing = &shard->outgoing;
    uint32_t index = outgoing->header.payload_count++;

    outgoing->header.payloads[index] = (struct data_payload){chunk, type, values ? values->length_bytes : 0};
    outgoing->payloads[index] = values ? buffer_ref(values) : NULL;
    outgoing->bytes += outgoing->header.payloads[index].length_bytes;
}

void shard_chain_say(struct shard *shard, struct shard_job *job, uint32_t to, struct data_header *header,
                     const struct chain_parts *parts)
{
    const struct data_header known =
        shard_chain_header(shard, job, header->kind, header->table, header->step);

    header->job = known.job;
    header->incarnation = known.incarnation;
    header->request = known.request;
    header->map = known.map;
    message_open(shard, job, to, header);
    for (uint32_t i = 0; i < parts->count; i++)
        message_add(shard, parts->chunk, parts->types[i], parts->values[i]);
}

void shard_forward_dense(struct shard *shard, struct shard_job *job, uint32_t number,
                         struct dense_chunk *chunk)
{
    struct data_header header;

    if (!chain_is_to_send(&chunk->link, chunk->version + 1))
        return;
    chunk->link.sent_version = chunk->version + 1;
    header = shard_chain_header(shard, job, DATA_UPDATE, number, chunk->version);
    header.samples = chunk->sum_samples;
    message_open(shard, job, chunk->link.place.after, &header);
    message_add(shard, chunk->number, DATA_FLOAT32, chunk->sum);
}

void shard_forward_sums(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sum_table *sums = job->tables->items[number].sums;

    for (uint32_t i = 0; i < sums->whole_count; i++) {
        const struct sum_version *whole = &sums->whole[i];
        struct data_header header;

        if (!chain_is_to_send(&sums->link, whole->version))
            continue;
        sums->link.sent_version = whole->version;
        header = shard_chain_header(shard, job, DATA_UPDATE, number, whole->version - 1);
        header.samples = whole->base;
        message_open(shard, job, sums->link.place.after, &header);
        message_add(shard, 0, DATA_FLOAT64, whole->values);
    }
}

static void say_chunk(struct shard *shard, struct shard_job *job, enum data_kind kind, uint32_t number,
                      uint32_t chunk, uint32_t to, uint64_t version)
{
    const struct data_header header = shard_chain_header(shard, job, kind, number, version);

    if (to == SLOT_NOBODY)
        return;
    message_open(shard, job, to, &header);
    message_add(shard, chunk, DATA_FLOAT32, NULL);
}

void shard_acknowledge(struct shard *shard, struct shard_job *job, uint32_t number, uint32_t chunk,
                       const struct chain_link *link, uint64_t version)
{
    say_chunk(shard, job, DATA_TAKEN, number, chunk, link->place.before, version);
}

void shard_ask(struct shard *shard, struct shard_job *job, uint32_t number, uint32_t chunk,
               const struct chain_link *link)
{
    say_chunk(shard, job, DATA_ASK, number, chunk, link->place.before, 0);
}

void shard_snapshot_dense(struct shard *shard, struct shard_job *job, uint32_t number,
                          struct dense_chunk *chunk)
{
    const struct data_header header = shard_chain_header(shard, job, DATA_SNAPSHOT, number, chunk->version);
    struct buffer *known = NULL;
    struct error error;

    if (chunk->clocks) {
        shard_snapshot_updates(shard, job, chunk);
        return;
    }
    if (chunk->table->rounds && !shard_norms_known(chunk->table->rounds, &known)) {
        error_set(&error, CAIRN_NO_MEMORY, "out of memory for a copy of chunk %u", chunk->number);
        shard_fail(shard, job, &error);
        return;
    }
    message_open(shard, job, chunk->link.place.after, &header);
    message_add(shard, chunk->number, DATA_FLOAT32, chunk->current);
    message_add(shard, chunk->number, DATA_FLOAT32, chunk->previous);
    for (uint32_t i = 0; i < chunk->table->slot_count; i++)
        message_add(shard, chunk->number, DATA_FLOAT32, chunk->slots[i]);
    if (chunk->table->rounds)
        message_add(shard, chunk->number, DATA_UINT64, known);
    buffer_unref(known);
    chunk->link.sent_version = chunk->link.after_version = 0;
    shard_advance_dense(shard, job, number, chunk);
}

void shard_snapshot_sums(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sum_table *sums = job->tables->items[number].sums;
    const struct data_header header =
        shard_chain_header(shard, job, DATA_SNAPSHOT, number, sum_table_version(sums));
    struct buffer *numbers = buffer_new(NUMBER_COUNT * sizeof(uint64_t));
    struct error error;

    if (!numbers) {
        error_set(&error, CAIRN_NO_MEMORY, "out of memory for a copy of table %u", number);
        shard_fail(shard, job, &error);
        return;
    }
    ((uint64_t *)numbers->data)[NUMBER_STEP] = sums->whole_count > 0 ? sums->whole[0].base : sums->base;
    ((uint64_t *)numbers->data)[NUMBER_NEWEST] = sums->kept[0].version;
    ((uint64_t *)numbers->data)[NUMBER_BEFORE] = sums->kept[1].version;
    message_open(shard, job, sums->link.place.after, &header);
    message_add(shard, 0, DATA_UINT64, numbers);
    message_add(shard, 0, DATA_FLOAT64, sums->kept[0].values);
    message_add(shard, 0, DATA_FLOAT64, sums->kept[1].values);
    buffer_unref(numbers);
    sums->link.sent_version = sums->link.after_version = 0;
    shard_advance_sums(shard, job, number);
}

/* ---- in: checks */

/* A message in hand. */
struct said {
    struct shard *shard;
    struct shard_job *job;
    const struct data_header *header;
    struct buffer *const *payloads;
    struct table *table;
    uint32_t from; /* its place among the job's shards */
};

static void said_drop(const struct said *said, const char *why)
{
    log_debug("chain_message_dropped", "job=%" PRIu64 " table=%u kind=%d step=%" PRIu64 " reason=\"%s\"",
              said->header->job, said->header->table, (int)said->header->kind, said->header->step, why);
}

/* The chunk of a payload, NULL: it is not here. */
static struct dense_chunk *chunk_of(const struct said *said, uint32_t index)
{
    return dense_find(said->table->dense, said->header->payloads[index].chunk);
}

static struct chain_link *link_of(const struct said *said, uint32_t index)
{
    struct dense_chunk *chunk;

    if (said->table->sums)
        return said->header->payloads[index].chunk == 0 && said->table->sums->link.place.is_member
                   ? &said->table->sums->link
                   : NULL;
    chunk = chunk_of(said, index);
    return chunk ? &chunk->link : NULL;
}

/* Whether a payload is of a type, and its length what it must be; 0 too where it may be empty. */
static bool payload_fits(const struct said *said, uint32_t index, enum data_type type, uint64_t bytes,
                         bool may_be_empty)
{
    const struct data_payload *payload = &said->header->payloads[index];

    return payload->type == type &&
           (payload->length_bytes == bytes || (may_be_empty && payload->length_bytes == 0));
}

static uint64_t chunk_bytes(const struct dense_chunk *chunk)
{
    return (uint64_t)chunk->floats * sizeof(float);
}

static uint64_t sums_bytes(const struct sum_table *sums)
{
    return (uint64_t)sums->elements * sizeof(double);
}

static bool chunk_snapshot_fits(const struct said *said, const struct dense_chunk *chunk)
{
    const struct data_header *header = said->header;
    uint32_t arrays = CHUNK_SLOTS + chunk->table->slot_count;

    if (header->payload_count != arrays + (chunk->table->rounds ? 1 : 0))
        return false;
    for (uint32_t i = 0; i < arrays; i++) {
        if (header->payloads[i].chunk != chunk->number ||
            !payload_fits(said, i, DATA_FLOAT32, chunk_bytes(chunk), i == CHUNK_PREVIOUS))
            return false;
    }
    return !chunk->table->rounds ||
           (header->payloads[arrays].type == DATA_UINT64 &&
            shard_norms_fit(chunk->table->rounds, header->step, said->payloads[arrays]));
}

static bool sums_snapshot_fits(const struct said *said, const struct sum_table *sums)
{
    return said->header->payload_count == SUMS_PAYLOADS &&
           payload_fits(said, SUMS_NUMBERS, DATA_UINT64, NUMBER_COUNT * sizeof(uint64_t), false) &&
           payload_fits(said, SUMS_NEWEST, DATA_FLOAT64, sums_bytes(sums), true) &&
           payload_fits(said, SUMS_BEFORE, DATA_FLOAT64, sums_bytes(sums), true);
}

/* ---- in */

static void acknowledge_to(const struct said *said, uint32_t chunk, uint64_t version)
{
    say_chunk(said->shard, said->job, DATA_TAKEN, said->header->table, chunk, said->from, version);
}

static void take_update_dense(const struct said *said, uint32_t index)
{
    const struct data_header *header = said->header;
    struct dense_chunk *chunk = chunk_of(said, index);

    if (!payload_fits(said, index, DATA_FLOAT32, chunk_bytes(chunk), true) || header->step > chunk->version) {
        said_drop(said, "it does not follow, or is of another size");
    } else if (header->step < chunk->version) {
        acknowledge_to(said, chunk->number, chunk->version);
    } else {
        dense_take_sum(chunk, said->payloads[index] ? buffer_ref(said->payloads[index]) : NULL,
                       header->samples);
        shard_summed_dense(said->shard, said->job, header->table, chunk);
    }
}

static void take_update_sums(const struct said *said, uint32_t index)
{
    const struct data_header *header = said->header;
    struct sum_table *sums = said->table->sums;

    if (!payload_fits(said, index, DATA_FLOAT64, sums_bytes(sums), false))
        said_drop(said, "of another size");
    else if (header->step < sum_table_version(sums))
        acknowledge_to(said, 0, sum_table_version(sums));
    else if (sum_take_whole(sums, header->samples, header->step, buffer_ref(said->payloads[index])))
        shard_advance_sums(said->shard, said->job, header->table);
}

static void restore_chunk(const struct said *said, struct dense_chunk *chunk)
{
    struct dense_state state = {.version = said->header->step,
                                .current = said->payloads[CHUNK_CURRENT],
                                .previous = said->payloads[CHUNK_PREVIOUS]};
    struct error error;

    for (uint32_t i = 0; i < chunk->table->slot_count; i++)
        state.slots[i] = said->payloads[CHUNK_SLOTS + i];
    if (dense_restore(chunk, &state, &error) != CAIRN_OK) {
        shard_fail(said->shard, said->job, &error);
        return;
    }
    chunk->link.awaits = false;
    commits_arrived(&said->job->commits, chunk);
    if (chunk->table->rounds)
        shard_norms_come(said->shard, said->job, said->header->table, chunk->version,
                         said->payloads[CHUNK_SLOTS + chunk->table->slot_count]);
    if (chunk->link.place.after_is_copy)
        shard_snapshot_dense(said->shard, said->job, said->header->table, chunk);
}

static void restore_sums(const struct said *said, struct sum_table *sums)
{
    const uint64_t *numbers = said->payloads[SUMS_NUMBERS]->data;
    const struct sum_version kept[2] = {
        {.version = numbers[NUMBER_NEWEST], .values = said->payloads[SUMS_NEWEST]},
        {.version = numbers[NUMBER_BEFORE], .values = said->payloads[SUMS_BEFORE]}};

    sum_restore(sums, numbers[NUMBER_STEP], kept);
    sums->link.awaits = false;
    if (sums->link.place.after_is_copy)
        shard_snapshot_sums(said->shard, said->job, said->header->table);
}

static void take_snapshot(const struct said *said)
{
    uint32_t number = said->header->payloads[0].chunk;
    struct chain_link *link = link_of(said, 0);
    struct dense_chunk *chunk = said->table->dense ? chunk_of(said, 0) : NULL;

    if (chunk ? !chunk_snapshot_fits(said, chunk) : !sums_snapshot_fits(said, said->table->sums)) {
        said_drop(said, "of another size");
        return;
    }
    if (link->awaits && chain_is_from_before(link, said->from, said->header->map)) {
        if (chunk)
            restore_chunk(said, chunk);
        else
            restore_sums(said, said->table->sums);
        shard_report_copied(said->shard, said->job,
                            placement_slot(said->header->table, number, said->job->map->slot_count));
    }
    if (!link->awaits)
        acknowledge_to(said, number, chunk ? chunk->version : sum_table_version(said->table->sums));
}

static void take_taken(const struct said *said, uint32_t index)
{
    struct chain_link *link = link_of(said, index);

    if (!chain_is_from_after(link, said->from, said->header->map) ||
        link->after_version >= said->header->step)
        return;
    link->after_version = said->header->step;
    if (said->table->sums)
        shard_advance_sums(said->shard, said->job, said->header->table);
    else
        shard_advance_dense(said->shard, said->job, said->header->table, chunk_of(said, index));
}

static void take_ask(const struct said *said, uint32_t index)
{
    const struct chain_link *link = link_of(said, index);

    if (link->awaits || !chain_is_from_after(link, said->from, said->header->map))
        return;
    if (said->table->sums)
        shard_snapshot_sums(said->shard, said->job, said->header->table);
    else
        shard_snapshot_dense(said->shard, said->job, said->header->table, chunk_of(said, index));
}

static void take_payload(const struct said *said, uint32_t index)
{
    const struct chain_link *link = link_of(said, index);

    if (!link)
        said_drop(said, "a chunk that is not here");
    else if (said->header->kind == DATA_TAKEN)
        take_taken(said, index);
    else if (said->header->kind == DATA_ASK)
        take_ask(said, index);
    else if (link->awaits)
        said_drop(said, "a sum before its snapshot");
    else if (said->table->sums)
        take_update_sums(said, index);
    else
        take_update_dense(said, index);
}

void shard_take_chain(struct shard *shard, const struct data_header *header, struct buffer *const payloads[])
{
    struct said said = {.shard = shard,
                        .job = shard_find_incarnation(shard, header->job, header->incarnation),
                        .header = header,
                        .payloads = payloads,
                        .from = (uint32_t)header->request};

    said.table = said.job ? tables_find(said.job->tables, header->table) : NULL;
    if (!said.table || header->request >= said.job->map->shard_count)
        said_drop(&said, "of another job, incarnation, table or shard");
    else if (said.table->dense && said.table->dense->params.has_clocks)
        shard_take_chain_updates(shard, said.job, header, payloads);
    else if (said.table->sparse)
        shard_take_chain_rows(shard, said.job, header, payloads);
    else if (header->kind == DATA_SNAPSHOT && !link_of(&said, 0))
        said_drop(&said, "a chunk that is not here");
    else if (header->kind == DATA_SNAPSHOT)
        take_snapshot(&said);
    else {
        for (uint32_t i = 0; i < header->payload_count; i++)
            take_payload(&said, i);
    }
    request_drop(header, payloads);
}

/* ---- waiting */

/* Sums that wait for norms will be said again when these are known, if they must. */
static bool dense_waits(const struct dense_chunk *chunk)
{
    return chunk->link.awaits || chunk->updates.count > 0 ||
           (dense_is_due(chunk->table, chunk) && !chain_allows(&chunk->link, chunk->version + 1));
}

static bool sums_wait(const struct sum_table *sums)
{
    return sums->link.awaits || (sums->whole_count > 0 && !chain_allows(&sums->link, sums->whole[0].version));
}

bool shard_chains_wait(const struct shard_job *job)
{
    if (!job->has_chains || job->retired)
        return false;
    for (uint32_t number = 0; number < job->tables->count; number++) {
        const struct table *table = &job->tables->items[number];

        if (table->sums && sums_wait(table->sums))
            return true;
        if (table->sparse && shard_rows_wait(table->sparse))
            return true;
        for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++) {
            if (dense_waits(table->dense->chunks[i]))
                return true;
        }
    }
    return false;
}

static void dense_nudge(struct shard *shard, struct shard_job *job, uint32_t number,
                        struct dense_chunk *chunk)
{
    if (!dense_waits(chunk))
        return;
    chunk->link.sent_version = 0;
    if (chunk->link.awaits)
        shard_ask(shard, job, number, chunk->number, &chunk->link);
    else
        shard_advance_dense(shard, job, number, chunk);
}

static void sums_nudge(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sum_table *sums = job->tables->items[number].sums;

    if (!sums_wait(sums))
        return;
    sums->link.sent_version = 0;
    if (sums->link.awaits)
        shard_ask(shard, job, number, 0, &sums->link);
    else
        shard_forward_sums(shard, job, number);
}

void shard_chains_nudge(struct shard *shard, struct shard_job *job)
{
    if (!job->has_chains || job->retired)
        return;
    for (uint32_t number = 0; number < job->tables->count; number++) {
        const struct table *table = &job->tables->items[number];

        if (table->sums)
            sums_nudge(shard, job, number);
        if (table->sparse && shard_rows_wait(table->sparse))
            shard_rows_nudge(shard, job, number);
        for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++)
            dense_nudge(shard, job, number, table->dense->chunks[i]);
    }
}
