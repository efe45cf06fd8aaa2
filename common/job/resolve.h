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

#endif
