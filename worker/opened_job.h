/* A job as this worker has opened it: the job file read, its data sets checked and in memory. What a
 * PrepareCommand asks of a worker. Immutable once open; any thread. Knows nothing of steps or sockets. */
#ifndef CAIRN_WORKER_OPENED_JOB_H
#define CAIRN_WORKER_OPENED_JOB_H

#include "base/status.h"
#include "control.pb-c.h"
#include "data/reader.h"
#include "job/job.h"

struct opened_job {
    struct job *job;
    struct reader *training;
    struct reader *validation; /* NULL: the job has none */
};

/* May take long: it reads the data. Owns: text is borrowed during the call.
 * Errors: those of job_load_text and reader_open; CAIRN_UNSUPPORTED for a device that this build has not. It
 * may be closed even if it failed. */
enum status opened_job_open(struct opened_job *opened, const Cairn__JobText *text,
                            struct error *error) MUST_CHECK;
void opened_job_close(struct opened_job *opened);

/* The counts that all workers must agree on. */
uint64_t opened_job_training_samples(const struct opened_job *opened);
uint64_t opened_job_validation_samples(const struct opened_job *opened);

#endif
