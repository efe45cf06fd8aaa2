/* Log lines on stderr. The one global of the project that is not const after start-up: level and name. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level log_threshold = LOG_LEVEL_INFO;
static const char *log_program = "cairn";
const char *const log_level_words[] = {"error", "warn", "info", "debug", NULL};

void log_init(enum log_level level, const char *program)
{
    log_threshold = level;
    log_program = program;
}

static size_t log_prefix(char *line, size_t size, enum log_level level, const char *event)
{
    struct timespec now;
    struct tm parts;
    int used;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    used = (int)strftime(line, size, "time=%Y-%m-%dT%H:%M:%S", &parts);
    used += snprintf(line + used, size - (size_t)used, ".%03ldZ level=%s program=%s pid=%d event=%s",
                     now.tv_nsec / 1000000, log_level_words[level], log_program, (int)getpid(), event);
    return (size_t)used < size ? (size_t)used : size - 1;
}

void log_event(enum log_level level, const char *event, const char *fields, ...)
{
    char line[2048];
    size_t used;
    va_list args;

    if (level > log_threshold)
        return;
    used = log_prefix(line, sizeof(line) - 2, level, event);
    if (fields[0] != '\0' && used + 1 < sizeof(line) - 2) {
        int more;

        line[used++] = ' ';
        va_start(args, fields);
        more = vsnprintf(line + used, sizeof(line) - 2 - used, fields, args);
        va_end(args);
        if (more > 0)
            used += (size_t)more < sizeof(line) - 2 - used ? (size_t)more : sizeof(line) - 3 - used;
    }
    for (size_t i = 0; i < used; i++) {
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    }
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0)
        return; /* nobody is left to tell */
}
