/* The worker daemon: a node of the cluster that trains. The main thread keeps the membership with the
 * coordinator and runs one job at a time, each in a step thread (step.h); a job that fails is reported, and
 * the worker stays registered for the next.
 *
 * One thread: the one that called worker_new. */
#ifndef CAIRN_WORKER_WORKER_H
#define CAIRN_WORKER_WORKER_H

#include "base/settings.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Text members are borrowed from argv and the environment. */
struct worker_options {
    const char *coordinator;
    const char *name;  /* NULL: made from host, process and chance */
    int64_t threads;   /* lanes; 0: as the job says, else one a core */
    int64_t device;    /* enum device */
    int64_t log_level; /* enum log_level */
};

extern const struct settings_table worker_options_table;

struct worker;

/* Registers in the background. Owns: context and options are borrowed for the worker's life.
 * Errors: CAIRN_INVALID for an endpoint that ZeroMQ does not take; CAIRN_UNSUPPORTED for a device that this
 * build does not have; CAIRN_NO_MEMORY. */
enum status worker_new(void *zmq_context, const struct worker_options *options, struct worker **out,
                       struct error *error) MUST_CHECK;

/* How long the coordinator may take for each thing that it has to do before this worker can go: ten seconds
 * unless this says otherwise, before worker_run. */
void worker_limit_drain(struct worker *worker, int64_t patience_ms);

/* After worker_run: leaves the cluster and tells the job in hand to end, for which it has a second. False:
 * its thread is still at it, as one that opens data or writes a model; then worker_free would wait for that,
 * and who wants to end at once ends the process. */
bool worker_leave(struct worker *worker) MUST_CHECK;

/* Ends the job in hand, waits for that, and leaves the cluster. NULL is allowed. */
void worker_free(struct worker *worker);

/* Serves until the coordinator has nothing more for this worker. When stop_descriptor (a signalfd, an
 * eventfd) can be read, which is then done, the coordinator is asked to give the job in hand to others, while
 * it goes on; it ends when that is done. The second time, or without an answer for ten seconds
 * (worker_limit_drain), it ends at once. Errors: CAIRN_CLOSED when the coordinator refused this node for
 * good. */
enum status worker_run(struct worker *worker, int stop_descriptor, struct error *error) MUST_CHECK;

/* daemon_keep_memory, and one heap for all threads, which free each other's blocks. Before other threads
 * start. */
void worker_keep_memory(void);

#endif
