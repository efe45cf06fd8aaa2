/* What shards of a chain say to each other of chunks with clocks, whose versions count the updates of single
 * workers (docs/design.md, section 12).
 *
 * The head decides in which order updates come, so that an update is believed only of the one before, where a
 * whole sum is one whoever has formed it: a head that is one no more, and does not know, may have said
 * something else of the same version. Each message tells the number of the map that its sender goes by; what
 * was said before both became neighbours is dropped, however late it comes. The clocks go with a snapshot,
 * and grow alike with each update. What is lost is said again as in shard_chain.c. */
#include "shard_state.h"

#include "base/log.h"
#include "clock_record.h"

#include <inttypes.h>

/* The payloads of a snapshot; the optimizer's slots follow. */
enum { PART_CURRENT, PART_CLOCKS, PART_SLOTS };

_Static_assert(PART_SLOTS + OPTIMIZER_SLOTS_MAX <= CHAIN_PARTS_MAX, "a snapshot's payloads have places");

static struct dense_table *weights_of(const struct shard_job *job)
{
    struct table *weights = tables_find(job->tables, TABLE_WEIGHTS);

    return weights && weights->dense && weights->dense->params.has_clocks ? weights->dense : NULL;
}

/* The version that a chunk will have with all updates that are on their way here. */
static uint64_t version_known(const struct dense_chunk *chunk)
{
    return chunk->version + chunk->updates.count;
}

/* ---- out */

void shard_forward_updates(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->updates.count; i++) {
        const struct update *update = update_queue_at(&chunk->updates, i);
        struct data_header header = {.kind = DATA_UPDATE,
                                     .table = TABLE_WEIGHTS,
                                     .step = chunk->version + i,
                                     .samples = update->samples,
                                     .worker = update->worker,
                                     .worker_step = update->step,
                                     .divisor = update->divisor};
        const struct chain_parts parts = {chunk->number, 1, {DATA_FLOAT32}, {update->gradients}};

        if (!chain_is_to_send(&chunk->link, header.step + 1))
            continue;
        chunk->link.sent_version = header.step + 1;
        shard_chain_say(shard, job, chunk->link.place.after, &header, &parts);
    }
}

/* The clocks as bytes. NULL: out of memory. Owns: the caller. */
static struct buffer *clocks_packed(const struct dense_chunk *chunk)
{
    const struct clock_record record = {.step = chunk->version,
                                        .table = TABLE_WEIGHTS,
                                        .chunk = chunk->number,
                                        .version = chunk->version,
                                        .count = chunk->clocks->count,
                                        .clocks = chunk->clocks->items};
    struct buffer *packed = buffer_new(clock_record_bytes(record.count));

    if (packed)
        clock_record_pack(&record, packed->data);
    return packed;
}

void shard_snapshot_updates(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk)
{
    struct data_header header = {.kind = DATA_SNAPSHOT, .table = TABLE_WEIGHTS, .step = chunk->version};
    struct chain_parts parts = {.chunk = chunk->number, .count = PART_SLOTS + chunk->table->slot_count};
    struct buffer *clocks = clocks_packed(chunk);
    struct error error;

    if (!clocks) {
        error_set(&error, CAIRN_NO_MEMORY, "out of memory for a copy of chunk %u", chunk->number);
        shard_fail(shard, job, &error);
        return;
    }
    for (uint32_t i = 0; i < parts.count; i++) {
        parts.types[i] = i == PART_CLOCKS ? DATA_UINT64 : DATA_FLOAT32;
        parts.values[i] = i >= PART_SLOTS ? chunk->slots[i - PART_SLOTS] : chunk->current;
    }
    parts.values[PART_CLOCKS] = clocks;
    shard_chain_say(shard, job, chunk->link.place.after, &header, &parts);
    buffer_unref(clocks);
    chunk->link.sent_version = chunk->link.after_version = 0;
    shard_advance_updates(shard, job, chunk);
}

/* ---- beginning */

void shard_await_heads(struct shard_job *job)
{
    const struct dense_table *weights = weights_of(job);

    for (uint32_t i = 0; weights && i < weights->chunk_count; i++) {
        struct chain_link *link = &weights->chunks[i]->link;

        link->awaits = link->place.before != SLOT_NOBODY;
    }
}

void shard_begin_chains(struct shard *shard, struct shard_job *job)
{
    const struct dense_table *weights = weights_of(job);

    if (!weights || job->commits.committed_step == 0) /* all have the initial values */
        return;
    for (uint32_t i = 0; i < weights->chunk_count; i++) {
        struct dense_chunk *chunk = weights->chunks[i];

        if (chunk->link.awaits)
            shard_ask(shard, job, TABLE_WEIGHTS, chunk->number, &chunk->link);
        else if (chunk->link.place.after != SLOT_NOBODY)
            shard_snapshot_updates(shard, job, chunk);
    }
}

/* ---- in */

/* What is said of one chunk. */
struct said_chunk {
    struct shard *shard;
    struct shard_job *job;
    const struct data_header *header;
    struct buffer *const *payloads;
    struct dense_chunk *chunk;
    uint32_t from; /* its place among the job's shards */
};

static void drop(const struct said_chunk *said, const char *why)
{
    log_debug("chain_message_dropped",
              "job=%" PRIu64 " chunk=%u kind=%d step=%" PRIu64 " worker=%" PRIu64 " reason=\"%s\"",
              said->header->job, said->chunk->number, (int)said->header->kind, said->header->step,
              said->header->worker, why);
}

static bool is_from_before(const struct said_chunk *said)
{
    return chain_is_from_before(&said->chunk->link, said->from, said->header->map);
}

static bool is_from_after(const struct said_chunk *said)
{
    return chain_is_from_after(&said->chunk->link, said->from, said->header->map);
}

static void acknowledge(const struct said_chunk *said)
{
    shard_acknowledge(said->shard, said->job, TABLE_WEIGHTS, said->chunk->number, &said->chunk->link,
                      said->chunk->version);
}

static bool is_array(const struct said_chunk *said, const struct data_payload *payload)
{
    return payload->type == DATA_FLOAT32 &&
           payload->length_bytes == (uint64_t)said->chunk->floats * sizeof(float);
}

/* Adds an update that follows on all that is here. */
static void append(const struct said_chunk *said, struct buffer *gradients)
{
    const struct data_header *header = said->header;
    const struct update update = {.worker = header->worker,
                                  .step = header->worker_step,
                                  .samples = header->samples,
                                  .divisor = header->divisor,
                                  .gradients = header->samples > 0 ? gradients : NULL};
    struct update *added;
    struct error error;
    enum status status = clocks_follow(said->chunk->clocks, header->worker, header->worker_step, &error);

    if (status == CAIRN_OK)
        status = error_set(&error, update_queue_add(&said->chunk->updates, &update, &added),
                           "out of memory for an update of chunk %u", said->chunk->number);
    if (status == CAIRN_OK) {
        if (added->gradients)
            buffer_ref(added->gradients);
        shard_advance_updates(said->shard, said->job, said->chunk);
    } else if (status == CAIRN_INVALID) {
        drop(said, error.message);
    } else {
        shard_fail(said->shard, said->job, &error);
    }
}

static void take_update(const struct said_chunk *said, uint32_t index)
{
    const struct data_header *header = said->header;
    const struct data_payload *payload = &header->payloads[index];
    struct dense_chunk *chunk = said->chunk;

    if (chunk->link.awaits || !is_from_before(said))
        drop(said, "not of the one before, or before its snapshot");
    else if (header->divisor == 0 || (payload->length_bytes > 0 && !is_array(said, payload)))
        drop(said, "it makes no sense");
    else if (header->step < chunk->version)
        acknowledge(said);
    else if (header->step > version_known(chunk))
        drop(said, "it does not follow");
    else if (header->step == version_known(chunk))
        append(said, said->payloads[index]);
}

static void take_taken(const struct said_chunk *said)
{
    struct chain_link *link = &said->chunk->link;
    uint64_t version = said->header->step;

    if (!is_from_after(said) || version > version_known(said->chunk)) {
        drop(said, "not of the one after, or of what it was not told");
        return;
    }
    if (link->after_version == 0)
        link->sent_version = version; /* what it was sent may have come before it knew us */
    if (version > link->after_version)
        link->after_version = version;
    shard_advance_updates(said->shard, said->job, said->chunk);
}

static void take_ask(const struct said_chunk *said)
{
    if (!said->chunk->link.awaits && is_from_after(said))
        shard_snapshot_updates(said->shard, said->job, said->chunk);
}

static bool snapshot_fits(const struct said_chunk *said)
{
    const struct data_header *header = said->header;

    if (header->payload_count != PART_SLOTS + said->chunk->table->slot_count)
        return false;
    for (uint32_t i = 0; i < header->payload_count; i++) {
        const struct data_payload *payload = &header->payloads[i];

        if (payload->chunk != said->chunk->number ||
            (i == PART_CLOCKS ? payload->type != DATA_UINT64 || payload->length_bytes == 0
                              : !is_array(said, payload)))
            return false;
    }
    return true;
}

/* Puts a chunk's clocks in place, with those that are live here. Errors: those of clock_record_unpack. */
static enum status restore_clocks(const struct said_chunk *said, struct error *error)
{
    const struct buffer *bytes = said->payloads[PART_CLOCKS];
    const struct clock_record wanted = {
        .step = said->header->step, .table = TABLE_WEIGHTS, .chunk = said->chunk->number};
    struct clocks clocks = {0};
    uint64_t version = 0;
    enum status status =
        clock_record_unpack(bytes->data, bytes->length_bytes, &wanted, &version, &clocks, error);

    if (status == CAIRN_OK && version != said->header->step)
        status = error_set(error, CAIRN_CORRUPT, "its clocks are of version %" PRIu64, version);
    if (status != CAIRN_OK) {
        clocks_fini(&clocks);
        return status;
    }
    clocks_fini(said->chunk->clocks);
    *said->chunk->clocks = clocks;
    return shard_name_workers(said->job, said->chunk, error);
}

/* The chunk is here, for generations and for the one after. */
static void chunk_is_here(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk)
{
    struct error error;

    chunk->link.awaits = false;
    commits_arrived(&job->commits, chunk);
    if (commits_go_on(&job->commits, &error) != CAIRN_OK)
        shard_fail(shard, job, &error);
    if (chunk->link.place.after != SLOT_NOBODY)
        shard_snapshot_updates(shard, job, chunk);
}

/* It has come by a snapshot. */
static void arrive(const struct said_chunk *said)
{
    struct dense_chunk *chunk = said->chunk;
    struct dense_state state = {.version = said->header->step, .current = said->payloads[PART_CURRENT]};
    struct error error;

    for (uint32_t i = 0; i < chunk->table->slot_count; i++)
        state.slots[i] = said->payloads[PART_SLOTS + i];
    if (dense_restore(chunk, &state, &error) != CAIRN_OK) {
        shard_fail(said->shard, said->job, &error);
        return;
    }
    chunk_is_here(said->shard, said->job, chunk);
    shard_report_copied(said->shard, said->job,
                        placement_slot(TABLE_WEIGHTS, chunk->number, said->job->map->slot_count));
}

static void take_snapshot(const struct said_chunk *said)
{
    struct error error;

    if (!is_from_before(said) || !snapshot_fits(said)) {
        drop(said, "not of the one before, or of another size");
        return;
    }
    if (said->chunk->link.awaits) {
        enum status status = restore_clocks(said, &error);

        if (status == CAIRN_CORRUPT)
            drop(said, error.message);
        else if (status != CAIRN_OK)
            shard_fail(said->shard, said->job, &error);
        if (status != CAIRN_OK)
            return;
        arrive(said);
    }
    acknowledge(said);
}

enum status shard_succeed_head(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk,
                               struct error *error)
{
    enum status status = generation_load_chunk(job->store, TABLE_WEIGHTS, chunk, error);

    if (status == CAIRN_OK)
        status = shard_name_workers(job, chunk, error);
    if (status == CAIRN_OK)
        chunk_is_here(shard, job, chunk);
    return status;
}

static void take_payload(const struct said_chunk *said, uint32_t index)
{
    if (said->header->kind == DATA_TAKEN)
        take_taken(said);
    else if (said->header->kind == DATA_ASK)
        take_ask(said);
    else
        take_update(said, index);
}

void shard_take_chain_updates(struct shard *shard, struct shard_job *job, const struct data_header *header,
                              struct buffer *const payloads[])
{
    struct said_chunk said = {.shard = shard,
                              .job = job,
                              .header = header,
                              .payloads = payloads,
                              .from = (uint32_t)header->request};

    for (uint32_t i = 0; i < header->payload_count && !job->failed; i++) {
        said.chunk = dense_find(weights_of(job), header->payloads[i].chunk);
        if (said.chunk && header->kind != DATA_SNAPSHOT)
            take_payload(&said, i);
        else if (said.chunk && i == 0)
            take_snapshot(&said);
    }
}
