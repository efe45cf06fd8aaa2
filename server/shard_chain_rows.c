/* What shards of a chain say to each other of a sparse table: the sums of a step, slot by slot, and who has
 * them.
 *
 * A message names slots and has all that one step changes in them. Everything may be said twice, and is said
 * again when it may have been lost: what is known of a slot already is told to the one before once more. */
#include "shard_state.h"

#include "base/log.h"

#include <inttypes.h>
#include <string.h>

/* The payloads of an update; of what was taken the first. */
enum { ROWS_SLOTS, ROWS_KEYS, ROWS_VALUES, ROWS_PAYLOADS };

/* What a message of sums carries at most, if one slot has no more: as much as the transport makes no
 * difference of. */
#define SUMS_BYTES ((size_t)4 << 20)

/* ---- out */

static void set_payload(struct data_header *header, uint32_t index, enum data_type type,
                        struct buffer *buffer, struct buffer **payloads)
{
    header->payloads[index] = (struct data_payload){index, type, buffer->length_bytes};
    payloads[index] = buffer->length_bytes > 0 ? buffer : NULL;
    header->payload_count = index + 1;
}

/* Sends a receiver sums of the step in hand. */
static enum status sums_send(struct shard *shard, struct shard_job *job, uint32_t number, uint32_t to,
                             struct error *error)
{
    struct sparse_table *sparse = job->tables->items[number].sparse;
    struct data_header header = shard_chain_header(shard, job, DATA_UPDATE, number, sparse->version);
    struct buffer *payloads[ROWS_PAYLOADS], *slots;
    struct sparse_sum *sum;

    if (sparse_chain_pick(sparse->chain, sparse->version, to, SUMS_BYTES, &slots, &sum) != CAIRN_OK)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for sums of table %s", sparse->spec->name);
    header.samples = sparse->chain->now.samples;
    set_payload(&header, ROWS_SLOTS, DATA_UINT64, slots, payloads);
    set_payload(&header, ROWS_KEYS, DATA_UINT64, sum->keys, payloads);
    set_payload(&header, ROWS_VALUES, DATA_FLOAT32, sum->values, payloads);
    if (sum->keys->length_bytes <= WIRE_PAYLOAD_BYTES_MAX &&
        sum->values->length_bytes <= WIRE_PAYLOAD_BYTES_MAX)
        shard_chain_tell(shard, job, to, &header, payloads);
    else
        error_set(error, CAIRN_FULL,
                  "step %" PRIu64 " changes %" PRIu32
                  " rows in one slot of table %s: more than a message to a replica carries",
                  sparse->version, sum->count, sparse->spec->name);
    buffer_unref(slots);
    sparse_sum_free(sum);
    return error->status;
}

/* Tells a shard of which slots that it is before we have, and those after us, the sums that make a version.
 */
static enum status slots_tell(struct shard *shard, struct shard_job *job, uint32_t number, uint32_t to,
                              uint64_t version, struct error *error)
{
    struct sparse_table *sparse = job->tables->items[number].sparse;
    struct sparse_chain *chain = sparse->chain;
    struct data_header header = shard_chain_header(shard, job, DATA_TAKEN, number, version);
    struct buffer *slots = buffer_new(chain->slot_count * sizeof(uint64_t)), *payloads[ROWS_PAYLOADS];
    uint32_t count = 0;

    if (!slots)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for table %s", sparse->spec->name);
    for (uint32_t i = 0; i < chain->slot_count; i++) {
        struct sparse_slot *slot = &chain->slots[i];

        if (slot->place.before != to || slot->awaits ||
            sparse_chain_knows(slot, sparse->version) != version || slot->told >= version)
            continue;
        slot->told = version;
        ((uint64_t *)slots->data)[count++] = i;
    }
    slots->length_bytes = count * sizeof(uint64_t);
    set_payload(&header, ROWS_SLOTS, DATA_UINT64, slots, payloads);
    shard_chain_tell(shard, job, to, &header, payloads);
    buffer_unref(slots);
    return CAIRN_OK;
}

static enum status tell_all(struct shard *shard, struct shard_job *job, uint32_t number, struct error *error)
{
    const struct sparse_table *sparse = job->tables->items[number].sparse;
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < sparse->chain->slot_count && status == CAIRN_OK; i++) {
        const struct sparse_slot *slot = &sparse->chain->slots[i];
        uint64_t knows = sparse_chain_knows(slot, sparse->version);

        if (slot->place.before != SLOT_NOBODY && !slot->awaits && slot->told < knows)
            status = slots_tell(shard, job, number, slot->place.before, knows, error);
    }
    return status;
}

void shard_forward_rows(struct shard *shard, struct shard_job *job, uint32_t number)
{
    const struct sparse_table *sparse = job->tables->items[number].sparse;
    struct error error = {.status = CAIRN_OK};
    uint32_t to = sparse_chain_receiver(sparse->chain, sparse->version);
    enum status status = CAIRN_OK;

    while (to != SLOT_NOBODY && status == CAIRN_OK) {
        status = sums_send(shard, job, number, to, &error);
        to = sparse_chain_receiver(sparse->chain, sparse->version);
    }
    if (status == CAIRN_OK)
        status = tell_all(shard, job, number, &error);
    if (status == CAIRN_OK)
        shard_tell_asked(shard, job, number);
    if (status != CAIRN_OK)
        shard_fail(shard, job, &error);
}

/* ---- in */

/* A message in hand. */
struct said {
    const struct sparse_table *sparse;
    const struct data_header *header;
    struct buffer *const *payloads;
    const uint64_t *slots;
    uint32_t slot_count;
};

/* Whether the slots that a message names are slots of the job. */
static bool slots_fit(struct said *said)
{
    const struct data_payload *payload = &said->header->payloads[ROWS_SLOTS];
    uint64_t count = payload->length_bytes / sizeof(uint64_t);

    if (payload->type != DATA_UINT64 || count == 0 || count > said->sparse->chain->slot_count)
        return false;
    said->slots = said->payloads[ROWS_SLOTS]->data;
    said->slot_count = (uint32_t)count;
    for (uint32_t i = 0; i < said->slot_count; i++) {
        if (said->slots[i] >= said->sparse->chain->slot_count)
            return false;
    }
    return true;
}

static bool update_fits(struct said *said)
{
    const struct data_payload *payloads = said->header->payloads;
    uint64_t count = payloads[ROWS_KEYS].length_bytes / sizeof(uint64_t);

    return said->header->payload_count == ROWS_PAYLOADS && slots_fit(said) &&
           payloads[ROWS_KEYS].type == DATA_UINT64 && payloads[ROWS_VALUES].type == DATA_FLOAT32 &&
           payloads[ROWS_VALUES].length_bytes == count * said->sparse->spec->dimension * sizeof(float);
}

/* What is known of slots that one who is before us in their chains asks about again is told again. */
static void tell_again(const struct said *said)
{
    for (uint32_t i = 0; i < said->slot_count; i++) {
        struct sparse_slot *slot = &said->sparse->chain->slots[said->slots[i]];

        if (slot->place.before == said->header->request && slot->has > said->header->step)
            slot->told = 0;
    }
}

static enum status update_take(struct sparse_table *sparse, const struct said *said)
{
    struct buffer *keys = said->payloads[ROWS_KEYS], *values = said->payloads[ROWS_VALUES];
    struct sparse_sum *sum =
        sparse_sum_new(sparse->spec->dimension, keys, values ? buffer_ref(values) : NULL, &sparse->scratch);

    tell_again(said);
    return sum ? sparse_chain_take(sparse->chain, sparse->version, said->header->step, said->slots,
                                   said->slot_count, sum, said->header->samples)
               : CAIRN_NO_MEMORY;
}

/* Copies that have a sum now that was owed to them are whole. */
static void owed_report(struct shard *shard, struct shard_job *job, const struct said *said)
{
    for (uint32_t i = 0; i < said->slot_count; i++) {
        struct sparse_slot *slot = &said->sparse->chain->slots[said->slots[i]];

        if (slot->owed == 0 || sparse_slot_is_owed(slot))
            continue;
        slot->owed = 0;
        shard_report_copied(shard, job, (uint32_t)said->slots[i]);
    }
}

static void taken_take(const struct said *said)
{
    for (uint32_t i = 0; i < said->slot_count; i++) {
        struct sparse_slot *slot = &said->sparse->chain->slots[said->slots[i]];

        if (sparse_slot_is_from_after(slot, said->header->request, said->header->map) &&
            slot->after < said->header->step)
            slot->after = said->header->step;
    }
}

void shard_take_chain_rows(struct shard *shard, struct shard_job *job, const struct data_header *header,
                           struct buffer *const payloads[])
{
    struct sparse_table *sparse = job->tables->items[header->table].sparse;
    struct said said = {.sparse = sparse, .header = header, .payloads = payloads};
    struct error error;
    enum status status = CAIRN_OK;

    if (header->kind == DATA_ASK && header->map > job->map->number) {
        sparse->early = header->map > sparse->early ? header->map : sparse->early;
        return;
    }
    if (sparse->chain && (header->kind == DATA_ASK || header->kind == DATA_SNAPSHOT)) {
        shard_take_copy_rows(shard, job, header, payloads);
        return;
    }
    if (sparse->chain && header->kind == DATA_UPDATE && update_fits(&said)) {
        status = update_take(sparse, &said);
        owed_report(shard, job, &said);
    } else if (sparse->chain && header->kind == DATA_TAKEN && header->payload_count == 1 &&
               slots_fit(&said)) {
        taken_take(&said);
    } else {
        log_debug("chain_message_dropped",
                  "job=%" PRIu64 " table=%u kind=%d step=%" PRIu64 " reason=\"it does not fit\"", header->job,
                  header->table, (int)header->kind, header->step);
    }
    if (status != CAIRN_OK) {
        error_set(&error, status, "out of memory for sums of table %s", sparse->spec->name);
        shard_fail(shard, job, &error);
    }
    shard_advance_sparse(shard, job, header->table);
}

/* ---- waiting */

bool shard_rows_wait(const struct sparse_table *sparse)
{
    return sparse->chain && sparse_chain_waits(sparse->chain, sparse->version);
}

void shard_rows_nudge(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sparse_table *sparse = job->tables->items[number].sparse;

    for (uint32_t i = 0; i < sparse->chain->slot_count; i++) {
        if (sparse->chain->slots[i].after <= sparse->version)
            sparse->chain->slots[i].sent = 0;
    }
    if (!sparse_is_blank(sparse))
        shard_forward_rows(shard, job, number);
    shard_ask_rows(shard, job, number);
}
