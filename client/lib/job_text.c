/* Writing a job file by libyaml's events. Foreign texts are parsed to events, which pass on to the emitter
 * without those that begin and end a stream and a document. */
#include "job_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct entry {
    char *name;         /* a key, or a table's name */
    char *yaml;         /* may be NULL for a table */
    uint64_t size;      /* a dense table's */
    uint32_t dimension; /* a sparse table's */
};

struct entries {
    struct entry *items;
    size_t count;
};

struct job_text {
    char *name;
    struct entries keys, tables;
};

/* ---- collecting */

struct job_text *job_text_new(const char *name)
{
    struct job_text *text = calloc(1, sizeof(*text));

    if (text)
        text->name = strdup(name);
    if (text && text->name)
        return text;
    free(text);
    return NULL;
}

static void entries_fini(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->items[i].name);
        free(entries->items[i].yaml);
    }
    free(entries->items);
}

void job_text_free(struct job_text *text)
{
    if (!text)
        return;
    entries_fini(&text->keys);
    entries_fini(&text->tables);
    free(text->name);
    free(text);
}

static enum status entries_add(struct entries *entries, const struct entry *model)
{
    struct entry *items = realloc(entries->items, (entries->count + 1) * sizeof(*items));
    struct entry entry = *model;

    if (!items)
        return CAIRN_NO_MEMORY;
    entries->items = items;
    entry.name = strdup(model->name);
    entry.yaml = model->yaml ? strdup(model->yaml) : NULL;
    if (!entry.name || (model->yaml && !entry.yaml)) {
        free(entry.name);
        free(entry.yaml);
        return CAIRN_NO_MEMORY;
    }
    items[entries->count++] = entry;
    return CAIRN_OK;
}

enum status job_text_set(struct job_text *text, const char *key, const char *yaml)
{
    return entries_add(&text->keys, &(struct entry){.name = (char *)key, .yaml = (char *)yaml});
}

enum status job_text_add_table(struct job_text *text, const char *name, uint64_t size, uint32_t dimension,
                               const char *yaml)
{
    return entries_add(
        &text->tables,
        &(struct entry){.name = (char *)name, .yaml = (char *)yaml, .size = size, .dimension = dimension});
}

/* ---- writing
 *
 * Each function is false when memory is out; what a foreign text does wrong goes to `error`. */

struct writer {
    yaml_emitter_t emitter;
    struct error *error;
    bool is_invalid; /* *error is set */
};

/* The emitter takes the event, if it was made. */
static bool emit(struct writer *writer, int made, yaml_event_t *event)
{
    return made && yaml_emitter_emit(&writer->emitter, event);
}

static bool open_mapping(struct writer *writer, yaml_mapping_style_t style)
{
    yaml_event_t event;

    return emit(writer, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style), &event);
}

static bool close_mapping(struct writer *writer)
{
    yaml_event_t event;

    return emit(writer, yaml_mapping_end_event_initialize(&event), &event);
}

static bool write_scalar(struct writer *writer, const char *value, yaml_scalar_style_t style)
{
    yaml_event_t event;

    return emit(writer,
                yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)value,
                                             (int)strlen(value), 1, 1, style),
                &event);
}

static bool write_key(struct writer *writer, const char *key)
{
    return write_scalar(writer, key, YAML_ANY_SCALAR_STYLE);
}

/* A pair of which the value is a text, whatever it looks like. */
static bool write_text(struct writer *writer, const char *key, const char *value)
{
    return write_key(writer, key) && write_scalar(writer, value, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

static bool write_number(struct writer *writer, const char *key, uint64_t value)
{
    char digits[24];

    snprintf(digits, sizeof(digits), "%" PRIu64, value);
    return write_key(writer, key) && write_scalar(writer, digits, YAML_PLAIN_SCALAR_STYLE);
}

static bool invalid(struct writer *writer, const struct entry *entry, const char *problem, size_t line)
{
    error_set(writer->error, CAIRN_INVALID, "%s: \"%.80s\", line %zu of its text: %s", JOB_TEXT_FILE,
              entry->name, line + 1, problem);
    writer->is_invalid = true;
    return false;
}

static bool is_frame(yaml_event_type_t type)
{
    return type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT ||
           type == YAML_DOCUMENT_END_EVENT || type == YAML_STREAM_END_EVENT;
}

/* How deep inside mappings and lists we are after an event. */
static int depth_after(yaml_event_type_t type, int depth)
{
    if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT)
        return depth + 1;
    return type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT ? depth - 1 : depth;
}

/* Passes one event of a foreign text on. as_pairs: the text must be a mapping, which melts into the one that
 * is open. The event is taken. */
static bool pass_on(struct writer *writer, const struct entry *entry, bool as_pairs, int depth,
                    yaml_event_t *event)
{
    yaml_event_type_t type = event->type;
    size_t line = event->start_mark.line;
    bool melts = as_pairs && ((depth == 0 && type == YAML_MAPPING_START_EVENT) ||
                              (depth == 1 && type == YAML_MAPPING_END_EVENT));
    bool is_foreign = as_pairs && depth == 0 && !melts && !is_frame(type);

    if (!is_frame(type) && !melts && !is_foreign)
        return yaml_emitter_emit(&writer->emitter, event);
    yaml_event_delete(event);
    return !is_foreign || invalid(writer, entry, "allowed: a mapping of arguments", line);
}

/* Passes all events of the text on; documents: how many it has. */
static bool pass_all(struct writer *writer, yaml_parser_t *parser, const struct entry *entry, bool as_pairs,
                     int *documents)
{
    yaml_event_type_t type = YAML_NO_EVENT;
    yaml_event_t event;
    int depth = 0;

    while (type != YAML_STREAM_END_EVENT) {
        if (!yaml_parser_parse(parser, &event))
            return parser->error == YAML_MEMORY_ERROR
                       ? false
                       : invalid(writer, entry, parser->problem, parser->problem_mark.line);
        type = event.type;
        *documents += type == YAML_DOCUMENT_START_EVENT;
        if (*documents > 1) {
            size_t line = event.start_mark.line;

            yaml_event_delete(&event);
            return invalid(writer, entry, "a second document", line);
        }
        if (!pass_on(writer, entry, as_pairs, depth, &event))
            return false;
        depth = depth_after(type, depth);
    }
    return true;
}

static bool write_foreign(struct writer *writer, const struct entry *entry, bool as_pairs)
{
    yaml_parser_t parser;
    int documents = 0;
    bool done;

    if (!yaml_parser_initialize(&parser))
        return false;
    yaml_parser_set_input_string(&parser, (const unsigned char *)entry->yaml, strlen(entry->yaml));
    done = pass_all(writer, &parser, entry, as_pairs, &documents);
    yaml_parser_delete(&parser);
    if (done && documents == 0 && !as_pairs)
        return invalid(writer, entry, "there is nothing", 0);
    return done;
}

static bool write_table(struct writer *writer, const struct entry *table)
{
    bool is_dense = table->size > 0 || table->dimension == 0;

    return open_mapping(writer, YAML_BLOCK_MAPPING_STYLE) &&
           write_key(writer, is_dense ? "dense" : "sparse") &&
           open_mapping(writer, YAML_FLOW_MAPPING_STYLE) && write_text(writer, "name", table->name) &&
           (is_dense ? write_number(writer, "size", table->size)
                     : write_number(writer, "dimension", table->dimension)) &&
           (!table->yaml || write_foreign(writer, table, true)) && close_mapping(writer) &&
           close_mapping(writer);
}

static bool write_tables(struct writer *writer, const struct entries *tables)
{
    yaml_event_t event;

    if (!write_key(writer, "tables") ||
        !emit(writer, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE),
              &event))
        return false;
    for (size_t i = 0; i < tables->count; i++) {
        if (!write_table(writer, &tables->items[i]))
            return false;
    }
    return emit(writer, yaml_sequence_end_event_initialize(&event), &event);
}

static bool write_keys(struct writer *writer, const struct entries *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (!write_key(writer, keys->items[i].name) || !write_foreign(writer, &keys->items[i], false))
            return false;
    }
    return true;
}

static bool open_document(struct writer *writer)
{
    yaml_event_t event;

    return emit(writer, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event) &&
           emit(writer, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event);
}

static bool close_document(struct writer *writer)
{
    yaml_event_t event;

    return emit(writer, yaml_document_end_event_initialize(&event, 1), &event) &&
           emit(writer, yaml_stream_end_event_initialize(&event), &event);
}

static bool write_job(struct writer *writer, const void *job)
{
    const struct job_text *text = job;

    return open_mapping(writer, YAML_BLOCK_MAPPING_STYLE) && write_text(writer, "name", text->name) &&
           write_keys(writer, &text->keys) &&
           (text->tables.count == 0 || write_tables(writer, &text->tables)) && close_mapping(writer);
}

static bool write_entry(struct writer *writer, const void *table)
{
    return write_table(writer, table);
}

static int write_to_file(void *file, unsigned char *bytes, size_t length)
{
    return fwrite(bytes, 1, length, file) == length;
}

/* Writes a document of what `write` makes of `subject`. */
static enum status write_document(bool (*write)(struct writer *writer, const void *subject),
                                  const void *subject, char **out, struct error *error)
{
    char *memory = NULL;
    size_t length;
    FILE *file = open_memstream(&memory, &length);
    struct writer writer = {.error = error};
    bool done = false;

    if (file && yaml_emitter_initialize(&writer.emitter)) {
        yaml_emitter_set_output(&writer.emitter, write_to_file, file);
        yaml_emitter_set_width(&writer.emitter, -1);
        yaml_emitter_set_unicode(&writer.emitter, 1);
        done = open_document(&writer) && write(&writer, subject) && close_document(&writer);
        yaml_emitter_delete(&writer.emitter);
    }
    if (file && fclose(file) != 0)
        done = false;
    if (done) {
        *out = memory;
        return CAIRN_OK;
    }
    free(memory);
    return writer.is_invalid ? CAIRN_INVALID : error_set(error, CAIRN_NO_MEMORY, "out of memory for a job");
}

enum status job_text_write(const struct job_text *text, char **out, struct error *error)
{
    return write_document(write_job, text, out, error);
}

enum status job_text_write_table(const char *name, uint64_t size, uint32_t dimension, const char *yaml,
                                 char **out, struct error *error)
{
    const struct entry table = {
        .name = (char *)name, .yaml = (char *)yaml, .size = size, .dimension = dimension};

    return write_document(write_entry, &table, out, error);
}
