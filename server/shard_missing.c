/* Which microbatches of a step have not come: whoever has waited long for the rest of it asks, and computes
 * them as well.
 *
 * A microbatch is missing while some chunk that lies here has nothing of it, since who pushes may have ended
 * in the midst of it. One answer for all chunks is enough: to push again what is there does no harm. */
#include "shard_state.h"

#include <inttypes.h>

/* Which leaves are missing. */
struct missing {
    uint32_t leaves;
    bool marks[TREE_LEAVES_MAX];
};

static void mark_tree(struct missing *missing, const struct tree *tree)
{
    for (uint32_t i = 0; i < missing->leaves; i++) {
        if (!missing->marks[i])
            missing->marks[i] = !tree_covers(tree, (struct tree_node){i, i + 1});
    }
}

static void mark_all(struct missing *missing)
{
    for (uint32_t i = 0; i < missing->leaves; i++)
        missing->marks[i] = true;
}

static bool refuse_early(const struct request *request, uint64_t step)
{
    return request_refuse(request, DATA_REFUSED_MALFORMED,
                          "a question about step %" PRIu64 " of table %u, which is at step %" PRIu64,
                          request->header->step, request->header->table, step);
}

static bool mark_dense(const struct request *request, struct missing *missing)
{
    const struct dense_table *dense = request->table->dense;
    uint64_t step = request->header->step;

    for (uint32_t i = 0; i < dense->chunk_count; i++) {
        const struct dense_chunk *chunk = dense->chunks[i];

        if (!chain_serves(&chunk->link)) /* its head has what was pushed */
            continue;
        if (chunk->version < step)
            return refuse_early(request, chunk->version);
        if (chunk->version == step && !chunk->is_summed)
            mark_tree(missing, chunk->tree);
    }
    return true;
}

static bool mark_sums(const struct request *request, struct missing *missing)
{
    const struct sum_table *sums = request->table->sums;
    uint64_t step = request->header->step;

    if (!chain_serves(&sums->link))
        return true;
    if (step > sums->step && !sum_table_takes(sums, step))
        return refuse_early(request, sums->step);
    if (step > sums->step)
        mark_all(missing);
    else if (step == sums->step)
        mark_tree(missing, sums->tree);
    return true;
}

/* Pairs of numbers, the first microbatch of a run and the one behind it. NULL: out of memory. */
static struct buffer *runs_of(const struct missing *missing)
{
    struct buffer *runs = buffer_new((missing->leaves + 1) * sizeof(uint64_t));
    uint64_t *numbers = runs ? runs->data : NULL;
    size_t count = 0;

    for (uint32_t i = 0; numbers && i < missing->leaves; i++) {
        if (!missing->marks[i])
            continue;
        if (count == 0 || numbers[count - 1] != i) {
            numbers[count++] = i;
            count++;
        }
        numbers[count - 1] = i + 1;
    }
    if (runs)
        runs->length_bytes = count * sizeof(uint64_t);
    return runs;
}

void request_missing(const struct request *request)
{
    static const enum data_type type = DATA_UINT64;
    struct missing missing = {.leaves = request->job->assignment->job->microbatches};
    struct reply_subject subject = request_subject(request, request->header->step);
    enum status status = CAIRN_NO_MEMORY;
    struct buffer *runs;

    if (request->table->sparse) {
        request_refuse(request, DATA_REFUSED_MALFORMED, "table %u has no step that is asked about",
                       request->header->table);
        return;
    }
    if (!(request->table->dense ? mark_dense(request, &missing) : mark_sums(request, &missing)))
        return;
    runs = runs_of(&missing);
    if (runs)
        status =
            replies_answer(request->shard->replies, &subject, request->client, DATA_MISSING, 1, &type, &runs);
    buffer_unref(runs);
    shard_reply_check(&subject, status);
}
