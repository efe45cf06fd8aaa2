/* Sessions, sending: which message goes to which shard, and which is refused before. */
#include "check_main.h"
#include "session_rig.h"

static struct buffer *counted_floats(uint64_t floats)
{
    struct buffer *buffer = buffer_new(floats * sizeof(float));

    ck_assert_ptr_nonnull(buffer);
    for (uint64_t i = 0; i < floats; i++)
        ((float *)buffer->data)[i] = (float)i;
    return buffer;
}

static struct session_push push_of(struct buffer *buffer, uint32_t first_chunk, uint32_t chunk_count)
{
    return (struct session_push){.table = TABLE_WEIGHTS,
                                 .step = 41,
                                 .node = {2, 4},
                                 .samples = 24,
                                 .first_chunk = first_chunk,
                                 .chunk_count = chunk_count,
                                 .buffer = buffer,
                                 .subscribe = true};
}

/* Checks one arrived push of weights that count up; marks its chunks in seen[]. */
static void check_push(struct rig *rig, uint32_t shard, uint64_t floats, unsigned char *seen)
{
    const struct data_header *header = &rig->arrival.header;

    ck_assert_int_eq(header->kind, DATA_PUSH);
    ck_assert_uint_eq(header->job, JOB);
    ck_assert_uint_eq(header->incarnation, INCARNATION);
    ck_assert_uint_eq(header->table, TABLE_WEIGHTS);
    ck_assert_uint_eq(header->step, 41);
    ck_assert_uint_eq(header->node.begin, 2);
    ck_assert_uint_eq(header->node.end, 4);
    ck_assert_uint_eq(header->samples, 24);
    ck_assert_uint_eq(header->worker, WORKER);
    ck_assert(header->subscribe);
    ck_assert_uint_eq(rig->arrival.frames.count, 2 + header->payload_count);
    for (uint32_t i = 0; i < header->payload_count; i++) {
        uint64_t chunk = header->payloads[i].chunk, first = chunk * CHUNK_FLOATS;
        uint64_t count = floats - first < CHUNK_FLOATS ? floats - first : CHUNK_FLOATS;
        float values[CHUNK_FLOATS];

        ck_assert_uint_eq(home_of(rig, TABLE_WEIGHTS, (uint32_t)chunk), shard);
        ck_assert_uint_eq(seen[chunk]++, 0);
        ck_assert_int_eq(header->payloads[i].type, DATA_FLOAT32);
        ck_assert_uint_eq(header->payloads[i].length_bytes, count * sizeof(float));
        ck_assert_uint_eq(frames_length(&rig->arrival.frames, 2 + i), count * sizeof(float));
        memcpy(values, frames_data(&rig->arrival.frames, 2 + i), count * sizeof(float));
        for (uint64_t j = 0; j < count; j++)
            ck_assert(values[j] == (float)(first + j));
    }
}

/* ---- sending */

START_TEST(a_push_reaches_each_chunks_shard)
{
    const uint64_t floats = CHUNK_FLOATS * 10 + 5; /* the last chunk is short */
    struct buffer *buffer = counted_floats(floats);
    struct session_push push = push_of(buffer, 0, 11);
    unsigned char seen[11] = {0};
    struct rig rig;

    rig_open(&rig, floats);
    ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        arrive(&rig, shard);
        check_push(&rig, shard, floats, seen);
        ck_assert(!has_input(rig.shards[shard], 0));
    }
    for (int i = 0; i < 11; i++)
        ck_assert_uint_eq(seen[i], 1);
    frames_clear(&rig.arrival.frames);
    rig_close(&rig);
    ck_assert(buffer_is_exclusive(buffer)); /* the context is gone, and all references with it */
    buffer_unref(buffer);
}
END_TEST

START_TEST(a_range_goes_in_messages_of_the_most_payloads)
{
    const uint32_t chunks = SHARDS * WIRE_PAYLOADS_MAX * 2 + SHARDS;
    const uint64_t floats = (uint64_t)chunks * CHUNK_FLOATS;
    struct buffer *buffer = counted_floats(floats);
    struct session_push push = push_of(buffer, 0, chunks);
    unsigned char seen[SHARDS * WIRE_PAYLOADS_MAX * 2 + SHARDS] = {0};
    struct rig rig;

    rig_open(&rig, floats);
    ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        for (int message = 0; message < 3; message++) {
            ck_assert_uint_eq(arrive(&rig, shard)->payload_count, message < 2 ? WIRE_PAYLOADS_MAX : 1);
            check_push(&rig, shard, floats, seen);
        }
        ck_assert(!has_input(rig.shards[shard], 0));
    }
    for (uint32_t i = 0; i < chunks; i++)
        ck_assert_uint_eq(seen[i], 1);
    rig_close(&rig);
    buffer_unref(buffer);
}
END_TEST

START_TEST(large_chunks_go_in_messages_of_their_own)
{
    enum { CHUNK = 50 * 1024, CHUNKS = 12 }; /* 200 KiB each: two are enough for a message */
    struct buffer *buffer = counted_floats((uint64_t)CHUNK * CHUNKS);
    struct session_push push = push_of(buffer, 0, CHUNKS);
    uint32_t chunks = 0;
    struct rig rig;
    struct error error = {.message = ""};

    rig_open(&rig, CHUNK_FLOATS);
    session_free(rig.session);
    rig.session = NULL;
    rig.tables[TABLE_WEIGHTS] = session_dense_table((uint64_t)CHUNK * CHUNKS, CHUNK, CHUNKS);
    ck_assert_int_eq(rig_connect(&rig, &error), CAIRN_OK);
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        uint32_t here = 0, left;

        for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
            here += home_of(&rig, TABLE_WEIGHTS, chunk) == shard;
        for (left = here; left > 0; left -= rig.arrival.header.payload_count) {
            arrive(&rig, shard);
            ck_assert_uint_eq(rig.arrival.header.payload_count, left < 2 ? left : 2);
        }
        chunks += here;
    }
    ck_assert_uint_eq(chunks, CHUNKS);
    rig_close(&rig);
    buffer_unref(buffer);
}
END_TEST

START_TEST(a_part_of_the_chunks_goes_alone)
{
    const uint64_t floats = CHUNK_FLOATS * 9;
    struct buffer *buffer = counted_floats(floats);
    struct session_push push = push_of(buffer, 4, 1), nothing = push_of(buffer, 9, 0);
    unsigned char seen[9] = {0};
    struct rig rig;

    rig_open(&rig, floats);
    ck_assert_int_eq(session_push(rig.session, &nothing, NULL), CAIRN_OK);
    ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
    arrive(&rig, home_of(&rig, TABLE_WEIGHTS, 4));
    check_push(&rig, home_of(&rig, TABLE_WEIGHTS, 4), floats, seen);
    ck_assert_uint_eq(seen[4], 1);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        ck_assert(!has_input(rig.shards[shard], 0));
    rig_close(&rig);
    buffer_unref(buffer);
}
END_TEST

START_TEST(metrics_go_as_float64)
{
    struct buffer *buffer = buffer_new(METRICS * sizeof(double));
    struct session_push push = push_of(buffer, 0, 1);
    struct rig rig;

    ck_assert_ptr_nonnull(buffer);
    for (int i = 0; i < METRICS; i++)
        ((double *)buffer->data)[i] = i + 0.5;
    push.table = TABLE_VALIDATION;
    rig_open(&rig, CHUNK_FLOATS);
    ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
    arrive(&rig, home_of(&rig, TABLE_VALIDATION, 0));
    ck_assert_uint_eq(rig.arrival.header.table, TABLE_VALIDATION);
    ck_assert_int_eq(rig.arrival.header.payloads[0].type, DATA_FLOAT64);
    ck_assert_mem_eq(frames_data(&rig.arrival.frames, 2), buffer->data, METRICS * sizeof(double));
    rig_close(&rig);
    buffer_unref(buffer);
}
END_TEST

START_TEST(a_pull_names_version_and_chunks)
{
    const struct session_pull pull = {.table = TABLE_WEIGHTS,
                                      .version = 17,
                                      .first_chunk = 1,
                                      .chunk_count = 4,
                                      .committed = _i == 1,
                                      .exact = _i == 2,
                                      .request = 9};
    struct rig rig;

    rig_open(&rig, CHUNK_FLOATS * 6);
    ck_assert_int_eq(session_pull(rig.session, &pull, NULL), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        const struct data_header *header = arrive(&rig, shard);

        ck_assert_int_eq(header->kind, DATA_PULL);
        ck_assert_uint_eq(header->step, 17);
        ck_assert_int_eq(header->committed, _i == 1);
        ck_assert_int_eq(header->exact, _i == 2);
        ck_assert_uint_eq(header->request, 9);
        ck_assert_uint_eq(rig.arrival.frames.count, 2);
        ck_assert_uint_eq(header->payload_count, shard == 1 ? 2 : 1);
        ck_assert_uint_eq(header->payloads[0].chunk, shard == 0 ? 3 : shard);
    }
    rig_close(&rig);
}
END_TEST

START_TEST(versions_are_asked_of_all_chunks)
{
    struct rig rig;
    unsigned chunks = 0;

    rig_open(&rig, CHUNK_FLOATS * 6);
    ck_assert_int_eq(session_ask_versions(rig.session, TABLE_WEIGHTS, NULL, NULL), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        const struct data_header *header = arrive(&rig, shard);

        ck_assert_int_eq(header->kind, DATA_PULL);
        ck_assert(header->newest && header->acknowledge && !header->committed);
        chunks += header->payload_count;
    }
    ck_assert_uint_eq(chunks, 6);
    ck_assert_int_eq(pull(&rig, TABLE_WEIGHTS, SESSION_NEWEST, 1), CAIRN_OK);
    ck_assert(arrive(&rig, 0)->newest && !rig.arrival.header.acknowledge);
    ck_assert_int_eq(session_ask_versions(rig.session, TABLE_COUNT, NULL, NULL), CAIRN_INVALID);
    rig_close(&rig);
}
END_TEST

START_TEST(what_does_not_fit_is_not_sent)
{
    struct buffer *buffer = counted_floats(CHUNK_FLOATS * 3), *small = counted_floats(CHUNK_FLOATS * 3 - 1);
    struct session_push push;
    struct rig rig;
    struct error error;

    rig_open(&rig, CHUNK_FLOATS * 3);
    push = push_of(buffer, 2, 2);
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(buffer, 4, 0);
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(small, 0, 1);
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(buffer, 0, 3);
    push.node.end = push.node.begin;
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(buffer, 0, 3);
    push.table = TABLE_COUNT;
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
    ck_assert_int_eq(pull(&rig, TABLE_METRICS, 1, 2), CAIRN_INVALID);
    ck_assert_int_eq(pull(&rig, TABLE_WEIGHTS, UINT64_MAX - 1, 1), CAIRN_INVALID);
    /* Each shard's first message is the one that is right. */
    ck_assert_int_eq(pull(&rig, TABLE_WEIGHTS, 5, 3), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        ck_assert_int_eq(arrive(&rig, shard)->kind, DATA_PULL);
    rig_close(&rig);
    buffer_unref(buffer);
    buffer_unref(small);
}
END_TEST

START_TEST(messages_wait_for_a_shard_that_is_late)
{
    struct rig rig;
    char late[ENDPOINT_BYTES];
    size_t count;

    rig_open(&rig, CHUNK_FLOATS * 3);
    session_free(rig.session);
    free_endpoint(late);
    rig.endpoint_list[1] = late;
    ck_assert_int_eq(rig_connect(&rig, NULL), CAIRN_OK);
    ck_assert_ptr_nonnull(session_sockets(rig.session, &count));
    ck_assert_uint_eq(count, 2 * SHARDS);
    ck_assert_int_eq(pull(&rig, TABLE_WEIGHTS, 5, 3), CAIRN_OK);
    arrive(&rig, 0);
    ck_assert_int_eq(zmq_bind(rig.shards[1], late), 0);
    ck_assert_uint_eq(arrive(&rig, 1)->payloads[0].chunk, 1);
    rig_close(&rig);
}
END_TEST

/* ---- making */

START_TEST(parameters_must_fit_together)
{
    struct rig rig;
    struct session_params good;
    struct session_table *weights = &rig.tables[TABLE_WEIGHTS], good_weights;
    struct session *session = NULL;
    const struct session_events events = {.values = on_values};
    const char *bad_endpoints[SHARDS] = {"inproc://a", "nonsense", "inproc://c"};
    struct error error;

    rig_open(&rig, CHUNK_FLOATS * 3);
    good = rig.params;
    good_weights = *weights;
    weights->chunk_count = 4;
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    *weights = good_weights;
    weights->chunk_elements = 0;
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    *weights = session_sparse_table(0);
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    *weights = good_weights;
    rig.params.shard_count = 2; /* some slots are on the third */
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    rig.params.shard_count = 0;
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    rig.params = good;
    weights->chunk_elements = UINT32_MAX;
    weights->chunk_count = 1;
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    *weights = good_weights;
    rig.params.endpoints = bad_endpoints;
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    ck_assert(strstr(error.message, "nonsense"));
    ck_assert_ptr_null(session);
    session_free(NULL);
    rig_close(&rig);
}
END_TEST

/* A server that was drained is still in the list, and nobody may be at its endpoint, or anybody. */
START_TEST(shards_without_slots_are_left_alone)
{
    struct rig rig;
    uint32_t slots[PLACEMENT_SLOTS_MIN];
    const char *endpoints[SHARDS];
    const struct session_events events = {.values = on_values};
    struct session *session = NULL;
    struct error error = {.message = ""};
    size_t sockets;

    rig_open(&rig, CHUNK_FLOATS * 3);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS_MIN; i++)
        slots[i] = i % 2 * 2;
    memcpy(endpoints, rig.endpoint_list, sizeof(endpoints));
    endpoints[1] = "nonsense";
    rig.params.slot_shards = slots;
    rig.params.endpoints = endpoints;
    ck_assert_msg(session_new(rig.context, &rig.params, &events, &session, &error) == CAIRN_OK, "%s",
                  error.message);
    session_sockets(session, &sockets);
    ck_assert_uint_eq(sockets, 4);
    ck_assert_int_eq(session_poll(session, &error), CAIRN_OK);
    session_free(session);
    rig_close(&rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("session");
    TCase *sending = tcase_create("sending");

    tcase_add_test(sending, parameters_must_fit_together);
    tcase_add_test(sending, shards_without_slots_are_left_alone);
    tcase_add_test(sending, a_push_reaches_each_chunks_shard);
    tcase_add_test(sending, a_range_goes_in_messages_of_the_most_payloads);
    tcase_add_test(sending, large_chunks_go_in_messages_of_their_own);
    tcase_add_test(sending, a_part_of_the_chunks_goes_alone);
    tcase_add_test(sending, metrics_go_as_float64);
    tcase_add_loop_test(sending, a_pull_names_version_and_chunks, 0, 3);
    tcase_add_test(sending, versions_are_asked_of_all_chunks);
    tcase_add_test(sending, what_does_not_fit_is_not_sent);
    tcase_add_test(sending, messages_wait_for_a_shard_that_is_late);
    suite_add_tcase(suite, sending);
    return suite;
}

CHECK_MAIN(make_suite)
