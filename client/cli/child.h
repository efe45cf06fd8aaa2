/* One child process that must not outlive this one: what it is started with, starting it, and saying how it
 * ended.
 *
 * Every child gets SIGKILL from the kernel when its parent dies, runs in a process group of its own (so that
 * Ctrl-C reaches only the parent, which ends the work in order), reads nothing and writes to its own log
 * file. Knows nothing of what the program does, nor of other children. The main thread only: the kernel ties
 * a child to the thread that started it. */
#ifndef CAIRN_CLI_CHILD_H
#define CAIRN_CLI_CHILD_H

#include "base/status.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child_params {
    const char *program; /* programs.h finds it */
    const char *name;
    const char *log_path;   /* is appended to */
    char *const *arguments; /* NULL-terminated, without the program's own name */
    bool may_leave;         /* an end with exit code 0 is for good: it was told to go */
};

struct child {
    char program[32], name[32];
    char *log_path;
    char **words; /* the program's name and its arguments, NULL-terminated */
    bool may_leave;
    off_t log_start; /* where in the log this process's lines begin */
    pid_t process;
    bool is_running;
    int wait_status;      /* once it is not */
    int64_t started_ms;   /* on clock_ms() */
    uint32_t start_count; /* how often it was started */
    uint32_t quick_ends;  /* in a row, soon after a start: the supervisor's */
    int64_t due_ms;       /* when it is to be started again: the supervisor's */
};

/* Takes copies; nothing is started yet. child_fini is right also after a failure. Errors: CAIRN_NO_MEMORY. */
enum status child_init(struct child *child, const struct child_params *params,
                       struct error *error) MUST_CHECK;

/* Frees what child_init took. The process must have ended. */
void child_fini(struct child *child);

/* Another value for an option that is among the arguments, from the next start on. Errors: CAIRN_NO_MEMORY.
 */
enum status child_set_option(struct child *child, const char *option, const char *value,
                             struct error *error) MUST_CHECK;

/* Starts the process. mask: the signals that it has blocked. kept_descriptor: the one descriptor that it
 * inherits, -1: none. Errors: when it cannot be started, a line that says which and why. */
enum status child_start(struct child *child, const sigset_t *mask, int kept_descriptor,
                        struct error *error) MUST_CHECK;

/* Whether it has ended since the last call. Does not wait. */
bool child_reap(struct child *child);

/* Whether it has ended for good, as it may. */
bool child_has_left(const struct child *child);

/* Whether it has ended as it refused its options or its environment: it would do so again. */
bool child_was_refused(const struct child *child);

/* "was killed by signal 9 (Killed)" or "ended by itself with exit code 1", and the last error of its log. */
void child_describe_end(const struct child *child, char *text, size_t size);

#endif
