/* A YAML text as a libyaml tree that remembers lines, within limits: one document of plain mappings, lists
 * and scalars, without anchors, aliases and tags, neither deep nor huge. Knows YAML, nothing of jobs. One
 * thread an object.
 *
 * Nodes are named by libyaml's numbers, from 1. Adding nodes may move all others in memory, so a yaml_node_t
 * pointer does not outlive the next document_add_*. */
#ifndef CAIRN_JOB_DOCUMENT_H
#define CAIRN_JOB_DOCUMENT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#define DOCUMENT_NODES_MAX 50000
#define DOCUMENT_DEPTH_MAX 16
#define DOCUMENT_QUOTE_MAX 80 /* bytes of a quoted foreign text with its end */

struct document {
    const char *file_name; /* for messages; borrowed */
    yaml_document_t yaml;
    int written; /* nodes that the text has; later ones were added */
};

/* Reads a text. A document that failed to load needs no document_fini.
 * Owns: the caller, document_fini; file_name is borrowed, text only during the call.
 * Errors: CAIRN_INVALID with a line "file:line: ..."; CAIRN_NO_MEMORY. */
enum status document_load(struct document *document, const char *text, size_t length, const char *file_name,
                          struct error *error) MUST_CHECK;
void document_fini(struct document *document);

/* The document's outermost node. */
int document_root(struct document *document);

/* A node by its number, until the next document_add_*. */
yaml_node_t *document_node(struct document *document, int node);

/* The value of a key of the outermost mapping; 0: there is none. */
int document_find(struct document *document, const char *key);

/* The line, from 1, where a node begins. */
uint32_t document_line(struct document *document, int node);

/* The line of what a path leads to: keys by name and list entries by number, "model.layers.3.dense.units".
 * A key's line is that of the key itself. Where the path ends early, the line of the last part that is there.
 */
uint32_t document_find_line(struct document *document, const char *path);

/* Whether the text itself has the key that a path leads to. */
bool document_has(struct document *document, const char *path);

/* Writes a foreign text in double quotes, one line, cut when long. Returns quoted. */
const char *document_quote(const char *text, char quoted[DOCUMENT_QUOTE_MAX]);

/* Sets *error to CAIRN_INVALID and "file:line: " with the formatted rest; returns CAIRN_INVALID. */
enum status document_error(const struct document *document, uint32_t line, struct error *error,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

/* New nodes that count as standing at the line of node `at`; 0: out of memory. */
int document_add_scalar(struct document *document, int at, const char *text);
int document_add_list(struct document *document, int at);
int document_add_mapping(struct document *document, int at);

/* Adds an entry to a mapping or list; false: out of memory. */
bool document_append_pair(struct document *document, int mapping, const char *key, int value);
bool document_append_item(struct document *document, int list, int item);

/* Copies a node of another document and all below it; the new nodes count as standing at the line of `at`.
 * Returns the copy; 0: out of memory. */
int document_copy(struct document *document, int at, struct document *other, int node);

/* The document as YAML text, every scalar quoted. Owns: the caller, free(). */
enum status document_emit(struct document *document, char **text, size_t *length,
                          struct error *error) MUST_CHECK;

#endif
