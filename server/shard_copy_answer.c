/* Answers to who copies slots of a sparse table: parts of rows, and where the table stands. */
#include "shard_copy.h"

#include <string.h>

/* A part has about so many bytes, and is looked for among so many rows at most. */
#define PART_BYTES (1u << 20)
#define PART_LOOKS (1u << 16)

/* Tells where we stand. */
static void stand_tell(struct shard *shard, struct shard_job *job, uint32_t number, uint32_t to,
                       struct buffer *slots)
{
    const struct sparse_table *sparse = job->tables->items[number].sparse;
    struct data_header header = shard_chain_header(shard, job, DATA_SNAPSHOT, number, sparse->version);
    struct buffer *numbers = buffer_new(PART_COUNT * sizeof(uint64_t)), *payloads[] = {slots, numbers};

    if (!numbers)
        return; /* it asks again */
    memset(numbers->data, 0, numbers->length_bytes);
    header.payload_count = COPY_QUESTION;
    copy_say(shard, job, to, &header, payloads);
    buffer_unref(numbers);
}

void shard_tell_asked(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sparse_table *sparse = job->tables->items[number].sparse;

    for (uint32_t i = 0; i < sparse->chain->slot_count; i++) {
        struct sparse_slot *slot = &sparse->chain->slots[i];
        struct buffer *slots;

        if (slot->asked == 0 || slot->asked > sparse->version)
            continue;
        slot->asked = 0;
        slots = buffer_new(sizeof(uint64_t)); /* any one will do: who hears it asks about all */
        if (!slots)
            continue;
        *(uint64_t *)slots->data = i;
        stand_tell(shard, job, number, slot->place.after, slots);
        buffer_unref(slots);
        for (uint32_t j = i + 1; j < sparse->chain->slot_count; j++) {
            if (sparse->chain->slots[j].place.after == slot->place.after)
                sparse->chain->slots[j].asked = 0;
        }
    }
}

/* A part as it is made. */
struct part {
    const struct sparse_chain *chain;
    uint32_t floats; /* of a row */
    size_t count, room, most;
    struct buffer *buffers[COPY_PAYLOADS];
};

static size_t element_bytes(const struct part *part, uint32_t payload)
{
    return payload == COPY_FLOATS ? part->floats * sizeof(float) : sizeof(uint64_t);
}

static enum status part_grow(struct part *part)
{
    size_t room = part->room ? 2 * part->room : 64;

    for (uint32_t i = COPY_KEYS; i < COPY_SUMS; i++) {
        struct buffer *grown = buffer_new(room * element_bytes(part, i));

        if (!grown)
            return CAIRN_NO_MEMORY;
        if (part->count > 0)
            memcpy(grown->data, part->buffers[i]->data, part->count * element_bytes(part, i));
        buffer_unref(part->buffers[i]);
        part->buffers[i] = grown;
    }
    part->room = room;
    return CAIRN_OK;
}

static bool part_is_full(const struct part *part)
{
    return part->count * (element_bytes(part, COPY_FLOATS) + 2 * sizeof(uint64_t)) >= PART_BYTES;
}

static enum status part_add(struct part *part, uint64_t key, uint64_t step, const float *floats,
                            struct error *error)
{
    if (!part->chain->marks[placement_key_slot(key, part->chain->slot_count)])
        return CAIRN_OK;
    if (part->count == part->most)
        return error_set(error, CAIRN_FULL, "too many rows have like keys");
    if (part->count == part->room && part_grow(part) != CAIRN_OK)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for rows");
    ((uint64_t *)part->buffers[COPY_KEYS]->data)[part->count] = key;
    ((uint64_t *)part->buffers[COPY_STEPS]->data)[part->count] = step;
    memcpy((float *)part->buffers[COPY_FLOATS]->data + part->count * part->floats, floats,
           part->floats * sizeof(float));
    part->count++;
    return CAIRN_OK;
}

static enum status part_visit(void *context, const struct row *row, struct error *error)
{
    return part_add(context, row->key, row->used_step, row->floats, error);
}

static enum status rows_fill(struct part *part, struct rows *rows, uint64_t *cursor, struct error *error)
{
    struct rows_scan scan = {.next = *cursor};
    uint32_t slice = PART_BYTES / (uint32_t)element_bytes(part, COPY_FLOATS), looked = 0;
    enum status status = CAIRN_OK;

    slice = slice < 1 ? 1 : slice > 1024 ? 1024 : slice;
    for (; status == CAIRN_OK && !scan.is_done && !part_is_full(part) && looked < PART_LOOKS; looked += slice)
        status = rows_scan(rows, &scan, 0, slice, part_visit, part, error);
    *cursor = scan.is_done ? 0 : scan.next;
    return status;
}

static enum status before_fill(struct part *part, const struct sparse_table *sparse, uint64_t *cursor,
                               struct error *error)
{
    const struct sparse_sum *before = sparse->before.sum;
    uint64_t at = *cursor;
    enum status status = CAIRN_OK;

    for (; before && at < before->count && status == CAIRN_OK && !part_is_full(part); at++)
        status = part_add(part, sparse_sum_keys(before)[at], 0,
                          sparse_sum_values(before) + at * sparse->spec->dimension, error);
    *cursor = before && at < before->count ? at : 0;
    return status;
}

/* Fills a part; *section and *cursor go on to where the next one begins. */
static enum status part_fill(struct part *part, struct sparse_table *sparse, uint64_t *section,
                             uint64_t *cursor, struct error *error)
{
    enum status status;

    part->floats = copy_section_floats(sparse, *section);
    part->most = WIRE_PAYLOAD_BYTES_MAX / element_bytes(part, COPY_FLOATS);
    if (part->most > WIRE_PAYLOAD_BYTES_MAX / sizeof(uint64_t))
        part->most = WIRE_PAYLOAD_BYTES_MAX / sizeof(uint64_t);
    if (*section == SECTION_BEFORE)
        status = before_fill(part, sparse, cursor, error);
    else
        status = rows_fill(part, *section == SECTION_ROWS ? sparse->rows : sparse->candidates, cursor, error);
    if (*cursor == 0)
        *section += *section == SECTION_ROWS && !sparse->candidates ? 2 : 1;
    return status;
}

/* Which sums who copies will have from us. NULL: out of memory. */
static struct buffer *sums_known(const struct copy_message *said)
{
    struct buffer *sums = buffer_new(said->slot_count * sizeof(uint64_t));

    for (uint32_t i = 0; sums && i < said->slot_count; i++)
        ((uint64_t *)sums->data)[i] = said->sparse->chain->slots[said->slots[i]].has;
    return sums;
}

static void part_send(const struct copy_message *said, struct part *part, const uint64_t numbers[PART_COUNT])
{
    struct data_header header =
        shard_chain_header(said->shard, said->job, DATA_SNAPSHOT, said->header->table, said->sparse->version);

    part->buffers[COPY_SLOTS] = buffer_ref(said->payloads[COPY_SLOTS]);
    part->buffers[COPY_NUMBERS] = buffer_new(PART_COUNT * sizeof(uint64_t));
    if (!part->buffers[COPY_NUMBERS] ||
        (said->sparse->rounds && !shard_norms_known(said->sparse->rounds, &part->buffers[COPY_TOTALS])))
        return; /* it is asked for again */
    memcpy(part->buffers[COPY_NUMBERS]->data, numbers, PART_COUNT * sizeof(uint64_t));
    if (numbers[PART_NEXT_SECTION] == SECTION_END && !(part->buffers[COPY_SUMS] = sums_known(said)))
        return;
    for (uint32_t i = COPY_KEYS; i < COPY_SUMS && part->buffers[i]; i++)
        part->buffers[i]->length_bytes = part->count * element_bytes(part, i);
    header.payload_count = copy_part_payloads(said->sparse);
    copy_say(said->shard, said->job, said->from, &header, part->buffers);
}

/* Whoever is asked stands still from now on, and after the last part who asked has what comes: also when it
 * asks for an earlier part then. It may have been asked for twice, and nobody would ask for the last one any
 * more. */
static void slots_hold(const struct copy_message *said, bool is_first, bool is_last)
{
    for (uint32_t i = 0; i < said->slot_count; i++) {
        struct sparse_slot *slot = &said->sparse->chain->slots[said->slots[i]];

        slot->is_frozen = true;
        slot->asked = 0;
        if (is_first)
            slot->sent = slot->after = 0;
        slot->is_copied = slot->is_copied || is_last;
    }
}

static void part_serve(const struct copy_message *said)
{
    struct sparse_chain *chain = said->sparse->chain;
    uint64_t section = said->numbers[ASKED_SECTION], cursor = said->numbers[ASKED_CURSOR];
    struct part part = {.chain = chain};
    struct error error;
    enum status status;

    if (section >= SECTION_END || (section == SECTION_CANDIDATES && !said->sparse->candidates))
        return;
    memset(chain->marks, 0, chain->slot_count * sizeof(chain->marks[0]));
    for (uint32_t i = 0; i < said->slot_count; i++)
        chain->marks[said->slots[i]] = true;
    status = part_fill(&part, said->sparse, &section, &cursor, &error);
    if (status == CAIRN_OK) {
        slots_hold(said, said->numbers[ASKED_SECTION] == SECTION_ROWS && said->numbers[ASKED_CURSOR] == 0,
                   section == SECTION_END);
        part_send(said, &part,
                  (uint64_t[PART_COUNT]){true, said->numbers[ASKED_SECTION], said->numbers[ASKED_CURSOR],
                                         section, cursor, said->sparse->before.is_known});
    } else if (status != CAIRN_NO_MEMORY) {
        error_prefix(&error, status, "table %s", said->sparse->spec->name);
        shard_fail(said->shard, said->job, &error);
    }
    for (uint32_t i = 0; i < COPY_PAYLOADS; i++)
        buffer_unref(part.buffers[i]);
}

static void slots_ask_later(const struct copy_message *said)
{
    for (uint32_t i = 0; i < said->slot_count; i++)
        said->sparse->chain->slots[said->slots[i]].asked = said->header->step;
}

static void slots_let_go(const struct copy_message *said)
{
    for (uint32_t i = 0; i < said->slot_count; i++)
        said->sparse->chain->slots[said->slots[i]].is_frozen =
            said->sparse->chain->slots[said->slots[i]].is_copied = false;
}

/* Whether all that is asked for is here, and to be copied to who asks. Who has told of a version has all, and
 * what it asked comes late; so does what it asked at an older version than the one that it has been given all
 * at. At a newer one it has gone on without that, as it was told to. */
static bool may_be_asked(const struct copy_message *said)
{
    bool is_older = !said->numbers[ASKED_ANY] && said->header->step < said->sparse->version;

    for (uint32_t i = 0; i < said->slot_count; i++) {
        const struct sparse_slot *slot = &said->sparse->chain->slots[said->slots[i]];

        if (!slot->place.is_member || slot->awaits || !slot->place.after_is_copy || slot->after > 0 ||
            (slot->is_copied && is_older) || !sparse_slot_is_from_after(slot, said->from, said->header->map))
            return false;
    }
    return !said->sparse->is_torn;
}

void shard_copy_recall(struct sparse_table *sparse, uint64_t map)
{
    if (sparse->early == 0 || sparse->early > map)
        return;
    sparse->early = 0;
    for (uint32_t i = 0; i < sparse->chain->slot_count; i++) {
        struct sparse_slot *slot = &sparse->chain->slots[i];

        if (slot->place.is_member && slot->place.after_is_copy && !slot->is_frozen && slot->after == 0)
            slot->asked = 1; /* any version will do */
    }
}

void shard_copy_answer(struct copy_message *said)
{
    if (!copy_message_read(said, ASKED_COUNT) || !may_be_asked(said))
        return;
    if (said->numbers[ASKED_ANY] || said->header->step == said->sparse->version) {
        part_serve(said);
    } else {
        slots_let_go(said);
        if (said->header->step > said->sparse->version)
            slots_ask_later(said);
        else
            stand_tell(said->shard, said->job, said->header->table, said->from, said->payloads[COPY_SLOTS]);
    }
    /* What is owed follows the last part. */
    shard_advance_sparse(said->shard, said->job, said->header->table);
}
