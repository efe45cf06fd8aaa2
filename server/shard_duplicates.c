/* Comparing what is pushed twice, in trainings of mode sync: in others what is pushed again was computed from
 * other weights, and what programs push to tables of their own is theirs.
 *
 * A duplicate shows only when it comes, and then the first one has been added to others: so what comes first
 * has to be remembered, in all steps. Checksums of all of it cost 8 % of a push-pull of 16 MiB. So sums of
 * metrics, a few numbers, are compared in every step: losses differ when the forward pass does, in any layer.
 * And of the weights one chunk of SAMPLE in turn, so that each is compared in one of so many steps (0.5 %):
 * who computes otherwise does so in most chunks, and in the steps to come. Rejected: a setting of the job
 * (nobody turns it on before there is something to find), and a few bytes of each chunk (their place would
 * have to change with the steps as well, and misses of the cache cost more than the checksum). */
#include "shard_state.h"

#include "base/checksum.h"
#include "duplicates.h"

#define SAMPLE 16

/* Places: the two tables of sums, then the chunks of weights, whether they are here or may come. */
enum { PLACE_METRICS, PLACE_VALIDATION, PLACE_CHUNKS };

enum status shard_duplicates_open(struct shard_job *job)
{
    const struct dense_table *weights = job->tables->items[TABLE_WEIGHTS].dense;

    if (job_has_tables(job->assignment->job) || job_is_throughput(job->assignment->job))
        return CAIRN_OK;
    job->duplicates = duplicates_new(PLACE_CHUNKS + weights->params.chunk_count);
    return job->duplicates ? CAIRN_OK : CAIRN_NO_MEMORY;
}

static uint32_t place_of(const struct request *request, uint32_t chunk)
{
    if (request->table->dense)
        return PLACE_CHUNKS + chunk;
    return request->header->table == TABLE_METRICS ? PLACE_METRICS : PLACE_VALIDATION;
}

/* Of gradients, and how many samples are in them; of metrics without the votes to stop, which belong to who
 * pushes and not to what. */
static uint64_t checksum_of(const struct request *request, const struct buffer *array)
{
    const size_t votes_bytes = sizeof(double);

    if (request->table->sums)
        return checksum_add(0, (const char *)array->data + votes_bytes, array->length_bytes - votes_bytes);
    if (!array)
        return checksum_add(request->header->samples, "", 0);
    return checksum_add(request->header->samples, array->data, array->length_bytes);
}

void shard_duplicates_check(const struct request *request, uint32_t chunk, const struct buffer *array)
{
    const struct data_header *header = request->header;
    struct shard_job *job = request->job;

    if (!job->duplicates || (request->table->dense && (chunk + header->step) % SAMPLE != 0) ||
        duplicates_agree(job->duplicates, place_of(request, chunk), header->step, header->node,
                         checksum_of(request, array)))
        return;
    shard_tell(request->shard, job->assignment, job->incarnation,
               (struct shard_report){.kind = SHARD_DIVERGED,
                                     .step = header->step,
                                     .divergence = {header->table, chunk, header->node, header->worker}});
}
