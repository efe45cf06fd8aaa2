/* Child processes (child.h) that are started again when they die: with the same arguments, at once, then
 * after pauses that grow while a child dies again and again within some seconds of its start; after the fifth
 * such end it is given up.
 *
 * SIGCHLD must be blocked in the whole process (training.c does so before any thread starts); when it comes,
 * and at supervisor_deadline_ms, supervisor_tend is to be called. Knows nothing of what the programs do. Main
 * thread only. */
#ifndef CAIRN_CLI_SUPERVISOR_H
#define CAIRN_CLI_SUPERVISOR_H

#include "child.h"

/* Who hears what became of children, one line each. */
struct supervisor_viewer {
    void (*note)(void *context, const char *line);
    void *context;
};

struct supervisor {
    struct child *children;
    size_t count, capacity;
    sigset_t child_mask; /* signals that children have blocked */
    int kept_descriptor; /* the one descriptor that children inherit, -1: none */
    struct supervisor_viewer viewer;
};

/* Owns: what the viewer's context is must outlive the supervisor. */
void supervisor_init(struct supervisor *supervisor, const sigset_t *child_mask, int kept_descriptor,
                     const struct supervisor_viewer *viewer);

/* Kills what still runs and waits for it. */
void supervisor_fini(struct supervisor *supervisor);

/* Starts a child. Errors: when it cannot be started, a line that says which and why. */
enum status supervisor_start(struct supervisor *supervisor, const struct child_params *params,
                             struct error *error) MUST_CHECK;

/* The child of that name, until the next supervisor_start; NULL: there is none. */
struct child *supervisor_child(const struct supervisor *supervisor, const char *name);

/* Takes notice of children that ended and starts again those whose time has come. Does not wait.
 * Errors: CAIRN_CLOSED when a child is given up: which, how it ended, and the last error of its log; when one
 * cannot be started. */
enum status supervisor_tend(struct supervisor *supervisor, struct error *error) MUST_CHECK;

/* When the next child is to be started again, on clock_ms(); -1: none is. */
int64_t supervisor_deadline_ms(const struct supervisor *supervisor);

/* Asks all children to end (SIGTERM; the first one when the others have ended), waits for that at most
 * patience_ms (or until SIGINT, SIGTERM or SIGHUP comes, which must be blocked), then kills. All are gone
 * afterwards, and others can be started. True: such a signal has come, and is taken. */
bool supervisor_stop(struct supervisor *supervisor, int patience_ms);

#endif
