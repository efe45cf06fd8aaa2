/* What follows when a sum is whole: the next version, once nothing holds it back (a generation, the chain, a
 * hold), and answers to those who wait for it. Knows nothing of how sums come here. */
#include "shard_state.h"

/* Answers those who wait for the chunk's new version. */
static void dense_answer(struct shard *shard, struct shard_job *job, uint32_t number,
                         struct dense_chunk *chunk)
{
    struct wait wait;

    while (subscriber_take(shard->subscribers, &chunk->waiting, chunk->version, &wait)) {
        struct reply_subject subject = shard_subject(job, number, &wait);

        shard_answer_chunk(shard, &subject, wait.client, chunk, wait.answer);
        wait_release(shard->subscribers, &wait);
    }
}

void shard_advance_dense(struct shard *shard, struct shard_job *job, uint32_t number,
                         struct dense_chunk *chunk)
{
    struct error error;

    if (chunk->clocks) {
        shard_advance_updates(shard, job, chunk);
        return;
    }
    if (!chunk->is_summed)
        return;
    shard_forward_dense(shard, job, number, chunk);
    if (job->held || !dense_is_due(job->tables->items[number].dense, chunk) ||
        !chain_allows(&chunk->link, chunk->version + 1) || !commits_allow(&job->commits, chunk->version + 1))
        return;
    if (dense_update(job->tables->items[number].dense, chunk, &error) != CAIRN_OK) {
        shard_fail(shard, job, &error);
        return;
    }
    if (commits_reached_dense(&job->commits, number, chunk, &error) != CAIRN_OK)
        shard_abandon(shard, job, &error);
    shard_acknowledge(shard, job, number, chunk->number, &chunk->link, chunk->version);
    dense_answer(shard, job, number, chunk);
}

/* Answers those who wait for versions that are there, or cannot come any more. */
static void sums_answer(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sum_table *sums = job->tables->items[number].sums;
    struct wait wait;

    while (subscriber_take(shard->subscribers, &sums->waiting, sum_table_version(sums), &wait)) {
        struct reply_subject subject = shard_subject(job, number, &wait);
        struct buffer *values = sum_version(sums, wait.version);

        shard_reply_check(&subject,
                          values ? replies_values(shard->replies, &subject, wait.client, 0, DATA_FLOAT64,
                                                  wait.answer != ANSWER_EXISTENCE ? values : NULL)
                                 : replies_refuse(shard->replies, &subject, wait.client, DATA_REFUSED_PASSED,
                                                  "the step was skipped"));
        wait_release(shard->subscribers, &wait);
    }
}

void shard_advance_sums(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sum_table *sums = job->tables->items[number].sums;

    shard_forward_sums(shard, job, number);
    while (sums->whole_count > 0 && chain_allows(&sums->link, sums->whole[0].version)) {
        sum_update(sums);
        shard_acknowledge(shard, job, number, 0, &sums->link, sums->kept[0].version);
        sums_answer(shard, job, number);
    }
}

static void sparse_answer(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sparse_table *sparse = job->tables->items[number].sparse;
    struct wait wait;

    while (subscriber_take(shard->subscribers, &sparse->waiting, sparse->version, &wait)) {
        shard_answer_rows(shard, job, number, &wait);
        wait_release(shard->subscribers, &wait);
    }
}

/* Answers those who have asked for the newest version: it has come, or does not come by itself any more. */
static void asking_answer(struct shard *shard, struct shard_job *job, uint32_t number, bool has_come)
{
    struct sparse_table *sparse = job->tables->items[number].sparse;
    uint64_t limit = has_come || !shard_rows_go_on(job, sparse) ? UINT64_MAX : sparse->lacked;
    struct wait wait;

    while (subscriber_take(shard->subscribers, &sparse->asking, limit, &wait)) {
        wait.version = sparse->version;
        shard_answer_rows(shard, job, number, &wait);
        wait_release(shard->subscribers, &wait);
    }
}

/* Makes the next version of a sparse table; false: it may not be made yet. */
static bool sparse_advance(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sparse_table *sparse = job->tables->items[number].sparse;
    struct error error;

    if (job->held || !sparse_is_due(sparse) || job->failed ||
        !commits_allow_sparse(&job->commits, sparse, sparse->version + 1))
        return false;
    if (sparse_update(sparse, &error) != CAIRN_OK) {
        shard_abandon(shard, job, &error); /* rows of two versions: nothing more may be made durable */
        return false;
    }
    if (commits_reached_sparse(&job->commits, number, &error) != CAIRN_OK ||
        commits_go_on(&job->commits, &error) != CAIRN_OK)
        shard_abandon(shard, job, &error);
    sparse_answer(shard, job, number);
    return true;
}

void shard_advance_sparse(struct shard *shard, struct shard_job *job, uint32_t number)
{
    struct sparse_table *sparse = job->tables->items[number].sparse;
    uint64_t version = sparse->version;

    if (sparse_is_blank(sparse))
        return;
    do { /* the sums of the next step may be here already */
        if (sparse->chain)
            shard_forward_rows(shard, job, number);
        if (sparse->rounds)
            shard_measure_rows(shard, job, number);
    } while (sparse_advance(shard, job, number));
    asking_answer(shard, job, number, sparse->version != version);
    if (sparse->chain && sparse->version != version)
        shard_ask_rows(shard, job, number); /* what is awaited, at the new version */
}

void shard_advance_all(struct shard *shard, struct shard_job *job)
{
    for (uint32_t number = 0; number < job->tables->count; number++) {
        struct table *table = &job->tables->items[number];

        for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++)
            shard_advance_dense(shard, job, number, table->dense->chunks[i]);
        if (table->sums)
            shard_advance_sums(shard, job, number);
        if (table->sparse)
            shard_advance_sparse(shard, job, number);
    }
}
