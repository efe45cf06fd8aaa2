/* Loading the job that a JobText of the wire is: one place for what such a message has beside the text. */
#ifndef CAIRN_JOB_JOB_MESSAGE_H
#define CAIRN_JOB_JOB_MESSAGE_H

#include "base/status.h"
#include "control.pb-c.h"
#include "job/job.h"

/* A checked message's job. Owns: the caller, job_free. Errors: as job_load_text. */
enum status job_load_message(const Cairn__JobText *text, struct job **out, struct error *error) MUST_CHECK;

/* A table that is to be added to a message's job, by itself: (*out)->tables[0].
 * Owns, Errors: as above; the table alone is checked, not whether the job has room for it. */
enum status job_load_candidate(const Cairn__JobText *text, const char *table, struct job **out,
                               struct error *error) MUST_CHECK;

#endif
