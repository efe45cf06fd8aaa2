/* The data plane's header as a plain struct, and its packed form: no allocation a message.
 *
 * The only code that touches protobuf-c structs of the data plane. Every number of a received header is
 * bounded here; whether it fits the job is the shard's or session's to check. Any thread.
 * The control plane uses the generated structs themselves (they are cold, and a mirror of thirty messages
 * would say nothing new); wire_node_*, wire_client_* check what protobuf cannot. */
#ifndef CAIRN_NET_WIRE_H
#define CAIRN_NET_WIRE_H

#include "base/status.h"
#include "math/tree.h"

#include "control.pb-c.h"
#include "data.pb-c.h"
#include "job.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTOCOL_VERSION 1u

#define WIRE_PAYLOADS_MAX 64 /* payloads a message */
/* A message that has gathered so many bytes of chunks goes: a receiver has a message only when all of it has
 * come, so larger ones would keep both ends waiting for each other; smaller ones cost more than they carry.
 */
#define WIRE_GATHER_BYTES ((uint64_t)1 << 18)
#define WIRE_ROWS_BYTES   ((uint64_t)1 << 19) /* about what an answer of rows carries, for the same reason */
#define WIRE_HEADER_MAX   2048 /* bytes a packed header can take */
#define WIRE_MESSAGE_MAX  160  /* bytes of a refusal's line, with the end */

/* Bounds of foreign numbers: sums of them and one more step stay far from wrapping. */
#define WIRE_PAYLOAD_BYTES_MAX ((uint64_t)1 << 24)
#define WIRE_STEP_MAX          ((uint64_t)1 << 62)
#define WIRE_SAMPLES_MAX       ((uint64_t)1 << 40)
#define WIRE_SHARDS_MAX        4096u              /* shards a job, shard threads a server */
#define WIRE_REPLICAS_MAX      8u                 /* places of a slot's chain */
#define WIRE_COPIES_MAX        64u                /* of slots at once */
#define WIRE_CONTROL_MAX       ((size_t)16 << 20) /* bytes of a packed control message */

enum data_kind {
    DATA_PUSH = 1,
    DATA_PULL,
    DATA_VALUES,
    DATA_REFUSED,
    DATA_APPLIED,
    DATA_PART,
    DATA_STATISTICS,
    DATA_EXPORT,
    DATA_UPDATE,
    DATA_SNAPSHOT,
    DATA_TAKEN,
    DATA_ASK,
    DATA_MISSING
};
enum data_type { DATA_FLOAT32 = 1, DATA_FLOAT64, DATA_UINT64, DATA_CODED };
/* The numbers in an answer of kind DATA_STATISTICS, one payload of uint64; more may follow one day. */
enum data_statistic {
    STATISTIC_ROWS,          /* of a sparse table, all of them */
    STATISTIC_RESIDENT_ROWS, /* of these, in memory */
    STATISTIC_CANDIDATES,    /* keys that were seen and have no row yet */
    STATISTIC_HITS,          /* keys looked up since the shard opened the table: in memory */
    STATISTIC_MISSES,        /* and not */
    STATISTIC_EVICTIONS,     /* rows that have left memory */
    STATISTIC_MEMORY_BYTES,
    STATISTIC_SWAP_BYTES,
    STATISTIC_COUNT
};
/* The payloads of DATA_EXPORT: of a question the first alone; of an answer all, with no length where there
 * are no rows. */
enum data_export {
    EXPORT_CURSOR, /* one uint64: from where on; 0: the beginning, and in an answer that this was the end */
    EXPORT_KEYS,   /* uint64 [n] */
    EXPORT_STEPS,  /* uint64 [n]: the last step that changed each */
    EXPORT_ROWS,   /* float32 [n, dimension] */
    EXPORT_PAYLOADS
};
enum data_refused {
    DATA_REFUSED_STALE = 1,
    DATA_REFUSED_UNKNOWN,
    DATA_REFUSED_MALFORMED,
    DATA_REFUSED_LOST,
    DATA_REFUSED_PASSED
};

struct data_payload {
    uint32_t chunk;
    enum data_type type;
    uint64_t length_bytes;
};

/* See proto/data.proto for what each member means. A payload with a length has a frame; in pulls only keys
 * do, in refusals and APPLIED none. A pull of rows that only asks for the newest version has no payload. Members that are named for some kinds are neither sent nor meant with
 * others.
 */
struct data_header {
    enum data_kind kind;
    uint64_t job, incarnation;
    uint32_t table;
    uint64_t step;
    uint64_t request;
    struct tree_node node; /* DATA_PUSH only */
    uint64_t samples;      /* DATA_PUSH, DATA_UPDATE */
    uint64_t worker;       /* DATA_PUSH, DATA_PULL and DATA_UPDATE */
    uint64_t worker_step;  /* DATA_UPDATE only, as is the next one */
    uint64_t divisor;
    uint64_t map;          /* DATA_PUSH, DATA_PULL, DATA_UPDATE, DATA_SNAPSHOT, DATA_TAKEN and DATA_ASK */
    bool subscribe;        /* DATA_PUSH only */
    bool exact;            /* DATA_PUSH and DATA_PULL */
    bool acknowledge;      /* DATA_PUSH, and DATA_PULL with newest */
    bool committed;        /* DATA_PULL only */
    bool newest;           /* DATA_PULL only */
    uint32_t tables;       /* DATA_VALUES and DATA_APPLIED only: of a job that was extended; else 0 */
    uint32_t payload_count;
    struct data_payload payloads[WIRE_PAYLOADS_MAX];
    enum data_refused refused;      /* DATA_REFUSED only */
    char message[WIRE_MESSAGE_MAX]; /* DATA_REFUSED only */
};

/* How many of the payloads have a frame. */
uint32_t wire_data_frames(const struct data_header *header);

/* Packs a header; returns its length, at most WIRE_HEADER_MAX. header must be within its own bounds (BUG
 * otherwise: we made it). */
size_t wire_data_pack(const struct data_header *header, unsigned char bytes[WIRE_HEADER_MAX]);

/* Unpacks and checks a received header: protocol, kind, types, counts, node order.
 * Errors: CAIRN_PROTOCOL with a line that says what; *header is unspecified then. */
enum status wire_data_unpack(const void *bytes, size_t length, struct data_header *header,
                             struct error *error) MUST_CHECK;

/* Unpack and check a control message: protocol number, a body, enums in range, counts that belong together
 * (spans to workers, slots within shards), names where there must be some, text without control characters.
 * In lines that were written for people (messages, reasons, log lines) control characters become spaces; a
 * job file's text may have line ends and tabs. Members that are not known are dropped. Owns: *out is the
 * caller's (cairn__...__free_unpacked). Errors: CAIRN_PROTOCOL, CAIRN_NO_MEMORY. */
enum status wire_node_message_unpack(const void *bytes, size_t length, Cairn__NodeMessage **out,
                                     struct error *error) MUST_CHECK;
enum status wire_node_command_unpack(const void *bytes, size_t length, Cairn__NodeCommand **out,
                                     struct error *error) MUST_CHECK;
enum status wire_client_request_unpack(const void *bytes, size_t length, Cairn__ClientRequest **out,
                                       struct error *error) MUST_CHECK;
enum status wire_client_reply_unpack(const void *bytes, size_t length, Cairn__ClientReply **out,
                                     struct error *error) MUST_CHECK;

#endif
