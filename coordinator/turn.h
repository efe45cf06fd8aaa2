/* What the parts of the state machine have at hand while one message is handled: the time and the list of
 * effects; and the few things that all of them do with it: lines of text and copies of messages.
 *
 * Memory that runs out marks the turn's effects as failed (effects.h), so that the rules of a job's life read
 * without an error path at each string. */
#ifndef CAIRN_COORDINATOR_TURN_H
#define CAIRN_COORDINATOR_TURN_H

#include "base/log.h"
#include "effects.h"

#include <stddef.h>
#include <stdint.h>

/* The same instant on two clocks: rules go by the monotonic one, people read the other. */
struct moment {
    int64_t monotonic_ms;
    int64_t unix_ms;
};

struct turn {
    struct moment now;
    struct effects *effects;
};

/* A line of text that is put together in pieces; what does not fit is cut. */
#define LINE_BYTES 1024
struct line {
    char text[LINE_BYTES];
    size_t length;
};

void line_add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sets a string member of an unpacked message, freeing its old value. */
void turn_set_text(struct turn *turn, char **field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds a copy of a text to a repeated string member, unless it has one. */
void turn_add_text(struct turn *turn, char ***field, size_t *field_count, const char *text);

/* A deep copy of a generated message (any type); free with protobuf_c_message_free_unpacked. NULL: memory is
 * out. */
void *turn_copy(struct turn *turn, const void *message);

/* Replaces a repeated Metric member by a copy of `count` foreign ones. */
void turn_set_metrics(struct turn *turn, Cairn__Metric ***field, size_t *field_count,
                      Cairn__Metric *const *metrics, size_t count);

/* Frees an unpacked message; NULL is allowed. */
void message_free(void *message);

/* A line for the program's own log, as log_event. event: borrowed for ever. */
void turn_note(struct turn *turn, enum log_level level, const char *event, const char *fields, ...)
    __attribute__((format(printf, 4, 5)));

#endif
