/* Frames: whole messages through real sockets, and who holds the bytes when. */
#include "check_main.h"
#include "sockets.h"

#include "net/frames.h"

#include <stdint.h>
#include <string.h>

struct pair {
    void *context, *from, *to;
    struct frames out, in;
};

static void pair_open(struct pair *pair, const char *endpoint)
{
    char bound[ENDPOINT_BYTES];
    size_t size = sizeof(bound);

    pair->context = zmq_ctx_new();
    pair->to = zmq_socket(pair->context, ZMQ_DEALER);
    ck_assert_int_eq(zmq_bind(pair->to, endpoint), 0);
    ck_assert_int_eq(zmq_getsockopt(pair->to, ZMQ_LAST_ENDPOINT, bound, &size), 0);
    pair->from = connected_socket(pair->context, ZMQ_DEALER, bound);
    frames_init(&pair->out);
    frames_init(&pair->in);
}

static void pair_close(struct pair *pair)
{
    frames_clear(&pair->out);
    frames_clear(&pair->in);
    zmq_close(pair->from);
    zmq_close(pair->to);
    zmq_ctx_term(pair->context);
}

static void append(struct frames *frames, const char *text)
{
    ck_assert_int_eq(frames_append_copy(frames, text, strlen(text)), CAIRN_OK);
}

static void check_part(struct frames *frames, size_t index, const char *text)
{
    ck_assert_uint_eq(frames_length(frames, index), strlen(text));
    ck_assert_mem_eq(frames_data(frames, index), text, strlen(text));
}

static struct buffer *filled_buffer(size_t length)
{
    struct buffer *buffer = buffer_new(length);

    ck_assert_ptr_nonnull(buffer);
    for (size_t i = 0; i < length; i++)
        ((unsigned char *)buffer->data)[i] = (unsigned char)(i * 7);
    return buffer;
}

START_TEST(a_message_arrives_whole)
{
    static const char *const endpoints[] = {"tcp://127.0.0.1:*", "inproc://frames", "ipc://*"};
    struct pair pair;

    pair_open(&pair, endpoints[_i]);
    append(&pair.out, "header");
    ck_assert_int_eq(frames_append_copy(&pair.out, NULL, 0), CAIRN_OK);
    append(&pair.out, "a part that is too long to be kept inside a zmq_msg_t, which holds some thirty bytes");
    ck_assert_int_eq(frames_send(pair.from, &pair.out, NULL), CAIRN_OK);
    ck_assert_uint_eq(pair.out.count, 0);
    receive_soon(pair.to, &pair.in);
    ck_assert_uint_eq(pair.in.count, 3);
    check_part(&pair.in, 0, "header");
    check_part(&pair.in, 1, "");
    check_part(&pair.in, 2,
               "a part that is too long to be kept inside a zmq_msg_t, which holds some thirty bytes");
    pair_close(&pair);
}
END_TEST

START_TEST(nothing_there_is_again)
{
    struct pair pair;

    pair_open(&pair, "inproc://frames");
    ck_assert_int_eq(frames_receive(pair.to, &pair.in, NULL), CAIRN_AGAIN);
    ck_assert_uint_eq(pair.in.count, 0);
    pair_close(&pair);
}
END_TEST

START_TEST(the_most_parts_arrive_and_one_more_is_refused)
{
    struct pair pair;
    struct error error;

    pair_open(&pair, "inproc://frames");
    for (int i = 0; i < FRAMES_MAX; i++)
        append(&pair.out, "part");
    ck_assert_int_eq(frames_append_copy(&pair.out, "x", 1), CAIRN_FULL);
    ck_assert_int_eq(frames_send(pair.from, &pair.out, NULL), CAIRN_OK);
    receive_soon(pair.to, &pair.in);
    ck_assert_uint_eq(pair.in.count, FRAMES_MAX);
    frames_clear(&pair.in);

    for (int i = 0; i < FRAMES_MAX + 9; i++)
        ck_assert_int_eq(zmq_send(pair.from, "part", 4, i < FRAMES_MAX + 8 ? ZMQ_SNDMORE : 0), 4);
    append(&pair.out, "next");
    ck_assert_int_eq(frames_send(pair.from, &pair.out, NULL), CAIRN_OK);
    ck_assert_int_eq(frames_receive(pair.to, &pair.in, &error), CAIRN_PROTOCOL);
    ck_assert_uint_eq(pair.in.count, 0);
    receive_soon(pair.to, &pair.in);
    ck_assert_uint_eq(pair.in.count, 1);
    check_part(&pair.in, 0, "next");
    pair_close(&pair);
}
END_TEST

START_TEST(a_buffer_is_sent_in_place)
{
    struct buffer *buffer = filled_buffer(4096);
    struct pair pair;

    pair_open(&pair, "inproc://frames");
    ck_assert_int_eq(frames_append_buffer(&pair.out, buffer, 1024, 2048), CAIRN_OK);
    ck_assert(!buffer_is_exclusive(buffer));
    ck_assert_int_eq(frames_send(pair.from, &pair.out, NULL), CAIRN_OK);
    receive_soon(pair.to, &pair.in);
    ck_assert_uint_eq(frames_length(&pair.in, 0), 2048);
    /* Within a process not even the transport copies. */
    ck_assert_ptr_eq(frames_data(&pair.in, 0), (char *)buffer->data + 1024);
    ck_assert(!buffer_is_exclusive(buffer));
    frames_clear(&pair.in);
    ck_assert(buffer_is_exclusive(buffer));
    buffer_unref(buffer);
    pair_close(&pair);
}
END_TEST

START_TEST(a_sent_buffer_comes_back_after_the_network_took_it)
{
    struct buffer *buffer = filled_buffer(1 << 20);
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    struct pair pair;

    pair_open(&pair, "tcp://127.0.0.1:*");
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(frames_append_buffer(&pair.out, buffer, (size_t)i << 18, 1 << 18), CAIRN_OK);
    ck_assert_int_eq(frames_send(pair.from, &pair.out, NULL), CAIRN_OK);
    receive_soon(pair.to, &pair.in);
    for (size_t i = 0; i < 4; i++)
        ck_assert_mem_eq(frames_data(&pair.in, i), (char *)buffer->data + (i << 18), 1 << 18);
    while (!buffer_is_exclusive(buffer) && clock_ms() < deadline_ms)
        has_input(pair.from, 1);
    ck_assert(buffer_is_exclusive(buffer));
    buffer_unref(buffer);
    pair_close(&pair);
}
END_TEST

START_TEST(a_message_without_room_is_dropped)
{
    struct buffer *buffer = filled_buffer(4096);
    void *context = zmq_ctx_new(), *lonely = zmq_socket(context, ZMQ_DEALER);
    struct frames frames;

    frames_init(&frames);
    append(&frames, "header");
    ck_assert_int_eq(frames_append_buffer(&frames, buffer, 0, 4096), CAIRN_OK);
    ck_assert_int_eq(frames_send(lonely, &frames, NULL), CAIRN_AGAIN);
    ck_assert_uint_eq(frames.count, 0);
    ck_assert(buffer_is_exclusive(buffer));
    buffer_unref(buffer);
    zmq_close(lonely);
    zmq_ctx_term(context);
}
END_TEST

START_TEST(a_peer_that_is_not_there_is_not_found)
{
    const int yes = 1;
    void *context = zmq_ctx_new(), *router = zmq_socket(context, ZMQ_ROUTER);
    struct frames frames;
    struct error error;

    ck_assert_int_eq(zmq_setsockopt(router, ZMQ_ROUTER_MANDATORY, &yes, sizeof(yes)), 0);
    frames_init(&frames);
    append(&frames, "nobody");
    append(&frames, "message");
    ck_assert_int_eq(frames_send(router, &frames, &error), CAIRN_NOT_FOUND);
    ck_assert_uint_eq(frames.count, 0);
    zmq_close(router);
    zmq_ctx_term(context);
}
END_TEST

START_TEST(a_closed_context_is_closed)
{
    struct pair pair;
    struct error error;

    pair_open(&pair, "inproc://frames");
    zmq_ctx_shutdown(pair.context);
    ck_assert_int_eq(frames_receive(pair.to, &pair.in, &error), CAIRN_CLOSED);
    append(&pair.out, "late");
    ck_assert_int_eq(frames_send(pair.from, &pair.out, &error), CAIRN_CLOSED);
    pair_close(&pair);
}
END_TEST

START_TEST(a_part_is_taken_without_a_copy)
{
    struct buffer *buffer = filled_buffer(4096), *taken;
    const void *data;
    struct pair pair;

    pair_open(&pair, "inproc://frames");
    append(&pair.out, "header");
    ck_assert_int_eq(frames_append_buffer(&pair.out, buffer, 64, 1024), CAIRN_OK);
    ck_assert_int_eq(frames_send(pair.from, &pair.out, NULL), CAIRN_OK);
    receive_soon(pair.to, &pair.in);
    data = frames_data(&pair.in, 1);
    taken = frames_take_buffer(&pair.in, 1, 64);
    ck_assert_ptr_nonnull(taken);
    ck_assert_ptr_eq(taken->data, data);
    ck_assert_uint_eq(taken->length_bytes, 1024);
    ck_assert(buffer_is_exclusive(taken));
    ck_assert_uint_eq(frames_length(&pair.in, 1), 0);
    frames_clear(&pair.in);
    /* The part outlives its message, and its sender's reference lives as long. */
    ck_assert_mem_eq(taken->data, (char *)buffer->data + 64, 1024);
    ck_assert(!buffer_is_exclusive(buffer));
    buffer_unref(taken);
    ck_assert(buffer_is_exclusive(buffer));
    buffer_unref(buffer);
    pair_close(&pair);
}
END_TEST

START_TEST(a_part_that_is_not_aligned_is_copied)
{
    struct buffer *buffer = filled_buffer(4096), *taken;
    struct pair pair;

    pair_open(&pair, "inproc://frames");
    ck_assert_int_eq(frames_append_buffer(&pair.out, buffer, 4, 1024), CAIRN_OK);
    ck_assert_int_eq(frames_send(pair.from, &pair.out, NULL), CAIRN_OK);
    receive_soon(pair.to, &pair.in);
    taken = frames_take_buffer(&pair.in, 0, 8);
    ck_assert_ptr_nonnull(taken);
    ck_assert_uint_eq((uintptr_t)taken->data % 8, 0);
    ck_assert_uint_eq(taken->length_bytes, 1024);
    ck_assert_mem_eq(taken->data, (char *)buffer->data + 4, 1024);
    ck_assert(buffer_is_exclusive(buffer));
    buffer_unref(taken);
    buffer_unref(buffer);
    pair_close(&pair);
}
END_TEST

START_TEST(short_and_empty_parts_can_be_taken)
{
    struct buffer *few, *none;
    struct pair pair;

    pair_open(&pair, "inproc://frames");
    append(&pair.out, "few bytes");
    append(&pair.out, "");
    ck_assert_int_eq(frames_send(pair.from, &pair.out, NULL), CAIRN_OK);
    receive_soon(pair.to, &pair.in);
    few = frames_take_buffer(&pair.in, 0, 64);
    none = frames_take_buffer(&pair.in, 1, 1);
    ck_assert(few && none);
    frames_clear(&pair.in);
    ck_assert_uint_eq(few->length_bytes, 9);
    ck_assert_mem_eq(few->data, "few bytes", 9);
    ck_assert_uint_eq(none->length_bytes, 0);
    buffer_unref(few);
    buffer_unref(none);
    pair_close(&pair);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("frames");
    TCase *tests = tcase_create("frames");

    tcase_add_loop_test(tests, a_message_arrives_whole, 0, 3);
    tcase_add_test(tests, nothing_there_is_again);
    tcase_add_test(tests, the_most_parts_arrive_and_one_more_is_refused);
    tcase_add_test(tests, a_buffer_is_sent_in_place);
    tcase_add_test(tests, a_sent_buffer_comes_back_after_the_network_took_it);
    tcase_add_test(tests, a_message_without_room_is_dropped);
    tcase_add_test(tests, a_peer_that_is_not_there_is_not_found);
    tcase_add_test(tests, a_closed_context_is_closed);
    tcase_add_test(tests, a_part_is_taken_without_a_copy);
    tcase_add_test(tests, a_part_that_is_not_aligned_is_copied);
    tcase_add_test(tests, short_and_empty_parts_can_be_taken);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
