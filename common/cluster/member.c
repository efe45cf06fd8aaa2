/* A node's connection to the coordinator. Knows nothing of jobs.
 *
 * A process that is killed closes its connections: so the end of a coordinator is known at once, without
 * waiting for its silence, and the next connection begins with a registration, as nobody knows us there.
 *
 * The coordinator answers every registration and every heartbeat of a node that it knows with a Welcome, so
 * silence means that it is gone, or stopped for a while, or has forgotten us. After a lease of silence we
 * register again by the same connection: a coordinator that was only stopped finds its node as it left it.
 * One that has forgotten us says so (RegisterCommand) to whatever it hears of us, so perhaps to several
 * messages: we register at once, but once a heartbeat. After some leases the connection itself is made anew:
 * what waited in its queue was meant for somebody who has given us up by then, and a half-open connection is
 * left behind with it. No heartbeats are sent until there is a Welcome. */
#include "cluster/member.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/frames.h"
#include "net/link_watch.h"
#include "net/wire.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Until a Welcome says otherwise. */
#define FIRST_LEASE_MS 3000
/* Registrations without an answer after which the connection is made anew. */
#define REGISTRATIONS_A_CONNECTION 3
/* How often a node that waits says so. */
#define WAIT_LOG_MS 60000
/* How long a Leave may take to get out. */
#define LEAVE_LINGER_MS 500
/* The longest pause between attempts to connect. */
#define RECONNECT_MAX_MS 1000

struct member {
    void *socket;
    char *endpoint;
    const Cairn__Registration *registration;
    Cairn__Engagement *engagements; /* [engaged, of engagement_room] */
    size_t engaged, engagement_room;
    bool is_registered; /* the last registration was welcomed */
    bool is_welcomed;   /* and the owner was not told yet */
    bool has_waited;    /* it was logged that we wait */
    bool is_cut;        /* there is no connection */
    bool is_new;        /* no registration was sent since the connection ended */
    struct link_watch link;
    uint32_t lease_ms, heartbeat_ms;
    int registrations;     /* by this connection since the coordinator last spoke */
    int64_t registered_ms; /* when we last registered */
    int64_t heard_ms;      /* when the coordinator last spoke to a node that it knows */
    int64_t listening_ms;  /* the later of the two */
    int64_t asked_ms;     /* when we last sent what the coordinator answers: reports do not count */
    int64_t wait_log_ms;  /* when it was last logged that we wait */
    struct frames frames; /* of the message in hand */
};

static enum status send_now(struct member *member, Cairn__NodeMessage *message, struct error *error)
{
    struct frames *frames = &member->frames;
    unsigned char *packed;
    enum status status;
    size_t length;

    message->protocol = PROTOCOL_VERSION;
    length = cairn__node_message__get_packed_size(message);
    packed = malloc(length);
    if (!packed)
        return error_set(error, CAIRN_NO_MEMORY, "member: out of memory");
    cairn__node_message__pack(message, packed);
    status = frames_append_copy(frames, packed, length);
    free(packed);
    if (status != CAIRN_OK)
        return error_set(error, status, "member: out of memory");
    status = frames_send(member->socket, frames, error);
    if (status == CAIRN_AGAIN)
        return error_set(error, CAIRN_AGAIN,
                         "the coordinator at %s has been away for too long: its queue is full",
                         member->endpoint);
    return status;
}

/* Connects: a new connection each time, and so a new identity at the coordinator's end. */
static enum status reconnect(struct member *member, struct error *error)
{
    if (zmq_connect(member->socket, member->endpoint) != 0)
        return error_set(error, CAIRN_INVALID, "cannot connect to a coordinator at \"%s\": %s",
                         member->endpoint, zmq_strerror(zmq_errno()));
    member->registrations = 0;
    return CAIRN_OK;
}

static enum status send_registration(struct member *member, struct error *error)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Registration body = *member->registration;
    enum status status;

    body.engagements = calloc(member->engaged + 1, sizeof(body.engagements[0]));
    if (!body.engagements)
        return error_set(error, CAIRN_NO_MEMORY, "member: out of memory");
    for (size_t i = 0; i < member->engaged; i++)
        body.engagements[i] = &member->engagements[i];
    body.n_engagements = member->engaged;
    member->is_registered = false;
    member->is_new = false;
    member->registrations++;
    member->registered_ms = member->listening_ms = member->asked_ms = clock_ms();
    message.body_case = CAIRN__NODE_MESSAGE__BODY_REGISTRATION;
    message.registration = &body;
    status = send_now(member, &message, error);
    free(body.engagements);
    return status;
}

static enum status socket_init(struct member *member, void *zmq_context, struct error *error)
{
    const int none = 0, reconnect_ms = RECONNECT_MAX_MS;

    member->socket = zmq_socket(zmq_context, ZMQ_DEALER);
    if (!member->socket)
        return error_system(error, zmq_errno(), "member: cannot make a socket");
    if (zmq_setsockopt(member->socket, ZMQ_LINGER, &none, sizeof(none)) != 0 ||
        zmq_setsockopt(member->socket, ZMQ_RECONNECT_IVL_MAX, &reconnect_ms, sizeof(reconnect_ms)) != 0)
        return error_set(error, CAIRN_IO, "member: cannot set up a socket: %s", zmq_strerror(zmq_errno()));
    return link_watch_open(&member->link, zmq_context, member->socket, error);
}

enum status member_new(void *zmq_context, const char *endpoint, const Cairn__Registration *registration,
                       struct member **out, struct error *error)
{
    struct member *member = calloc(1, sizeof(*member));
    enum status status;

    if (!member)
        return error_set(error, CAIRN_NO_MEMORY, "member: out of memory");
    frames_init(&member->frames);
    member->registration = registration;
    member->lease_ms = FIRST_LEASE_MS;
    member->heartbeat_ms = FIRST_LEASE_MS;
    member->endpoint = strdup(endpoint);
    status = member->endpoint ? socket_init(member, zmq_context, error)
                              : error_set(error, CAIRN_NO_MEMORY, "member: out of memory");
    if (status == CAIRN_OK)
        status = reconnect(member, error);
    if (status == CAIRN_OK)
        status = send_registration(member, error);
    if (status != CAIRN_OK) {
        member_free(member, NULL);
        return status;
    }
    *out = member;
    return CAIRN_OK;
}

static void leave(struct member *member, const char *reason)
{
    const int linger_ms = LEAVE_LINGER_MS;
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Leave body = CAIRN__LEAVE__INIT;
    struct error error;

    if (reason)
        body.reason = (char *)reason;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_LEAVE;
    message.leave = &body;
    zmq_setsockopt(member->socket, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
    if (send_now(member, &message, &error) != CAIRN_OK)
        log_debug("leave_not_sent", "reason=\"%s\"", error.message);
}

void member_free(struct member *member, const char *reason)
{
    if (!member)
        return;
    if (member->socket && member->is_registered)
        leave(member, reason);
    frames_clear(&member->frames);
    link_watch_close(&member->link);
    if (member->socket)
        zmq_close(member->socket);
    free(member->engagements);
    free(member->endpoint);
    free(member);
}

/* ---- what the node is at work on */

static Cairn__Engagement *engagement_find(const struct member *member, uint64_t job)
{
    for (size_t i = 0; i < member->engaged; i++) {
        if (member->engagements[i].job == job)
            return &member->engagements[i];
    }
    return NULL;
}

static enum status engagement_room(struct member *member, struct error *error)
{
    size_t room = member->engagement_room ? 2 * member->engagement_room : 4;
    Cairn__Engagement *engagements;

    if (member->engaged < member->engagement_room)
        return CAIRN_OK;
    engagements = realloc(member->engagements, room * sizeof(*engagements));
    if (!engagements)
        return error_set(error, CAIRN_NO_MEMORY, "member: out of memory");
    member->engagements = engagements;
    member->engagement_room = room;
    return CAIRN_OK;
}

enum status member_engage(struct member *member, uint64_t job, uint64_t incarnation, struct error *error)
{
    Cairn__Engagement *engagement = engagement_find(member, job);

    if (!engagement) {
        enum status status = engagement_room(member, error);

        if (status != CAIRN_OK)
            return status;
        engagement = &member->engagements[member->engaged++];
        cairn__engagement__init(engagement);
        engagement->job = job;
    }
    engagement->incarnation = incarnation;
    return CAIRN_OK;
}

void member_disengage(struct member *member, uint64_t job, uint64_t incarnation)
{
    Cairn__Engagement *engagement = engagement_find(member, job);

    if (engagement && engagement->incarnation == incarnation)
        *engagement = member->engagements[--member->engaged];
}

/* ---- when something is due */

void *member_socket(const struct member *member)
{
    return member->socket;
}

void *member_link(const struct member *member)
{
    return member->link.reader;
}

/* When the coordinator has been silent for two heartbeats. */
static int64_t hearing_ends_ms(const struct member *member)
{
    return member->heard_ms + 2 * (int64_t)member->heartbeat_ms;
}

bool member_take_welcome(struct member *member)
{
    bool is_welcomed = member->is_welcomed;

    member->is_welcomed = false;
    return is_welcomed;
}

bool member_hears(const struct member *member)
{
    return member->is_registered && !member->is_cut && clock_ms() < hearing_ends_ms(member);
}

/* A heartbeat that waits for a connection would only come before the registration there. */
static bool may_beat(const struct member *member)
{
    return member->is_registered && !member->is_cut;
}

int64_t member_deadline_ms(const struct member *member)
{
    int64_t deadline_ms = member->listening_ms + member->lease_ms;
    int64_t heartbeat_ms = member->asked_ms + member->heartbeat_ms;

    if (may_beat(member) && heartbeat_ms < deadline_ms)
        deadline_ms = heartbeat_ms;
    if (member_hears(member) && hearing_ends_ms(member) < deadline_ms)
        deadline_ms = hearing_ends_ms(member);
    return deadline_ms;
}

/* ---- what is due */

static void log_waiting(struct member *member, int64_t now_ms)
{
    if (member->has_waited && now_ms - member->wait_log_ms < WAIT_LOG_MS)
        return;
    log_info("waiting_for_coordinator", "endpoint=%s", member->endpoint);
    member->has_waited = true;
    member->wait_log_ms = now_ms;
}

static enum status register_again(struct member *member, int64_t now_ms, struct error *error)
{
    enum status status = CAIRN_OK;

    log_waiting(member, now_ms);
    if (member->registrations >= REGISTRATIONS_A_CONNECTION) {
        if (zmq_disconnect(member->socket, member->endpoint) != 0)
            return error_set(error, CAIRN_IO, "cannot disconnect from %s: %s", member->endpoint,
                             zmq_strerror(zmq_errno()));
        status = reconnect(member, error);
    }
    return status == CAIRN_OK ? send_registration(member, error) : status;
}

static enum status heartbeat(struct member *member, struct error *error)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Heartbeat body = CAIRN__HEARTBEAT__INIT;
    enum status status;

    message.body_case = CAIRN__NODE_MESSAGE__BODY_HEARTBEAT;
    message.heartbeat = &body;
    status = send_now(member, &message, error);
    member->asked_ms = clock_ms(); /* a heartbeat that found no room is not tried again at once */
    return status == CAIRN_AGAIN ? CAIRN_OK : status;
}

/* What has become of the connection. */
static enum status look_at_link(struct member *member, struct error *error)
{
    enum link_news news;

    while ((news = link_watch_take(&member->link)) != LINK_SAME) {
        member->is_cut = news == LINK_BROKEN;
        member->is_new = member->is_new || member->is_cut;
    }
    if (member->is_cut || !member->is_new)
        return CAIRN_OK;
    log_info("connected_again", "coordinator=%s", member->endpoint);
    return send_registration(member, error);
}

static enum status do_what_is_due(struct member *member, struct error *error)
{
    enum status status = look_at_link(member, error);
    int64_t now_ms = clock_ms();

    if (status != CAIRN_OK)
        return status;
    if (now_ms >= member->listening_ms + member->lease_ms)
        return register_again(member, now_ms, error);
    if (may_beat(member) && now_ms >= member->asked_ms + member->heartbeat_ms)
        return heartbeat(member, error);
    return CAIRN_OK;
}

/* ---- what comes */

static void take_welcome(struct member *member, const Cairn__Welcome *welcome)
{
    member->lease_ms = welcome->lease_ms;
    member->heartbeat_ms = welcome->heartbeat_ms;
    if (!member->is_registered) {
        log_info("registered", "coordinator=%s lease_ms=%u heartbeat_ms=%u", member->endpoint,
                 welcome->lease_ms, welcome->heartbeat_ms);
        member->is_welcomed = true;
    }
    member->is_registered = true;
    member->has_waited = false;
}

/* The coordinator does not know us. One that is told so while a registration is on its way has perhaps
 * answered what came before it. */
static enum status take_unknown(struct member *member, struct error *error)
{
    enum status status = CAIRN_OK;

    frames_clear(&member->frames);
    member->registrations = 0;
    if (member->is_registered || clock_ms() >= member->registered_ms + member->heartbeat_ms) {
        log_info("registering_again", "coordinator=%s", member->endpoint);
        status = send_registration(member, error);
    }
    return status == CAIRN_OK ? CAIRN_AGAIN : status;
}

/* What a command means to the member itself: CAIRN_AGAIN, it was done; CAIRN_OK: it is the owner's. */
static enum status take_command(struct member *member, const Cairn__NodeCommand *command, struct error *error)
{
    if (command->body_case == CAIRN__NODE_COMMAND__BODY_REGISTER_AGAIN)
        return take_unknown(member, error);
    member->heard_ms = member->listening_ms = clock_ms();
    member->registrations = 0;
    if (command->body_case == CAIRN__NODE_COMMAND__BODY_WELCOME) {
        take_welcome(member, command->welcome);
        return CAIRN_AGAIN;
    }
    if (command->body_case != CAIRN__NODE_COMMAND__BODY_REFUSAL)
        return CAIRN_OK;
    member->is_registered = false;
    return error_set(error, CAIRN_CLOSED, "the coordinator at %s refused this node: %s", member->endpoint,
                     command->refusal->message);
}

/* A command in member->frames: ours to do (CAIRN_AGAIN), or the owner's (*out). */
static enum status take(struct member *member, Cairn__NodeCommand **out, struct error *error)
{
    struct frames *frames = &member->frames;
    Cairn__NodeCommand *command;
    enum status status;

    if (frames->count != 1)
        return error_set(error, CAIRN_PROTOCOL, "a command has %zu frames", frames->count);
    status = wire_node_command_unpack(frames_data(frames, 0), frames_length(frames, 0), &command, error);
    if (status != CAIRN_OK)
        return status;
    status = take_command(member, command, error);
    if (status == CAIRN_OK)
        *out = command;
    else
        cairn__node_command__free_unpacked(command, NULL);
    return status;
}

enum status member_receive(struct member *member, Cairn__NodeCommand **command, struct error *error)
{
    struct error problem;

    for (;;) {
        enum status status = frames_receive(member->socket, &member->frames, &problem);

        if (status == CAIRN_OK) {
            status = take(member, command, &problem);
            frames_clear(&member->frames);
            if (status == CAIRN_AGAIN)
                continue;
        } else if (status == CAIRN_AGAIN) {
            status = do_what_is_due(member, &problem);
            if (status == CAIRN_OK)
                return CAIRN_AGAIN;
        }
        if (status == CAIRN_OK)
            return CAIRN_OK;
        if (status != CAIRN_PROTOCOL) {
            if (error)
                *error = problem;
            return status;
        }
        log_warn("command_skipped", "coordinator=%s reason=\"%s\"", member->endpoint, problem.message);
    }
}

enum status member_send(struct member *member, Cairn__NodeMessage *message, struct error *error)
{
    return send_now(member, message, error);
}
