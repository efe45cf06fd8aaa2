/* libcairn: tables of floats on parameter servers, for programs that compute gradients by themselves.
 *
 * A job's tables lie on its servers: `dense` ones are a vector of floats, `sparse` ones have a row of floats
 * for each 64-bit key. Programs, any number of them, pull values, push gradients and take steps together; the
 * servers add the gradients up and apply the table's optimizer once a step. docs/library.md shows how.
 *
 * Steps. Version t of a table is what step t computes with; step t makes version t + 1. The batch of a step
 * is cut into the job's microbatches, [0, cairn_microbatches). A program has a span of them (cairn_set_span),
 * and all spans together are the whole. For each table and step it pushes the sums of gradients of its span,
 * or nothing, and then calls cairn_step. The servers add up by a fixed tree over microbatches, so what comes
 * out is the same, bit for bit, for any number of programs, servers and shards.
 *
 * Handles. What takes time returns a handle at once and goes on in the background of later calls. cairn_wait
 * ends a handle. Where `handle` may be NULL nobody is told, but the step's handle counts for it.
 *
 * Memory. Nothing is copied that need not be: keys and gradients that were given to a push, and keys given to
 * a pull, are read until its handle has ended; values of a pull are written until then. After a failure that
 * memory is the caller's again when cairn_close has returned.
 *
 * Errors. A status, and in cairn_error_text one line for a person. When a connection breaks, a server ends or
 * the job is stopped, all that is under way fails, and so does every later call: close the connection, make a
 * new one and attach again. cairn_current_step then tells the step to go on from, which may be an earlier
 * one; what is computed again comes out the same. With replicas (cluster.replicas) no step comes again that
 * this program has seen the end of.
 *
 * Threads. A connection and all that belongs to it are one thread's. There is no thread inside but ZeroMQ's.
 */
#ifndef CAIRN_H
#define CAIRN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CAIRN_API        __attribute__((visibility("default")))
#define CAIRN_MUST_CHECK __attribute__((warn_unused_result))
#else
#define CAIRN_API
#define CAIRN_MUST_CHECK
#endif

enum cairn_status {
    CAIRN_STATUS_OK,
    CAIRN_STATUS_INVALID,   /* an argument, a job or a call at the wrong moment */
    CAIRN_STATUS_NOT_FOUND, /* also: a part of the tables is on another server now: attach again */
    CAIRN_STATUS_EXISTS,
    CAIRN_STATUS_NO_MEMORY,
    CAIRN_STATUS_IO, /* a connection broke */
    CAIRN_STATUS_FULL,
    CAIRN_STATUS_CORRUPT,
    CAIRN_STATUS_STALE,   /* the job was stopped, or goes on as a newer incarnation: attach again */
    CAIRN_STATUS_TIMEOUT, /* not yet; the handle goes on */
    CAIRN_STATUS_AGAIN,   /* a signal interrupted the wait; the handle goes on */
    CAIRN_STATUS_CLOSED,
    CAIRN_STATUS_UNSUPPORTED,
    CAIRN_STATUS_PROTOCOL /* the other end is not what it should be */
};

/* A connection to a coordinator and, once attached, to the servers of one job. */
typedef struct cairn cairn;
/* A table of that job; lives as long as the connection. */
typedef struct cairn_table cairn_table;
/* Something under way. */
typedef struct cairn_handle cairn_handle;

/* The library's version, "0.1.0", and a status in words. Never NULL. Thread: any. */
CAIRN_API const char *cairn_version(void);
CAIRN_API const char *cairn_status_text(enum cairn_status status);

/* ---- the connection */

/* Makes a connection to the coordinator at an endpoint such as "tcp://10.0.0.1:7700"; NULL: the one in the
 * environment's CAIRN_COORDINATOR, else tcp://127.0.0.1:7700. Returns at once; whether somebody is there shows
 * with the first question.
 * Owns:    *out is the caller's, cairn_close; set also on failure, so that cairn_error_text can tell; NULL
 *          when memory is out
 * Errors:  INVALID for an endpoint that makes no sense; NO_MEMORY */
CAIRN_API enum cairn_status cairn_connect(const char *coordinator, cairn **out) CAIRN_MUST_CHECK;

/* Ends all that is under way and frees the connection, its tables and handles. The job goes on without this
 * program; what the others do together waits for whoever takes its span. NULL is allowed. */
CAIRN_API void cairn_close(cairn *connection);

/* What the last call that failed had to say: one line, never NULL, valid until the next call. */
CAIRN_API const char *cairn_error_text(const cairn *connection);

/* ---- a job, made by the program
 *
 * What a job file says (docs/job-file.md), in calls. Texts named `yaml` are in the job file's own language. */

/* Begins the description of a job of that name; one that was begun before is forgotten.
 * Errors:  NO_MEMORY */
CAIRN_API enum cairn_status cairn_job_begin(cairn *connection, const char *name) CAIRN_MUST_CHECK;

/* Sets a key of the job file's outermost level: ("seed", "7"), ("train", "{microbatches: 8, optimizer: sgd}"),
 * ("cluster", "{servers: 2}").
 * Errors:  INVALID when no job was begun; NO_MEMORY. What the text says is checked by cairn_job_start */
CAIRN_API enum cairn_status cairn_job_set(cairn *connection, const char *key,
                                          const char *yaml) CAIRN_MUST_CHECK;

/* Adds a table: a vector of `size` floats, or rows of `dimension` floats by key. yaml: the table's other
 * arguments, "{initializer: zeros, optimizer: {adagrad: {learning_rate: 0.1}}}"; NULL: all defaults.
 * Errors:  as cairn_job_set */
CAIRN_API enum cairn_status cairn_job_dense(cairn *connection, const char *name, uint64_t size,
                                            const char *yaml) CAIRN_MUST_CHECK;
CAIRN_API enum cairn_status cairn_job_sparse(cairn *connection, const char *name, uint32_t dimension,
                                             const char *yaml) CAIRN_MUST_CHECK;

enum cairn_start {
    CAIRN_START_NEW,   /* where the newest job of the name has ended: a new one, from step 0 */
    CAIRN_START_RESUME /* where it has ended: go on with it from its committed step */
};

/* Attaches to the newest job of the described one's name if it has not ended, else submits the job first; so
 * of several programs that start at once, one makes the job and all attach. Waits until the job runs.
 * Units:   timeout_ms from now for the job to run; -1: for ever
 * Thread:  blocks up to timeout_ms, and up to 5 s for each answer of the coordinator
 * Errors:  INVALID: the description is wrong, or the job that is there has other tables; TIMEOUT: the job does
 *          not run yet (there may be too few servers), call again; else as cairn_attach */
CAIRN_API enum cairn_status cairn_job_start(cairn *connection, enum cairn_start start,
                                            int timeout_ms) CAIRN_MUST_CHECK;

/* Attaches to a job with tables: by id, or by name when one job only has it, or one that has not ended.
 * Waits until it runs.
 * After it the connection has tables, the span of all microbatches, and a current step: the oldest that any
 * part of the tables stands at.
 * Units, Thread: as cairn_job_start
 * Errors:  INVALID: no such job, it trains a model, or this connection is attached already; CLOSED: it has
 *          ended; TIMEOUT: call again; IO, STALE, PROTOCOL and others: as they say */
CAIRN_API enum cairn_status cairn_attach(cairn *connection, const char *job, int timeout_ms) CAIRN_MUST_CHECK;

/* Stops the job: it ends at its committed step. Everybody's connections to it fail.
 * Thread:  blocks until the coordinator answers, up to 5 s
 * Errors:  INVALID when not attached; TIMEOUT, IO */
CAIRN_API enum cairn_status cairn_job_stop(cairn *connection) CAIRN_MUST_CHECK;

/* ---- what is there; of a connection that is attached */

/* The job's id; NULL: not attached. */
CAIRN_API const char *cairn_job_id(const cairn *connection);

/* The step that pushes are for and the version that pulls read. */
CAIRN_API uint64_t cairn_current_step(const cairn *connection);

/* How many microbatches a step has. */
CAIRN_API uint32_t cairn_microbatches(const cairn *connection);

/* A table by its name, or by its place in the job (from 0); NULL: there is none. Tables that other programs
 * add are found once something of the job's next version has come. */
CAIRN_API cairn_table *cairn_find_table(cairn *connection, const char *name);
CAIRN_API cairn_table *cairn_table_at(cairn *connection, uint32_t index);

CAIRN_API const char *cairn_table_name(const cairn_table *table);
/* Floats of a dense table; 0: it is sparse. Floats of a row of a sparse table; 0: it is dense. */
CAIRN_API uint64_t cairn_table_size(const cairn_table *table);
CAIRN_API uint32_t cairn_table_dimension(const cairn_table *table);

/* Sets this program's span of microbatches [begin, end), from the current step on. Programs whose spans
 * overlap do no harm as long as they push the same; who falls two steps behind, as the others need not wait
 * for it, is refused (STALE). An empty span makes a reader: it takes no part in steps, and its pulls read the
 * newest versions, which may be of different steps in different parts of a table.
 * Errors:  INVALID: not within [0, cairn_microbatches], or the current step has begun; or the job has a table
 *          with the codec top_k, and the current step is not divisible by train.commit_every: what was not
 *          sent yet is then with the programs that have the microbatches */
CAIRN_API enum cairn_status cairn_set_span(cairn *connection, uint32_t begin, uint32_t end) CAIRN_MUST_CHECK;

/* ---- another table, while the job runs
 *
 * The job's tables are those that it was described with, and after them, in the order in which the
 * coordinator was asked, those that were added. A table's number is its place among all, and its initial
 * values are a function of the job's seed, that number and the element or key. */

/* Adds a table to the job, or finds it when one of that name and alike is there: so several programs may ask
 * at once. It begins between two steps, with its initial values, at the newest version that any part of the
 * tables has had; which is not after the caller's current step, unless others push its microbatches as well. A
 * program that knows nothing of it adds nothing to it; else it is as the other tables. It stays with the job,
 * also when servers or the coordinator are killed: a job that goes back to a step before it began has it there,
 * with its initial values. For the same bits in every run, programs that push to it add it between the same two
 * steps.
 * Units:   size in floats, dimension in floats a row; timeout_ms from now, -1: for ever
 * Owns:    *table is borrowed, as from cairn_find_table; NULL on failure
 * Thread:  blocks up to timeout_ms, and up to 5 s for each answer of the coordinator; the servers hold all steps
 *          of the job back for a moment
 * Errors:  INVALID: the current step has begun; what is wrong with the table, such as the codec top_k, with
 *          which none can be added; the job has another table of that name. TIMEOUT: not yet, call again. What
 *          broke the connection */
CAIRN_API enum cairn_status cairn_add_dense(cairn *connection, const char *name, uint64_t size,
                                            const char *yaml, int timeout_ms,
                                            cairn_table **table) CAIRN_MUST_CHECK;
CAIRN_API enum cairn_status cairn_add_sparse(cairn *connection, const char *name, uint32_t dimension,
                                             const char *yaml, int timeout_ms,
                                             cairn_table **table) CAIRN_MUST_CHECK;

/* ---- pushing and pulling */

/* Sums of gradients of a table over microbatches [begin, end) of the current step. That range must be a node
 * of the tree over [0, cairn_microbatches), each node [lo, hi) of which splits at lo + (hi - lo) / 2: single
 * microbatches always are. A sum over several must have been formed by that tree, left before right, for the
 * result to be the same whoever computes; of a table with a codec that rounds there may be none, since each
 * microbatch is rounded by itself. */
struct cairn_gradients {
    uint32_t begin, end;   /* both 0: this program's span, which must then be a node */
    uint64_t samples;      /* that were summed: the step's sum is divided by all of them */
    const float *values;   /* dense: [size]; sparse: [count, dimension]; NULL: nothing to add */
    const uint64_t *keys;  /* sparse: [count], may repeat: their rows are then added in order; dense: NULL */
    uint32_t count;        /* sparse; dense: 0 */
};

/* Pushes gradients; cairn_push_pull also reads version step + 1: of the whole table, or of the push's rows.
 * A push for a step begun before the servers have made the last one, of every table, is held back until they
 * have.
 * Shapes:  values [size], or [count, dimension] in the order of keys
 * Owns:    borrows gradients->values, gradients->keys and values until the handle has ended: for cairn_push
 *          when all is sent, for cairn_push_pull when values are there. *handle is the caller's, cairn_wait;
 *          cairn_push's may be NULL
 * Errors:  INVALID: not a node, not within the span, arguments that do not fit the table, or what its codec
 *          does not allow; EXISTS: some of
 *          these microbatches were pushed in this step already; NO_MEMORY; nothing was pushed then. What
 *          broke the connection */
CAIRN_API enum cairn_status cairn_push(cairn_table *table, const struct cairn_gradients *gradients,
                                       cairn_handle **handle) CAIRN_MUST_CHECK;
CAIRN_API enum cairn_status cairn_push_pull(cairn_table *table, const struct cairn_gradients *gradients,
                                            float *values, cairn_handle **handle) CAIRN_MUST_CHECK;

/* Reads the current step's version of a dense table, or of rows of a sparse one. A key that has no row reads
 * as its initial value; reading makes no rows.
 * Shapes:  keys [count], may repeat; dense: NULL and 0. values [size], or [count, dimension]
 * Owns:    borrows keys and values until the handle has ended
 * Errors:  INVALID, NO_MEMORY; what broke the connection */
CAIRN_API enum cairn_status cairn_pull(cairn_table *table, const uint64_t *keys, uint32_t count,
                                       float *values, cairn_handle **handle) CAIRN_MUST_CHECK;

/* Ends this program's part of the current step: pushes nothing for what it did not push, in every table, and
 * goes on to the next step. The handle ends when all programs have done so and the servers have made the
 * next version of every table, and when all memory given to pushes up to this step is free.
 * Owns:    handle may be NULL
 * Errors:  INVALID: the span is empty; NO_MEMORY; what broke the connection */
CAIRN_API enum cairn_status cairn_step(cairn *connection, cairn_handle **handle) CAIRN_MUST_CHECK;

/* Makes the current step's version of all tables durable, beside what train.commit_every does. Every program
 * calls it, between the same two steps: nobody may push for the next step before.
 * Units:   timeout_ms from now; -1: for ever
 * Thread:  blocks up to timeout_ms
 * Errors:  INVALID: the current step has begun, the span is empty, or a table has the codec top_k and the
 * step is not divisible by train.commit_every; a server that alone had a part of the step on its way to disk
 * is gone: commit a later step; TIMEOUT: not yet, call again; what broke the connection */
CAIRN_API enum cairn_status cairn_commit(cairn *connection, int timeout_ms) CAIRN_MUST_CHECK;

/* ---- what tables hold, and what has changed in them */

/* A table's figures over all its servers. Those of rows are 0 for a dense table. */
struct cairn_statistics {
    uint64_t version;       /* the oldest that any part of the table stands at */
    uint64_t rows;          /* of a sparse table, rows that have expired and not been removed yet included */
    uint64_t resident_rows; /* of these, in memory; the others are on disk */
    uint64_t candidates;    /* keys that were seen, but not often enough for a row */
    uint64_t hits, misses;  /* keys looked up since the job was taken up: in memory, and not */
    uint64_t evictions;     /* rows that have left memory since then */
    uint64_t memory_bytes;  /* of values, optimizer slots and indices in memory */
    uint64_t swap_bytes;    /* of rows on disk that changed since the last commit */
};

/* Asks what a table holds.
 * Units:   timeout_ms from now; -1: for ever
 * Thread:  blocks up to timeout_ms
 * Errors:  TIMEOUT, AGAIN (a signal); what broke the connection */
CAIRN_API enum cairn_status cairn_statistics(cairn_table *table, struct cairn_statistics *out,
                                             int timeout_ms) CAIRN_MUST_CHECK;

/* Some rows of a sparse table, in no order. Borrowed for the call of cairn_visit.
 * Shapes:  keys, steps [count]; values [count, dimension] */
struct cairn_rows {
    uint32_t count;
    const uint64_t *keys, *steps; /* steps: the last one that changed each row */
    const float *values;
};

/* What cairn_export calls with rows; other than 0 ends the export. It must not call on the connection. */
typedef int (*cairn_visit)(void *context, const struct cairn_rows *rows);

/* Reads the rows of a sparse table that step `since` or a later one changed (0: all), a few at a time, while
 * training goes on: for programs that serve them. Keys that have no row, since they never got one or it has
 * expired, do not come.
 * *next: the `since` of the export that is to follow, for which none of the changes between will be missed. A
 * row that changes during the export comes once, before or after the change, and again in the next; if nobody
 * takes a step meanwhile, all rows are of one version, which is *next. An export does not tell which rows
 * have expired: those whose step lies more than expire_after before *next. When the job has gone back to an
 * earlier step than `since`, as cairn_current_step tells after attaching, the next export must begin there.
 * Units:   timeout_ms without any answer; -1: for ever
 * Owns:    next may be NULL; unchanged on failure
 * Thread:  blocks while answers come
 * Errors:  INVALID: the table is dense, which cairn_pull reads; CLOSED: visit ended it; TIMEOUT, AGAIN (a
 *          signal); what broke the connection. What came until then is good */
CAIRN_API enum cairn_status cairn_export(cairn_table *table, uint64_t since, cairn_visit visit, void *context,
                                         uint64_t *next, int timeout_ms) CAIRN_MUST_CHECK;

/* ---- waiting */

/* Waits for a handle and ends it.
 * Units:   timeout_ms from now; 0: only looks; -1: for ever
 * Owns:    frees the handle, but on TIMEOUT and AGAIN
 * Thread:  blocks up to timeout_ms
 * Errors:  TIMEOUT, AGAIN (a signal); what broke the connection */
CAIRN_API enum cairn_status cairn_wait(cairn_handle *handle, int timeout_ms) CAIRN_MUST_CHECK;

/* Whether cairn_wait would return at once, after handling what has come. */
CAIRN_API int cairn_test(cairn_handle *handle);

/* For programs with a loop of their own: a descriptor to poll for input, and what to call when there is some,
 * and once after other calls of this library. cairn_poll never blocks. The descriptor lives as long as the
 * connection; -1: not attached.
 * Errors:  what broke the connection */
CAIRN_API int cairn_descriptor(const cairn *connection);
CAIRN_API enum cairn_status cairn_poll(cairn *connection) CAIRN_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
