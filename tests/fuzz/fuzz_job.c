/* The job file's decoder. Beyond not crashing: a refusal is one line that names the file, what passes the
 * check passes the schema, and a job that loads holds what its header promises. */
#include "job/job.h"
#include "fuzz.h"

#include <string.h>

static int has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void check_job(const struct job *job)
{
    char digest[HASH_TEXT_BYTES];

    REQUIRE((job->epochs == 0) != (job->steps == 0));
    REQUIRE(job->microbatches >= 1 && job->microbatches <= job->batch_size);
    REQUIRE(job->workers_min >= 1 && job->workers_min <= job->workers_max);
    REQUIRE(job->workers_max <= job->microbatches && job->servers >= 1);
    REQUIRE(job->graph->layer_count == job->model.layer_count && job->graph->chunk_count >= 1);
    REQUIRE(job->training.features != NULL && job->output_path != NULL);
    REQUIRE(job->model.layers[0].line >= 1);
    job_digest(job, digest);
    REQUIRE(strlen(digest) == 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    struct job *job;
    enum status status = job_load_text((const char *)data, size, "fuzz.yaml", "/", NULL, &job, &error);

    if (status == CAIRN_OK) {
        check_job(job);
        job_free(job);
        return 0;
    }
    REQUIRE(job == NULL && has_prefix(error.message, "fuzz.yaml:"));
    REQUIRE(strchr(error.message, '\n') == NULL);
    REQUIRE(!has_prefix(error.message, "fuzz.yaml:1: the file passes the check but not the schema"));
    return 0;
}
