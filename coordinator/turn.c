/* Text and copies for the rules of the state machine. Knows nothing of jobs or nodes. */
#include "turn.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A training reports its loss and a few metrics; a peer cannot make us keep more. */
#define METRICS_MAX 16

void line_add(struct line *line, const char *format, ...)
{
    size_t room = sizeof(line->text) - line->length;
    va_list args;
    int used;

    va_start(args, format);
    used = vsnprintf(line->text + line->length, room, format, args);
    va_end(args);
    if (used > 0)
        line->length += (size_t)used < room ? (size_t)used : room - 1;
}

static void text_free(char *text)
{
    if (text != (const char *)protobuf_c_empty_string)
        free(text);
}

void turn_set_text(struct turn *turn, char **field, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    int length;

    va_start(args, format);
    length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0) {
        turn->effects->failed = true;
        text = (char *)protobuf_c_empty_string;
    }
    text_free(*field);
    *field = text;
}

void turn_add_text(struct turn *turn, char ***field, size_t *field_count, const char *text)
{
    char **items, *copy;

    for (size_t i = 0; i < *field_count; i++) {
        if (strcmp((*field)[i], text) == 0)
            return;
    }
    items = realloc(*field, (*field_count + 1) * sizeof(*items));
    copy = strdup(text);
    if (items)
        *field = items;
    if (!items || !copy) {
        free(copy);
        turn->effects->failed = true;
        return;
    }
    items[(*field_count)++] = copy;
}

void *turn_copy(struct turn *turn, const void *message)
{
    const ProtobufCMessage *source = message;
    size_t length = protobuf_c_message_get_packed_size(source);
    unsigned char *bytes = malloc(length ? length : 1);
    void *copy = NULL;

    if (bytes) {
        protobuf_c_message_pack(source, bytes);
        copy = protobuf_c_message_unpack(source->descriptor, NULL, length, bytes);
    }
    if (!copy)
        turn->effects->failed = true;
    free(bytes);
    return copy;
}

void message_free(void *message)
{
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}

void turn_set_metrics(struct turn *turn, Cairn__Metric ***field, size_t *field_count,
                      Cairn__Metric *const *metrics, size_t count)
{
    for (size_t i = 0; i < *field_count; i++)
        message_free((*field)[i]);
    free(*field);
    *field = NULL;
    *field_count = 0;
    count = count < METRICS_MAX ? count : METRICS_MAX;
    if (count == 0)
        return;
    *field = calloc(count, sizeof(**field));
    if (!*field) {
        turn->effects->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        (*field)[i] = turn_copy(turn, metrics[i]);
        if (!(*field)[i])
            return;
        *field_count = i + 1;
    }
}

void turn_note(struct turn *turn, enum log_level level, const char *event, const char *fields, ...)
{
    char text[LINE_BYTES];
    va_list args;

    va_start(args, fields);
    vsnprintf(text, sizeof(text), fields, args);
    va_end(args);
    effects_note(turn->effects, level, event, text);
}
