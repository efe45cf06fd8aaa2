/* Child processes that must not outlive this one.
 *
 * Every child gets SIGKILL from the kernel when its parent dies, runs in a process group of its own (so that
 * Ctrl-C reaches only the parent, which ends the work in order), reads nothing and writes to its own log
 * file. SIGCHLD must be blocked in the whole process (training.c does so before any thread starts). Knows
 * nothing of what the programs do. The main thread only: the kernel ties a child to the thread that started
 * it. */
#ifndef CAIRN_CLI_SUPERVISOR_H
#define CAIRN_CLI_SUPERVISOR_H

#include "base/status.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct child {
    char program[32], name[32];
    char *log_path;
    off_t log_start; /* where in the log this process's lines begin */
    pid_t process;
    bool is_running;
    int wait_status; /* once it is not */
};

struct supervisor {
    struct child *children;
    size_t count, capacity;
    sigset_t child_mask; /* signals that children have blocked */
    int kept_descriptor; /* the one descriptor that children inherit, -1: none */
};

void supervisor_init(struct supervisor *supervisor, const sigset_t *child_mask, int kept_descriptor);

/* Kills what still runs and waits for it. */
void supervisor_fini(struct supervisor *supervisor);

/* Starts a program (programs.h finds it) with arguments (NULL-terminated, without the program's own name).
 * Errors: when it cannot be started, a line that says which and why. */
enum status supervisor_start(struct supervisor *supervisor, const char *program, const char *name,
                             const char *log_path, char *const *arguments, struct error *error) MUST_CHECK;

/* Takes notice of children that ended; returns one that has, or NULL. Does not wait. */
const struct child *supervisor_reap(struct supervisor *supervisor);

/* Sets *error to one line: which child, how it ended, and the last error of its log. Returns CAIRN_CLOSED. */
enum status supervisor_describe(const struct child *child, struct error *error);

/* Asks all children to end (SIGTERM; the first one when the others have ended), waits for that at most
 * patience_ms (or until SIGINT or SIGTERM comes, which must be blocked), then kills. All are gone afterwards,
 * and can be started again. */
void supervisor_stop(struct supervisor *supervisor, int patience_ms);

#endif
