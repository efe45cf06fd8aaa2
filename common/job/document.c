/* The text is read twice: first as events, which are counted and refused when they are outside the limits
 * (libyaml builds trees of any size, and with aliases even cyclic ones), then as a tree. */
#include "job/document.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME_SHOWN 160 /* bytes of a long path that messages show, so that the rest of the line fits */

enum status document_error(const struct document *document, uint32_t line, struct error *error,
                           const char *format, ...)
{
    char what[sizeof(error->message)];
    size_t length = strlen(document->file_name);
    bool cut = length > FILE_NAME_SHOWN;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    return error_set(error, CAIRN_INVALID, "%s%s:%u: %s", cut ? "..." : "",
                     document->file_name + (cut ? length - FILE_NAME_SHOWN : 0), line, what);
}

const char *document_quote(const char *text, char quoted[DOCUMENT_QUOTE_MAX])
{
    size_t at = 0;

    quoted[at++] = '"';
    for (; *text != '\0' && at < DOCUMENT_QUOTE_MAX - 8; text++)
        quoted[at++] = (unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text;
    if (*text != '\0') {
        while ((quoted[at - 1] & 0xc0) == 0x80) /* not in the middle of a character of UTF-8 */
            at--;
        if ((quoted[at - 1] & 0xc0) == 0xc0)
            at--;
        memcpy(quoted + at, "...", 3);
        at += 3;
    }
    quoted[at++] = '"';
    quoted[at] = '\0';
    return quoted;
}

/* The line, from 1, of a byte of the text. */
static uint32_t line_of_offset(const char *text, size_t length, size_t offset)
{
    uint32_t line = 1;

    for (size_t i = 0; i < offset && i < length; i++)
        line += text[i] == '\n';
    return line;
}

/* Whether a line (from 1) is indented with a tab, the commonest mistake that YAML's own message hides. */
static bool tab_indents_line(const char *text, size_t length, uint32_t line)
{
    size_t i = 0;

    for (; line > 1 && i < length; i++)
        line -= text[i] == '\n';
    while (i < length && text[i] == ' ')
        i++;
    return i < length && text[i] == '\t';
}

/* What libyaml did not like. */
static enum status parser_error(const struct document *document, const yaml_parser_t *parser,
                                const char *text, size_t length, struct error *error)
{
    uint32_t line = (uint32_t)parser->problem_mark.line + 1;
    const char *context = parser->context != NULL ? parser->context : "";

    if (parser->error == YAML_MEMORY_ERROR)
        return error_set(error, CAIRN_NO_MEMORY, "%s: no memory to read it", document->file_name);
    if (parser->error == YAML_READER_ERROR)
        return document_error(document, line_of_offset(text, length, parser->problem_offset), error,
                              "not UTF-8 text (%s at byte %zu), allowed: YAML in UTF-8", parser->problem,
                              parser->problem_offset);
    if (tab_indents_line(text, length, line))
        return document_error(document, line, error, "a tab in the indentation, allowed: spaces");
    return document_error(document, line, error, "not valid YAML: %s%s%s", context, context[0] ? ": " : "",
                          parser->problem);
}

static bool open_parser(yaml_parser_t *parser, const char *text, size_t length)
{
    if (!yaml_parser_initialize(parser))
        return false;
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)text, length);
    return true;
}

struct scan {
    uint32_t documents, nodes, depth;
    bool end;
};

/* What every node may not have. */
static enum status scan_node(const struct document *document, const yaml_event_t *event,
                             const yaml_char_t *anchor, const yaml_char_t *tag, struct error *error)
{
    uint32_t line = (uint32_t)event->start_mark.line + 1;

    if (anchor != NULL)
        return document_error(document, line, error,
                              "an anchor (&%.40s), allowed: values written out where they are",
                              (const char *)anchor);
    if (tag != NULL)
        return document_error(document, line, error, "a tag (%.60s), allowed: plain values",
                              (const char *)tag);
    return CAIRN_OK;
}

static enum status scan_event(const struct document *document, const yaml_event_t *event, struct scan *scan,
                              struct error *error)
{
    uint32_t line = (uint32_t)event->start_mark.line + 1;

    switch (event->type) {
    case YAML_STREAM_END_EVENT:
        scan->end = true;
        return CAIRN_OK;
    case YAML_DOCUMENT_START_EVENT:
        if (++scan->documents > 1)
            return document_error(document, line, error,
                                  "a second YAML document begins, allowed: one job a file");
        return CAIRN_OK;
    case YAML_ALIAS_EVENT:
        return document_error(document, line, error,
                              "an alias (*%.40s), allowed: values written out where they are",
                              (const char *)event->data.alias.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        scan->depth--;
        return CAIRN_OK;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        if (++scan->depth > DOCUMENT_DEPTH_MAX)
            return document_error(document, line, error, "nested too deep, allowed: %d levels",
                                  DOCUMENT_DEPTH_MAX);
        break;
    case YAML_SCALAR_EVENT:
        if (memchr(event->data.scalar.value, '\0', event->data.scalar.length) != NULL)
            return document_error(document, line, error, "a text with a zero byte, allowed: plain text");
        break;
    default:
        return CAIRN_OK;
    }
    if (++scan->nodes > DOCUMENT_NODES_MAX)
        return document_error(document, line, error, "too large, allowed: %d values", DOCUMENT_NODES_MAX);
    if (event->type == YAML_SCALAR_EVENT)
        return scan_node(document, event, event->data.scalar.anchor, event->data.scalar.tag, error);
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return scan_node(document, event, event->data.sequence_start.anchor, event->data.sequence_start.tag,
                         error);
    return scan_node(document, event, event->data.mapping_start.anchor, event->data.mapping_start.tag, error);
}

/* Reads the whole text once and refuses what is outside the limits. */
static enum status scan_text(const struct document *document, const char *text, size_t length,
                             struct error *error)
{
    yaml_parser_t parser;
    struct scan scan = {0};
    enum status status = CAIRN_OK;

    if (!open_parser(&parser, text, length))
        return error_set(error, CAIRN_NO_MEMORY, "%s: no memory to read it", document->file_name);
    while (status == CAIRN_OK && !scan.end) {
        yaml_event_t event;

        if (!yaml_parser_parse(&parser, &event)) {
            status = parser_error(document, &parser, text, length, error);
            break;
        }
        status = scan_event(document, &event, &scan, error);
        yaml_event_delete(&event);
    }
    if (status == CAIRN_OK && scan.documents == 0)
        status =
            document_error(document, 1, error, "the file is empty, allowed: a job as in docs/job-file.md");
    yaml_parser_delete(&parser);
    return status;
}

enum status document_load(struct document *document, const char *text, size_t length, const char *file_name,
                          struct error *error)
{
    yaml_parser_t parser;
    enum status status;

    document->file_name = file_name;
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
        text += 3;
        length -= 3;
    }
    status = scan_text(document, text, length, error);
    if (status != CAIRN_OK)
        return status;
    if (!open_parser(&parser, text, length))
        return error_set(error, CAIRN_NO_MEMORY, "%s: no memory to read it", file_name);
    if (!yaml_parser_load(&parser, &document->yaml))
        status = parser_error(document, &parser, text, length, error);
    yaml_parser_delete(&parser);
    if (status == CAIRN_OK)
        document->written = (int)(document->yaml.nodes.top - document->yaml.nodes.start);
    return status;
}

void document_fini(struct document *document)
{
    yaml_document_delete(&document->yaml);
}

int document_root(struct document *document)
{
    (void)document;
    return 1;
}

yaml_node_t *document_node(struct document *document, int node)
{
    yaml_node_t *found = yaml_document_get_node(&document->yaml, node);

    BUG_IF(found == NULL);
    return found;
}

uint32_t document_line(struct document *document, int node)
{
    return (uint32_t)document_node(document, node)->start_mark.line + 1;
}

/* The entry of a mapping or list that one part of a path names: its value, and the node whose line counts. */
static bool find_entry(struct document *document, int at, const char *part, size_t length, int *value,
                       int *place)
{
    yaml_node_t *node = document_node(document, at);

    if (node->type == YAML_SEQUENCE_NODE) {
        char *end;
        unsigned long number = strtoul(part, &end, 10);

        if (end != part + length ||
            number >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
            return false;
        *value = *place = node->data.sequence.items.start[number];
        return true;
    }
    if (node->type != YAML_MAPPING_NODE)
        return false;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *key = document_node(document, pair->key);

        if (key->type == YAML_SCALAR_NODE && key->data.scalar.length == length &&
            memcmp(key->data.scalar.value, part, length) == 0) {
            *value = pair->value;
            *place = pair->key;
            return true;
        }
    }
    return false;
}

/* Follows a path as far as it goes: *place is the last part's node; false: the path ends early. */
static bool find_path(struct document *document, const char *path, int *place)
{
    int at = document_root(document);

    *place = at;
    while (*path != '\0') {
        size_t length = strcspn(path, ".");

        if (!find_entry(document, at, path, length, &at, place))
            return false;
        path += length + (path[length] == '.');
    }
    return true;
}

int document_find(struct document *document, const char *key)
{
    int value, place;

    return find_entry(document, document_root(document), key, strlen(key), &value, &place) ? value : 0;
}

uint32_t document_find_line(struct document *document, const char *path)
{
    int place;

    find_path(document, path, &place);
    return document_line(document, place);
}

bool document_has(struct document *document, const char *path)
{
    int place;

    return find_path(document, path, &place) && place <= document->written;
}

/* Gives a new node the place of another. */
static int place_at(struct document *document, int node, int at)
{
    if (node != 0) {
        document_node(document, node)->start_mark = document_node(document, at)->start_mark;
        document_node(document, node)->end_mark = document_node(document, at)->end_mark;
    }
    return node;
}

int document_add_scalar(struct document *document, int at, const char *text)
{
    return place_at(document,
                    yaml_document_add_scalar(&document->yaml, NULL, (const yaml_char_t *)text, -1,
                                             YAML_PLAIN_SCALAR_STYLE),
                    at);
}

int document_add_list(struct document *document, int at)
{
    return place_at(document, yaml_document_add_sequence(&document->yaml, NULL, YAML_FLOW_SEQUENCE_STYLE),
                    at);
}

int document_add_mapping(struct document *document, int at)
{
    return place_at(document, yaml_document_add_mapping(&document->yaml, NULL, YAML_FLOW_MAPPING_STYLE), at);
}

bool document_append_pair(struct document *document, int mapping, const char *key, int value)
{
    int name = document_add_scalar(document, mapping, key);

    return name != 0 && yaml_document_append_mapping_pair(&document->yaml, mapping, name, value);
}

bool document_append_item(struct document *document, int list, int item)
{
    return yaml_document_append_sequence_item(&document->yaml, list, item);
}

static int copy_list(struct document *document, int at, struct document *other, int node)
{
    int list = document_add_list(document, at);
    const yaml_node_t *from = document_node(other, node);

    for (yaml_node_item_t *item = from->data.sequence.items.start;
         list != 0 && item < from->data.sequence.items.top; item++) {
        int copy = document_copy(document, at, other, *item);

        if (copy == 0 || !document_append_item(document, list, copy))
            return 0;
    }
    return list;
}

static int copy_mapping(struct document *document, int at, struct document *other, int node)
{
    int mapping = document_add_mapping(document, at);
    const yaml_node_t *from = document_node(other, node);

    for (yaml_node_pair_t *pair = from->data.mapping.pairs.start;
         mapping != 0 && pair < from->data.mapping.pairs.top; pair++) {
        int key = document_copy(document, at, other, pair->key);
        int value = key != 0 ? document_copy(document, at, other, pair->value) : 0;

        if (value == 0 || !yaml_document_append_mapping_pair(&document->yaml, mapping, key, value))
            return 0;
    }
    return mapping;
}

/* As deep as a document may be. */
int document_copy(struct document *document, int at, struct document *other, int node)
{
    const yaml_node_t *from = document_node(other, node);

    switch (from->type) {
    case YAML_SCALAR_NODE:
        return document_add_scalar(document, at, (const char *)from->data.scalar.value);
    case YAML_SEQUENCE_NODE:
        return copy_list(document, at, other, node);
    case YAML_MAPPING_NODE:
        return copy_mapping(document, at, other, node);
    default:
        return 0;
    }
}
