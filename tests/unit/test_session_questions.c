/* Questions through sessions, against shards that the test plays: who is asked, how an export goes on, and
 * which answers are not believed. */
#include "check_main.h"
#include "sockets.h"

#include "net/wire.h"
#include "session.h"

#include <string.h>

#define SHARDS      2
#define SLOTS       PLACEMENT_SLOTS_MIN
#define JOB         7
#define INCARNATION 3
#define TABLE       TABLE_FIRST_USER
#define DENSE       (TABLE_FIRST_USER + 1)
#define TABLES      (TABLE_FIRST_USER + 2)
#define D           2

struct rig {
    void *context;
    void *shards[SHARDS];
    uint32_t slot_shards[SLOTS];
    struct session *session;
    struct frames arrivals[SHARDS]; /* identity, header, payloads */
    struct data_header headers[SHARDS];
    unsigned done;
    /* What an export brought. */
    uint32_t rows;
    uint64_t keys[8], steps[8];
    float weights[8][D];
};

static void on_values(void *context, uint32_t table, uint32_t chunk, uint64_t version, const void *values,
                      size_t elements)
{
    (void)context, (void)table, (void)chunk, (void)version, (void)values, (void)elements;
    ck_abort_msg("values that nobody asked for");
}

static void on_statistics(struct session_statistics *statistics)
{
    ((struct rig *)statistics->context)->done++;
}

static void on_slice(struct session_export *export, const struct session_slice *slice)
{
    struct rig *rig = export->context;

    for (uint32_t i = 0; i < slice->count; i++) {
        ck_assert_uint_lt(rig->rows, 8);
        rig->keys[rig->rows] = slice->keys[i];
        rig->steps[rig->rows] = slice->steps[i];
        memcpy(rig->weights[rig->rows++], slice->rows + (size_t)i * D, D * sizeof(float));
    }
}

static void rig_open(struct rig *rig)
{
    char endpoints[SHARDS][ENDPOINT_BYTES];
    const char *endpoint_list[SHARDS];
    struct session_table tables[TABLES] = {{0}};
    const struct session_events events = {.values = on_values, .context = rig};
    struct session_params params = {.job = JOB,
                                    .incarnation = INCARNATION,
                                    .shard_count = SHARDS,
                                    .endpoints = endpoint_list,
                                    .slot_count = SLOTS,
                                    .slot_shards = rig->slot_shards,
                                    .table_count = TABLES,
                                    .tables = tables};
    struct error error = {.message = ""};

    memset(rig, 0, sizeof(*rig));
    rig->context = zmq_ctx_new();
    for (uint32_t i = 0; i < SHARDS; i++) {
        rig->shards[i] = bound_socket(rig->context, ZMQ_ROUTER, endpoints[i]);
        endpoint_list[i] = endpoints[i];
        frames_init(&rig->arrivals[i]);
    }
    placement_assign(rig->slot_shards, SLOTS, SHARDS);
    tables[TABLE] = session_sparse_table(D);
    tables[DENSE] = session_dense_table(16, 16, 1);
    ck_assert_msg(session_new(rig->context, &params, &events, &rig->session, &error) == CAIRN_OK, "%s",
                  error.message);
}

static void rig_close(struct rig *rig)
{
    session_free(rig->session);
    for (uint32_t i = 0; i < SHARDS; i++) {
        frames_clear(&rig->arrivals[i]);
        zmq_close(rig->shards[i]);
    }
    zmq_ctx_term(rig->context);
}

/* The next message to a shard. */
static const struct data_header *arrive(struct rig *rig, uint32_t shard)
{
    struct frames *arrival = &rig->arrivals[shard];

    frames_clear(arrival);
    receive_soon(rig->shards[shard], arrival);
    ck_assert_uint_ge(arrival->count, 2);
    ck_assert_int_eq(
        wire_data_unpack(frames_data(arrival, 1), frames_length(arrival, 1), &rig->headers[shard], NULL),
        CAIRN_OK);
    ck_assert_uint_eq(arrival->count, 2 + wire_data_frames(&rig->headers[shard]));
    return &rig->headers[shard];
}

/* From where on an arrival asks for rows. */
static uint64_t arrived_cursor(struct rig *rig, uint32_t shard)
{
    const struct data_header *header = arrive(rig, shard);
    uint64_t cursor;

    ck_assert_int_eq(header->kind, DATA_EXPORT);
    ck_assert_uint_eq(header->payload_count, 1);
    memcpy(&cursor, frames_data(&rig->arrivals[shard], 2), sizeof(cursor));
    return cursor;
}

/* What a shard is to answer. */
struct reply {
    struct data_header header;
    const void *payloads[EXPORT_PAYLOADS];
    size_t bytes[EXPORT_PAYLOADS]; /* of the frames */
};

static void reply_add(struct reply *reply, enum data_type type, const void *values, size_t bytes)
{
    uint32_t i = reply->header.payload_count++;

    reply->header.payloads[i] = (struct data_payload){i, type, bytes};
    reply->payloads[i] = values;
    reply->bytes[i] = bytes;
}

static struct reply reply_to(const struct rig *rig, uint32_t shard, uint64_t version)
{
    return (struct reply){.header = {.kind = rig->headers[shard].kind,
                                     .job = JOB,
                                     .incarnation = INCARNATION,
                                     .table = rig->headers[shard].table,
                                     .step = version,
                                     .request = rig->headers[shard].request}};
}

static void reply_send(struct rig *rig, uint32_t shard, const struct reply *reply)
{
    struct frames *arrival = &rig->arrivals[shard], out;
    unsigned char packed[WIRE_HEADER_MAX];

    frames_init(&out);
    ck_assert_int_eq(frames_append_copy(&out, frames_data(arrival, 0), frames_length(arrival, 0)), CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, packed, wire_data_pack(&reply->header, packed)), CAIRN_OK);
    for (uint32_t i = 0; i < EXPORT_PAYLOADS; i++) {
        if (reply->bytes[i] > 0)
            ck_assert_int_eq(frames_append_copy(&out, reply->payloads[i], reply->bytes[i]), CAIRN_OK);
    }
    ck_assert_int_eq(frames_send(rig->shards[shard], &out, NULL), CAIRN_OK);
}

static const uint64_t some_keys[] = {3, UINT64_MAX}, some_steps[] = {8, 9};
static const float some_rows[2][D] = {{1, 2}, {3, 4}};

/* A slice of two rows. */
static struct reply slice_of(const struct rig *rig, uint32_t shard, uint64_t version, const uint64_t *next)
{
    struct reply reply = reply_to(rig, shard, version);

    reply_add(&reply, DATA_UINT64, next, sizeof(*next));
    reply_add(&reply, DATA_UINT64, some_keys, sizeof(some_keys));
    reply_add(&reply, DATA_UINT64, some_steps, sizeof(some_steps));
    reply_add(&reply, DATA_FLOAT32, some_rows, sizeof(some_rows));
    return reply;
}

static void send_no_rows(struct rig *rig, uint32_t shard, uint64_t version, uint64_t next)
{
    struct reply reply = reply_to(rig, shard, version);

    reply_add(&reply, DATA_UINT64, &next, sizeof(next));
    for (uint32_t i = EXPORT_KEYS; i < EXPORT_PAYLOADS; i++)
        reply_add(&reply, i == EXPORT_ROWS ? DATA_FLOAT32 : DATA_UINT64, NULL, 0);
    reply_send(rig, shard, &reply);
}

/* Polls until something came. */
static enum status poll_next(struct rig *rig, struct error *error)
{
    struct error none = {.message = ""};
    enum status status;

    do {
        ck_assert_int_eq(session_wait(rig->session, PATIENCE_MS, &none), CAIRN_OK);
        status = session_poll(rig->session, error);
    } while (status == CAIRN_OK && session_is_quiet(rig->session));
    return status;
}

/* ---- statistics */

START_TEST(numbers_of_all_shards_are_added_up)
{
    struct rig rig;
    struct session_statistics statistics = {.done = on_statistics, .context = &rig};

    rig_open(&rig);
    ck_assert_int_eq(session_ask_statistics(rig.session, TABLE, &statistics, NULL), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        uint64_t numbers[STATISTIC_COUNT + 2] = {0}; /* of a later program, which tells more */
        struct reply reply;

        ck_assert_int_eq(arrive(&rig, shard)->kind, DATA_STATISTICS);
        ck_assert_uint_eq(rig.headers[shard].payload_count, 0);
        for (uint32_t i = 0; i < STATISTIC_COUNT; i++)
            numbers[i] = 10 * i + shard;
        reply = reply_to(&rig, shard, 6 - shard);
        reply_add(&reply, DATA_UINT64, numbers, sizeof(numbers));
        reply_send(&rig, shard, &reply);
    }
    while (rig.done == 0)
        ck_assert_int_eq(poll_next(&rig, NULL), CAIRN_OK);
    ck_assert_uint_eq(statistics.version, 5);
    for (uint32_t i = 0; i < STATISTIC_COUNT; i++)
        ck_assert_uint_eq(statistics.numbers[i], 20 * i + 1);
    rig_close(&rig);
}
END_TEST

START_TEST(who_holds_nothing_is_not_asked)
{
    struct rig rig;
    struct session_statistics statistics = {.done = on_statistics, .context = &rig};
    struct session_export export = {.slice = on_slice, .context = &rig};
    uint64_t numbers[STATISTIC_COUNT] = {0};
    struct reply reply;
    uint32_t holder;

    rig_open(&rig);
    holder = rig.slot_shards[placement_slot(DENSE, 0, SLOTS)];
    ck_assert_int_eq(session_ask_statistics(rig.session, DENSE, &statistics, NULL), CAIRN_OK);
    ck_assert_int_eq(arrive(&rig, holder)->table, DENSE);
    reply = reply_to(&rig, holder, 4);
    reply_add(&reply, DATA_UINT64, numbers, sizeof(numbers));
    reply_send(&rig, holder, &reply);
    while (rig.done == 0)
        ck_assert_int_eq(poll_next(&rig, NULL), CAIRN_OK);
    ck_assert_int_eq(session_ask_statistics(rig.session, TABLES, &statistics, NULL), CAIRN_INVALID);
    ck_assert_int_eq(session_export_rows(rig.session, TABLES, &export, NULL), CAIRN_INVALID);
    ck_assert_int_eq(session_export_rows(rig.session, DENSE, &export, NULL), CAIRN_INVALID);
    export.since = WIRE_STEP_MAX + 1;
    ck_assert_int_eq(session_export_rows(rig.session, TABLE, &export, NULL), CAIRN_INVALID);
    rig_close(&rig);
}
END_TEST

/* ---- what is missing of a step */

static void on_missing(struct session_missing *missing)
{
    ((struct rig *)missing->context)->done++;
}

static void send_runs(struct rig *rig, uint32_t shard, uint64_t step, const uint64_t *runs, size_t numbers)
{
    struct reply reply = reply_to(rig, shard, step);

    reply_add(&reply, DATA_UINT64, runs, numbers * sizeof(*runs));
    reply_send(rig, shard, &reply);
}

/* Of DENSE, whose one chunk is on one shard; sums and several shards are the worker's tests'. */
static void ask_missing(struct rig *rig, struct session_missing *missing, uint32_t *holder)
{
    *holder = rig->slot_shards[placement_slot(DENSE, 0, SLOTS)];
    ck_assert_int_eq(session_ask_missing(rig->session, DENSE, 9, missing, NULL), CAIRN_OK);
    ck_assert_int_eq(arrive(rig, *holder)->kind, DATA_MISSING);
    ck_assert_uint_eq(rig->headers[*holder].step, 9);
    ck_assert_uint_eq(rig->headers[*holder].payload_count, 0);
}

START_TEST(what_is_missing_is_marked)
{
    const uint64_t runs[] = {0, 1, 3, 5, 5, 6};
    bool marks[7] = {false};
    struct rig rig;
    struct session_missing missing = {.done = on_missing, .context = &rig, .leaves = 7, .marks = marks};
    uint32_t holder;

    rig_open(&rig);
    for (unsigned i = 0; i < 2; i++) {
        ask_missing(&rig, &missing, &holder);
        send_runs(&rig, holder, 9, runs, i == 0 ? 0 : 6);
        while (rig.done == i)
            ck_assert_int_eq(poll_next(&rig, NULL), CAIRN_OK);
        for (uint32_t leaf = 0; leaf < 7; leaf++)
            ck_assert(marks[leaf] == (i == 1 && leaf != 1 && leaf != 2 && leaf != 6));
    }
    ask_missing(&rig, &missing, &holder);
    memset(marks, 0, sizeof(marks));
    session_forget(rig.session, &missing);
    send_runs(&rig, holder, 9, runs, 6);
    ck_assert_int_eq(poll_next(&rig, NULL), CAIRN_OK);
    ck_assert(rig.done == 2 && !marks[0]);
    ck_assert_int_eq(session_ask_missing(rig.session, TABLE, 9, &missing, NULL), CAIRN_INVALID);
    ck_assert_int_eq(session_ask_missing(rig.session, TABLES, 9, &missing, NULL), CAIRN_INVALID);
    rig_close(&rig);
}
END_TEST

static const struct {
    uint64_t step, runs[4];
    size_t numbers;
} bad_runs[] = {{8, {0, 1}, 2},
                {9, {0, 8}, 2},
                {9, {2, 2}, 2},
                {9, {3, 2}, 2},
                {9, {0, 1, 1}, 3},
                {9, {0, 3, 2, 4}, 4},
                {9, {UINT64_MAX, UINT64_MAX}, 2}};

START_TEST(bad_runs_are_not_believed)
{
    bool marks[7] = {false};
    struct rig rig;
    struct session_missing missing = {.done = on_missing, .context = &rig, .leaves = 7, .marks = marks};
    uint32_t holder;

    rig_open(&rig);
    ask_missing(&rig, &missing, &holder);
    send_runs(&rig, holder, bad_runs[_i].step, bad_runs[_i].runs, bad_runs[_i].numbers);
    ck_assert_int_eq(poll_next(&rig, NULL), CAIRN_PROTOCOL);
    ck_assert(rig.done == 0 && !marks[0]);
    rig_close(&rig);
}
END_TEST

/* ---- exports */

START_TEST(an_export_goes_on_where_each_shard_was)
{
    const uint64_t nexts[] = {100, UINT64_MAX, 0};
    struct rig rig;
    struct session_export export = {.slice = on_slice, .context = &rig, .since = 7};
    struct reply reply;

    rig_open(&rig);
    ck_assert_int_eq(session_export_rows(rig.session, TABLE, &export, NULL), CAIRN_OK);
    ck_assert_uint_eq(arrived_cursor(&rig, 1), 0);
    send_no_rows(&rig, 1, 9, 0); /* one has nothing */
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(arrived_cursor(&rig, 0), i ? nexts[i - 1] : 0);
        ck_assert_uint_eq(rig.headers[0].step, 7);
        reply = slice_of(&rig, 0, 10 + (uint64_t)i, &nexts[i]);
        if (i == 1)
            send_no_rows(&rig, 0, 11, nexts[1]);
        else
            reply_send(&rig, 0, &reply);
        while (rig.rows < (i == 2 ? 4u : 2u) || (i == 1 && export.version < 11))
            ck_assert_int_eq(poll_next(&rig, NULL), CAIRN_OK);
    }
    while (export.shards_left > 0)
        ck_assert_int_eq(poll_next(&rig, NULL), CAIRN_OK);
    ck_assert_uint_eq(export.first_version, 9);
    ck_assert_uint_eq(export.version, 12);
    ck_assert(rig.keys[1] == UINT64_MAX && rig.steps[1] == 9 && rig.weights[3][1] == 4);
    rig_close(&rig);
}
END_TEST

typedef void spoil(struct reply *reply);

static void another_request(struct reply *reply)
{
    reply->header.request++;
}
static void another_kind(struct reply *reply)
{
    reply->header.kind = DATA_STATISTICS;
}
static void values(struct reply *reply)
{
    reply->header.kind = DATA_VALUES;
}
static void another_table(struct reply *reply)
{
    reply->header.table = DENSE;
}
static void another_job(struct reply *reply)
{
    reply->header.job++;
}
static void no_table(struct reply *reply)
{
    reply->header.table = TABLES;
}
static void fewer_payloads(struct reply *reply)
{
    reply->header.payload_count--;
    reply->bytes[EXPORT_ROWS] = 0;
}
static void a_step_less(struct reply *reply)
{
    reply->header.payloads[EXPORT_STEPS].length_bytes = reply->bytes[EXPORT_STEPS] = sizeof(uint64_t);
}
static void a_row_less(struct reply *reply)
{
    reply->header.payloads[EXPORT_ROWS].length_bytes = reply->bytes[EXPORT_ROWS] = sizeof(some_rows[0]);
}
static void a_frame_shorter_than_said(struct reply *reply)
{
    reply->bytes[EXPORT_KEYS] -= 8;
}
static void another_type(struct reply *reply)
{
    reply->header.payloads[EXPORT_KEYS].type = DATA_FLOAT64;
}
static void two_cursors(struct reply *reply)
{
    reply->header.payloads[EXPORT_CURSOR].length_bytes = reply->bytes[EXPORT_CURSOR] = 16;
    reply->payloads[EXPORT_CURSOR] = some_keys;
}
static void no_cursor(struct reply *reply)
{
    reply->header.payloads[EXPORT_CURSOR].length_bytes = reply->bytes[EXPORT_CURSOR] = 0;
}
static void the_same_place(struct reply *reply)
{
    static const uint64_t place = 50;

    reply->payloads[EXPORT_CURSOR] = &place;
}

static spoil *const spoils[] = {
    another_request, another_kind,   values,      another_table, another_job,
    no_table,        fewer_payloads, a_step_less, a_row_less,    a_frame_shorter_than_said,
    another_type,    two_cursors,    no_cursor,   the_same_place};
#define SPOILS ((int)(sizeof(spoils) / sizeof(spoils[0])))

START_TEST(answers_that_do_not_fit_are_refused)
{
    const uint64_t first = 50, second = 60;
    struct rig rig;
    struct session_export export = {.slice = on_slice, .context = &rig};
    struct error error = {.message = ""};
    struct reply reply;

    rig_open(&rig);
    ck_assert_int_eq(session_export_rows(rig.session, TABLE, &export, NULL), CAIRN_OK);
    ck_assert_uint_eq(arrived_cursor(&rig, 0), 0);
    reply = slice_of(&rig, 0, 5, &first);
    reply_send(&rig, 0, &reply);
    while (rig.rows == 0)
        ck_assert_int_eq(poll_next(&rig, NULL), CAIRN_OK);
    ck_assert_uint_eq(arrived_cursor(&rig, 0), 50);
    reply = slice_of(&rig, 0, 5, &second);
    spoils[_i](&reply);
    reply_send(&rig, 0, &reply);
    ck_assert_int_eq(poll_next(&rig, &error), CAIRN_PROTOCOL);
    ck_assert_uint_eq(rig.rows, 2);
    rig_close(&rig);
}
END_TEST

START_TEST(what_is_forgotten_hears_nothing)
{
    const uint64_t next = 50;
    uint64_t numbers[STATISTIC_COUNT] = {0};
    struct rig rig;
    struct session_export export = {.slice = on_slice, .context = &rig};
    struct session_statistics statistics = {.done = on_statistics, .context = &rig};
    struct reply reply;

    rig_open(&rig);
    ck_assert_int_eq(session_export_rows(rig.session, TABLE, &export, NULL), CAIRN_OK);
    session_forget(rig.session, &export);
    memset(&export, 0xff, sizeof(export)); /* it is gone */
    ck_assert_uint_eq(arrived_cursor(&rig, 0), 0);
    reply = slice_of(&rig, 0, 5, &next);
    reply_send(&rig, 0, &reply);
    ck_assert_int_eq(poll_next(&rig, NULL), CAIRN_OK);
    ck_assert_uint_eq(rig.rows, 0);
    ck_assert_int_eq(session_ask_statistics(rig.session, TABLE, &statistics, NULL), CAIRN_OK);
    ck_assert_int_eq(arrive(&rig, 0)->kind, DATA_STATISTICS); /* nobody has asked for more rows */
    session_forget(rig.session, &statistics);
    reply = reply_to(&rig, 0, 5);
    reply_add(&reply, DATA_UINT64, numbers, sizeof(numbers));
    reply_send(&rig, 0, &reply);
    ck_assert_int_eq(poll_next(&rig, NULL), CAIRN_OK);
    ck_assert_uint_eq(rig.done, 0);
    rig_close(&rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("session_questions");
    TCase *tests = tcase_create("session_questions");

    tcase_add_test(tests, numbers_of_all_shards_are_added_up);
    tcase_add_test(tests, who_holds_nothing_is_not_asked);
    tcase_add_test(tests, what_is_missing_is_marked);
    tcase_add_loop_test(tests, bad_runs_are_not_believed, 0, sizeof(bad_runs) / sizeof(bad_runs[0]));
    tcase_add_test(tests, an_export_goes_on_where_each_shard_was);
    tcase_add_loop_test(tests, answers_that_do_not_fit_are_refused, 0, SPOILS);
    tcase_add_test(tests, what_is_forgotten_hears_nothing);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
