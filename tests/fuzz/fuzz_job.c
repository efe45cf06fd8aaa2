/* The job file's decoder. Beyond not crashing: a refusal is one line that names the file, what passes the
 * check passes the schema, and a job that loads holds what its header promises. */
#include "job/job.h"
#include "fuzz.h"

#include <string.h>

static int has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void check_optimizer(const struct optimizer_spec *optimizer)
{
    const struct schedule_spec *schedule = &optimizer->schedule;
    bool has_pieces = schedule->type == SCHEDULE_PIECEWISE_CONSTANT_DECAY;

    REQUIRE((unsigned)optimizer->type < OPTIMIZER_COUNT && (unsigned)schedule->type < SCHEDULE_COUNT);
    REQUIRE(has_pieces == (schedule->values_count > 0));
    REQUIRE(!has_pieces || schedule->values_count == schedule->boundaries_count + 1);
    REQUIRE(schedule->values_count <= SCHEDULE_PIECES_MAX);
    REQUIRE((schedule->type == SCHEDULE_CONSTANT || has_pieces) == (schedule->decay_steps == 0));
    REQUIRE((optimizer->clipnorm > 0) + (optimizer->clipvalue > 0) + (optimizer->global_clipnorm > 0) <= 1);
}

static void check_table(const struct table_spec *table)
{
    uint32_t chunks = table_chunk_count(table);
    uint64_t begin, end;

    REQUIRE(table->name[0] != '\0' && memchr(table->name, '\0', sizeof(table->name)) != NULL);
    REQUIRE((table->kind == TABLE_KIND_DENSE) == (table->size > 0));
    REQUIRE((table->kind == TABLE_KIND_SPARSE) == (table->dimension > 0));
    REQUIRE(table->initializer.minval <= table->initializer.maxval && table->initializer.stddev >= 0);
    REQUIRE(codec_spec_check(&table->codec, NULL) == CAIRN_OK && table_state_bytes(table) >= 4);
    REQUIRE((chunks > 0) == (table->kind == TABLE_KIND_DENSE));
    check_optimizer(&table->optimizer);
    if (chunks > 0) {
        table_chunk(table, chunks - 1, &begin, &end);
        REQUIRE(begin < end && end == table->size);
    }
}

static void check_tables(const struct job *job)
{
    REQUIRE(job->graph == NULL && job->output_path == NULL && job->table_count <= JOB_TABLES_MAX);
    REQUIRE(job->workers_max == 0 && job->epochs == 0 && job->steps == 0 && job->batch_size == 0);
    REQUIRE(job->microbatches >= 1 && job->servers >= 1 && job->commit_every >= 1);
    for (uint32_t i = 0; i < job->table_count; i++) {
        check_table(&job->tables[i]);
        REQUIRE(job_slot_count(job) >= table_chunk_count(&job->tables[i]));
    }
}

static void check_training(const struct job *job)
{
    check_optimizer(&job->optimizer);
    REQUIRE((job->epochs == 0) != (job->steps == 0));
    REQUIRE(job->microbatches >= 1 && job->microbatches <= job->batch_size);
    REQUIRE(job->workers_min >= 1 && job->workers_min <= job->workers_max);
    REQUIRE(job->workers_max <= job->microbatches && job->servers >= 1);
    REQUIRE(job->graph->layer_count == job->model.layer_count && job->graph->chunk_count >= 1);
    REQUIRE(job->training.features != NULL && job->output_path != NULL);
    REQUIRE(job->model.layers[0].line >= 1);
}

static void check_job(const struct job *job)
{
    char digest[HASH_TEXT_BYTES];

    if (job_has_tables(job))
        check_tables(job);
    else
        check_training(job);
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
