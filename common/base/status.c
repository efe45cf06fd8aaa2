/* Status names and error messages. Knows nothing but the C library. */
#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *status_text(enum status status)
{
    static const char *const texts[] = {
#define X(name, text) text,
        STATUS_LIST(X)
#undef X
    };
    return (unsigned)status < STATUS_COUNT ? texts[status] : "unknown status";
}

enum status error_set(struct error *error, enum status status, const char *format, ...)
{
    va_list args;

    if (!error)
        return status;
    error->status = status;
    error->system = 0;
    va_start(args, format);
    vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
    return status;
}

/* Puts ": REASON" after the first `used` bytes of the message, as much of it as there is room for. */
static void append_reason(struct error *error, size_t used, const char *reason)
{
    size_t room = sizeof(error->message) - used;

    if (snprintf(error->message + used, room, ": %s", reason) < 0)
        error->message[used] = '\0';
}

static enum status status_of_errno(int code)
{
    switch (code) {
    case ENOMEM:
        return CAIRN_NO_MEMORY;
    case ENOSPC:
    case EDQUOT:
        return CAIRN_FULL;
    case ENOENT:
        return CAIRN_NOT_FOUND;
    default:
        return CAIRN_IO;
    }
}

enum status error_system(struct error *error, int code, const char *format, ...)
{
    enum status status = status_of_errno(code);
    va_list args;
    char reason[128];
    int used;

    if (!error)
        return status;
    error->status = status;
    error->system = code;
    va_start(args, format);
    used = vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof(error->message))
        append_reason(error, (size_t)used, strerror_r(code, reason, sizeof(reason)));
    return status;
}

enum status error_prefix(struct error *error, enum status status, const char *format, ...)
{
    va_list args;
    char old[sizeof(error->message)];
    int used;

    if (!error)
        return status;
    memcpy(old, error->message, sizeof(old));
    va_start(args, format);
    used = vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof(error->message))
        append_reason(error, (size_t)used, old);
    error->status = status;
    return status;
}

_Noreturn void bug_at(const char *file, int line, const char *what)
{
    fprintf(stderr, "level=error event=bug where=%s:%d what=\"%s\"\n", file, line, what);
    abort();
}
