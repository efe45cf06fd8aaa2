/* The shard's thread: one poll over its ROUTER, its owner's pipe and its writer's. */
#include "shard_actor.h"

#include "base/log.h"
#include "generation_writer.h"
#include "net/frames.h"
#include "net/wire.h"
#include "shard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

/* Messages taken from clients before the pipes are looked at again. */
#define MESSAGES_A_TURN 64
/* Queues, in messages a client: what is received ahead costs memory, what is sent does not (references). */
#define RECEIVE_QUEUE 256
#define SEND_QUEUE    65536

enum { PART_CLIENT, PART_HEADER, PART_PAYLOADS };

struct shard_thread {
    struct actor_self *self;
    struct shard *shard;
    struct actor *writer;
    void *router;
    struct frames incoming, outgoing;
};

/* ---- out: the shard's events */

static enum status reply_frames(struct frames *frames, struct reply *reply)
{
    unsigned char header[WIRE_HEADER_MAX];
    size_t header_bytes = wire_data_pack(&reply->header, header);
    enum status status = frames_append_copy(frames, reply->client->name, reply->client->length);

    if (status == CAIRN_OK)
        status = frames_append_copy(frames, header, header_bytes);
    for (uint32_t i = 0; i < reply->header.payload_count && status == CAIRN_OK; i++) {
        if (reply->payloads[i])
            status = frames_append_buffer(frames, reply->payloads[i], 0, reply->payloads[i]->length_bytes);
    }
    return status;
}

/* A client that is gone is no error; one that does not read is dropped messages, and asks again or fails. */
static void send_reply(void *context, struct reply *reply)
{
    struct shard_thread *thread = context;
    struct error error;
    enum status status = reply_frames(&thread->outgoing, reply);

    error_set(&error, status, "%s", status_text(status));
    if (status == CAIRN_OK)
        status = frames_send(thread->router, &thread->outgoing, &error);
    else
        frames_clear(&thread->outgoing);
    if (status != CAIRN_OK && status != CAIRN_NOT_FOUND)
        log_warn("reply_lost", "job=%" PRIu64 " table=%u version=%" PRIu64 " reason=\"%s\"",
                 reply->header.job, reply->header.table, reply->header.step,
                 status == CAIRN_AGAIN ? "the client does not read" : error.message);
}

static void send_report(void *context, const struct shard_report *report)
{
    struct shard_thread *thread = context;
    struct error error;

    if (actor_report(thread->self, report, sizeof(*report), &error) != CAIRN_OK)
        log_error("report_lost", "job=%" PRIu64 " reason=\"%s\"", report->job, error.message);
}

static void send_generation(void *context, struct generation *generation)
{
    struct shard_thread *thread = context;
    struct error error;

    if (actor_tell(thread->writer, &generation, sizeof(generation), &error) != CAIRN_OK)
        log_error("generation_lost", "step=%" PRIu64 " reason=\"%s\"", generation->step, error.message);
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
    return type == DATA_FLOAT32 ? sizeof(float) : sizeof(double);
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

/* Handles what clients have sent, up to a turn's share. */
static void serve_clients(struct shard_thread *thread)
{
    struct error error;

    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        enum status status = frames_receive(thread->router, &thread->incoming, &error);

        if (status == CAIRN_AGAIN || status == CAIRN_CLOSED)
            return;
        if (status == CAIRN_OK)
            handle_message(thread, &thread->incoming);
        else
            log_warn("message_lost", "reason=\"%s\"", error.message);
        frames_clear(&thread->incoming);
    }
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

static void serve(struct shard_thread *thread)
{
    zmq_pollitem_t items[] = {
        {thread->router, 0, ZMQ_POLLIN, 0},
        {actor_self_pipe(thread->self), 0, ZMQ_POLLIN, 0},
        {actor_pipe(thread->writer), 0, ZMQ_POLLIN, 0},
    };
    enum status status = CAIRN_OK;

    while (status != CAIRN_CLOSED) {
        if (zmq_poll(items, 3, -1) < 0) {
            status = zmq_errno() == EINTR ? CAIRN_OK : CAIRN_CLOSED;
            continue;
        }
        if (items[0].revents)
            serve_clients(thread);
        if (items[2].revents)
            status = serve_writer(thread);
        if (status != CAIRN_CLOSED && items[1].revents)
            status = serve_server(thread);
    }
}

/* ---- life */

static int router_options(void *router)
{
    const int none = 0, yes = 1, receive_queue = RECEIVE_QUEUE, send_queue = SEND_QUEUE;
    const int64_t frame_bytes_max = (int64_t)WIRE_PAYLOAD_BYTES_MAX;

    if (zmq_setsockopt(router, ZMQ_LINGER, &none, sizeof(none)) != 0 ||
        zmq_setsockopt(router, ZMQ_ROUTER_MANDATORY, &yes, sizeof(yes)) != 0 ||
        zmq_setsockopt(router, ZMQ_ROUTER_HANDOVER, &yes, sizeof(yes)) != 0 ||
        zmq_setsockopt(router, ZMQ_RCVHWM, &receive_queue, sizeof(receive_queue)) != 0 ||
        zmq_setsockopt(router, ZMQ_SNDHWM, &send_queue, sizeof(send_queue)) != 0 ||
        zmq_setsockopt(router, ZMQ_MAXMSGSIZE, &frame_bytes_max, sizeof(frame_bytes_max)) != 0)
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

static enum status thread_init(struct shard_thread *thread, struct shard_actor_params *params,
                               struct error *error)
{
    struct shard_events events = {send_reply, send_report, send_generation, thread};
    char name[16];
    enum status status;

    frames_init(&thread->incoming);
    frames_init(&thread->outgoing);
    thread->shard = shard_new(&params->owner, params->memory_bytes, &events);
    if (!thread->shard)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a shard");
    status = router_bind(thread, params, error);
    if (status != CAIRN_OK)
        return status;
    snprintf(name, sizeof(name), "writer-%" PRIu32, params->owner.shard % 100000);
    return actor_start(actor_self_context(thread->self), name, generation_writer_run, NULL, &thread->writer,
                       error);
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
    if (thread.router)
        zmq_close(thread.router);
}
