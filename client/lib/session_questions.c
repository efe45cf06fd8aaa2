/* Questions about a table: statistics, exports of the rows that have changed, what is missing of a step. Each
 * shard has one question in hand; where an export goes on is in its answer. */
#include "session_state.h"

#include <inttypes.h>
#include <string.h>

/* ---- asking */

/* Sends a question to a shard, whose answer is for `part`. */
static enum status question_send(struct session *session, enum data_kind kind, uint64_t step,
                                 const struct part *part, struct error *error)
{
    struct data_header header = {.kind = kind,
                                 .job = session->job,
                                 .incarnation = session->incarnation,
                                 .table = part->table,
                                 .step = step,
                                 .request = session_part_new(&session->parts, part)};
    unsigned char packed[WIRE_HEADER_MAX];
    enum status status;

    if (header.request == 0)
        return error_set(error, CAIRN_NO_MEMORY, "session: out of memory for an answer");
    if (kind == DATA_EXPORT)
        header.payloads[header.payload_count++] =
            (struct data_payload){EXPORT_CURSOR, DATA_UINT64, sizeof(part->cursor)};
    status = frames_append_copy(&session->frames, packed, wire_data_pack(&header, packed));
    if (status == CAIRN_OK && kind == DATA_EXPORT)
        status = frames_append_copy(&session->frames, &part->cursor, sizeof(part->cursor));
    if (status != CAIRN_OK) {
        frames_clear(&session->frames);
        return error_set(error, status, "session: out of memory for a message");
    }
    return session_send(session, part->shard, error);
}

/* Whether a shard holds a piece of a table. */
static bool is_holder(const struct session *session, uint32_t table, uint32_t shard)
{
    const struct layout *layout = &session->layouts[table];

    if (layout->kind == SESSION_TABLE_SPARSE)
        return session->holds_slots[shard];
    for (uint32_t chunk = 0; chunk < layout->chunk_count; chunk++) {
        if (session_chunk_shard(session, table, chunk) == shard)
            return true;
    }
    return false;
}

enum status session_ask_statistics(struct session *session, uint32_t table,
                                   struct session_statistics *statistics, struct error *error)
{
    const struct layout *layout;
    enum status status = session_layout(session, table, &layout, error);

    if (status != CAIRN_OK)
        return status;
    if (layout->kind == SESSION_TABLE_SUMS)
        return error_set(error, CAIRN_INVALID, "session: table %u has no statistics", table);
    statistics->version = UINT64_MAX;
    statistics->shards_left = 0;
    memset(statistics->numbers, 0, sizeof(statistics->numbers));
    for (uint32_t shard = 0; shard < session->shard_count && status == CAIRN_OK; shard++) {
        const struct part part = {
            .statistics = statistics, .is_question = true, .shard = shard, .table = table};

        if (!is_holder(session, table, shard))
            continue;
        status = question_send(session, DATA_STATISTICS, 0, &part, error);
        statistics->shards_left++;
    }
    return status;
}

enum status session_export_rows(struct session *session, uint32_t table, struct session_export *export,
                                struct error *error)
{
    const struct layout *layout;
    enum status status = session_layout(session, table, &layout, error);

    if (status != CAIRN_OK)
        return status;
    if (layout->kind != SESSION_TABLE_SPARSE)
        return error_set(error, CAIRN_INVALID, "session: table %u has no rows", table);
    if (export->since > WIRE_STEP_MAX)
        return error_set(error, CAIRN_INVALID, "session: there is no step %" PRIu64, export->since);
    export->first_version = UINT64_MAX;
    export->version = 0;
    export->shards_left = 0;
    for (uint32_t shard = 0; shard < session->shard_count && status == CAIRN_OK; shard++) {
        const struct part part = {.export = export, .is_question = true, .shard = shard, .table = table};

        if (!session->holds_slots[shard])
            continue;
        status = question_send(session, DATA_EXPORT, export->since, &part, error);
        export->shards_left++;
    }
    return status;
}

enum status session_ask_missing(struct session *session, uint32_t table, uint64_t step,
                                struct session_missing *missing, struct error *error)
{
    const struct layout *layout;
    enum status status = session_layout(session, table, &layout, error);

    if (status != CAIRN_OK)
        return status;
    if (layout->kind == SESSION_TABLE_SPARSE || step > WIRE_STEP_MAX)
        return error_set(error, CAIRN_INVALID,
                         "session: nothing can be asked about step %" PRIu64 " of table %u", step, table);
    missing->shards_left = 0;
    for (uint32_t shard = 0; shard < session->shard_count && status == CAIRN_OK; shard++) {
        const struct part part = {
            .missing = missing, .is_question = true, .cursor = step, .shard = shard, .table = table};

        if (!is_holder(session, table, shard))
            continue;
        status = question_send(session, DATA_MISSING, step, &part, error);
        missing->shards_left++;
    }
    return status;
}

void session_forget(struct session *session, const void *question)
{
    for (uint32_t i = 0; i < session->parts.count; i++) {
        struct part *part = &session->parts.items[i];

        if (part->request == 0)
            continue;
        if (part->statistics == question)
            part->statistics = NULL;
        if (part->export == question)
            part->export = NULL;
        if (part->missing == question)
            part->missing = NULL;
    }
}

/* ---- answers */

static const char *statistics_problem(const struct session *session)
{
    const struct data_header *header = &session->received;

    if (header->payload_count != 1 || header->payloads[0].type != DATA_UINT64 ||
        header->payloads[0].length_bytes < STATISTIC_COUNT * sizeof(uint64_t))
        return "that are no statistics";
    return NULL;
}

static const char *export_problem(const struct session *session)
{
    const struct data_header *header = &session->received;
    const struct data_payload *payloads = header->payloads;
    uint64_t count = payloads[EXPORT_KEYS].length_bytes / sizeof(uint64_t);

    if (header->payload_count != EXPORT_PAYLOADS || payloads[EXPORT_CURSOR].type != DATA_UINT64 ||
        payloads[EXPORT_CURSOR].length_bytes != sizeof(uint64_t))
        return "that are no rows of an export";
    if (payloads[EXPORT_KEYS].type != DATA_UINT64 || payloads[EXPORT_STEPS].type != DATA_UINT64 ||
        payloads[EXPORT_ROWS].type != DATA_FLOAT32 ||
        payloads[EXPORT_STEPS].length_bytes != payloads[EXPORT_KEYS].length_bytes ||
        payloads[EXPORT_ROWS].length_bytes !=
            count * session->layouts[header->table].dimension * sizeof(float))
        return "of other numbers of keys and rows";
    return NULL;
}

/* Whether all frames are as long as the header says. */
static bool frames_fit(struct session *session)
{
    size_t part = 1;

    for (uint32_t i = 0; i < session->received.payload_count; i++) {
        uint64_t bytes = session->received.payloads[i].length_bytes;

        if (bytes > 0 && frames_length(&session->frames, part++) != bytes)
            return false;
    }
    return true;
}

static uint64_t number_at(struct session *session, size_t part, size_t index)
{
    uint64_t number;

    memcpy(&number, (const char *)frames_data(&session->frames, part) + index * sizeof(number),
           sizeof(number));
    return number;
}

/* Runs in ascending order, within the job's microbatches. */
static const char *missing_problem(struct session *session, const struct part *part)
{
    const struct data_header *header = &session->received;
    uint64_t numbers = header->payloads[0].length_bytes / sizeof(uint64_t), last = 0;

    if (header->payload_count != 1 || header->payloads[0].type != DATA_UINT64 || numbers % 2 != 0)
        return "that are no runs of microbatches";
    if (header->step != part->cursor)
        return "about another step";
    if (!frames_fit(session))
        return "of other lengths than its header says";
    for (uint64_t i = 0; part->missing && i < numbers; i++) {
        uint64_t number = number_at(session, 1, i);

        if (number > part->missing->leaves || number < last || (i % 2 == 1 && number == last))
            return "of runs that are not in order";
        last = number;
    }
    return NULL;
}

const char *session_question_problem(struct session *session, uint32_t shard)
{
    const struct data_header *header = &session->received;
    const struct part *part = session_part_find(&session->parts, header->request);
    const char *problem;

    if (!part || !part->is_question || part->shard != shard || part->table != header->table)
        return "that nobody waits for";
    if ((part->statistics && header->kind != DATA_STATISTICS) ||
        (part->export && header->kind != DATA_EXPORT) || (part->missing && header->kind != DATA_MISSING))
        return "that were not asked for";
    if (header->kind == DATA_MISSING)
        return missing_problem(session, part);
    problem = header->kind == DATA_STATISTICS ? statistics_problem(session) : export_problem(session);
    if (!problem && !frames_fit(session))
        problem = "of other lengths than its header says";
    if (!problem && header->kind == DATA_EXPORT && number_at(session, 1, 0) != 0 &&
        number_at(session, 1, 0) <= part->cursor)
        problem = "that lead back to where they came from";
    return problem;
}

static void statistics_take(struct session *session, struct session_statistics *statistics)
{
    for (uint32_t i = 0; i < STATISTIC_COUNT; i++)
        statistics->numbers[i] += number_at(session, 1, i);
    if (session->received.step < statistics->version)
        statistics->version = session->received.step;
    if (--statistics->shards_left == 0 && statistics->done)
        statistics->done(statistics);
}

static void missing_take(struct session *session, struct session_missing *missing)
{
    uint64_t numbers = session->received.payloads[0].length_bytes / sizeof(uint64_t);

    for (uint64_t i = 0; i < numbers; i += 2) {
        uint64_t end = number_at(session, 1, i + 1);

        for (uint64_t leaf = number_at(session, 1, i); leaf < end; leaf++)
            missing->marks[leaf] = true;
    }
    if (--missing->shards_left == 0)
        missing->done(missing);
}

/* The rows in hand as buffers that are aligned, [EXPORT_PAYLOADS]. Owns: the caller, also on failure. */
static enum status slice_take(struct session *session, struct buffer *buffers[])
{
    for (uint32_t i = EXPORT_KEYS; i < EXPORT_PAYLOADS; i++) {
        buffers[i] =
            frames_take_buffer(&session->frames, 1 + i, i == EXPORT_ROWS ? sizeof(float) : sizeof(uint64_t));
        if (!buffers[i])
            return CAIRN_NO_MEMORY;
    }
    return CAIRN_OK;
}

static enum status rows_take(struct session *session, struct session_export *export, struct error *error)
{
    struct buffer *buffers[EXPORT_PAYLOADS] = {NULL};
    struct session_slice slice = {.version = session->received.step};
    enum status status = CAIRN_OK;

    if (session->received.payloads[EXPORT_KEYS].length_bytes == 0)
        return CAIRN_OK;
    status = slice_take(session, buffers);
    if (status == CAIRN_OK) {
        slice.count = (uint32_t)(buffers[EXPORT_KEYS]->length_bytes / sizeof(uint64_t));
        slice.keys = buffers[EXPORT_KEYS]->data;
        slice.steps = buffers[EXPORT_STEPS]->data;
        slice.rows = buffers[EXPORT_ROWS]->data;
        export->slice(export, &slice);
    }
    for (uint32_t i = EXPORT_KEYS; i < EXPORT_PAYLOADS; i++)
        buffer_unref(buffers[i]);
    return error_set(error, status, "session: out of memory for rows");
}

static enum status export_take(struct session *session, struct part *part, struct error *error)
{
    struct session_export *export = part->export;
    uint64_t version = session->received.step;
    enum status status;

    if (part->cursor == 0 && version < export->first_version)
        export->first_version = version;
    if (version > export->version)
        export->version = version;
    part->cursor = number_at(session, 1, 0);
    status = rows_take(session, export, error);
    frames_clear(&session->frames);
    if (status == CAIRN_OK && part->cursor != 0)
        return question_send(session, DATA_EXPORT, export->since, part, error);
    export->shards_left--;
    return status;
}

enum status session_question_deliver(struct session *session, struct error *error)
{
    struct part *place = session_part_find(&session->parts, session->received.request);
    struct part part = *place;

    session_part_free(&session->parts, place);
    if (part.statistics)
        statistics_take(session, part.statistics);
    if (part.missing)
        missing_take(session, part.missing);
    return part.export ? export_take(session, &part, error) : CAIRN_OK;
}
