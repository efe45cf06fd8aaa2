/* Sessions, receiving: values and versions arrive, and what a shard must not say is refused. */
#include "check_main.h"
#include "session_rig.h"

/* An answer that a test then spoils. */
struct answer {
    struct data_header header;
    unsigned char payload[CHUNK_FLOATS * sizeof(double)];
    size_t payload_bytes; /* of the frame; may contradict the header */
    unsigned frames;      /* payload frames */
};

static struct answer answer_for(const struct rig *rig, enum table_id table, uint32_t chunk)
{
    struct answer answer;
    uint64_t left = rig->tables[TABLE_WEIGHTS].elements - (uint64_t)chunk * CHUNK_FLOATS;
    size_t elements = left < CHUNK_FLOATS ? left : CHUNK_FLOATS;

    memset(&answer, 0, sizeof(answer));
    answer.header.kind = DATA_VALUES;
    answer.header.job = JOB;
    answer.header.incarnation = INCARNATION;
    answer.header.table = table;
    answer.header.step = 42;
    answer.header.payload_count = 1;
    answer.header.payloads[0].chunk = chunk;
    answer.header.payloads[0].type = table == TABLE_WEIGHTS ? DATA_FLOAT32 : DATA_FLOAT64;
    answer.payload_bytes = table == TABLE_WEIGHTS ? elements * sizeof(float) : METRICS * sizeof(double);
    answer.header.payloads[0].length_bytes = answer.payload_bytes;
    answer.frames = 1;
    for (size_t i = 0; i < CHUNK_FLOATS; i++) {
        if (table == TABLE_WEIGHTS)
            ((float *)(void *)answer.payload)[i] = (float)i + 0.25f;
        else
            ((double *)(void *)answer.payload)[i] = (double)i + 0.25;
    }
    return answer;
}

/* Makes the session known to a shard, so that the shard can answer it. */
static void introduce(struct rig *rig)
{
    ck_assert_int_eq(pull(rig, TABLE_WEIGHTS, 1, rig->tables[TABLE_WEIGHTS].chunk_count), CAIRN_OK);
}

static void send_answer(struct rig *rig, uint32_t shard, const struct answer *answer)
{
    unsigned char packed[WIRE_HEADER_MAX];
    size_t length = wire_data_pack(&answer->header, packed);
    struct frames out;

    if (rig->arrival.frames.count == 0)
        arrive(rig, shard);
    frames_init(&out);
    ck_assert_int_eq(frames_append_copy(&out, frames_data(&rig->arrival.frames, 0),
                                        frames_length(&rig->arrival.frames, 0)),
                     CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, packed, length), CAIRN_OK);
    for (unsigned i = 0; i < answer->frames; i++)
        ck_assert_int_eq(frames_append_copy(&out, answer->payload, answer->payload_bytes), CAIRN_OK);
    ck_assert_int_eq(frames_send(rig->shards[shard], &out, NULL), CAIRN_OK);
}

static enum status poll_soon(struct rig *rig, uint32_t shard, struct error *error)
{
    size_t count;
    void *const *sockets = session_sockets(rig->session, &count);

    ck_assert(has_input(sockets[shard], PATIENCE_MS));
    return session_poll(rig->session, error);
}

START_TEST(values_arrive)
{
    static const uint32_t chunks[] = {0, 4, 5}; /* 5 is the short one */
    struct rig rig;
    struct answer answer;
    struct error error = {.message = ""};
    uint32_t chunk = chunks[_i];

    rig_open(&rig, CHUNK_FLOATS * 5 + 3);
    introduce(&rig);
    answer = answer_for(&rig, TABLE_WEIGHTS, chunk);
    send_answer(&rig, home_of(&rig, TABLE_WEIGHTS, chunk), &answer);
    ck_assert_msg(poll_soon(&rig, home_of(&rig, TABLE_WEIGHTS, chunk), &error) == CAIRN_OK, "%s",
                  error.message);
    ck_assert_uint_eq(rig.seen.calls, 1);
    ck_assert_int_eq(rig.seen.table, TABLE_WEIGHTS);
    ck_assert_uint_eq(rig.seen.chunk, chunk);
    ck_assert_uint_eq(rig.seen.version, 42);
    ck_assert_uint_eq(rig.seen.elements, chunk == 5 ? 3 : CHUNK_FLOATS);
    ck_assert(rig.seen.is_aligned);
    ck_assert(rig.seen.first == 0.25 && rig.seen.last == (double)rig.seen.elements - 0.75);
    rig_close(&rig);
}
END_TEST

START_TEST(a_wait_ends_when_something_comes)
{
    struct rig rig;
    struct answer answer;
    struct error error = {.message = ""};
    uint32_t home;

    rig_open(&rig, CHUNK_FLOATS * 5);
    home = home_of(&rig, TABLE_WEIGHTS, 2);
    for (uint32_t i = 0; i < 50; i++) {
        introduce(&rig);
        ck_assert_int_eq(session_wait(rig.session, -1, &error), CAIRN_OK); /* something was sent since */
        ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_OK);
        answer = answer_for(&rig, TABLE_WEIGHTS, 2);
        send_answer(&rig, home, &answer);
        while (rig.seen.calls == i) {
            ck_assert_int_eq(session_wait(rig.session, -1, &error), CAIRN_OK);
            ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_OK);
        }
        ck_assert_uint_eq(rig.seen.calls, i + 1);
    }
    ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_OK);
    ck_assert_int_eq(session_wait(rig.session, 1, &error), CAIRN_OK); /* nothing comes */
    ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_OK);
    rig_close(&rig);
}
END_TEST

START_TEST(metric_values_arrive_and_are_aligned)
{
    struct rig rig;
    struct answer answer;
    uint32_t shard;

    rig_open(&rig, CHUNK_FLOATS * 6);
    introduce(&rig);
    shard = home_of(&rig, TABLE_METRICS, 0);
    answer = answer_for(&rig, TABLE_METRICS, 0);
    for (uint64_t i = 0; i < 9; i++) { /* header lengths vary, and with them where the bytes lie */
        answer.header.step = UINT64_C(1) << (7 * i);
        send_answer(&rig, shard, &answer);
        while (rig.seen.calls == i)
            ck_assert_int_eq(poll_soon(&rig, shard, NULL), CAIRN_OK);
        ck_assert_int_eq(rig.seen.table, TABLE_METRICS);
        ck_assert_uint_eq(rig.seen.version, answer.header.step);
        ck_assert_uint_eq(rig.seen.elements, METRICS);
        ck_assert(rig.seen.is_aligned);
        ck_assert(rig.seen.first == 0.25 && rig.seen.last == METRICS - 0.75);
    }
    rig_close(&rig);
}
END_TEST

typedef void spoil(struct answer *answer);

static void another_job(struct answer *answer)
{
    answer->header.job = JOB + 1;
}

static void no_such_table(struct answer *answer)
{
    answer->header.table = TABLE_COUNT;
}

static void no_such_chunk(struct answer *answer)
{
    answer->header.payloads[0].chunk = 600;
}

static void another_shards_chunk(struct answer *answer)
{
    answer->header.payloads[0].chunk++;
}

static void another_type(struct answer *answer)
{
    answer->header.payloads[0].type = DATA_FLOAT64;
}

static void another_length(struct answer *answer)
{
    answer->payload_bytes -= 4;
    answer->header.payloads[0].length_bytes -= 4;
}

static void another_length_than_said(struct answer *answer)
{
    answer->payload_bytes -= 4;
}

static void a_frame_less(struct answer *answer)
{
    answer->frames = 0;
}

static void a_frame_more(struct answer *answer)
{
    answer->frames = 2;
}

static void a_second_payload_that_is_wrong(struct answer *answer)
{
    answer->header.payload_count = answer->frames = 2;
    answer->header.payloads[1] = answer->header.payloads[0];
    answer->header.payloads[1].chunk++;
}

static void a_push(struct answer *answer)
{
    answer->header.kind = DATA_PUSH;
    answer->header.node.end = 1;
}

static spoil *const spoils[] = {another_job,
                                no_such_table,
                                no_such_chunk,
                                another_shards_chunk,
                                another_type,
                                another_length,
                                another_length_than_said,
                                a_frame_less,
                                a_frame_more,
                                a_second_payload_that_is_wrong,
                                a_push};

#define SPOILS ((int)(sizeof(spoils) / sizeof(spoils[0])))

START_TEST(values_that_do_not_fit_are_refused)
{
    struct rig rig;
    struct answer answer;
    struct error error = {.message = ""};

    rig_open(&rig, CHUNK_FLOATS * 6);
    introduce(&rig);
    answer = answer_for(&rig, TABLE_WEIGHTS, 0);
    spoils[_i](&answer);
    send_answer(&rig, 0, &answer);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), CAIRN_PROTOCOL);
    ck_assert_msg(strstr(error.message, rig.endpoints[0]) != NULL, "%s", error.message);
    ck_assert_uint_eq(rig.seen.calls, 0);
    /* The session goes on. */
    answer = answer_for(&rig, TABLE_WEIGHTS, 0);
    send_answer(&rig, 0, &answer);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), CAIRN_OK);
    ck_assert_uint_eq(rig.seen.calls, 1);
    rig_close(&rig);
}
END_TEST

START_TEST(noise_from_a_shard_is_refused)
{
    struct rig rig;
    struct error error = {.message = ""};

    rig_open(&rig, CHUNK_FLOATS * 6);
    introduce(&rig);
    arrive(&rig, 0);
    ck_assert_int_ge(zmq_send(rig.shards[0], frames_data(&rig.arrival.frames, 0),
                              frames_length(&rig.arrival.frames, 0), ZMQ_SNDMORE),
                     0);
    ck_assert_int_eq(zmq_send(rig.shards[0], "\xff\xff", 2, 0), 2);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), CAIRN_PROTOCOL);
    ck_assert_msg(strstr(error.message, rig.endpoints[0]) != NULL, "%s", error.message);
    rig_close(&rig);
}
END_TEST

START_TEST(older_incarnations_are_dropped_newer_ones_end_us)
{
    struct rig rig;
    struct answer older, newer;
    struct error error = {.message = ""};

    rig_open(&rig, CHUNK_FLOATS * 6);
    introduce(&rig);
    older = newer = answer_for(&rig, TABLE_WEIGHTS, 0);
    older.header.incarnation--;
    newer.header.incarnation++;
    send_answer(&rig, 0, &older);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), CAIRN_OK);
    ck_assert_uint_eq(rig.seen.calls, 0);
    send_answer(&rig, 0, &newer);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), CAIRN_STALE);
    ck_assert_uint_eq(rig.seen.calls, 0);
    rig_close(&rig);
}
END_TEST

/* What was on its way is lost with the connection: nobody may wait for it. */
START_TEST(a_shard_whose_connection_breaks_is_an_error)
{
    struct rig rig;
    struct error error = {.message = ""};
    size_t count;
    void *const *sockets;

    rig_open(&rig, CHUNK_FLOATS * 3);
    introduce(&rig);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        arrive(&rig, shard);
    ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_OK);
    zmq_close(rig.shards[1]);
    sockets = session_sockets(rig.session, &count);
    ck_assert_uint_eq(count, 2 * SHARDS);
    ck_assert(has_input(sockets[SHARDS + 1], PATIENCE_MS));
    ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "shard 1 at "));
    ck_assert_ptr_nonnull(strstr(error.message, rig.endpoints[1]));
    rig.shards[1] = zmq_socket(rig.context, ZMQ_ROUTER); /* for rig_close */
    rig_close(&rig);
}
END_TEST

/* Sums have one chunk, and perhaps no version to pull. */
START_TEST(versions_of_sums_are_asked_and_told)
{
    struct answer answer;
    struct rig rig;
    uint32_t home;

    rig_open(&rig, CHUNK_FLOATS);
    home = home_of(&rig, TABLE_VALIDATION, 0);
    ck_assert_int_eq(session_ask_versions(rig.session, TABLE_VALIDATION, NULL, NULL), CAIRN_OK);
    arrive(&rig, home);
    ck_assert(rig.arrival.header.newest && rig.arrival.header.acknowledge);
    ck_assert_uint_eq(rig.arrival.header.payload_count, 1);
    ck_assert_int_eq(rig.arrival.header.payloads[0].type, DATA_FLOAT64);
    answer = answer_for(&rig, TABLE_VALIDATION, 0);
    answer.header.kind = DATA_APPLIED;
    answer.header.payloads[0].length_bytes = 0;
    answer.frames = 0;
    send_answer(&rig, home, &answer);
    ck_assert_int_eq(poll_soon(&rig, home, NULL), CAIRN_OK);
    ck_assert_uint_eq(rig.seen.applied_table, TABLE_VALIDATION);
    ck_assert_uint_eq(rig.seen.applied_version, 42);
    rig_close(&rig);
}
END_TEST

START_TEST(a_refusal_names_shard_and_reason)
{
    static const struct {
        enum data_refused reason;
        enum status status;
    } cases[] = {{DATA_REFUSED_STALE, CAIRN_STALE},
                 {DATA_REFUSED_UNKNOWN, CAIRN_NOT_FOUND},
                 {DATA_REFUSED_MALFORMED, CAIRN_PROTOCOL},
                 {DATA_REFUSED_LOST, CAIRN_FULL},
                 {DATA_REFUSED_PASSED, CAIRN_PASSED}};
    struct rig rig;
    struct answer answer;
    struct error error = {.message = ""};

    rig_open(&rig, CHUNK_FLOATS * 6);
    introduce(&rig);
    memset(&answer, 0, sizeof(answer));
    answer.header.kind = DATA_REFUSED;
    if (cases[_i].reason !=
        DATA_REFUSED_MALFORMED) { /* of a malformed message a shard may not know the job */
        answer.header.job = JOB;
        answer.header.incarnation = INCARNATION;
    }
    answer.header.refused = cases[_i].reason;
    snprintf(answer.header.message, sizeof(answer.header.message), "because of this");
    send_answer(&rig, 0, &answer);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), cases[_i].status);
    ck_assert_msg(strstr(error.message, rig.endpoints[0]) != NULL, "%s", error.message);
    ck_assert_msg(strstr(error.message, "because of this") != NULL, "%s", error.message);
    rig_close(&rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("session_answers");
    TCase *receiving = tcase_create("receiving");

    tcase_add_test(receiving, versions_of_sums_are_asked_and_told);
    tcase_add_loop_test(receiving, values_arrive, 0, 3);
    tcase_add_test(receiving, a_wait_ends_when_something_comes);
    tcase_add_test(receiving, metric_values_arrive_and_are_aligned);
    tcase_add_loop_test(receiving, values_that_do_not_fit_are_refused, 0, SPOILS);
    tcase_add_test(receiving, noise_from_a_shard_is_refused);
    tcase_add_test(receiving, older_incarnations_are_dropped_newer_ones_end_us);
    tcase_add_loop_test(receiving, a_refusal_names_shard_and_reason, 0, 5);
    tcase_add_test(receiving, a_shard_whose_connection_breaks_is_an_error);
    suite_add_tcase(suite, receiving);
    return suite;
}

CHECK_MAIN(make_suite)
