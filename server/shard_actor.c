/* The shard's thread: it sleeps on its ROUTER, its owner's pipe, its writer's, and the bell of its outboxes.
 *
 * What it holds for clients is bounded at both ends. In: ZeroMQ takes RECEIVE_QUEUE messages of a client
 * ahead, then leaves its bytes to the transport, which stops the client. Out: outbox.h. */
#include "shard_actor.h"

#include "base/clock.h"
#include "base/log.h"
#include "generation_writer.h"
#include "net/frames.h"
#include "net/linger.h"
#include "net/silence.h"
#include "net/waiter.h"
#include "net/wire.h"
#include "outbox.h"
#include "peers.h"
#include "shard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Messages taken from clients before the pipes are looked at again. */
#define MESSAGES_A_TURN 64
/* Messages of a client that are received ahead. Clients gather less than 1.25 MiB in one (WIRE_GATHER_BYTES
 * and a chunk), so that 64 of them hold less than 1.25 GiB here; so many small ones are more than a thread
 * takes in a turn. */
#define RECEIVE_QUEUE 16
/* How long a shard waits for others before it says again what makes them tell. */
#define NUDGE_MS 500

enum { PART_CLIENT, PART_HEADER, PART_PAYLOADS };

/* What the thread sleeps on. */
enum { NEWS_CLIENTS, NEWS_SERVER, NEWS_WRITER, NEWS_DRAINED };

struct shard_thread {
    struct actor_self *self;
    struct shard *shard;
    struct actor *writer;
    void *router;
    struct outboxes *outboxes;
    struct peers *peers;
    int64_t nudge_ms; /* when to nudge next, on the monotonic clock; 0: nobody is waited for */
    struct waiter waiter;
    bool has_told_server, has_told_writer; /* so that the waiter knows nothing of what came since */
    struct frames incoming, outgoing;
};

/* ---- out: the shard's events */

/* What the memory of an answer is. */
static struct outbox_note reply_note(const struct reply *reply)
{
    const struct data_header *header = &reply->header;
    struct buffer *first = header->payload_count > 0 ? reply->payloads[0] : NULL;

    return (struct outbox_note){
        .subject = {header->job, header->incarnation, header->table, header->step, header->request},
        .chunk = first ? header->payloads[0].chunk : 0,
        .is_private = !first || buffer_is_exclusive(first),
        .bytes = first ? reply->payload_bytes : 0};
}

/* Appends the message's last part with a ticket for the client's outbox. */
static enum status append_last(struct frames *frames, struct outbox *outbox, const struct reply *reply,
                               struct buffer *part)
{
    const struct outbox_note note = reply_note(reply);
    struct buffer *ticket = outbox_ticket(outbox, &note, part);
    enum status status;

    if (!ticket)
        return CAIRN_NO_MEMORY;
    status = frames_append_buffer(frames, ticket, 0, ticket->length_bytes);
    buffer_unref(ticket);
    return status;
}

/* A message that is a header alone. */
static enum status append_header(struct frames *frames, struct outbox *outbox, const struct reply *reply,
                                 const unsigned char *header, size_t header_bytes)
{
    struct buffer *part = buffer_new(header_bytes);
    enum status status;

    if (!part)
        return CAIRN_NO_MEMORY;
    memcpy(part->data, header, header_bytes);
    status = append_last(frames, outbox, reply, part);
    buffer_unref(part);
    return status;
}

/* The payloads that have frames, the last of them with a ticket. */
static enum status append_payloads(struct frames *frames, struct outbox *outbox, const struct reply *reply,
                                   uint32_t count)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < reply->header.payload_count && status == CAIRN_OK; i++) {
        struct buffer *payload = reply->payloads[i];

        if (!payload)
            continue;
        status = --count == 0 ? append_last(frames, outbox, reply, payload)
                              : frames_append_buffer(frames, payload, 0, payload->length_bytes);
    }
    return status;
}

static enum status reply_frames(struct frames *frames, struct outbox *outbox, const struct reply *reply)
{
    unsigned char header[WIRE_HEADER_MAX];
    size_t header_bytes = wire_data_pack(&reply->header, header);
    uint32_t payloads = wire_data_frames(&reply->header);
    enum status status = frames_append_copy(frames, reply->client->name, reply->client->length);

    if (status != CAIRN_OK)
        return status;
    if (payloads == 0)
        return append_header(frames, outbox, reply, header, header_bytes);
    status = frames_append_copy(frames, header, header_bytes);
    return status == CAIRN_OK ? append_payloads(frames, outbox, reply, payloads) : status;
}

/* Whether a client's queue has room for an answer. */
static bool has_room(struct shard_thread *thread, struct outbox *outbox, const struct reply *reply)
{
    struct outbox_note oldest;
    bool is_needed = !outbox_oldest(outbox, &oldest) ||
                     (!oldest.is_private && shard_keeps(thread->shard, &oldest.subject, oldest.chunk));

    return outbox_takes(outbox, reply_note(reply).bytes, is_needed);
}

/* A client that is gone is no error. One that does not read gets no more, and is told when it does. */
static void send_reply(void *context, struct reply *reply)
{
    struct shard_thread *thread = context;
    struct outbox *outbox = outbox_of(thread->outboxes, reply->client->name, reply->client->length);
    struct error error = {.message = "out of memory"};
    enum status status = CAIRN_NO_MEMORY;

    if (outbox && !has_room(thread, outbox, reply)) {
        const struct outbox_note note = reply_note(reply);

        if (outbox_lose(outbox, &note.subject))
            log_warn("client_behind", "job=%" PRIu64 " table=%u version=%" PRIu64 " messages=%zu bytes=%zu",
                     reply->header.job, reply->header.table, reply->header.step, outbox_messages(outbox),
                     outbox_bytes(outbox));
        return;
    }
    if (outbox)
        status = reply_frames(&thread->outgoing, outbox, reply);
    if (status == CAIRN_OK)
        status = frames_send(thread->router, &thread->outgoing, &error);
    else
        frames_clear(&thread->outgoing);
    if (status != CAIRN_OK && status != CAIRN_NOT_FOUND)
        log_warn("reply_lost", "job=%" PRIu64 " table=%u version=%" PRIu64 " reason=\"%s\"",
                 reply->header.job, reply->header.table, reply->header.step,
                 status == CAIRN_AGAIN ? "the transport takes no more" : error.message);
}

/* Tells those who have drained what they have lost. */
static void tell_losses(struct shard_thread *thread)
{
    struct reply_subject lost;
    const void *client;
    size_t length;

    while ((client = outboxes_drained(thread->outboxes, &length, &lost)))
        shard_tell_loss(thread->shard, client, length, &lost);
}

static void send_report(void *context, const struct shard_report *report)
{
    struct shard_thread *thread = context;
    struct error error;

    thread->has_told_server = true;
    if (actor_report(thread->self, report, sizeof(*report), &error) != CAIRN_OK)
        log_error("report_lost", "job=%" PRIu64 " reason=\"%s\"", report->job, error.message);
}

static void send_generation(void *context, struct generation *generation)
{
    struct shard_thread *thread = context;
    struct error error;

    thread->has_told_writer = true;
    if (actor_tell(thread->writer, &generation, sizeof(generation), &error) != CAIRN_OK)
        log_error("generation_lost", "step=%" PRIu64 " reason=\"%s\"", generation->step, error.message);
}

static void send_message(void *context, const struct shard_message *message)
{
    struct shard_thread *thread = context;
    struct error error;

    if (peers_send(thread->peers, message, &error) != CAIRN_OK)
        log_warn("message_lost", "job=%" PRIu64 " table=%u kind=%d reason=\"%s\"", message->header.job,
                 message->header.table, (int)message->header.kind, error.message);
}

static void close_peers(void *context, uint64_t job)
{
    struct shard_thread *thread = context;

    peers_forget(thread->peers, job);
}

/* ---- in: clients */

/* What is wrong with a message's payload frames; NULL: nothing. */
static const char *payloads_problem(struct frames *frames, const struct data_header *header)
{
    size_t part = PART_PAYLOADS;

    if (frames->count != PART_PAYLOADS + wire_data_frames(header))
        return "the header and the number of payload frames disagree";
    for (uint32_t i = 0; i < header->payload_count; i++) {
        if (header->payloads[i].length_bytes > 0 &&
            frames_length(frames, part++) != header->payloads[i].length_bytes)
            return "the header and the length of a payload frame disagree";
    }
    return NULL;
}

static size_t type_alignment(enum data_type type)
{
    switch (type) {
    case DATA_FLOAT32:
        return sizeof(float);
    case DATA_FLOAT64:
    case DATA_UINT64:
        return sizeof(double);
    case DATA_CODED:
        break;
    }
    return 1;
}

/* Takes the payloads that have frames out as buffers, NULL for the others; false: out of memory, and none are
 * taken. */
static bool payloads_take(struct frames *frames, const struct data_header *header, struct buffer **payloads)
{
    size_t part = PART_PAYLOADS;

    for (uint32_t i = 0; i < header->payload_count; i++) {
        payloads[i] = NULL;
        if (header->payloads[i].length_bytes == 0)
            continue;
        payloads[i] = frames_take_buffer(frames, part++, type_alignment(header->payloads[i].type));
        if (payloads[i])
            continue;
        while (i > 0)
            buffer_unref(payloads[--i]);
        return false;
    }
    return true;
}

static void handle_message(struct shard_thread *thread, struct frames *frames)
{
    const void *client = frames_data(frames, PART_CLIENT);
    size_t client_bytes = frames_length(frames, PART_CLIENT);
    struct buffer *payloads[WIRE_PAYLOADS_MAX];
    struct data_header header;
    struct error error;
    const char *problem;

    if (client_bytes == 0 || client_bytes > CLIENT_NAME_MAX)
        return;
    if (frames->count < PART_PAYLOADS) {
        shard_refuse(thread->shard, client, client_bytes, "the message has no header");
        return;
    }
    if (wire_data_unpack(frames_data(frames, PART_HEADER), frames_length(frames, PART_HEADER), &header,
                         &error) != CAIRN_OK) {
        shard_refuse(thread->shard, client, client_bytes, error.message);
        return;
    }
    problem = payloads_problem(frames, &header);
    if (!problem && !payloads_take(frames, &header, payloads))
        problem = "the shard is out of memory";
    if (problem)
        shard_refuse(thread->shard, client, client_bytes, problem);
    else
        shard_handle(thread->shard, client, client_bytes, &header, payloads);
}

/* Handles what clients have sent, up to a turn's share. Returns whether there may be more. */
static bool serve_clients(struct shard_thread *thread)
{
    struct error error;

    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        enum status status = frames_receive(thread->router, &thread->incoming, &error);

        if (status == CAIRN_AGAIN || status == CAIRN_CLOSED)
            return false; /* and nothing was done with the router since */
        if (status == CAIRN_OK)
            handle_message(thread, &thread->incoming);
        else
            log_warn("message_lost", "reason=\"%s\"", error.message);
        frames_clear(&thread->incoming);
    }
    return true;
}

/* ---- in: the server and the writer */

static void handle_command(struct shard *shard, const struct shard_command *command)
{
    switch (command->kind) {
    case SHARD_COMMAND_PREPARE:
        shard_prepare(shard, command->assignment, command->incarnation, command->step);
        assignment_unref(command->assignment);
        break;
    case SHARD_COMMAND_COMMIT:
        shard_commit(shard, command->job, command->incarnation, command->step);
        break;
    case SHARD_COMMAND_COMMITTED:
        shard_committed(shard, command->job, command->incarnation, command->step);
        break;
    case SHARD_COMMAND_RELEASE:
        shard_release(shard, command->job, command->incarnation);
        break;
    case SHARD_COMMAND_HOLD:
        shard_hold(shard, command->job, command->incarnation);
        break;
    case SHARD_COMMAND_EXTEND:
        shard_extend(shard, command->assignment, command->incarnation, command->step);
        assignment_unref(command->assignment);
        break;
    case SHARD_COMMAND_GO_ON:
        shard_go_on(shard, command->job, command->incarnation);
        break;
    case SHARD_COMMAND_FORGO:
        shard_forgo(shard, command->job, command->incarnation, command->step);
        break;
    case SHARD_COMMAND_AWAY:
    case SHARD_COMMAND_BACK:
        shard_set_away(shard, command->kind == SHARD_COMMAND_AWAY);
        break;
    case SHARD_COMMAND_MAP:
        shard_map(shard, command->job, command->incarnation, command->map);
        slot_map_unref(command->map);
        break;
    case SHARD_COMMAND_EPOCH:
        shard_begin_epoch(shard, command->job, command->incarnation, command->roster);
        free(command->roster);
        break;
    case SHARD_COMMAND_REMOVE:
        shard_remove(shard, command->job);
        break;
    }
}

static enum status serve_server(struct shard_thread *thread)
{
    struct shard_command command;
    enum status status;

    while ((status = actor_take(thread->self, &command, sizeof(command), NULL)) == CAIRN_OK)
        handle_command(thread->shard, &command);
    return status;
}

static enum status serve_writer(struct shard_thread *thread)
{
    struct generation_report report;
    enum status status;

    while ((status = actor_hear(thread->writer, &report, sizeof(report), NULL)) == CAIRN_OK)
        shard_written(thread->shard, report.generation, report.status, &report.error);
    return status;
}

/* How long the thread may sleep, -1: for ever. */
static int sleep_ms(struct shard_thread *thread)
{
    int64_t left;

    if (!shard_waits(thread->shard)) {
        thread->nudge_ms = 0;
        return -1;
    }
    if (thread->nudge_ms == 0)
        thread->nudge_ms = clock_ms() + NUDGE_MS;
    left = thread->nudge_ms - clock_ms();
    return left > 0 ? (int)left : 0;
}

static void nudge_if_due(struct shard_thread *thread)
{
    if (thread->nudge_ms == 0 || clock_ms() < thread->nudge_ms)
        return;
    thread->nudge_ms = 0;
    peers_set_repeating(thread->peers, true);
    shard_nudge(thread->shard);
    peers_set_repeating(thread->peers, false);
}

/* One turn: sleeps unless a client may have more, then looks where there is news. Of the pipes the waiter
 * knows only what came since they were last used. */
static enum status turn(struct shard_thread *thread, bool *is_busy)
{
    struct waiter *waiter = &thread->waiter;
    bool told_server = thread->has_told_server, told_writer = thread->has_told_writer;
    int most_ms = sleep_ms(thread);
    enum status status = waiter_sleep(waiter, *is_busy || told_server || told_writer ? 0 : most_ms, NULL);

    thread->has_told_server = thread->has_told_writer = false;
    if (status != CAIRN_OK)
        return status;
    nudge_if_due(thread);
    if (waiter_has(waiter, NEWS_DRAINED))
        tell_losses(thread);
    *is_busy = serve_clients(thread);
    *is_busy = shard_work(thread->shard) || *is_busy;
    if (told_writer || waiter_has(waiter, NEWS_WRITER)) {
        *is_busy = true;
        status = serve_writer(thread);
    }
    if (status != CAIRN_CLOSED && (told_server || waiter_has(waiter, NEWS_SERVER))) {
        *is_busy = true;
        status = serve_server(thread);
    }
    return status;
}

static void serve(struct shard_thread *thread)
{
    bool is_busy = true;
    enum status status;

    thread->has_told_server = thread->has_told_writer = true;
    do
        status = turn(thread, &is_busy);
    while (status == CAIRN_OK || status == CAIRN_AGAIN);
}

/* ---- life */

static int router_options(void *router)
{
    const int none = 0, yes = 1, receive_queue = RECEIVE_QUEUE;
    const int64_t frame_bytes_max = (int64_t)WIRE_PAYLOAD_BYTES_MAX;

    if (linger_shortly(router) != 0 || zmq_setsockopt(router, ZMQ_ROUTER_MANDATORY, &yes, sizeof(yes)) != 0 ||
        zmq_setsockopt(router, ZMQ_ROUTER_HANDOVER, &yes, sizeof(yes)) != 0 ||
        zmq_setsockopt(router, ZMQ_RCVHWM, &receive_queue, sizeof(receive_queue)) != 0 ||
        zmq_setsockopt(router, ZMQ_SNDHWM, &none, sizeof(none)) != 0 ||
        zmq_setsockopt(router, ZMQ_MAXMSGSIZE, &frame_bytes_max, sizeof(frame_bytes_max)) != 0 ||
        silence_watch(router) != 0)
        return -1;
    return 0;
}

static enum status router_bind(struct shard_thread *thread, struct shard_actor_params *params,
                               struct error *error)
{
    size_t length = sizeof(params->bound);

    thread->router = zmq_socket(actor_self_context(thread->self), ZMQ_ROUTER);
    if (!thread->router || router_options(thread->router) != 0)
        return error_set(error, CAIRN_IO, "cannot make a socket: %s", zmq_strerror(zmq_errno()));
    if (zmq_bind(thread->router, params->listen) != 0)
        return error_set(error, CAIRN_IO, "cannot listen on %s: %s", params->listen,
                         zmq_strerror(zmq_errno()));
    if (zmq_getsockopt(thread->router, ZMQ_LAST_ENDPOINT, params->bound, &length) != 0)
        return error_set(error, CAIRN_IO, "%s: %s", params->listen, zmq_strerror(zmq_errno()));
    return CAIRN_OK;
}

/* In the order of NEWS_*. */
static enum status waiter_fill(struct shard_thread *thread, struct error *error)
{
    struct waiter *waiter = &thread->waiter;
    enum status status = waiter_add_socket(waiter, thread->router, error);

    if (status == CAIRN_OK)
        status = waiter_add_socket(waiter, actor_self_pipe(thread->self), error);
    if (status == CAIRN_OK)
        status = waiter_add_socket(waiter, actor_pipe(thread->writer), error);
    if (status == CAIRN_OK)
        status = waiter_add_descriptor(waiter, outboxes_descriptor(thread->outboxes), error);
    return status;
}

static enum status thread_init(struct shard_thread *thread, struct shard_actor_params *params,
                               struct error *error)
{
    struct shard_events events = {send_reply,   send_report, send_generation,
                                  send_message, close_peers, thread};
    char name[16];
    enum status status;

    frames_init(&thread->incoming);
    frames_init(&thread->outgoing);
    waiter_init(&thread->waiter);
    status = outboxes_new(OUTBOX_BYTES_LIMIT, &thread->outboxes, error);
    if (status != CAIRN_OK)
        return status;
    thread->peers = peers_new(actor_self_context(thread->self));
    if (!thread->peers)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a shard");
    thread->shard = shard_new(&params->owner, params->memory_bytes, &events);
    if (!thread->shard)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a shard");
    status = router_bind(thread, params, error);
    if (status != CAIRN_OK)
        return status;
    snprintf(name, sizeof(name), "writer-%" PRIu32, params->owner.shard % 100000);
    status = actor_start(actor_self_context(thread->self), name, generation_writer_run, NULL, &thread->writer,
                         error);
    return status == CAIRN_OK ? waiter_fill(thread, error) : status;
}

void shard_actor_run(struct actor_self *self, void *argument)
{
    struct shard_thread thread = {.self = self};
    struct error error;
    enum status status = thread_init(&thread, argument, &error);

    actor_ready(self, status, status == CAIRN_OK ? NULL : &error);
    if (status == CAIRN_OK)
        serve(&thread);
    actor_stop(thread.writer); /* after the write in hand */
    shard_free(thread.shard);
    peers_free(thread.peers);
    if (thread.router)
        zmq_close(thread.router);
    outboxes_free(thread.outboxes);
    waiter_fini(&thread.waiter);
}
