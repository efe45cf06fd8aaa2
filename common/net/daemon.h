/* What every daemon of a cluster does around its work: settings, log, signals, messaging, exit code.
 *
 * A daemon's main.c names its settings and its work in a struct daemon_program; the start and the end are the
 * same for all. SIGTERM and SIGINT do not interrupt: they make a descriptor readable, on which the work polls
 * beside its sockets. Must not know what the work is. Main threads only. */
#ifndef CAIRN_NET_DAEMON_H
#define CAIRN_NET_DAEMON_H

#include "base/settings.h"
#include "base/status.h"

/* The exit codes. Not serving is one code, whatever the reason: its line says more. */
enum { DAEMON_STOPPED = 0, DAEMON_FAILED = 1, DAEMON_USAGE = 2 /* the command line or the environment */ };

struct daemon_program {
    const char *name; /* in log lines, such as "worker"; a constant */
    const struct settings_table *table;
    void *settings;           /* the table's target */
    const int64_t *log_level; /* in settings; an enum log_level */

    /* Serves until stop_descriptor can be read (CAIRN_OK) or it cannot go on; it may read it (a signal is a
     * struct signalfd_siginfo) to hear of the next one. Has closed all its sockets when it returns. Both
     * arguments are borrowed; the context has no socket yet. */
    enum status (*serve)(const void *settings, void *zmq_context, int stop_descriptor, struct error *error);
};

/* A whole main: resolves the settings and runs; a refused setting is one line on stderr. Returns the exit
 * code. */
int daemon_main(const struct daemon_program *program, int argc, char **argv);

/* The same with settings that are resolved already. Blocks SIGTERM and SIGINT in the calling thread, and so
 * in those that it starts: call it before there are others. A failure is one log line. */
int daemon_run(const struct daemon_program *program);

/* Makes the C library keep large blocks instead of giving them back to the system, for the whole process:
 * frames of a MiB come and go every step, and fresh pages cost more than copying does. Before other threads
 * start. */
void daemon_keep_memory(void);

#endif
