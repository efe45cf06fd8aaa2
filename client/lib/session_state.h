/* What the files of the session share: its state. Nobody else includes this. */
#ifndef CAIRN_LIB_SESSION_STATE_H
#define CAIRN_LIB_SESSION_STATE_H

#include "session.h"
#include "session_codec.h"

#include "net/frames.h"
#include "net/waiter.h"
#include "net/wire.h"

/* The chunks of the call in hand that go to one shard. */
struct batch {
    struct data_header header;
    struct buffer *coded[WIRE_PAYLOADS_MAX]; /* of its payloads, where they were encoded */
    uint64_t payload_bytes;                  /* carried by it */
    bool is_touched;                         /* in this call: the shard is in session->touched */
};

/* How a table lies in chunks. */
struct layout {
    enum session_table_kind kind;
    enum data_type type; /* where no codec encodes it */
    uint32_t element_bytes;
    uint32_t chunk_count;
    uint64_t elements;       /* of the whole table */
    uint64_t chunk_elements; /* of a chunk but the last */
    uint32_t dimension;
    struct session_codec codec;
};

/* An answer that is waited for, of one of four things; of rows: which of an operation's rows come in it. */
struct part {
    uint64_t request; /* its number on the wire; 0: nothing is waited for */
    struct session_operation *operation;
    struct session_statistics *statistics;
    struct session_export *export;
    struct session_missing *missing;
    bool is_question; /* for one of the last three; all NULL: it is forgotten */
    uint64_t cursor;  /* of an export: from where on rows were asked for; of what is missing: the step */
    uint32_t shard, table;
    uint32_t count;           /* rows that come; 0: only word that the version exists */
    uint32_t first;           /* they go to rows [first, first + count), or, when there are */
    struct buffer *positions; /* uint32 [...], to rows positions[first ...] */
    uint32_t next_free;
};

struct parts {
    struct part *items;
    uint32_t count, first_free; /* 1 + index, 0: none is free */
    uint64_t newest;            /* serial number of requests */
};

/* Scratch of a call that scatters keys over shards. */
struct rows_scratch {
    uint32_t *shards; /* of each key, [capacity] */
    uint32_t capacity;
    uint32_t *counts, *filled; /* [shard_count] */
    struct rows_share {        /* [shard_count]: what goes to one shard */
        struct buffer *keys, *gradients, *positions;
    } * shares;
};

struct session {
    uint64_t job, incarnation;
    uint32_t shard_count, slot_count;
    uint32_t *slot_shards; /* [slot_count] */
    bool *holds_slots;     /* [shard_count] */
    char **endpoints;      /* [shard_count] */
    uint32_t slot_holders; /* shards that hold slots: only to those there are connections */
    uint32_t *holders;     /* [slot_holders]: by connection */
    uint32_t *connections; /* [shard_count]: of those that hold slots */
    void **sockets;        /* [2 * slot_holders]: to the shards, then what tells of their connections */
    uint32_t table_count;
    struct layout *layouts; /* [table_count] */
    uint32_t
        tables_told; /* by shards: how many tables of its own the job has; 0: as many as from the start */
    uint64_t seed;   /* the job's */
    uint64_t worker; /* our number */
    uint64_t map;    /* that slot_shards is of */
    struct session_events events;
    struct batch *batches; /* [shard_count] */
    uint32_t *touched;     /* [shard_count]: the shards that the call in hand goes to */
    uint32_t touched_count;
    struct parts parts;
    struct rows_scratch rows;
    void *scratch; /* one chunk: for received values that are coded or not aligned */
    size_t scratch_bytes;
    struct data_header received; /* of the message in hand */
    struct frames frames;        /* of the message in hand, either way */
    struct waiter waiter;        /* over sockets, in their order */
    bool is_quiet;               /* nothing was there, and no socket was touched since */
};

/* Sends what is in session->frames to a shard; the frames are empty afterwards. */
enum status session_send(struct session *session, uint32_t shard, struct error *error) MUST_CHECK;

/* The layout of a table of this kind. Errors: CAIRN_INVALID: there is none. */
enum status session_layout(const struct session *session, uint32_t table, const struct layout **layout,
                           struct error *error) MUST_CHECK;

/* A part like `model` with a number of its own, which is returned; 0: out of memory. Takes a reference. */
uint64_t session_part_new(struct parts *parts, const struct part *model);
/* The part of a request; NULL: nobody waits for it. */
struct part *session_part_find(const struct parts *parts, uint64_t request);
void session_part_free(struct parts *parts, struct part *part);

/* The shard that a chunk of a table lies on. */
uint32_t session_chunk_shard(const struct session *session, uint32_t table, uint32_t chunk);

/* What is wrong with the answer to a question in hand; NULL: nothing. Then take it, which leaves no message
 * in hand.
 */
const char *session_question_problem(struct session *session, uint32_t shard);
enum status session_question_deliver(struct session *session, struct error *error) MUST_CHECK;

/* Errors: CAIRN_INVALID for numbers that no push may have. */
enum status session_check_push(uint64_t step, struct tree_node node, uint64_t samples,
                               struct error *error) MUST_CHECK;

/* What is wrong with the values or the word in hand, of a dense table or sums; NULL: nothing. Then hand them
 * to the caller. */
const char *session_arrays_problem(struct session *session, uint32_t shard);
void session_arrays_deliver(struct session *session);

/* session_ask_versions of each kind; the table is of it. */
enum status session_arrays_ask(struct session *session, uint32_t table, struct error *error) MUST_CHECK;
enum status session_rows_ask(struct session *session, uint32_t table, struct session_operation *operation,
                             struct error *error) MUST_CHECK;

/* The same for a sparse table. */
const char *session_rows_problem(struct session *session, uint32_t shard);
void session_rows_deliver(struct session *session);
void session_rows_fini(struct session *session);

#endif
