/* Unpacking control messages, and the checks that protobuf cannot make. Knows nothing of jobs or nodes.
 *
 * Two layers. A walk over every message by its descriptor checks what holds everywhere: enums have a known
 * value that is not "unspecified", text has no control characters. Then one function a kind of message checks
 * what belongs together. Returned problems are constant lines; the caller adds which message it was.
 *
 * Members that this program does not know are dropped in the walk: protobuf-c keeps their bytes to send them
 * on, and takes some that it cannot send (field number 0), so that a message could not be copied. */
#include "net/wire.h"

#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX 255u

/* The system's allocator (so that the usual free_unpacked works) that remembers whether it failed. */
struct watched_heap {
    bool has_failed;
};

static void *watched_allocate(void *context, size_t size)
{
    struct watched_heap *heap = context;
    void *pointer = malloc(size ? size : 1);

    heap->has_failed = heap->has_failed || !pointer;
    return pointer;
}

static void watched_free(void *context, void *pointer)
{
    (void)context;
    free(pointer);
}

/* ---- what holds for every message */

static bool is_control(unsigned char byte)
{
    return byte < ' ' || byte == 0x7f;
}

/* Members that hold a line for a person: cleaned rather than refused, since what they tell matters more. */
static bool is_free_text(const ProtobufCFieldDescriptor *field)
{
    static const char *const names[] = {"message", "reason", "text", "output_error"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(field->name, names[i]) == 0)
            return true;
    }
    return false;
}

/* Whether such messages have a job file's text, or a piece of one. */
static bool is_job_file(const ProtobufCMessageDescriptor *descriptor)
{
    return descriptor == &cairn__job_text__descriptor || descriptor == &cairn__added_table__descriptor ||
           descriptor == &cairn__table_request__descriptor;
}

static const char *text_problem(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                                char *text)
{
    bool is_file = is_job_file(message->descriptor) && is_free_text(field);
    bool is_cleaned = !is_file && is_free_text(field);

    for (char *at = text; at && *at != '\0'; at++) {
        if (!is_control((unsigned char)*at))
            continue;
        if (is_cleaned)
            *at = ' ';
        else if (!is_file || !strchr("\t\n\r", *at))
            return "text has control characters";
    }
    return NULL;
}

static const char *message_problem(ProtobufCMessage *message);

/* One value of a member. */
static const char *value_problem(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                                 const void *value)
{
    int number;

    switch (field->type) {
    case PROTOBUF_C_TYPE_ENUM:
        memcpy(&number, value, sizeof(number));
        if (number == 0 || !protobuf_c_enum_descriptor_get_value(field->descriptor, number))
            return "an enum has no such value";
        return NULL;
    case PROTOBUF_C_TYPE_STRING:
        return text_problem(message, field, *(char *const *)value);
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(ProtobufCMessage *const *)value ? message_problem(*(ProtobufCMessage *const *)value) : NULL;
    default:
        return NULL;
    }
}

/* Size of what value_problem looks at; the contract repeats nothing else but numbers, which need no look. */
static size_t value_bytes(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int);
    default:
        return 0;
    }
}

static const char *field_problem(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const char *base = (const char *)message;
    size_t step_bytes = value_bytes(field), count;
    const char *values, *problem = NULL;

    if (step_bytes == 0)
        return NULL;
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
        *(const uint32_t *)(base + field->quantifier_offset) != field->id)
        return NULL; /* another member of the union is set */
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return value_problem(message, field, base + field->offset);
    count = *(const size_t *)(base + field->quantifier_offset);
    values = *(const char *const *)(base + field->offset);
    for (size_t i = 0; i < count && !problem; i++)
        problem = value_problem(message, field, values + i * step_bytes);
    return problem;
}

static void drop_unknown(ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->n_unknown_fields; i++)
        free(message->unknown_fields[i].data);
    free(message->unknown_fields);
    message->unknown_fields = NULL;
    message->n_unknown_fields = 0;
}

/* Recursion ends: no message of the contract contains itself. */
static const char *message_problem(ProtobufCMessage *message)
{
    const char *problem = NULL;

    drop_unknown(message);
    for (unsigned i = 0; i < message->descriptor->n_fields && !problem; i++)
        problem = field_problem(message, &message->descriptor->fields[i]);
    return problem;
}

/* ---- parts of several messages */

static bool is_name(const char *text)
{
    return text[0] != '\0' && strlen(text) <= NAME_BYTES_MAX;
}

static const char *metrics_problem(Cairn__Metric *const *metrics, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_name(metrics[i]->name))
            return "a metric has no name";
    }
    return NULL;
}

static const char *job_text_problem(const Cairn__JobText *text)
{
    if (!text || text->text[0] == '\0')
        return "the job's text is missing";
    if (text->servers > WIRE_SHARDS_MAX || text->workers_min > TREE_LEAVES_MAX ||
        text->workers_max > TREE_LEAVES_MAX)
        return "the job's node counts are out of bounds";
    for (size_t i = 0; i < text->n_added; i++) {
        if (text->added[i]->text[0] == '\0' || text->added[i]->first_version > WIRE_STEP_MAX)
            return "an added table has no text, or begins out of bounds";
    }
    if (text->workers_min > text->workers_max && text->workers_max != 0)
        return "the job's least workers are more than its most";
    return NULL;
}

/* The shards of a job, and [places] of slots on them. */
static const char *shards_problem(Cairn__Shard *const *shards, size_t shard_count,
                                  const uint32_t *slot_shards, size_t places)
{
    if (shard_count > WIRE_SHARDS_MAX)
        return "there are too many shards";
    if ((shard_count == 0) != (places == 0))
        return "shards and slots do not belong together";
    for (size_t i = 0; i < shard_count; i++) {
        if (!is_name(shards[i]->server) || !is_name(shards[i]->endpoint))
            return "a shard has no server or endpoint";
        if (shards[i]->index >= WIRE_SHARDS_MAX)
            return "a shard's index is out of bounds";
    }
    for (size_t i = 0; i < places; i++) {
        if (slot_shards[i] >= shard_count && slot_shards[i] != UINT32_MAX)
            return "a slot's shard does not exist";
    }
    return NULL;
}

/* The chain of a slot: a head, others in a row, none twice. */
static const char *chain_problem(const uint32_t *chain, uint32_t replicas)
{
    if (chain[0] == UINT32_MAX)
        return "a slot has no shard";
    for (uint32_t i = 1; i < replicas; i++) {
        if (chain[i] != UINT32_MAX && chain[i - 1] == UINT32_MAX)
            return "a slot's chain has a gap";
        for (uint32_t j = 0; j < i; j++) {
            if (chain[i] != UINT32_MAX && chain[i] == chain[j])
                return "a shard is in a slot's chain twice";
        }
    }
    return NULL;
}

static const char *chains_problem(const uint32_t *slot_shards, size_t places, uint32_t replicas)
{
    const char *problem = NULL;

    if (replicas == 0 || replicas > WIRE_REPLICAS_MAX || places % replicas != 0)
        return "slots do not have as many places as there are replicas";
    for (size_t i = 0; i < places && !problem; i += replicas)
        problem = chain_problem(slot_shards + i, replicas);
    return problem;
}

/* The shards of a job, and the one of each slot that clients speak to. */
static const char *heads_problem(Cairn__Shard *const *shards, size_t shard_count, const uint32_t *slot_shards,
                                 size_t slot_count)
{
    const char *problem = shards_problem(shards, shard_count, slot_shards, slot_count);

    return problem ? problem : chains_problem(slot_shards, slot_count, 1);
}

static const char *job_status_problem(const Cairn__JobStatus *status)
{
    const char *problem = metrics_problem(status->metrics, status->n_metrics);

    if (!is_name(status->id))
        return "a job has no id";
    return problem ? problem : metrics_problem(status->validation, status->n_validation);
}

static const char *id_problem(const char *id)
{
    return is_name(id) ? NULL : "the job's id is missing";
}

static const char *node_of_tree_problem(uint32_t begin, uint32_t end)
{
    return begin < end && end <= TREE_LEAVES_MAX ? NULL : "a tree node is out of bounds";
}

/* ---- node to coordinator */

static const char *registration_problem(const Cairn__Registration *registration)
{
    bool is_server = registration->kind == CAIRN__NODE_KIND__NODE_KIND_SERVER;

    if (!is_name(registration->name))
        return "the node's name is missing or too long";
    if (is_server ? registration->n_endpoints == 0 : registration->n_endpoints != 0)
        return "a server has endpoints, a worker has none";
    if (registration->n_endpoints > WIRE_SHARDS_MAX)
        return "there are too many endpoints";
    for (size_t i = 0; i < registration->n_endpoints; i++) {
        if (!is_name(registration->endpoints[i]))
            return "an endpoint is missing or too long";
    }
    if (is_server ? registration->lanes != 0
                  : registration->lanes == 0 || registration->lanes > TREE_LEAVES_MAX)
        return "a worker has lanes, a server has none";
    return NULL;
}

static const char *node_message_problem(const Cairn__NodeMessage *message)
{
    switch (message->body_case) {
    case CAIRN__NODE_MESSAGE__BODY_REGISTRATION:
        return registration_problem(message->registration);
    case CAIRN__NODE_MESSAGE__BODY_PROGRESS:
        return metrics_problem(message->progress->metrics, message->progress->n_metrics);
    case CAIRN__NODE_MESSAGE__BODY_VALIDATED:
        return metrics_problem(message->validated->metrics, message->validated->n_metrics);
    case CAIRN__NODE_MESSAGE__BODY_HEARTBEAT:
    case CAIRN__NODE_MESSAGE__BODY_LEAVE:
    case CAIRN__NODE_MESSAGE__BODY_PREPARED:
    case CAIRN__NODE_MESSAGE__BODY_COMMITTED:
    case CAIRN__NODE_MESSAGE__BODY_REACHED:
    case CAIRN__NODE_MESSAGE__BODY_FAILED:
    case CAIRN__NODE_MESSAGE__BODY_LOG_LINE:
    case CAIRN__NODE_MESSAGE__BODY_COMMIT_REFUSED:
    case CAIRN__NODE_MESSAGE__BODY_EXTENDED:
    case CAIRN__NODE_MESSAGE__BODY_DRAIN:
    case CAIRN__NODE_MESSAGE__BODY_REMOVED:
        return NULL;
    case CAIRN__NODE_MESSAGE__BODY_MAPPED:
        return NULL;
    case CAIRN__NODE_MESSAGE__BODY_COPIED:
        return message->copied->shard >= WIRE_SHARDS_MAX || message->copied->step > WIRE_STEP_MAX
                   ? "a copy's shard or step is out of bounds"
                   : NULL;
    case CAIRN__NODE_MESSAGE__BODY_PASSED_OVER:
        return message->passed_over->step > WIRE_STEP_MAX ||
                       message->passed_over->after >= message->passed_over->step
                   ? "the steps that were passed over are out of bounds"
                   : NULL;
    case CAIRN__NODE_MESSAGE__BODY_HELD:
        return message->held->step > WIRE_STEP_MAX ? "the step is out of bounds" : NULL;
    case CAIRN__NODE_MESSAGE__BODY_NOT_FINITE:
        return strlen(message->not_finite->layer) > NAME_BYTES_MAX ? "a layer's name is too long" : NULL;
    case CAIRN__NODE_MESSAGE__BODY_DIVERGENCE:
        return node_of_tree_problem(message->divergence->node_begin, message->divergence->node_end);
    default:
        return "it has no body that is known";
    }
}

/* ---- coordinator to node */

static const char *welcome_problem(const Cairn__Welcome *welcome)
{
    if (welcome->heartbeat_ms == 0 || welcome->heartbeat_ms >= welcome->lease_ms)
        return "heartbeats must be more frequent than the lease";
    return NULL;
}

static const char *prepare_problem(const Cairn__PrepareCommand *prepare)
{
    const char *problem = id_problem(prepare->job_id);

    if (!problem)
        problem = job_text_problem(prepare->text);
    if (!problem && prepare->n_shards == 0)
        problem = "there are no shards";
    if (!problem)
        problem =
            shards_problem(prepare->shards, prepare->n_shards, prepare->slot_shards, prepare->n_slot_shards);
    return problem ? problem
                   : chains_problem(prepare->slot_shards, prepare->n_slot_shards,
                                    prepare->replicas ? prepare->replicas : 1);
}

static const char *copies_problem(const Cairn__MapCommand *map)
{
    for (size_t i = 0; i < map->n_copies; i++) {
        const Cairn__SlotCopy *copy = map->copies[i];
        const uint32_t *chain = map->slot_shards + (size_t)copy->slot * map->replicas;

        if (copy->slot >= map->n_slot_shards / map->replicas || copy->shard >= map->n_shards)
            return "a copy's slot or shard does not exist";
        for (uint32_t place = 0; place < map->replicas; place++) {
            if (chain[place] == copy->shard)
                return "a slot is copied to a shard that has it";
        }
        for (size_t j = 0; j < i; j++) {
            if (map->copies[j]->slot == copy->slot)
                return "a slot is copied twice";
        }
    }
    return NULL;
}

static const char *map_problem(const Cairn__MapCommand *map)
{
    const char *problem = map->n_shards == 0 ? "there are no shards" : NULL;

    if (map->number == 0)
        return "the map has no number";
    if (map->n_copies > WIRE_COPIES_MAX)
        return "too many slots are copied at once";
    if (!problem)
        problem = shards_problem(map->shards, map->n_shards, map->slot_shards, map->n_slot_shards);
    if (!problem)
        problem = chains_problem(map->slot_shards, map->n_slot_shards, map->replicas);
    return problem ? problem : copies_problem(map);
}

static const char *epoch_problem(const Cairn__EpochCommand *epoch)
{
    if (epoch->n_workers != epoch->n_spans || epoch->n_workers != epoch->n_worker_numbers)
        return "workers, spans and numbers do not belong together";
    if (epoch->n_worker_steps != 0 && epoch->n_worker_steps != epoch->n_workers)
        return "workers and their first steps do not belong together";
    if (epoch->first_step > epoch->final_step || epoch->final_step > WIRE_STEP_MAX)
        return "the steps are out of bounds";
    for (size_t i = 0; i < epoch->n_workers; i++) {
        if (!is_name(epoch->workers[i]))
            return "a worker has no name";
        if (epoch->worker_numbers[i] == 0)
            return "a worker has no number";
        if (epoch->spans[i]->begin > epoch->spans[i]->end || epoch->spans[i]->end > TREE_LEAVES_MAX)
            return "a span is out of bounds";
    }
    for (size_t i = 0; i < epoch->n_worker_steps; i++) {
        if (epoch->worker_steps[i] > epoch->final_step)
            return "a worker's first step is out of bounds";
    }
    return heads_problem(epoch->shards, epoch->n_shards, epoch->slot_shards, epoch->n_slot_shards);
}

static const char *node_command_problem(const Cairn__NodeCommand *command)
{
    switch (command->body_case) {
    case CAIRN__NODE_COMMAND__BODY_WELCOME:
        return welcome_problem(command->welcome);
    case CAIRN__NODE_COMMAND__BODY_PREPARE:
        return prepare_problem(command->prepare);
    case CAIRN__NODE_COMMAND__BODY_EPOCH:
        return epoch_problem(command->epoch);
    case CAIRN__NODE_COMMAND__BODY_EXTEND:
        return command->extend->prepare ? prepare_problem(command->extend->prepare) : "there are no tables";
    case CAIRN__NODE_COMMAND__BODY_MAP:
        return map_problem(command->map);
    case CAIRN__NODE_COMMAND__BODY_REMOVE:
        return command->remove->n_jobs == 0 ? "there are no jobs" : NULL;
    case CAIRN__NODE_COMMAND__BODY_REFUSAL:
    case CAIRN__NODE_COMMAND__BODY_COMMIT:
    case CAIRN__NODE_COMMAND__BODY_COMMITTED:
    case CAIRN__NODE_COMMAND__BODY_STOP:
    case CAIRN__NODE_COMMAND__BODY_RELEASE:
    case CAIRN__NODE_COMMAND__BODY_HOLD:
    case CAIRN__NODE_COMMAND__BODY_GO_ON:
    case CAIRN__NODE_COMMAND__BODY_REGISTER_AGAIN:
    case CAIRN__NODE_COMMAND__BODY_DISMISS:
    case CAIRN__NODE_COMMAND__BODY_ABANDON:
        return NULL;
    default:
        return "it has no body that is known";
    }
}

/* ---- client to coordinator and back */

static const char *commit_problem(const Cairn__CommitRequest *commit)
{
    return commit->step > WIRE_STEP_MAX ? "the step is out of bounds" : id_problem(commit->job);
}

static const char *table_problem(const Cairn__TableRequest *table)
{
    return table->text[0] == '\0' ? "the table's text is missing" : id_problem(table->job);
}

static const char *scale_problem(const Cairn__ScaleRequest *scale)
{
    if (scale->workers > TREE_LEAVES_MAX)
        return "the number of workers is out of bounds";
    if (scale->servers > WIRE_SHARDS_MAX)
        return "the number of servers is out of bounds";
    if (scale->workers == 0 && scale->servers == 0)
        return "neither workers nor servers are asked for";
    return id_problem(scale->job);
}

static const char *client_request_problem(const Cairn__ClientRequest *request)
{
    switch (request->body_case) {
    case CAIRN__CLIENT_REQUEST__BODY_SUBMIT:
        return job_text_problem(request->submit->text);
    case CAIRN__CLIENT_REQUEST__BODY_JOB:
        return id_problem(request->job->job);
    case CAIRN__CLIENT_REQUEST__BODY_WATCH:
        return id_problem(request->watch->job);
    case CAIRN__CLIENT_REQUEST__BODY_STOP:
        return id_problem(request->stop->job);
    case CAIRN__CLIENT_REQUEST__BODY_LOCATE:
        return id_problem(request->locate->job);
    case CAIRN__CLIENT_REQUEST__BODY_LOGS:
        return id_problem(request->logs->job);
    case CAIRN__CLIENT_REQUEST__BODY_COMMIT:
        return commit_problem(request->commit);
    case CAIRN__CLIENT_REQUEST__BODY_TABLE:
        return table_problem(request->table);
    case CAIRN__CLIENT_REQUEST__BODY_SCALE:
        return scale_problem(request->scale);
    case CAIRN__CLIENT_REQUEST__BODY_DRAIN:
        return is_name(request->drain->node) ? NULL : "a node has no name";
    case CAIRN__CLIENT_REQUEST__BODY_DELETE_JOB:
        return id_problem(request->delete_job->job);
    case CAIRN__CLIENT_REQUEST__BODY_JOBS:
    case CAIRN__CLIENT_REQUEST__BODY_NODES:
        return NULL;
    default:
        return "it has no body that is known";
    }
}

static const char *location_problem(const Cairn__LocationReply *location)
{
    const char *problem = id_problem(location->job_id);

    if (!problem)
        problem = job_text_problem(location->text);
    return problem ? problem
                   : heads_problem(location->shards, location->n_shards, location->slot_shards,
                                   location->n_slot_shards);
}

static const char *jobs_problem(const Cairn__JobsReply *jobs)
{
    const char *problem = NULL;

    for (size_t i = 0; i < jobs->n_jobs && !problem; i++)
        problem = job_status_problem(jobs->jobs[i]);
    return problem;
}

static const char *nodes_problem(const Cairn__NodesReply *nodes)
{
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        if (!is_name(nodes->nodes[i]->name))
            return "a node has no name";
    }
    return NULL;
}

static const char *deleted_problem(const Cairn__DeletedReply *deleted)
{
    bool are_named = true;

    for (size_t i = 0; i < deleted->n_servers; i++)
        are_named = are_named && is_name(deleted->servers[i]);
    for (size_t i = 0; i < deleted->n_absent; i++)
        are_named = are_named && is_name(deleted->absent[i]);
    return are_named ? id_problem(deleted->job_id) : "a server has no name";
}

static const char *client_reply_problem(const Cairn__ClientReply *reply)
{
    switch (reply->body_case) {
    case CAIRN__CLIENT_REPLY__BODY_JOB:
        return job_status_problem(reply->job);
    case CAIRN__CLIENT_REPLY__BODY_JOBS:
        return jobs_problem(reply->jobs);
    case CAIRN__CLIENT_REPLY__BODY_LOCATION:
        return location_problem(reply->location);
    case CAIRN__CLIENT_REPLY__BODY_NODES:
        return nodes_problem(reply->nodes);
    case CAIRN__CLIENT_REPLY__BODY_DELETED:
        return deleted_problem(reply->deleted);
    case CAIRN__CLIENT_REPLY__BODY_TABLE:
    case CAIRN__CLIENT_REPLY__BODY_ERROR:
    case CAIRN__CLIENT_REPLY__BODY_LOGS:
        return NULL;
    default:
        return "it has no body that is known";
    }
}

/* ---- the four doors */

/* Unpacks bytes as a message of `descriptor` into *out; does the checks that hold everywhere. */
static enum status unpack(const ProtobufCMessageDescriptor *descriptor, const void *bytes, size_t length,
                          ProtobufCMessage **out, struct error *error)
{
    struct watched_heap heap = {false};
    ProtobufCAllocator allocator = {watched_allocate, watched_free, &heap};

    if (length > WIRE_CONTROL_MAX)
        return error_set(error, CAIRN_PROTOCOL, "%s: %zu bytes are too many", descriptor->short_name, length);
    *out = protobuf_c_message_unpack(descriptor, &allocator, length, bytes);
    if (*out)
        return CAIRN_OK;
    if (heap.has_failed)
        return error_set(error, CAIRN_NO_MEMORY, "%s: out of memory", descriptor->short_name);
    return error_set(error, CAIRN_PROTOCOL, "%s: it does not parse", descriptor->short_name);
}

/* A line about another protocol is told first: the rest cannot be judged then. */
static enum status verdict(ProtobufCMessage *message, uint32_t protocol, const char *problem,
                           struct error *error)
{
    const char *name = message->descriptor->short_name;

    if (protocol != PROTOCOL_VERSION)
        return error_set(error, CAIRN_PROTOCOL, "%s: protocol %u, this program speaks %u", name, protocol,
                         PROTOCOL_VERSION);
    if (!problem)
        problem = message_problem(message);
    return problem ? error_set(error, CAIRN_PROTOCOL, "%s: %s", name, problem) : CAIRN_OK;
}

enum status wire_node_message_unpack(const void *bytes, size_t length, Cairn__NodeMessage **out,
                                     struct error *error)
{
    ProtobufCMessage *base = NULL;
    Cairn__NodeMessage *message;
    enum status status = unpack(&cairn__node_message__descriptor, bytes, length, &base, error);

    if (status != CAIRN_OK)
        return status;
    message = (Cairn__NodeMessage *)base;
    status = verdict(base, message->protocol, node_message_problem(message), error);
    if (status == CAIRN_OK)
        *out = message;
    else
        cairn__node_message__free_unpacked(message, NULL);
    return status;
}

enum status wire_node_command_unpack(const void *bytes, size_t length, Cairn__NodeCommand **out,
                                     struct error *error)
{
    ProtobufCMessage *base = NULL;
    Cairn__NodeCommand *command;
    enum status status = unpack(&cairn__node_command__descriptor, bytes, length, &base, error);

    if (status != CAIRN_OK)
        return status;
    command = (Cairn__NodeCommand *)base;
    status = verdict(base, command->protocol, node_command_problem(command), error);
    if (status == CAIRN_OK)
        *out = command;
    else
        cairn__node_command__free_unpacked(command, NULL);
    return status;
}

enum status wire_client_request_unpack(const void *bytes, size_t length, Cairn__ClientRequest **out,
                                       struct error *error)
{
    ProtobufCMessage *base = NULL;
    Cairn__ClientRequest *request;
    enum status status = unpack(&cairn__client_request__descriptor, bytes, length, &base, error);

    if (status != CAIRN_OK)
        return status;
    request = (Cairn__ClientRequest *)base;
    status = verdict(base, request->protocol, client_request_problem(request), error);
    if (status == CAIRN_OK)
        *out = request;
    else
        cairn__client_request__free_unpacked(request, NULL);
    return status;
}

enum status wire_client_reply_unpack(const void *bytes, size_t length, Cairn__ClientReply **out,
                                     struct error *error)
{
    ProtobufCMessage *base = NULL;
    Cairn__ClientReply *reply;
    enum status status = unpack(&cairn__client_reply__descriptor, bytes, length, &base, error);

    if (status != CAIRN_OK)
        return status;
    reply = (Cairn__ClientReply *)base;
    status = verdict(base, reply->protocol, client_reply_problem(reply), error);
    if (status == CAIRN_OK)
        *out = reply;
    else
        cairn__client_reply__free_unpacked(reply, NULL);
    return status;
}
