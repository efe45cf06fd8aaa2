/* What a shard says to another one that cannot be reached: once, however often it is said again. */
#include "check_main.h"
#include "peers.h"
#include "sockets.h"

#define JOB 7

static struct shard_message sum_of(const char *endpoint, uint64_t step, struct buffer **payload)
{
    struct shard_message message = {
        {.kind = DATA_UPDATE, .job = JOB, .step = step, .payload_count = 1}, endpoint, payload};

    message.header.payloads[0] = (struct data_payload){0, DATA_FLOAT32, (*payload)->length_bytes};
    return message;
}

static void send_sum(struct peers *peers, const char *endpoint, uint64_t step)
{
    struct buffer *payload = buffer_new(1 << 16);
    struct error error = {.message = ""};

    ck_assert_ptr_nonnull(payload);
    memset(payload->data, 0, payload->length_bytes);
    const struct shard_message message = sum_of(endpoint, step, &payload);

    ck_assert_msg(peers_send(peers, &message, &error) == CAIRN_OK, "%s", error.message);
    buffer_unref(payload);
}

/* The step of the next message that comes. */
static uint64_t receive_step(void *socket)
{
    struct frames frames;
    struct data_header header;
    struct error error = {.message = ""};
    uint64_t step;

    frames_init(&frames);
    receive_soon(socket, &frames);
    ck_assert_msg(wire_data_unpack(frames_data(&frames, 1), frames_length(&frames, 1), &header, &error) ==
                      CAIRN_OK,
                  "%s", error.message);
    step = header.step;
    frames_clear(&frames);
    return step;
}

START_TEST(what_waits_for_a_peer_is_not_said_again)
{
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_ROUTER);
    struct peers *peers = peers_new(context);
    char endpoint[ENDPOINT_BYTES];
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;

    ck_assert(context && socket && peers);
    free_endpoint(endpoint);
    send_sum(peers, endpoint, 1);
    send_sum(peers, endpoint, 2);
    peers_set_repeating(peers, true);
    for (int i = 0; i < 10; i++)
        send_sum(peers, endpoint, 3);
    peers_set_repeating(peers, false);
    send_sum(peers, endpoint, 4);
    ck_assert_int_eq(zmq_bind(socket, endpoint), 0);
    ck_assert_uint_eq(receive_step(socket), 1);
    ck_assert_uint_eq(receive_step(socket), 2);
    ck_assert_uint_eq(receive_step(socket), 4);
    peers_set_repeating(peers, true); /* all has left, as soon as the socket's thread has let go of it */
    while (!has_input(socket, 1)) {
        ck_assert_int_lt(clock_ms(), deadline_ms);
        send_sum(peers, endpoint, 5);
    }
    ck_assert_uint_eq(receive_step(socket), 5);
    peers_free(peers);
    zmq_close(socket);
    zmq_ctx_term(context);
}
END_TEST

static Suite *peers_suite(void)
{
    Suite *suite = suite_create("peers");
    TCase *tests = tcase_create("peers");

    tcase_add_test(tests, what_waits_for_a_peer_is_not_said_again);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(peers_suite)
