/* Requests about one job against a coordinator that a thread of the test plays: it takes each request of a
 * script in turn and sends its replies. */
#include "check_main.h"
#include "sockets.h"

#include "net/wire.h"
#include "request_job.h"

#include <pthread.h>
#include <string.h>

#define STATE(name) CAIRN__JOB_STATE__JOB_STATE_##name
#define REPLIES_MAX 4

/* A reply: an error when it has a text, else a status (or the location that was asked for). */
struct line {
    const char *error;
    Cairn__JobState state;
    uint64_t committed_step;
    const char *reason;
};

/* What is asked, and the replies to it. */
struct scene {
    Cairn__ClientRequest__BodyCase asked;
    size_t reply_count;
    struct line replies[REPLIES_MAX];
};

struct rig {
    void *context, *router;
    char endpoint[ENDPOINT_BYTES];
    struct requester *requester;
    const struct scene *scenes;
    size_t scene_count;
    uint64_t asked_step; /* of the last commit */
    uint32_t asked_workers, asked_servers; /* of the last scale */
    bool asked_live;
    pthread_t thread;
};

static void send_reply(struct rig *rig, struct frames *in, Cairn__ClientReply *reply)
{
    unsigned char bytes[512];
    struct frames out;

    reply->protocol = PROTOCOL_VERSION;
    ck_assert_uint_le(cairn__client_reply__get_packed_size(reply), sizeof(bytes));
    frames_init(&out);
    ck_assert_int_eq(frames_append_copy(&out, frames_data(in, 0), frames_length(in, 0)), CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, NULL, 0), CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, bytes, cairn__client_reply__pack(reply, bytes)), CAIRN_OK);
    ck_assert_int_eq(frames_send(rig->router, &out, NULL), CAIRN_OK);
}

static void play_line(struct rig *rig, struct frames *in, const Cairn__ClientRequest *request,
                      const struct line *line)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;
    Cairn__JobStatus status = CAIRN__JOB_STATUS__INIT;
    Cairn__ErrorReply error = CAIRN__ERROR_REPLY__INIT;
    Cairn__LocationReply location = CAIRN__LOCATION_REPLY__INIT;
    Cairn__JobText text = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shard = CAIRN__SHARD__INIT, *shards[] = {&shard};
    uint32_t slots[] = {0};

    reply.number = request->number;
    if (line->error) {
        error.message = (char *)line->error;
        reply.body_case = CAIRN__CLIENT_REPLY__BODY_ERROR;
        reply.error = &error;
    } else if (request->body_case == CAIRN__CLIENT_REQUEST__BODY_LOCATE) {
        text.text = "name: shelf";
        location.job_id = "shelf-1";
        location.text = &text;
        shard.server = "s1";
        shard.endpoint = "tcp://h:1";
        if (line->state == STATE(RUNNING)) {
            location.n_shards = location.n_slot_shards = 1;
            location.shards = shards;
            location.slot_shards = slots;
        }
        reply.body_case = CAIRN__CLIENT_REPLY__BODY_LOCATION;
        reply.location = &location;
    } else {
        status.id = "shelf-1";
        status.state = line->state;
        status.committed_step = line->committed_step;
        status.reason = line->reason ? (char *)line->reason : "";
        reply.body_case = CAIRN__CLIENT_REPLY__BODY_JOB;
        reply.job = &status;
    }
    send_reply(rig, in, &reply);
}

static void play_scene(struct rig *rig, const struct scene *scene)
{
    Cairn__ClientRequest *request = NULL;
    struct error error = {.message = ""};
    struct frames in;

    frames_init(&in);
    receive_soon(rig->router, &in);
    ck_assert_uint_eq(in.count, 3);
    ck_assert_msg(wire_client_request_unpack(frames_data(&in, 2), frames_length(&in, 2), &request, &error) ==
                      CAIRN_OK,
                  "%s", error.message);
    ck_assert_int_eq(request->body_case, scene->asked);
    if (request->body_case == CAIRN__CLIENT_REQUEST__BODY_COMMIT)
        rig->asked_step = request->commit->step;
    if (request->body_case == CAIRN__CLIENT_REQUEST__BODY_SCALE) {
        rig->asked_workers = request->scale->workers;
        rig->asked_servers = request->scale->servers;
    }
    if (request->body_case == CAIRN__CLIENT_REQUEST__BODY_LOCATE)
        rig->asked_live = request->locate->live;
    for (size_t i = 0; i < scene->reply_count; i++)
        play_line(rig, &in, request, &scene->replies[i]);
    cairn__client_request__free_unpacked(request, NULL);
    frames_clear(&in);
}

static void *play(void *context)
{
    struct rig *rig = context;

    for (size_t i = 0; i < rig->scene_count; i++)
        play_scene(rig, &rig->scenes[i]);
    return NULL;
}

static void rig_open(struct rig *rig, const struct scene *scenes, size_t count)
{
    struct error error = {.message = ""};

    memset(rig, 0, sizeof(*rig));
    rig->context = zmq_ctx_new();
    rig->router = bound_socket(rig->context, ZMQ_ROUTER, rig->endpoint);
    rig->scenes = scenes;
    rig->scene_count = count;
    ck_assert_msg(requester_new(rig->context, rig->endpoint, &rig->requester, &error) == CAIRN_OK, "%s",
                  error.message);
    ck_assert_int_eq(pthread_create(&rig->thread, NULL, play, rig), 0);
}
#define OPEN(rig, scenes) rig_open(rig, scenes, sizeof(scenes) / sizeof(scenes[0]))

static void rig_close(struct rig *rig)
{
    ck_assert_int_eq(pthread_join(rig->thread, NULL), 0);
    requester_free(rig->requester);
    zmq_close(rig->router);
    zmq_ctx_term(rig->context);
}

/* ---- requests with one answer */

START_TEST(submit_status_and_stop_give_the_status)
{
    static const struct scene scenes[] = {
        {CAIRN__CLIENT_REQUEST__BODY_SUBMIT, 1, {{.state = STATE(PENDING)}}},
        {CAIRN__CLIENT_REQUEST__BODY_JOB, 1, {{.state = STATE(RUNNING)}}},
        {CAIRN__CLIENT_REQUEST__BODY_STOP, 1, {{.state = STATE(STOPPED)}}},
    };
    Cairn__JobText text = CAIRN__JOB_TEXT__INIT;
    Cairn__ClientReply *reply;
    struct rig rig;

    OPEN(&rig, scenes);
    text.text = "name: shelf";
    ck_assert_int_eq(request_submit(rig.requester, &text, false, &reply, NULL), CAIRN_OK);
    ck_assert_str_eq(reply->job->id, "shelf-1");
    cairn__client_reply__free_unpacked(reply, NULL);
    ck_assert_int_eq(request_status(rig.requester, "shelf", &reply, NULL), CAIRN_OK);
    ck_assert_int_eq(reply->job->state, STATE(RUNNING));
    cairn__client_reply__free_unpacked(reply, NULL);
    ck_assert_int_eq(request_stop(rig.requester, "shelf", &reply, NULL), CAIRN_OK);
    ck_assert_int_eq(reply->job->state, STATE(STOPPED));
    cairn__client_reply__free_unpacked(reply, NULL);
    rig_close(&rig);
}
END_TEST

START_TEST(scale_says_how_many)
{
    static const struct scene scenes[] = {
        {CAIRN__CLIENT_REQUEST__BODY_SCALE, 1, {{.state = STATE(RUNNING)}}},
        {CAIRN__CLIENT_REQUEST__BODY_SCALE, 1, {{.error = "shelf-1 has ended"}}},
    };
    Cairn__ClientReply *reply;
    struct rig rig;
    struct error error;

    OPEN(&rig, scenes);
    ck_assert_int_eq(request_scale(rig.requester, "shelf", 3, 0, &reply, NULL), CAIRN_OK);
    ck_assert_str_eq(reply->job->id, "shelf-1");
    cairn__client_reply__free_unpacked(reply, NULL);
    ck_assert_int_eq(request_scale(rig.requester, "shelf", 4, 2, &reply, &error), CAIRN_INVALID);
    ck_assert_str_eq(error.message, "shelf-1 has ended");
    rig_close(&rig);
    ck_assert_uint_eq(rig.asked_workers, 4);
    ck_assert_uint_eq(rig.asked_servers, 2);
}
END_TEST

START_TEST(locate_says_whether_it_means_the_live_job)
{
    static const struct scene scenes[] = {
        {CAIRN__CLIENT_REQUEST__BODY_LOCATE, 2, {{.state = STATE(WAITING)}, {.state = STATE(RUNNING)}}},
        {CAIRN__CLIENT_REQUEST__BODY_LOCATE, 1, {{.error = "shelf-1 does not run"}}},
    };
    Cairn__ClientReply *reply;
    struct rig rig;
    struct error error;

    OPEN(&rig, scenes);
    ck_assert_int_eq(request_locate_live(rig.requester, "shelf", PATIENCE_MS, &reply, NULL), CAIRN_OK);
    ck_assert(rig.asked_live);
    ck_assert_str_eq(reply->location->job_id, "shelf-1");
    ck_assert_uint_eq(reply->location->n_shards, 1); /* the first reply had none: not yet */
    cairn__client_reply__free_unpacked(reply, NULL);
    ck_assert_int_eq(request_locate(rig.requester, "shelf", &reply, &error), CAIRN_INVALID);
    ck_assert_str_eq(error.message, "shelf-1 does not run");
    rig_close(&rig);
    ck_assert(!rig.asked_live);
}
END_TEST

START_TEST(answers_of_another_kind_are_no_answers)
{
    static const struct scene scenes[] = {{CAIRN__CLIENT_REQUEST__BODY_LOCATE, 1, {{.error = NULL}}}};
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__LocateRequest body = CAIRN__LOCATE_REQUEST__INIT;
    Cairn__ClientReply *reply;
    struct rig rig;
    struct error error;

    OPEN(&rig, scenes);
    body.job = "shelf";
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_LOCATE;
    request.locate = &body;
    ck_assert_int_eq(requester_send(rig.requester, &request, NULL), CAIRN_OK);
    ck_assert_int_eq(
        requester_expect(rig.requester, PATIENCE_MS, CAIRN__CLIENT_REPLY__BODY_JOB, &reply, &error),
        CAIRN_PROTOCOL);
    ck_assert_ptr_null(reply);
    rig_close(&rig);
}
END_TEST

/* ---- waiting */

START_TEST(running_is_waited_for)
{
    static const struct scene scenes[] = {{CAIRN__CLIENT_REQUEST__BODY_WATCH,
                                           4,
                                           {{.state = STATE(PENDING), .reason = "waits for 1 more server"},
                                            {.state = STATE(PREPARING)},
                                            {.state = STATE(WAITING), .reason = "waits for server s1"},
                                            {.state = STATE(RUNNING)}}}};
    Cairn__ClientReply *reply;
    struct rig rig;

    OPEN(&rig, scenes);
    ck_assert_int_eq(request_running(rig.requester, "shelf", PATIENCE_MS, &reply, NULL), CAIRN_OK);
    ck_assert_int_eq(reply->job->state, STATE(RUNNING));
    cairn__client_reply__free_unpacked(reply, NULL);
    rig_close(&rig);
}
END_TEST

START_TEST(a_job_that_ended_does_not_run)
{
    static const struct scene scenes[] = {
        {CAIRN__CLIENT_REQUEST__BODY_WATCH,
         2,
         {{.state = STATE(PREPARING)}, {.state = STATE(FAILED), .reason = "s1: disk full"}}}};
    Cairn__ClientReply *reply;
    struct rig rig;
    struct error error;

    OPEN(&rig, scenes);
    ck_assert_int_eq(request_running(rig.requester, "shelf", -1, &reply, &error), CAIRN_CLOSED);
    ck_assert_str_eq(error.message, "shelf-1 runs no more: s1: disk full");
    ck_assert_ptr_null(reply);
    rig_close(&rig);
}
END_TEST

START_TEST(a_wait_in_vain_tells_what_for)
{
    static const struct scene scenes[] = {{CAIRN__CLIENT_REQUEST__BODY_WATCH,
                                           1,
                                           {{.state = STATE(PENDING), .reason = "waits for 1 more server"}}}};
    Cairn__ClientReply *reply;
    struct rig rig;
    struct error error;

    OPEN(&rig, scenes);
    ck_assert_int_eq(request_running(rig.requester, "shelf", 100, &reply, &error), CAIRN_TIMEOUT);
    ck_assert_str_eq(error.message, "shelf does not run after 100 ms: waits for 1 more server");
    rig_close(&rig);
}
END_TEST

static void count_status(void *context, const Cairn__JobStatus *status)
{
    ck_assert_str_eq(status->id, "shelf-1");
    ++*(int *)context;
}

START_TEST(the_end_is_waited_for)
{
    int shown = 0;
    const struct request_viewer viewer = {count_status, &shown};
    static const struct scene scenes[] = {
        {CAIRN__CLIENT_REQUEST__BODY_WATCH, 2, {{.state = STATE(RUNNING)}, {.state = STATE(STOPPED)}}}};
    Cairn__ClientReply *reply;
    struct rig rig;

    OPEN(&rig, scenes);
    ck_assert_int_eq(request_ended(rig.requester, "shelf", &viewer, &reply, NULL), CAIRN_OK);
    ck_assert_int_eq(shown, 2);
    ck_assert_int_eq(reply->job->state, STATE(STOPPED));
    cairn__client_reply__free_unpacked(reply, NULL);
    rig_close(&rig);
}
END_TEST

START_TEST(a_commit_is_waited_for)
{
    static const struct scene scenes[] = {
        {CAIRN__CLIENT_REQUEST__BODY_COMMIT,
         2,
         {{.state = STATE(RUNNING), .committed_step = 0}, {.state = STATE(RUNNING), .committed_step = 8}}}};
    uint64_t committed_step = 0;
    struct rig rig;

    OPEN(&rig, scenes);
    ck_assert_int_eq(request_commit(rig.requester, "shelf", 7, PATIENCE_MS, &committed_step, NULL), CAIRN_OK);
    ck_assert_uint_eq(committed_step, 8);
    rig_close(&rig);
    ck_assert_uint_eq(rig.asked_step, 7);
}
END_TEST

START_TEST(a_refused_commit_says_why)
{
    static const struct scene scenes[] = {
        {CAIRN__CLIENT_REQUEST__BODY_COMMIT, 1, {{.error = "s1: table a is at version 9 already"}}},
        {CAIRN__CLIENT_REQUEST__BODY_COMMIT, 1, {{.state = STATE(RUNNING), .committed_step = 3}}}};
    uint64_t committed_step = 55;
    struct rig rig;
    struct error error;

    OPEN(&rig, scenes);
    ck_assert_int_eq(request_commit(rig.requester, "shelf", 7, -1, &committed_step, &error), CAIRN_INVALID);
    ck_assert_str_eq(error.message, "s1: table a is at version 9 already");
    ck_assert_int_eq(request_commit(rig.requester, "shelf", 7, 100, &committed_step, &error), CAIRN_TIMEOUT);
    ck_assert_uint_eq(committed_step, 55);
    rig_close(&rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("request_job");
    TCase *once = tcase_create("once"), *wait = tcase_create("wait");

    tcase_add_test(once, submit_status_and_stop_give_the_status);
    tcase_add_test(once, scale_says_how_many);
    tcase_add_test(once, locate_says_whether_it_means_the_live_job);
    tcase_add_test(once, answers_of_another_kind_are_no_answers);
    suite_add_tcase(suite, once);
    tcase_add_test(wait, running_is_waited_for);
    tcase_add_test(wait, a_job_that_ended_does_not_run);
    tcase_add_test(wait, a_wait_in_vain_tells_what_for);
    tcase_add_test(wait, the_end_is_waited_for);
    tcase_add_test(wait, a_commit_is_waited_for);
    tcase_add_test(wait, a_refused_commit_says_why);
    suite_add_tcase(suite, wait);
    return suite;
}

CHECK_MAIN(make_suite)
