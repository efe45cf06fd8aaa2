/* Copies of a sparse table's slots to a shard that has none of them yet.
 *
 * Who is copied to asks for one part after the other and says where the next begins: a section (rows,
 * candidates, what the last step changed) and a place in it. So nothing is kept for a copy by who is asked,
 * what is lost is asked for again, and no more than a part is on its way. Both stand at one version
 * meanwhile: who asks from its first question on, who is asked from the first part on. When the one asked is
 * further it says so, and who asks goes on to there; when it is behind it says so once it has come. Of all
 * slots that are copied from one shard at the same time the table is gone over once. */
#include "shard_state.h"

#include "base/floats.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>

enum section { SECTION_ROWS, SECTION_CANDIDATES, SECTION_BEFORE, SECTION_END };

/* The payloads of a question, and of a part; a part without rows has the first two. */
enum {
    COPY_SLOTS,
    COPY_NUMBERS,
    COPY_QUESTION,
    COPY_KEYS = COPY_QUESTION,
    COPY_STEPS,
    COPY_FLOATS,
    COPY_PAYLOADS
};
/* The numbers of a question. */
enum { ASKED_ANY, ASKED_SECTION, ASKED_CURSOR, ASKED_COUNT };
/* Those of a part: what was asked, where the next part begins, and whether the step before is known. A part
 * of which HAS is 0 only tells where the one asked stands. */
enum {
    PART_HAS,
    PART_SECTION,
    PART_CURSOR,
    PART_NEXT_SECTION,
    PART_NEXT_CURSOR,
    PART_BEFORE_KNOWN,
    PART_COUNT
};

/* A part has about so many bytes, and is looked for among so many rows at most. */
#define PART_BYTES (1u << 20)
#define PART_LOOKS (1u << 16)

/* A message in hand. */
struct said {
    struct shard *shard;
    struct shard_job *job;
    const struct data_header *header;
    struct buffer *const *payloads;
    struct sparse_table *sparse;
    uint32_t from;
    const uint64_t *slots, *numbers;
    uint32_t slot_count;
};

static bool said_read(struct said *said, uint64_t numbers)
{
    const struct data_payload *payloads = said->header->payloads;

    if (said->header->payload_count <= COPY_NUMBERS || payloads[COPY_SLOTS].type != DATA_UINT64 ||
        payloads[COPY_NUMBERS].type != DATA_UINT64 ||
        payloads[COPY_NUMBERS].length_bytes != numbers * sizeof(uint64_t) ||
        payloads[COPY_SLOTS].length_bytes == 0 ||
        payloads[COPY_SLOTS].length_bytes > said->sparse->chain->slot_count * sizeof(uint64_t))
        return false;
    said->slots = said->payloads[COPY_SLOTS]->data;
    said->numbers = said->payloads[COPY_NUMBERS]->data;
    said->slot_count = (uint32_t)(payloads[COPY_SLOTS].length_bytes / sizeof(uint64_t));
    for (uint32_t i = 0; i < said->slot_count; i++) {
        if (said->slots[i] >= said->sparse->chain->slot_count)
            return false;
    }
    return true;
}

static void say(struct shard *shard, struct shard_job *job, uint32_t to, struct data_header *header,
                const enum data_type types[], struct buffer *const buffers[])
{
    struct buffer *payloads[COPY_PAYLOADS] = {NULL};

    for (uint32_t i = 0; i < header->payload_count; i++) {
        uint64_t bytes = buffers[i] ? buffers[i]->length_bytes : 0;

        header->payloads[i] = (struct data_payload){i, types[i], bytes};
        payloads[i] = bytes > 0 ? buffers[i] : NULL;
    }
    shard_chain_tell(shard, job, to, header, payloads);
}

static const enum data_type types[COPY_PAYLOADS] = {DATA_UINT64, DATA_UINT64, DATA_UINT64, DATA_UINT64,
                                                    DATA_FLOAT32};

/* ---- asking */

/* Rows that are left of what was not copied to its end go first. */
static enum status leftovers_remove(struct sparse_table *sparse, struct error *error)
{
    bool is_dirty = false;

    for (uint32_t i = 0; i < sparse->chain->slot_count; i++) {
        if (!sparse->chain->marks[i])
            continue;
        is_dirty = is_dirty || sparse->chain->slots[i].is_dirty;
        sparse->chain->slots[i].is_dirty = false;
    }
    return is_dirty ? sparse_table_remove(sparse, error) : CAIRN_OK;
}

static enum status question_send(struct shard *shard, struct shard_job *job, uint32_t number)
{
    const struct sparse_copying *copying = &job->tables->items[number].sparse->chain->copying;
    struct data_header header = shard_chain_header(shard, job, DATA_ASK, number, copying->step);
    struct buffer *numbers = buffer_new(ASKED_COUNT * sizeof(uint64_t)),
                  *payloads[] = {copying->slots, numbers};

    if (!numbers)
        return CAIRN_NO_MEMORY;
    ((uint64_t *)numbers->data)[ASKED_ANY] = copying->is_any;
    ((uint64_t *)numbers->data)[ASKED_SECTION] = copying->section;
    ((uint64_t *)numbers->data)[ASKED_CURSOR] = copying->cursor;
    header.payload_count = COPY_QUESTION;
    say(shard, job, copying->from, &header, types, payloads);
    buffer_unref(numbers);
    return CAIRN_OK;
}

void shard_ask_rows(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sparse_table *sparse = job->tables->items[number].sparse;
    struct sparse_chain *chain = sparse->chain;
    bool is_open =
        chain->copying.is_open &&
        (chain->copying.is_any || chain->copying.step == sparse->version || sparse_is_blank(sparse));
    struct error error;
    enum status status = CAIRN_OK;

    if (!is_open) {
        status = error_set(&error,
                           sparse_chain_open_copy(chain, sparse_is_blank(sparse), sparse->version, &is_open),
                           "out of memory for table %s", sparse->spec->name);
        if (status == CAIRN_OK && is_open)
            status = leftovers_remove(sparse, &error);
    }
    if (status == CAIRN_OK && is_open)
        status = error_set(&error, question_send(shard, job, number), "out of memory for table %s",
                           sparse->spec->name);
    if (status != CAIRN_OK)
        shard_abandon(shard, job, &error);
}

/* ---- answering */

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
    say(shard, job, to, &header, types, payloads);
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

    for (uint32_t i = COPY_KEYS; i < COPY_PAYLOADS; i++) {
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

    part->floats = *section == SECTION_ROWS         ? sparse->row_floats
                   : *section == SECTION_CANDIDATES ? SPARSE_CANDIDATE_FLOATS
                                                    : sparse->spec->dimension;
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

static void part_send(const struct said *said, struct part *part, const uint64_t numbers[PART_COUNT])
{
    struct data_header header =
        shard_chain_header(said->shard, said->job, DATA_SNAPSHOT, said->header->table, said->sparse->version);

    part->buffers[COPY_SLOTS] = buffer_ref(said->payloads[COPY_SLOTS]);
    part->buffers[COPY_NUMBERS] = buffer_new(PART_COUNT * sizeof(uint64_t));
    if (!part->buffers[COPY_NUMBERS])
        return; /* it is asked for again */
    memcpy(part->buffers[COPY_NUMBERS]->data, numbers, PART_COUNT * sizeof(uint64_t));
    for (uint32_t i = COPY_KEYS; i < COPY_PAYLOADS && part->buffers[i]; i++)
        part->buffers[i]->length_bytes = part->count * element_bytes(part, i);
    header.payload_count = COPY_PAYLOADS;
    say(said->shard, said->job, said->from, &header, types, part->buffers);
}

/* Whoever is asked stands still from now on, and after the last part who asked has what comes. */
static void slots_hold(const struct said *said, bool is_first, bool is_last)
{
    for (uint32_t i = 0; i < said->slot_count; i++) {
        struct sparse_slot *slot = &said->sparse->chain->slots[said->slots[i]];

        slot->is_frozen = true;
        slot->asked = 0;
        if (is_first)
            slot->sent = slot->after = 0;
        slot->is_copied = is_last;
    }
}

static void part_serve(const struct said *said)
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

static void slots_ask_later(const struct said *said)
{
    for (uint32_t i = 0; i < said->slot_count; i++)
        said->sparse->chain->slots[said->slots[i]].asked = said->header->step;
}

static void slots_let_go(const struct said *said)
{
    for (uint32_t i = 0; i < said->slot_count; i++)
        said->sparse->chain->slots[said->slots[i]].is_frozen =
            said->sparse->chain->slots[said->slots[i]].is_copied = false;
}

/* Whether all that is asked for is here, and to be copied to who asks. */
static bool may_be_asked(const struct said *said)
{
    for (uint32_t i = 0; i < said->slot_count; i++) {
        const struct sparse_slot *slot = &said->sparse->chain->slots[said->slots[i]];

        if (!slot->place.is_member || slot->awaits || slot->place.after != said->from ||
            !slot->place.after_is_copy)
            return false;
    }
    return !said->sparse->is_torn;
}

static void question_take(struct said *said)
{
    if (!said_read(said, ASKED_COUNT) || !may_be_asked(said))
        return;
    if (said->numbers[ASKED_ANY] || said->header->step == said->sparse->version) {
        part_serve(said);
        return;
    }
    slots_let_go(said);
    if (said->header->step > said->sparse->version)
        slots_ask_later(said);
    else
        stand_tell(said->shard, said->job, said->header->table, said->from, said->payloads[COPY_SLOTS]);
    shard_advance_sparse(said->shard, said->job, said->header->table);
}

/* ---- what comes */

/* Whether a part is what was asked for. */
static bool part_is_awaited(const struct said *said)
{
    const struct sparse_copying *copying = &said->sparse->chain->copying;

    return copying->is_open && copying->from == said->from &&
           (copying->is_any || copying->step == said->header->step) &&
           said->numbers[PART_SECTION] == copying->section && said->numbers[PART_CURSOR] == copying->cursor &&
           said->header->payloads[COPY_SLOTS].length_bytes == copying->slots->length_bytes &&
           memcmp(said->slots, copying->slots->data, copying->slots->length_bytes) == 0;
}

static uint32_t section_floats(const struct sparse_table *sparse, uint64_t section)
{
    return section == SECTION_ROWS         ? sparse->row_floats
           : section == SECTION_CANDIDATES ? SPARSE_CANDIDATE_FLOATS
                                           : sparse->spec->dimension;
}

/* Whether rows are of the slots in hand and were changed by steps before the version. */
static bool rows_fit(const struct said *said)
{
    const struct data_payload *payloads = said->header->payloads;
    uint64_t count = payloads[COPY_KEYS].length_bytes / sizeof(uint64_t),
             section = said->numbers[PART_SECTION];
    struct sparse_chain *chain = said->sparse->chain;

    if (said->header->payload_count != COPY_PAYLOADS || payloads[COPY_KEYS].type != DATA_UINT64 ||
        payloads[COPY_STEPS].type != DATA_UINT64 || payloads[COPY_FLOATS].type != DATA_FLOAT32 ||
        payloads[COPY_STEPS].length_bytes != payloads[COPY_KEYS].length_bytes || section >= SECTION_END ||
        (section == SECTION_CANDIDATES && !said->sparse->candidates) ||
        said->numbers[PART_NEXT_SECTION] > SECTION_END || said->numbers[PART_NEXT_SECTION] < section ||
        payloads[COPY_FLOATS].length_bytes != count * section_floats(said->sparse, section) * sizeof(float))
        return false;
    memset(chain->marks, 0, chain->slot_count * sizeof(chain->marks[0]));
    for (uint32_t i = 0; i < said->slot_count; i++)
        chain->marks[said->slots[i]] = true;
    for (uint64_t i = 0; i < count; i++) {
        if (!chain->marks[placement_key_slot(((uint64_t *)said->payloads[COPY_KEYS]->data)[i],
                                             chain->slot_count)] ||
            (section != SECTION_BEFORE &&
             ((uint64_t *)said->payloads[COPY_STEPS]->data)[i] >= said->header->step))
            return false;
    }
    return true;
}

/* Puts rows where they are to be. One at a time: a key that came twice would otherwise be two rows. */
static enum status rows_put(const struct said *said, struct rows *rows, uint32_t floats, struct error *error)
{
    const uint64_t *keys = said->payloads[COPY_KEYS]->data, *steps = said->payloads[COPY_STEPS]->data;
    const float *values = said->payloads[COPY_FLOATS]->data;
    uint64_t count = said->header->payloads[COPY_KEYS].length_bytes / sizeof(uint64_t);
    enum status status = CAIRN_OK;

    for (uint64_t i = 0; i < count && status == CAIRN_OK; i++) {
        struct row *row;
        bool is_new;

        status = rows_make(rows, &keys[i], 1, &row, &is_new, error);
        if (status != CAIRN_OK)
            return status;
        row->used_step = (uint32_t)steps[i];
        memcpy(row->floats, values + i * floats, floats * sizeof(float));
    }
    return CAIRN_OK;
}

static enum status before_put(const struct said *said, struct error *error)
{
    struct sparse_sum *sum = sparse_sum_new(said->sparse->spec->dimension, said->payloads[COPY_KEYS],
                                            buffer_ref(said->payloads[COPY_FLOATS]), &said->sparse->scratch);

    return error_set(error, sum ? sparse_chain_add_before(said->sparse->chain, sum) : CAIRN_NO_MEMORY,
                     "out of memory for rows");
}

static enum status part_put(const struct said *said, struct error *error)
{
    struct sparse_table *sparse = said->sparse;
    uint64_t section = said->numbers[PART_SECTION];

    if (said->header->payloads[COPY_KEYS].length_bytes == 0)
        return CAIRN_OK;
    for (uint32_t i = 0; i < said->slot_count; i++)
        sparse->chain->slots[said->slots[i]].is_dirty = true;
    if (section == SECTION_BEFORE)
        return before_put(said, error);
    return rows_put(said, section == SECTION_ROWS ? sparse->rows : sparse->candidates,
                    section_floats(sparse, section), error);
}

/* All is here. */
static enum status copy_end(const struct said *said, struct error *error)
{
    bool was_blank = sparse_is_blank(said->sparse);
    enum status status = sparse_table_copied(said->sparse, said->numbers[PART_BEFORE_KNOWN] != 0);

    if (status != CAIRN_OK)
        return error_set(error, status, "out of memory for table %s", said->sparse->spec->name);
    if (was_blank)
        commits_rows_arrived(&said->job->commits, said->sparse);
    for (uint32_t i = 0; i < said->slot_count; i++)
        shard_report_copied(said->shard, said->job, (uint32_t)said->slots[i]);
    return CAIRN_OK;
}

/* The other end tells where it stands: at our version, so that it is to be asked again, or further. */
static void stand_take(const struct said *said)
{
    struct sparse_chain *chain = said->sparse->chain;

    if (!chain->copying.is_open || chain->copying.from != said->from || sparse_is_blank(said->sparse))
        return;
    if (said->header->step > said->sparse->version && said->header->step > chain->passes)
        chain->passes = said->header->step;
    sparse_chain_close_copy(chain);
    shard_advance_sparse(said->shard, said->job, said->header->table);
    shard_ask_rows(said->shard, said->job, said->header->table);
}

static void part_take(struct said *said)
{
    struct sparse_copying *copying = &said->sparse->chain->copying;
    struct error error;
    enum status status;

    if (!said_read(said, PART_COUNT))
        return;
    if (!said->numbers[PART_HAS]) {
        stand_take(said);
        return;
    }
    if (!part_is_awaited(said) || !rows_fit(said))
        return;
    copying->step = said->header->step;
    copying->is_any = false;
    copying->section = said->numbers[PART_NEXT_SECTION];
    copying->cursor = said->numbers[PART_NEXT_CURSOR];
    status = part_put(said, &error);
    if (status == CAIRN_OK && copying->section == SECTION_END)
        status = copy_end(said, &error);
    if (status != CAIRN_OK) {
        shard_abandon(said->shard, said->job, &error);
        return;
    }
    shard_advance_sparse(said->shard, said->job, said->header->table);
    shard_ask_rows(said->shard, said->job, said->header->table);
}

void shard_take_copy_rows(struct shard *shard, struct shard_job *job, const struct data_header *header,
                          struct buffer *const payloads[])
{
    struct said said = {.shard = shard,
                        .job = job,
                        .header = header,
                        .payloads = payloads,
                        .sparse = job->tables->items[header->table].sparse,
                        .from = (uint32_t)header->request};

    if (header->kind == DATA_ASK)
        question_take(&said);
    else
        part_take(&said);
}
