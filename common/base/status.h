/* What a fallible function returns, and the context that it may give with it.
 *
 * Every fallible function returns an `enum status`; a caller that wants to tell a person why passes a
 * `struct error`, which may be NULL everywhere. Errors are returned up and logged once, where a program
 * meets the world. Nothing in this file allocates. Any thread. */
#ifndef CAIRN_BASE_STATUS_H
#define CAIRN_BASE_STATUS_H

#include <stdarg.h>

/* name, what a person reads when no message was given */
#define STATUS_LIST(X)                                                                                       \
    X(OK, "ok")                                                                                              \
    X(INVALID, "invalid input")                                                                              \
    X(NOT_FOUND, "not found")                                                                                \
    X(EXISTS, "exists already")                                                                              \
    X(NO_MEMORY, "out of memory")                                                                            \
    X(IO, "input/output error")                                                                              \
    X(FULL, "no space left")                                                                                 \
    X(CORRUPT, "corrupt data")                                                                               \
    X(STALE, "stale: a newer incarnation or version exists")                                                 \
    X(TIMEOUT, "timed out")                                                                                  \
    X(AGAIN, "nothing there yet")                                                                            \
    X(CLOSED, "closed")                                                                                      \
    X(UNSUPPORTED, "not supported")                                                                          \
    X(PROTOCOL, "protocol violation")                                                                        \
    X(PASSED, "passed: the version is no longer kept")

enum status {
#define X(name, text) CAIRN_##name,
    STATUS_LIST(X)
#undef X
        STATUS_COUNT
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* Context of a failure, owned by the caller. */
struct error {
    enum status status;
    int system;         /* errno or the library's code; 0 when there is none */
    char message[512];  /* one line: what, where, what to do */
};

/* The name of a status in lower case words, never NULL, also for numbers outside the enum. */
const char *status_text(enum status status);

/* Fills *error (when not NULL) with a formatted line and returns status, so that a failing function can
 * `return error_set(error, CAIRN_INVALID, "...")`. Longer lines are cut. */
enum status error_set(struct error *error, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, for a failed system call: appends ": " and strerror(code); ENOMEM, ENOSPC/EDQUOT and ENOENT
 * give NO_MEMORY, FULL and NOT_FOUND, all else IO. */
enum status error_system(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts a formatted prefix before the message that *error already holds ("PREFIX: MESSAGE"); returns its
 * status. With error NULL returns status. */
enum status error_prefix(struct error *error, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reports a broken invariant of our own code on stderr and aborts. Never for a peer's bytes, disks, files or
 * memory. */
_Noreturn void bug_at(const char *file, int line, const char *what);
#define BUG(what) bug_at(__FILE__, __LINE__, (what))
#define BUG_IF(condition)                                                                                    \
    do {                                                                                                     \
        if (condition)                                                                                       \
            BUG(#condition);                                                                                 \
    } while (0)

#endif
