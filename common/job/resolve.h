/* From what the file says (struct job_form) to what programs use (struct job): defaults that depend on other
 * keys, and the rules between keys. Internal to common/job. */
#ifndef CAIRN_JOB_RESOLVE_H
#define CAIRN_JOB_RESOLVE_H

#include "job/document.h"
#include "job/schema.h"

/* Fills an empty job. Texts are taken out of form (and NULL there). document: for the lines of messages.
 * Errors: CAIRN_INVALID "file:line: ..."; CAIRN_NO_MEMORY. *job is then partly filled: job_free. */
enum status job_resolve(struct job_form *form, struct document *document,
                        const struct job_overrides *overrides, struct job *job,
                        struct error *error) MUST_CHECK;

/* ---- between resolve.c, resolve_optimizer.c and resolve_tables.c */

#define RESOLVE_PATH_MAX 96 /* bytes of a path with its end */

struct resolve {
    struct job_form *form;
    struct document *document;
    const struct job_overrides *overrides;
    struct job *job;
    struct error *error;
};

/* A message about a key by its path, as document_find_line takes it: "file:line: PATH: ...". Returns
 * CAIRN_INVALID. */
enum status resolve_wrong(struct resolve *resolve, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The optimizer that a form says, which stands at `path` ("train.optimizer"); on an error *optimizer is partly
 * filled. */
enum status resolve_optimizer(struct resolve *resolve, const char *path, const struct form_optimizer *form,
                              struct optimizer_spec *optimizer) MUST_CHECK;

/* The codec that a form says, which stands at `path` ("train.codec"). */
enum status resolve_codec(struct resolve *resolve, const char *path, const struct form_codec *form,
                          struct codec_spec *codec) MUST_CHECK;

/* All but the name and the seed of a job with tables. */
enum status resolve_tables_job(struct resolve *resolve) MUST_CHECK;

#endif
