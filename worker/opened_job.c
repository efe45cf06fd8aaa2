/* The job text first, then the data that it names. */
#include "opened_job.h"

#include "job/job_message.h"

#include <string.h>

static enum status open_data(struct opened_job *opened, struct error *error)
{
    const struct job *job = opened->job;
    const struct reader_wants wants = reader_wants_of(job->graph);
    enum status status = reader_open(job, &job->training, &wants, &opened->training, error);

    if (status != CAIRN_OK || !job->has_validation)
        return status;
    return reader_open(job, &job->validation, &wants, &opened->validation, error);
}

enum status opened_job_open(struct opened_job *opened, const Cairn__JobText *text, struct error *error)
{
    enum status status;

    memset(opened, 0, sizeof(*opened));
    status = job_load_message(text, &opened->job, error);
    if (status != CAIRN_OK)
        return status;
    if (job_has_tables(opened->job))
        return error_set(error, CAIRN_INVALID, "the job has tables and nothing to compute");
    if (opened->job->device == DEVICE_CUDA)
        return error_set(error, CAIRN_UNSUPPORTED,
                         "the job asks for device cuda, which this build does not have; allowed: auto, cpu");
    return open_data(opened, error);
}

void opened_job_close(struct opened_job *opened)
{
    reader_free(opened->training);
    reader_free(opened->validation);
    job_free(opened->job);
    memset(opened, 0, sizeof(*opened));
}

uint64_t opened_job_training_samples(const struct opened_job *opened)
{
    return reader_count(opened->training);
}

uint64_t opened_job_validation_samples(const struct opened_job *opened)
{
    return opened->validation ? reader_count(opened->validation) : 0;
}
