/* The text of a job file, from what a program says in calls: sections and tables' arguments come as YAML of
 * their own, which is read and written again, so that no text can break out of its place. What the text says
 * is checked when it is loaded (job/job.h). Knows nothing of connections. One thread an object. */
#ifndef CAIRN_LIB_JOB_TEXT_H
#define CAIRN_LIB_JOB_TEXT_H

#include "base/status.h"

#include <stdint.h>

/* What messages about the text name as its file. */
#define JOB_TEXT_FILE "job"

struct job_text;

/* Owns: the caller, job_text_free; all texts are copied, here and below. NULL: out of memory. */
struct job_text *job_text_new(const char *name);
void job_text_free(struct job_text *text);

/* Sets a key of the outermost level to a YAML text; once a key.
 * Errors: CAIRN_NO_MEMORY. */
enum status job_text_set(struct job_text *text, const char *key, const char *yaml) MUST_CHECK;

/* Adds a table: size or dimension, the other 0. yaml: a mapping of its other arguments, or NULL.
 * Errors: CAIRN_NO_MEMORY. */
enum status job_text_add_table(struct job_text *text, const char *name, uint64_t size, uint32_t dimension,
                               const char *yaml) MUST_CHECK;

/* The whole as a job file. Owns: *out is the caller's, free().
 * Errors: CAIRN_INVALID: a text is no YAML, or a table's no mapping; CAIRN_NO_MEMORY. */
enum status job_text_write(const struct job_text *text, char **out, struct error *error) MUST_CHECK;

/* A table by itself, as an entry of a job file's list of tables: as job_text_add_table takes it.
 * Owns, Errors: as job_text_write. */
enum status job_text_write_table(const char *name, uint64_t size, uint32_t dimension, const char *yaml,
                                 char **out, struct error *error) MUST_CHECK;

#endif
