/* The worker daemon: a node of the cluster that trains. The main thread keeps the membership with the
 * coordinator and runs one job at a time, each in a step thread (step.h); a job that fails is reported, and
 * the worker stays registered for the next.
 *
 * One thread: the one that called worker_new. */
#ifndef CAIRN_WORKER_WORKER_H
#define CAIRN_WORKER_WORKER_H

#include "base/log.h"
#include "base/settings.h"

/* Text members are borrowed from argv and the environment. */
struct worker_options {
    const char *coordinator;
    const char *name; /* NULL: made from host, process and chance */
    int64_t threads;  /* lanes; 0: as the job says, else one a core */
    const char *device;
    const char *log_level_name;
    enum log_level log_level;
};

/* Resolves the command line. Errors: CAIRN_INVALID with a line that names the option. */
enum status worker_options_resolve(int argc, char **argv, struct worker_options *options,
                                   enum settings_outcome *outcome, struct error *error) MUST_CHECK;

struct worker;

/* Registers in the background. Owns: context and options are borrowed for the worker's life.
 * Errors: CAIRN_INVALID for an endpoint that ZeroMQ does not take; CAIRN_NO_MEMORY. */
enum status worker_new(void *zmq_context, const struct worker_options *options, struct worker **out,
                       struct error *error) MUST_CHECK;

/* Ends the job in hand and leaves the cluster. NULL is allowed. */
void worker_free(struct worker *worker);

/* Serves until the descriptor `signals` (a signalfd) is readable.
 * Errors: CAIRN_CLOSED when the coordinator refused this node for good. */
enum status worker_run(struct worker *worker, int signals, struct error *error) MUST_CHECK;

/* Makes the C library keep large blocks instead of giving them back to the system, for the whole process:
 * frames of a MiB come and go every step, and fresh pages cost more than copying does. Before other threads
 * start. */
void worker_keep_memory(void);

#endif
