/* Holds a document against the schema (schema.h) and brings it into the one form that libcyaml reads. Knows
 * no key by name. Internal to common/job. */
#ifndef CAIRN_JOB_CHECK_H
#define CAIRN_JOB_CHECK_H

#include "job/document.h"
#include "job/schema.h"

/* Checks all of the document: keys known, given once and none missing; types, bounds, words. Then defaults
 * are filled in and values that were written in a shorter form ("adam", "1/255", 3 for [3, 3]) are written
 * out. Errors: CAIRN_INVALID, the first mistake, "file:line: where: what, allowed: ..."; CAIRN_NO_MEMORY. The
 * document is then half changed. */
enum status check_document(struct document *document, const cyaml_schema_value_t *schema,
                           struct error *error) MUST_CHECK;

/* ---- what is allowed, in words (allowed.c) */

#define ALLOWED_TEXT_MAX 400

/* "a whole number from 1 to 4096", "one of valid, same", ... Returns text. */
const char *allowed_value(const cyaml_schema_value_t *schema, const struct field_rule *rule,
                          char text[ALLOWED_TEXT_MAX]);

/* ", did you mean "x"? allowed: a, b, c" for the keys of a mapping or the words of an enum. Returns text. */
const char *allowed_words(const cyaml_schema_value_t *schema, const char *word, char text[ALLOWED_TEXT_MAX]);

#endif
