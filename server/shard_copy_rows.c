/* Copies of a sparse table's slots to a shard that has none of them yet.
 *
 * Who is copied to asks for one part after the other and says where the next begins: a section (rows,
 * candidates, what the last step changed) and a place in it. So nothing is kept for a copy by who is asked,
 * what is lost is asked for again, and no more than a part is on its way. Both stand at one version
 * meanwhile: who asks from its first question on, who is asked from the first part on. When the one asked is
 * further it says so, and who asks goes on to there; when it is behind it says so once it has come. Of all
 * slots that are copied from one shard at the same time the table is gone over once. */
#include "shard_copy.h"

#include <string.h>

/* ---- messages */

bool copy_message_read(struct copy_message *said, uint64_t numbers)
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

static const enum data_type types[COPY_PAYLOADS] = {DATA_UINT64,  DATA_UINT64, DATA_UINT64, DATA_UINT64,
                                                    DATA_FLOAT32, DATA_UINT64, DATA_UINT64};

void copy_say(struct shard *shard, struct shard_job *job, uint32_t to, struct data_header *header,
              struct buffer *const buffers[])
{
    struct buffer *payloads[COPY_PAYLOADS] = {NULL};

    for (uint32_t i = 0; i < header->payload_count; i++) {
        uint64_t bytes = buffers[i] ? buffers[i]->length_bytes : 0;

        header->payloads[i] = (struct data_payload){i, types[i], bytes};
        payloads[i] = bytes > 0 ? buffers[i] : NULL;
    }
    shard_chain_tell(shard, job, to, header, payloads);
}

uint32_t copy_part_payloads(const struct sparse_table *sparse)
{
    return sparse->rounds ? COPY_PAYLOADS : COPY_TOTALS;
}

uint32_t copy_section_floats(const struct sparse_table *sparse, uint64_t section)
{
    return section == SECTION_ROWS         ? sparse->row_floats
           : section == SECTION_CANDIDATES ? SPARSE_CANDIDATE_FLOATS
                                           : sparse->spec->dimension;
}

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
    copy_say(shard, job, copying->from, &header, payloads);
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

/* ---- what comes */

/* Whether what comes is of the copy that is open: from whom it is, by a map in which that one had begun it.
 */
static bool is_of_copy(const struct copy_message *said)
{
    const struct sparse_chain *chain = said->sparse->chain;

    if (!chain->copying.is_open || chain->copying.from != said->from)
        return false;
    for (uint32_t i = 0; i < said->slot_count; i++) {
        if (!sparse_slot_is_from_before(&chain->slots[said->slots[i]], said->from, said->header->map))
            return false;
    }
    return true;
}

/* Whether a part is what was asked for. */
static bool part_is_awaited(const struct copy_message *said)
{
    const struct sparse_copying *copying = &said->sparse->chain->copying;

    return is_of_copy(said) && (copying->is_any || copying->step == said->header->step) &&
           said->numbers[PART_SECTION] == copying->section && said->numbers[PART_CURSOR] == copying->cursor &&
           said->header->payloads[COPY_SLOTS].length_bytes == copying->slots->length_bytes &&
           memcmp(said->slots, copying->slots->data, copying->slots->length_bytes) == 0;
}

/* Whether a part tells totals of norms where it is to, and such as there can be. */
static bool totals_fit(const struct copy_message *said)
{
    return !said->sparse->rounds ||
           (said->header->payloads[COPY_TOTALS].type == DATA_UINT64 &&
            shard_norms_fit(said->sparse->rounds, said->header->step, said->payloads[COPY_TOTALS]));
}

/* Whether the last part, and no other, tells of the sums of each slot. */
static bool sums_fit(const struct copy_message *said)
{
    const struct data_payload *sums = &said->header->payloads[COPY_SUMS];
    uint32_t count = said->numbers[PART_NEXT_SECTION] == SECTION_END ? said->slot_count : 0;

    return sums->type == DATA_UINT64 && sums->length_bytes == count * sizeof(uint64_t);
}

/* Whether rows are of the slots in hand and were changed by steps before the version. */
static bool rows_fit(const struct copy_message *said)
{
    const struct data_payload *payloads = said->header->payloads;
    uint64_t count = payloads[COPY_KEYS].length_bytes / sizeof(uint64_t),
             section = said->numbers[PART_SECTION];
    struct sparse_chain *chain = said->sparse->chain;

    if (said->header->payload_count != copy_part_payloads(said->sparse) ||
        payloads[COPY_KEYS].type != DATA_UINT64 || payloads[COPY_STEPS].type != DATA_UINT64 ||
        payloads[COPY_FLOATS].type != DATA_FLOAT32 ||
        payloads[COPY_STEPS].length_bytes != payloads[COPY_KEYS].length_bytes || section >= SECTION_END ||
        (section == SECTION_CANDIDATES && !said->sparse->candidates) ||
        said->numbers[PART_NEXT_SECTION] > SECTION_END || said->numbers[PART_NEXT_SECTION] < section ||
        payloads[COPY_FLOATS].length_bytes !=
            count * copy_section_floats(said->sparse, section) * sizeof(float) ||
        !sums_fit(said))
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
static enum status rows_put(const struct copy_message *said, struct rows *rows, uint32_t floats,
                            struct error *error)
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

static enum status before_put(const struct copy_message *said, struct error *error)
{
    struct sparse_sum *sum = sparse_sum_new(said->sparse->spec->dimension, said->payloads[COPY_KEYS],
                                            buffer_ref(said->payloads[COPY_FLOATS]), &said->sparse->scratch);

    return error_set(error, sum ? sparse_chain_add_before(said->sparse->chain, sum) : CAIRN_NO_MEMORY,
                     "out of memory for rows");
}

static enum status part_put(const struct copy_message *said, struct error *error)
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
                    copy_section_floats(sparse, section), error);
}

/* All is here but sums, which are owed: slots that lack none are whole. */
static enum status copy_end(const struct copy_message *said, struct error *error)
{
    bool was_blank = sparse_is_blank(said->sparse);
    enum status status = sparse_table_copied(said->sparse, said->numbers[PART_BEFORE_KNOWN] != 0);

    if (status != CAIRN_OK)
        return error_set(error, status, "out of memory for table %s", said->sparse->spec->name);
    if (said->sparse->rounds)
        shard_norms_come(said->shard, said->job, said->header->table, said->sparse->version,
                         said->payloads[COPY_TOTALS]);
    if (was_blank)
        commits_rows_arrived(&said->job->commits, said->sparse);
    for (uint32_t i = 0; i < said->slot_count; i++) {
        sparse_slot_owe(&said->sparse->chain->slots[said->slots[i]],
                        ((const uint64_t *)said->payloads[COPY_SUMS]->data)[i]);
        shard_report_copied(said->shard, said->job, (uint32_t)said->slots[i]);
    }
    return CAIRN_OK;
}

/* The other end tells where it stands: at our version, so that it is to be asked again, or further. Who has
 * no version yet takes what it stands at. */
static void stand_take(const struct copy_message *said)
{
    struct sparse_chain *chain = said->sparse->chain;

    if (!is_of_copy(said))
        return;
    if (sparse_is_blank(said->sparse)) {
        if (!chain->copying.is_any && chain->copying.step == said->header->step)
            return;
        if (!chain->copying.is_any)
            sparse_chain_close_copy(chain);
        shard_ask_rows(said->shard, said->job, said->header->table);
        return;
    }
    if (said->header->step > said->sparse->version && said->header->step > chain->passes)
        chain->passes = said->header->step;
    sparse_chain_close_copy(chain);
    shard_advance_sparse(said->shard, said->job, said->header->table);
    shard_ask_rows(said->shard, said->job, said->header->table);
}

static void part_take(struct copy_message *said)
{
    struct sparse_copying *copying = &said->sparse->chain->copying;
    struct error error;
    enum status status;

    if (!copy_message_read(said, PART_COUNT))
        return;
    if (!said->numbers[PART_HAS]) {
        stand_take(said);
        return;
    }
    if (!part_is_awaited(said) || !rows_fit(said) || !totals_fit(said))
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
    struct copy_message said = {.shard = shard,
                                .job = job,
                                .header = header,
                                .payloads = payloads,
                                .sparse = job->tables->items[header->table].sparse,
                                .from = (uint32_t)header->request};

    if (header->kind == DATA_ASK)
        shard_copy_answer(&said);
    else
        part_take(&said);
}
