/* Requests against a coordinator that the test plays. */
#include "check_main.h"
#include "sockets.h"

#include "net/wire.h"
#include "request.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>

struct rig {
    void *context, *router;
    char endpoint[ENDPOINT_BYTES];
    struct requester *requester;
    struct frames in; /* identity, delimiter, request */
    Cairn__ClientRequest *request;
};

static void rig_open(struct rig *rig)
{
    struct error error = {.message = ""};

    memset(rig, 0, sizeof(*rig));
    rig->context = zmq_ctx_new();
    rig->router = bound_socket(rig->context, ZMQ_ROUTER, rig->endpoint);
    frames_init(&rig->in);
    ck_assert_msg(requester_new(rig->context, rig->endpoint, &rig->requester, &error) == CAIRN_OK, "%s",
                  error.message);
}

static void forget(struct rig *rig)
{
    frames_clear(&rig->in);
    cairn__client_request__free_unpacked(rig->request, NULL);
    rig->request = NULL;
}

static void rig_close(struct rig *rig)
{
    forget(rig);
    requester_free(rig->requester);
    zmq_close(rig->router);
    zmq_ctx_term(rig->context);
}

static void ask(struct rig *rig, const char *job)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__WatchRequest watch = CAIRN__WATCH_REQUEST__INIT;

    watch.job = (char *)job;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_WATCH;
    request.watch = &watch;
    ck_assert_int_eq(requester_send(rig->requester, &request, NULL), CAIRN_OK);
}

/* The coordinator takes a request, which must be shaped as a client's. */
static void take_request(struct rig *rig, const char *job)
{
    struct error error = {.message = ""};

    forget(rig);
    receive_soon(rig->router, &rig->in);
    ck_assert_uint_eq(rig->in.count, 3);
    ck_assert_uint_eq(frames_length(&rig->in, 1), 0);
    ck_assert_msg(wire_client_request_unpack(frames_data(&rig->in, 2), frames_length(&rig->in, 2),
                                             &rig->request, &error) == CAIRN_OK,
                  "%s", error.message);
    ck_assert_int_eq(rig->request->body_case, CAIRN__CLIENT_REQUEST__BODY_WATCH);
    ck_assert_str_eq(rig->request->watch->job, job);
}

static void send_reply(struct rig *rig, uint64_t number, Cairn__ClientReply *reply)
{
    unsigned char bytes[512];
    struct frames out;

    reply->protocol = PROTOCOL_VERSION;
    reply->number = number;
    ck_assert_uint_le(cairn__client_reply__get_packed_size(reply), sizeof(bytes));
    frames_init(&out);
    ck_assert_int_eq(frames_append_copy(&out, frames_data(&rig->in, 0), frames_length(&rig->in, 0)),
                     CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, NULL, 0), CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, bytes, cairn__client_reply__pack(reply, bytes)), CAIRN_OK);
    ck_assert_int_eq(frames_send(rig->router, &out, NULL), CAIRN_OK);
}

static void send_status(struct rig *rig, uint64_t number, uint64_t step)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;
    Cairn__JobStatus job = CAIRN__JOB_STATUS__INIT;

    job.id = (char *)"mnist-1";
    job.state = CAIRN__JOB_STATE__JOB_STATE_RUNNING;
    job.step = step;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_JOB;
    reply.job = &job;
    send_reply(rig, number, &reply);
}

static void check_status(struct rig *rig, uint64_t step)
{
    Cairn__ClientReply *reply = NULL;
    struct error error = {.message = ""};

    ck_assert_msg(requester_receive(rig->requester, PATIENCE_MS, &reply, &error) == CAIRN_OK, "%s",
                  error.message);
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_JOB);
    ck_assert_uint_eq(reply->job->step, step);
    cairn__client_reply__free_unpacked(reply, NULL);
}

START_TEST(a_request_may_have_many_replies)
{
    struct rig rig;

    rig_open(&rig);
    ask(&rig, "mnist-1");
    take_request(&rig, "mnist-1");
    for (uint64_t step = 1; step <= 4; step++)
        send_status(&rig, rig.request->number, step);
    ck_assert(has_input(requester_socket(rig.requester), PATIENCE_MS));
    for (uint64_t step = 1; step <= 4; step++)
        check_status(&rig, step);
    rig_close(&rig);
}
END_TEST

START_TEST(replies_to_older_requests_are_dropped)
{
    struct rig rig;
    uint64_t older;

    rig_open(&rig);
    ask(&rig, "older");
    take_request(&rig, "older");
    older = rig.request->number;
    ask(&rig, "newer");
    take_request(&rig, "newer");
    ck_assert_uint_gt(rig.request->number, older);
    send_status(&rig, older, 1);
    send_status(&rig, older, 2);
    send_status(&rig, rig.request->number, 3);
    check_status(&rig, 3);
    rig_close(&rig);
}
END_TEST

START_TEST(an_error_reply_is_invalid_with_its_message)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT, *taken = NULL;
    Cairn__ErrorReply body = CAIRN__ERROR_REPLY__INIT;
    struct rig rig;
    struct error error;

    rig_open(&rig);
    ask(&rig, "mnist-1");
    take_request(&rig, "mnist-1");
    body.message = (char *)"there is no job mnist-1";
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_ERROR;
    reply.error = &body;
    send_reply(&rig, rig.request->number, &reply);
    ck_assert_int_eq(requester_receive(rig.requester, PATIENCE_MS, &taken, &error), CAIRN_INVALID);
    ck_assert_str_eq(error.message, "there is no job mnist-1");
    ck_assert_ptr_null(taken);
    rig_close(&rig);
}
END_TEST

START_TEST(a_silent_coordinator_is_named)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__JobsRequest jobs = CAIRN__JOBS_REQUEST__INIT;
    Cairn__ClientReply *reply = NULL;
    int64_t begin_ms = clock_ms();
    struct rig rig;
    struct error error;

    rig_open(&rig);
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_JOBS;
    request.jobs = &jobs;
    ck_assert_int_eq(requester_send(rig.requester, &request, &error), CAIRN_OK);
    ck_assert_int_eq(requester_receive(rig.requester, 50, &reply, &error), CAIRN_TIMEOUT);
    ck_assert_int_ge(clock_ms() - begin_ms, 50);
    ck_assert_msg(strstr(error.message, rig.endpoint) != NULL, "%s", error.message);
    ck_assert_int_eq(requester_receive(rig.requester, 0, &reply, &error), CAIRN_TIMEOUT);
    rig_close(&rig);
}
END_TEST

START_TEST(a_coordinator_may_come_late)
{
    struct rig rig;

    rig_open(&rig);
    requester_free(rig.requester);
    free_endpoint(rig.endpoint);
    ck_assert_int_eq(requester_new(rig.context, rig.endpoint, &rig.requester, NULL), CAIRN_OK);
    ask(&rig, "mnist-1");
    ck_assert_int_eq(zmq_bind(rig.router, rig.endpoint), 0);
    take_request(&rig, "mnist-1");
    rig_close(&rig);
}
END_TEST

START_TEST(who_is_no_coordinator_is_told_apart)
{
    Cairn__ClientReply *reply = NULL;
    struct frames out;
    struct rig rig;
    struct error error;

    rig_open(&rig);
    ask(&rig, "mnist-1");
    take_request(&rig, "mnist-1");
    frames_init(&out);
    ck_assert_int_eq(frames_append_copy(&out, frames_data(&rig.in, 0), frames_length(&rig.in, 0)), CAIRN_OK);
    if (_i == 1) /* with a delimiter, but noise after it */
        ck_assert_int_eq(frames_append_copy(&out, NULL, 0), CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, "\xff", 1), CAIRN_OK);
    ck_assert_int_eq(frames_send(rig.router, &out, NULL), CAIRN_OK);
    ck_assert_int_eq(requester_receive(rig.requester, PATIENCE_MS, &reply, &error), CAIRN_PROTOCOL);
    ck_assert_msg(strstr(error.message, rig.endpoint) != NULL, "%s", error.message);
    rig_close(&rig);
}
END_TEST

static void on_alarm(int number)
{
    (void)number;
}

START_TEST(a_signal_ends_the_wait)
{
    /* It repeats, lest the first come before the wait begins. */
    const struct itimerval soon = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
    const struct sigaction action = {.sa_handler = on_alarm};
    Cairn__ClientReply *reply = NULL;
    struct rig rig;
    struct error error;

    rig_open(&rig);
    ask(&rig, "mnist-1");
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
    ck_assert_int_eq(requester_receive(rig.requester, -1, &reply, &error), CAIRN_AGAIN);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    rig_close(&rig);
}
END_TEST

START_TEST(a_bad_endpoint_is_invalid)
{
    void *context = zmq_ctx_new();
    struct requester *requester = NULL;
    struct error error;

    ck_assert_int_eq(requester_new(context, "nonsense", &requester, &error), CAIRN_INVALID);
    ck_assert(strstr(error.message, "nonsense"));
    ck_assert_ptr_null(requester);
    requester_free(NULL);
    zmq_ctx_term(context);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("request");
    TCase *tests = tcase_create("request");

    tcase_add_test(tests, a_request_may_have_many_replies);
    tcase_add_test(tests, replies_to_older_requests_are_dropped);
    tcase_add_test(tests, an_error_reply_is_invalid_with_its_message);
    tcase_add_test(tests, a_silent_coordinator_is_named);
    tcase_add_test(tests, a_coordinator_may_come_late);
    tcase_add_loop_test(tests, who_is_no_coordinator_is_told_apart, 0, 2);
    tcase_add_test(tests, a_signal_ends_the_wait);
    tcase_add_test(tests, a_bad_endpoint_is_invalid);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
