/* Requests about one job. Knows nothing of what is in a job. */
#include "request_job.h"

#include <inttypes.h>
#include <stdio.h>

static enum status ask(struct requester *requester, Cairn__ClientRequest *request,
                       Cairn__ClientReply__BodyCase expected, Cairn__ClientReply **reply, struct error *error)
{
    enum status status = requester_send(requester, request, error);

    return status == CAIRN_OK ? requester_expect(requester, REQUEST_ANSWER_MS, expected, reply, error)
                              : status;
}

static enum status submit(struct requester *requester, const Cairn__JobText *text, bool resume, bool join,
                          Cairn__ClientReply **reply, struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__SubmitRequest body = CAIRN__SUBMIT_REQUEST__INIT;

    body.text = (Cairn__JobText *)text;
    body.resume = resume;
    body.join = join;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_SUBMIT;
    request.submit = &body;
    return ask(requester, &request, CAIRN__CLIENT_REPLY__BODY_JOB, reply, error);
}

enum status request_submit(struct requester *requester, const Cairn__JobText *text, bool resume,
                           Cairn__ClientReply **reply, struct error *error)
{
    return submit(requester, text, resume, false, reply, error);
}

enum status request_join(struct requester *requester, const Cairn__JobText *text, bool resume,
                         Cairn__ClientReply **reply, struct error *error)
{
    return submit(requester, text, resume, true, reply, error);
}

enum status request_status(struct requester *requester, const char *job, Cairn__ClientReply **reply,
                           struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__JobRequest body = CAIRN__JOB_REQUEST__INIT;

    body.job = (char *)job;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_JOB;
    request.job = &body;
    return ask(requester, &request, CAIRN__CLIENT_REPLY__BODY_JOB, reply, error);
}

enum status request_id(struct requester *requester, const char *job, char id[REQUEST_ID_BYTES],
                       struct error *error)
{
    Cairn__ClientReply *reply;
    enum status status = request_status(requester, job, &reply, error);

    if (status != CAIRN_OK)
        return status;
    snprintf(id, REQUEST_ID_BYTES, "%s", reply->job->id);
    cairn__client_reply__free_unpacked(reply, NULL);
    return CAIRN_OK;
}

enum status request_stop(struct requester *requester, const char *job, Cairn__ClientReply **reply,
                         struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__StopRequest body = CAIRN__STOP_REQUEST__INIT;

    body.job = (char *)job;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_STOP;
    request.stop = &body;
    return ask(requester, &request, CAIRN__CLIENT_REPLY__BODY_JOB, reply, error);
}

enum status request_scale(struct requester *requester, const char *job, uint32_t workers, uint32_t servers,
                          Cairn__ClientReply **reply, struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__ScaleRequest body = CAIRN__SCALE_REQUEST__INIT;

    body.job = (char *)job;
    body.workers = workers;
    body.servers = servers;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_SCALE;
    request.scale = &body;
    return ask(requester, &request, CAIRN__CLIENT_REPLY__BODY_JOB, reply, error);
}

/* body is the request's from now on. */
static Cairn__ClientRequest locate_request(Cairn__LocateRequest *body, const char *job, bool live)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;

    cairn__locate_request__init(body);
    body->job = (char *)job;
    body->live = live;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_LOCATE;
    request.locate = body;
    return request;
}

enum status request_locate(struct requester *requester, const char *job, Cairn__ClientReply **reply,
                           struct error *error)
{
    Cairn__LocateRequest body;
    Cairn__ClientRequest request = locate_request(&body, job, false);

    return ask(requester, &request, CAIRN__CLIENT_REPLY__BODY_LOCATION, reply, error);
}

enum status request_locate_live_begin(struct requester *requester, const char *job, struct error *error)
{
    Cairn__LocateRequest body;
    Cairn__ClientRequest request = locate_request(&body, job, true);

    return requester_send(requester, &request, error);
}

enum status request_locate_live_end(struct requester *requester, Cairn__ClientReply **reply,
                                    struct error *error)
{
    enum status status;

    for (;;) {
        status = requester_expect(requester, 0, CAIRN__CLIENT_REPLY__BODY_LOCATION, reply, error);
        if (status != CAIRN_OK || (*reply)->location->n_shards > 0)
            return status;
        cairn__client_reply__free_unpacked(*reply, NULL); /* a sign of life */
        *reply = NULL;
    }
}

/* ---- waiting */

static bool state_has_ended(Cairn__JobState state)
{
    return state == CAIRN__JOB_STATE__JOB_STATE_COMPLETED || state == CAIRN__JOB_STATE__JOB_STATE_STOPPED ||
           state == CAIRN__JOB_STATE__JOB_STATE_FAILED;
}

static enum status watch(struct requester *requester, const char *job, const struct request_wait *wait,
                         Cairn__ClientReply **reply, struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__WatchRequest body = CAIRN__WATCH_REQUEST__INIT;

    body.job = (char *)job;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_WATCH;
    request.watch = &body;
    return requester_follow(requester, &request, wait, reply, error);
}

static bool take_end(void *context, const Cairn__ClientReply *reply)
{
    const struct request_viewer *viewer = context;

    if (viewer)
        viewer->show(viewer->context, reply->job);
    return state_has_ended(reply->job->state);
}

enum status request_ended(struct requester *requester, const char *job, const struct request_viewer *viewer,
                          Cairn__ClientReply **reply, struct error *error)
{
    const struct request_wait wait = {CAIRN__CLIENT_REPLY__BODY_JOB, take_end, (void *)viewer, -1};

    return watch(requester, job, &wait, reply, error);
}

/* context: what the job waits for, to tell when the wait is over; room for a line. */
#define REASON_BYTES 256

/* Whether a job that does not run may do so yet, by itself. */
static bool may_run(Cairn__JobState state)
{
    return state == CAIRN__JOB_STATE__JOB_STATE_PENDING || state == CAIRN__JOB_STATE__JOB_STATE_PREPARING ||
           state == CAIRN__JOB_STATE__JOB_STATE_WAITING;
}

static bool take_running(void *context, const Cairn__ClientReply *reply)
{
    snprintf(context, REASON_BYTES, "%s", reply->job->reason);
    return !may_run(reply->job->state);
}

enum status request_running(struct requester *requester, const char *job, int timeout_ms,
                            Cairn__ClientReply **reply, struct error *error)
{
    char reason[REASON_BYTES] = "";
    const struct request_wait wait = {CAIRN__CLIENT_REPLY__BODY_JOB, take_running, reason, timeout_ms};
    enum status status = watch(requester, job, &wait, reply, error);

    if (status == CAIRN_TIMEOUT && reason[0] != '\0')
        return error_set(error, CAIRN_TIMEOUT, "%s does not run after %d ms: %s", job, timeout_ms, reason);
    if (status != CAIRN_OK || (*reply)->job->state == CAIRN__JOB_STATE__JOB_STATE_RUNNING)
        return status;
    status = error_set(error, CAIRN_CLOSED, "%s runs no more%s%s", (*reply)->job->id, reason[0] ? ": " : "",
                       reason);
    cairn__client_reply__free_unpacked(*reply, NULL);
    *reply = NULL;
    return status;
}

static bool take_location(void *context, const Cairn__ClientReply *reply)
{
    (void)context;
    return reply->location->n_shards > 0;
}

enum status request_locate_live(struct requester *requester, const char *job, int timeout_ms,
                                Cairn__ClientReply **reply, struct error *error)
{
    const struct request_wait wait = {CAIRN__CLIENT_REPLY__BODY_LOCATION, take_location, NULL, timeout_ms};
    Cairn__LocateRequest body;
    Cairn__ClientRequest request = locate_request(&body, job, true);

    return requester_follow(requester, &request, &wait, reply, error);
}

static bool take_committed(void *context, const Cairn__ClientReply *reply)
{
    const uint64_t *step = context;

    return reply->job->committed_step >= *step;
}

enum status request_commit(struct requester *requester, const char *job, uint64_t step, int timeout_ms,
                           uint64_t *committed_step, struct error *error)
{
    const struct request_wait wait = {CAIRN__CLIENT_REPLY__BODY_JOB, take_committed, &step, timeout_ms};
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__CommitRequest body = CAIRN__COMMIT_REQUEST__INIT;
    Cairn__ClientReply *reply;
    enum status status;

    body.job = (char *)job;
    body.step = step;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_COMMIT;
    request.commit = &body;
    status = requester_follow(requester, &request, &wait, &reply, error);
    if (status != CAIRN_OK)
        return status;
    *committed_step = reply->job->committed_step;
    cairn__client_reply__free_unpacked(reply, NULL);
    return CAIRN_OK;
}

static bool take_table(void *context, const Cairn__ClientReply *reply)
{
    uint32_t *number = context;

    *number = reply->table->number;
    return *number != 0;
}

enum status request_table(struct requester *requester, const char *job, const char *text, int timeout_ms,
                          uint32_t *number, struct error *error)
{
    const struct request_wait wait = {CAIRN__CLIENT_REPLY__BODY_TABLE, take_table, number, timeout_ms};
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__TableRequest body = CAIRN__TABLE_REQUEST__INIT;
    Cairn__ClientReply *reply;
    enum status status;

    body.job = (char *)job;
    body.text = (char *)text;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_TABLE;
    request.table = &body;
    status = requester_follow(requester, &request, &wait, &reply, error);
    if (status == CAIRN_OK)
        cairn__client_reply__free_unpacked(reply, NULL);
    return status;
}
