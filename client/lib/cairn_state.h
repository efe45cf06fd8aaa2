/* What the files of the public library share: a connection, its tables, and what is under way. Nobody else
 * includes this.
 *
 * An operation (a public cairn_handle) is made by a call, sent when tables have come far enough, and done
 * when its answers are there and the memory that was lent to it is free. Operations are reused; their memory
 * lives as long as the connection, since ZeroMQ's thread may hold on to what is in them. */
#ifndef CAIRN_LIB_CAIRN_STATE_H
#define CAIRN_LIB_CAIRN_STATE_H

#include "base/buffer.h"
#include "base/mailbox.h"
#include "base/status.h"
#include "cairn.h"
#include "job/job.h"
#include "job_text.h"
#include "math/tree.h"
#include "request.h"
#include "session.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum operation_kind { OPERATION_PUSH, OPERATION_PULL, OPERATION_STEP };

struct cairn_handle {
    struct cairn *connection;
    struct cairn_table *table; /* STEP: NULL */
    enum operation_kind kind;
    uint64_t step;         /* PUSH: for it; PULL: the version, SESSION_NEWEST; STEP: the one that ends */
    struct tree_node node; /* PUSH */
    uint64_t samples;      /* PUSH */
    const float *gradients;
    const uint64_t *keys;
    uint32_t count;   /* of keys */
    float *values;    /* where what is read goes; NULL: nothing is */
    bool acknowledge; /* PUSH: its table is to hear of the next version */
    bool is_answered; /* all that is read has come, or nothing is to */
    bool has_memory;  /* some of it is lent to ZeroMQ */
    bool is_wanted;   /* the caller has the handle */
    bool is_done;
    uint64_t request; /* PULL of a dense table's newest version: its number, by which its answers are known */
    /* What is still to come of a dense table: a bit a chunk. */
    uint64_t *missing;
    uint32_t missing_words, chunks_left;
    struct session_operation rows; /* what is to come of a sparse one */
    /* Memory on loan: the last buffer that is let go of posts the letter. */
    struct buffer gradient_buffer, key_buffer;
    atomic_uint lent;
    struct mail mail;
    struct cairn_handle *next; /* of the list that it is in: held, reading, steps or free */
    struct cairn_handle *lent_before, *lent_after; /* while has_memory: all that have */
    struct cairn_handle *next_made;                /* all that were ever made */
};

struct operation_list {
    struct cairn_handle *first, *last;
};

struct cairn_table {
    struct cairn *connection;
    struct table_spec spec;
    uint32_t number;               /* on the wire */
    uint32_t chunk_floats, chunk_count;
    /* Version `known` is there on all shards; of a dense one a bit a chunk that has the next as well. */
    uint64_t known;
    uint64_t *fresh;
    uint32_t stale_left;              /* chunks without the bit */
    bool is_known;                    /* while attaching: false until all versions were told */
    struct session_operation applied; /* of a sparse one: tells that the next version is there */
    /* This program's part of the current step. */
    uint8_t *pushed; /* [microbatches] */
    uint32_t pushed_count;
    bool is_asked;                 /* some push of the step tells when it is applied */
    struct operation_list held;    /* not sent yet, in order */
    struct operation_list reading; /* dense: sent, and chunks are still to come */
};

/* What a program has of the microbatches, from a step on. */
struct cairn_span {
    uint64_t step;
    uint32_t begin, end;
};

struct cairn {
    void *context;
    char *coordinator; /* its endpoint */
    struct requester *requester;
    struct error error; /* of the last call that failed */
    struct job_text *text;
    char *id; /* of the job; NULL until it is known */
    struct job *job;
    struct session *session; /* NULL: not attached */
    uint64_t incarnation;    /* of the job, the session's */
    bool is_attached;
    enum status failed; /* what broke the session; CAIRN_OK: it stands */
    struct error failure;
    uint64_t step;
    uint32_t span_begin, span_end;
    uint64_t span_step; /* the step from which the span holds */
    /* [spans_count], the present one last: who learns late of a table owes it the steps since it began. */
    struct cairn_span *spans;
    uint32_t spans_count;
    uint32_t table_count;
    struct cairn_table **tables; /* [table_count], each of its own, since programs hold on to them */
    struct {
        struct requester *requester; /* NULL: nothing is asked */
        uint32_t told;               /* how many tables there were when it was */
        int again;                   /* a timer, to ask again if nothing comes; -1: as above */
    } learning;                      /* of tables that were added (learning.c) */
    struct operation_list steps;     /* of kind STEP that are not done */
    uint64_t newest_pulls;           /* of dense tables, how many were sent: the last one's number */
    struct cairn_handle *lent_first, *lent_last;
    struct cairn_handle *free_operations, *made_operations;
    struct mailbox mailbox;
    int descriptor; /* an epoll of the mailbox, all sockets' descriptors and the timer; -1: none */
};

/* The public status of an internal one, whose line is in connection->error. */
enum cairn_status public_status(enum status status);

/* ---- operations (operation.c) */

/* A fresh operation; NULL: out of memory. */
struct cairn_handle *operation_new(struct cairn *connection, enum operation_kind kind);
/* Takes back one that was not begun. */
void operation_drop(struct cairn_handle *operation);

/* Sends an operation, or holds it back until tables have come far enough.
 * Errors: CAIRN_INVALID: nothing was done, the operation is dropped. Others: the connection has failed. */
enum status operation_begin(struct cairn_handle *operation, struct error *error) MUST_CHECK;

/* Ends an operation whose parts are all there; frees it unless the caller has the handle. */
void operation_check(struct cairn_handle *operation);

/* Frees the memory of all operations; ZeroMQ's context is gone. */
void operations_fini(struct cairn *connection);

/* Sends what was held back and may go now. Errors: the connection has failed. */
enum status operations_send_held(struct cairn_table *table, struct error *error) MUST_CHECK;

/* Puts an operation at the end of those that its table holds back; operations_send_held sends it. */
void operation_hold(struct cairn_handle *operation);

/* Adds the end of a step to those that are waited for; the operation is of kind STEP. */
void operations_add_step(struct cairn *connection, struct cairn_handle *operation);

/* ZeroMQ has let go of an operation's memory: its letter came. */
void operation_returned(struct cairn_handle *operation);

/* Ends the steps that are complete. */
void operations_check_steps(struct cairn *connection);

/* ---- what comes (events.c) */

/* The session's events; their context is the connection. */
extern const struct session_events events_of_session;

/* Prepares what it takes to hear the connection's sockets. */
enum status events_open(struct cairn *connection, struct error *error) MUST_CHECK;
void events_close(struct cairn *connection);

/* Hears one more socket, or wakes up for one more descriptor until it is closed. */
enum status events_watch(struct cairn *connection, void *socket, struct error *error) MUST_CHECK;
enum status events_watch_descriptor(struct cairn *connection, int descriptor, struct error *error) MUST_CHECK;

/* The deadline of a timeout from now, on the monotonic clock; -1: EVENTS_FOREVER. And what is left of it. */
#define EVENTS_FOREVER INT64_MAX
int64_t events_deadline(int timeout_ms);
int events_left_ms(int64_t deadline_ms);

/* Handles all that has come, without blocking; events_sleep may follow. Errors: the connection has failed. */
enum status events_take(struct cairn *connection, struct error *error) MUST_CHECK;

/* Blocks until something may have come, at most until the deadline. Right after events_take.
 * Errors: CAIRN_AGAIN (a signal), CAIRN_TIMEOUT, CAIRN_IO. */
enum status events_sleep(struct cairn *connection, int64_t deadline_ms, struct error *error) MUST_CHECK;

/* Remembers what broke the connection and returns it. */
enum status events_fail(struct cairn *connection, const struct error *error);

/* Whether the connection is attached and stands. Errors: CAIRN_INVALID; what broke it. */
enum status events_check(const struct cairn *connection, struct error *error) MUST_CHECK;

/* Version `version` of a whole sparse table exists. */
void table_applied(struct cairn_table *table, uint64_t version);

/* ---- tables that are added (learning.c) */

/* Whether there are tables that the servers have told of and the connection does not know yet. */
bool learning_is_due(const struct cairn *connection);

/* Asks the coordinator for them, or takes its answer; never blocks. To be called while something is due or
 * asked. Errors: the connection has failed. */
enum status learning_poll(struct cairn *connection, struct error *error) MUST_CHECK;

/* Ends what is asked. */
void learning_end(struct cairn *connection);

/* Takes the tables of a location that the connection does not know yet, and pushes nothing to them for the
 * steps that this program has ended since they began. least: how many there are at least. Errors: the
 * connection has failed. */
enum status learning_take(struct cairn *connection, const Cairn__LocationReply *location, uint32_t least,
                          struct error *error) MUST_CHECK;

/* Notes the connection's present span. Errors: CAIRN_NO_MEMORY. */
enum status spans_note(struct cairn *connection) MUST_CHECK;

/* ---- attaching (attachment.c) */

/* Adds a table of the job to the connection, which stands at no version yet.
 * Errors: CAIRN_NO_MEMORY; nothing was added. */
enum status table_open(struct cairn *connection, const struct table_spec *spec,
                       struct error *error) MUST_CHECK;

/* How a session has a table. */
struct session_table table_layout(const struct table_spec *spec);

/* Connects to the servers of the job connection->id, which runs. Errors: as cairn_attach. */
enum status attachment_open(struct cairn *connection, int64_t deadline_ms, struct error *error) MUST_CHECK;
void attachment_close(struct cairn *connection);

#endif
