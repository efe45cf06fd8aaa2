/* The data plane's header: bounds, packing, unpacking. No allocation a message.
 *
 * protobuf-c wants arrays of pointers to pack and an allocator to unpack; both come from the stack here. The
 * same function bounds what we send (a bug otherwise) and what we receive (a protocol violation otherwise).
 * Members that do not apply to a kind are neither sent nor read. */
#include "net/wire.h"

#include <stdio.h>
#include <string.h>

/* What a packed header takes at most: all members at their longest varints, the message, the payloads. */
#define FIELDS_BYTES  (2 * 6 + 6 * 11 + 4 * 12 + 4 * 7 + 2 + 4 * 3)
#define PAYLOAD_BYTES (2 + 6 + 2 + 11)
_Static_assert(FIELDS_BYTES + WIRE_MESSAGE_MAX + 3 + WIRE_PAYLOADS_MAX * PAYLOAD_BYTES <= WIRE_HEADER_MAX,
               "a header at its bounds must fit");

/* Enough for a header at its bounds: protobuf-c's notes of where members are (40 bytes each, in powers of
 * two), the structs and the pointers to them. */
#define UNPACK_BYTES 12288

/* A ProtobufCAllocator that hands out the stack and never takes back. */
struct bump {
    size_t used;
    _Alignas(max_align_t) unsigned char bytes[UNPACK_BYTES];
};

static void *bump_allocate(void *context, size_t size)
{
    struct bump *bump = context;
    size_t begin = (bump->used + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);

    if (begin > UNPACK_BYTES || size > UNPACK_BYTES - begin)
        return NULL;
    bump->used = begin + size;
    return bump->bytes + begin;
}

static void bump_free(void *context, void *pointer)
{
    (void)context;
    (void)pointer;
}

static size_t type_bytes(enum data_type type)
{
    switch (type) {
    case DATA_FLOAT32:
        return 4;
    case DATA_FLOAT64:
    case DATA_UINT64:
        return 8;
    case DATA_CODED:
        return 1;
    }
    return 0;
}

/* What is wrong with a payload; NULL: nothing. */
static const char *payload_problem(const struct data_payload *payload, enum data_kind kind)
{
    size_t element_bytes = type_bytes(payload->type);
    bool carries =
        kind == DATA_PUSH || kind == DATA_VALUES || kind == DATA_PART || kind == DATA_STATISTICS ||
        kind == DATA_EXPORT || kind == DATA_UPDATE || kind == DATA_SNAPSHOT || kind == DATA_MISSING ||
        ((kind == DATA_PULL || kind == DATA_TAKEN || kind == DATA_ASK) && payload->type == DATA_UINT64);

    if (element_bytes == 0)
        return "a payload's type is unknown";
    if (!carries)
        return payload->length_bytes == 0 ? NULL : "a payload has a length where none is carried";
    if (payload->length_bytes > WIRE_PAYLOAD_BYTES_MAX || (payload->length_bytes == 0 && kind == DATA_VALUES))
        return "a payload's length is out of bounds";
    return payload->length_bytes % element_bytes == 0 ? NULL
                                                      : "a payload's length is no multiple of its type's";
}

/* What is wrong with the members of a kind; NULL: nothing. */
static const char *kind_problem(const struct data_header *header)
{
    switch (header->kind) {
    case DATA_PUSH:
        if (header->node.begin >= header->node.end || header->node.end > TREE_LEAVES_MAX)
            return "a push's tree node is empty or out of bounds";
        if (header->step == WIRE_STEP_MAX)
            return "a push's step has no next one";
        return header->samples <= WIRE_SAMPLES_MAX ? NULL : "a push's samples are out of bounds";
    case DATA_UPDATE:
        if (header->step == WIRE_STEP_MAX)
            return "an update's step has no next one";
        if (header->worker_step >= WIRE_STEP_MAX || header->divisor > WIRE_STEP_MAX)
            return "an update's worker's step, or its divisor, is out of bounds";
        return header->samples <= TREE_LEAVES_MAX * WIRE_SAMPLES_MAX
                   ? NULL
                   : "an update's samples are out of bounds";
    case DATA_PULL:
    case DATA_VALUES:
    case DATA_APPLIED:
    case DATA_PART:
    case DATA_STATISTICS:
    case DATA_EXPORT:
    case DATA_SNAPSHOT:
    case DATA_TAKEN:
    case DATA_ASK:
    case DATA_MISSING:
        return NULL;
    case DATA_REFUSED:
        if (header->refused < DATA_REFUSED_STALE || header->refused > DATA_REFUSED_PASSED)
            return "a refusal's reason is unknown";
        return memchr(header->message, '\0', WIRE_MESSAGE_MAX) ? NULL : "a refusal's message is too long";
    }
    return "the kind is unknown";
}

static bool needs_payloads(const struct data_header *header)
{
    if (header->kind == DATA_PULL)
        return !header->newest || !header->acknowledge;
    return header->kind == DATA_VALUES || header->kind == DATA_UPDATE || header->kind == DATA_SNAPSHOT ||
           header->kind == DATA_TAKEN || header->kind == DATA_ASK;
}

/* What is wrong with a header; NULL: nothing. */
static const char *header_problem(const struct data_header *header)
{
    const char *problem = kind_problem(header);

    if (problem)
        return problem;
    if (header->step > WIRE_STEP_MAX)
        return "the step is out of bounds";
    if (header->payload_count > WIRE_PAYLOADS_MAX)
        return "there are too many payloads";
    if (header->payload_count == 0 && needs_payloads(header))
        return "there are no payloads";
    for (uint32_t i = 0; i < header->payload_count && !problem; i++)
        problem = payload_problem(&header->payloads[i], header->kind);
    return problem;
}

uint32_t wire_data_frames(const struct data_header *header)
{
    uint32_t frames = 0;

    for (uint32_t i = 0; i < header->payload_count; i++)
        frames += header->payloads[i].length_bytes > 0;
    return frames;
}

static bool is_of_chains(enum data_kind kind)
{
    return kind == DATA_UPDATE || kind == DATA_SNAPSHOT || kind == DATA_TAKEN || kind == DATA_ASK;
}

static void pack_fields(Cairn__DataHeader *packed, const struct data_header *header)
{
    packed->protocol = PROTOCOL_VERSION;
    packed->kind = (Cairn__DataKind)header->kind;
    packed->job = header->job;
    packed->incarnation = header->incarnation;
    packed->table = header->table;
    packed->step = header->step;
    packed->request = header->request;
    if (header->kind == DATA_PUSH) {
        packed->node_begin = header->node.begin;
        packed->node_end = header->node.end;
        packed->samples = header->samples;
        packed->worker = header->worker;
        packed->map = header->map;
        packed->subscribe = header->subscribe;
        packed->exact = header->exact;
        packed->acknowledge = header->acknowledge;
    }
    if (header->kind == DATA_UPDATE) {
        packed->samples = header->samples;
        packed->worker = header->worker;
        packed->worker_step = header->worker_step;
        packed->divisor = header->divisor;
    }
    if (is_of_chains(header->kind))
        packed->map = header->map;
    if (header->kind == DATA_PULL) {
        packed->worker = header->worker;
        packed->map = header->map;
        packed->committed = header->committed;
        packed->newest = header->newest;
        packed->exact = header->exact;
        packed->acknowledge = header->newest && header->acknowledge;
    }
    if (header->kind == DATA_REFUSED) {
        packed->refused = (Cairn__RefusedReason)header->refused;
        packed->message = (char *)header->message;
    }
    if (header->kind == DATA_VALUES || header->kind == DATA_APPLIED)
        packed->tables = header->tables;
}

size_t wire_data_pack(const struct data_header *header, unsigned char bytes[WIRE_HEADER_MAX])
{
    Cairn__DataHeader packed = CAIRN__DATA_HEADER__INIT;
    Cairn__Payload payloads[WIRE_PAYLOADS_MAX];
    Cairn__Payload *pointers[WIRE_PAYLOADS_MAX];
    const char *problem = header_problem(header);

    if (problem)
        BUG(problem);
    pack_fields(&packed, header);
    for (uint32_t i = 0; i < header->payload_count; i++) {
        cairn__payload__init(&payloads[i]);
        payloads[i].chunk = header->payloads[i].chunk;
        payloads[i].type = (Cairn__DataType)header->payloads[i].type;
        payloads[i].length_bytes = header->payloads[i].length_bytes;
        pointers[i] = &payloads[i];
    }
    packed.n_payloads = header->payload_count;
    packed.payloads = pointers;
    return cairn__data_header__pack(&packed, bytes);
}

/* A foreign line for a person: control characters become spaces; too long a line is left without its end,
 * which kind_problem notices. */
static void unpack_message(char message[WIRE_MESSAGE_MAX], const char *text)
{
    size_t length = strnlen(text, WIRE_MESSAGE_MAX - 1);

    for (size_t i = 0; i < length; i++)
        message[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i];
    message[length] = text[length];
}

static void unpack_fields(struct data_header *header, const Cairn__DataHeader *packed)
{
    header->kind = (enum data_kind)packed->kind;
    header->job = packed->job;
    header->incarnation = packed->incarnation;
    header->table = packed->table;
    header->step = packed->step;
    header->request = packed->request;
    header->node = (struct tree_node){packed->node_begin, packed->node_end};
    header->samples = packed->samples;
    header->worker = packed->worker;
    header->worker_step = packed->worker_step;
    header->divisor = packed->divisor;
    header->map = packed->map;
    header->subscribe = packed->subscribe;
    header->exact = packed->exact;
    header->acknowledge = packed->acknowledge;
    header->committed = packed->committed;
    header->newest = packed->newest;
    header->tables = packed->tables;
    header->refused = (enum data_refused)packed->refused;
    unpack_message(header->message, packed->message);
}

/* The payloads must fit. */
static void unpack_payloads(struct data_header *header, const Cairn__DataHeader *packed)
{
    header->payload_count = (uint32_t)packed->n_payloads;
    for (size_t i = 0; i < packed->n_payloads; i++) {
        header->payloads[i].chunk = packed->payloads[i]->chunk;
        header->payloads[i].type = (enum data_type)packed->payloads[i]->type;
        header->payloads[i].length_bytes = packed->payloads[i]->length_bytes;
    }
}

enum status wire_data_unpack(const void *bytes, size_t length, struct data_header *header,
                             struct error *error)
{
    struct bump bump;
    ProtobufCAllocator allocator = {bump_allocate, bump_free, &bump};
    Cairn__DataHeader *packed;
    const char *problem;

    if (length > WIRE_HEADER_MAX)
        return error_set(error, CAIRN_PROTOCOL, "data header: %zu bytes are too many", length);
    bump.used = 0;
    packed = cairn__data_header__unpack(&allocator, length, bytes);
    if (!packed)
        return error_set(error, CAIRN_PROTOCOL, "data header: it does not parse");
    if (packed->protocol != PROTOCOL_VERSION)
        return error_set(error, CAIRN_PROTOCOL, "data header: protocol %u, this program speaks %u",
                         packed->protocol, PROTOCOL_VERSION);
    if (packed->n_payloads > WIRE_PAYLOADS_MAX)
        return error_set(error, CAIRN_PROTOCOL, "data header: %zu payloads are too many", packed->n_payloads);
    unpack_fields(header, packed);
    unpack_payloads(header, packed);
    problem = header_problem(header);
    if (problem)
        return error_set(error, CAIRN_PROTOCOL, "data header: %s", problem);
    return CAIRN_OK;
}
