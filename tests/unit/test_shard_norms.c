/* Updates that need norms over whole parameters: the same bits on any number of shards, whatever is lost
 * between them, and the norms that a plain sum gives. */
#include "check_main.h"
#include "shard_fixture.h"

#include <math.h>

#define STEPS 4

static const char *const optimizers[] = RIG_NORM_OPTIMIZERS;

/* All chunks lie on the first `shards` of the rig's. */
static struct rig *rig_on(const char *optimizer, uint32_t shards)
{
    struct rig *rig = rig_new(optimizer, 2);

    placement_assign(rig->assignment->map->slot_shards, rig->assignment->map->slot_count, shards);
    rig_prepare(rig, 1, 0);
    return rig;
}

/* One step, with a number of the first parts between shards lost until they are said again. */
static void step(struct rig *rig, uint64_t number, size_t lost)
{
    for (uint32_t chunk = 0; chunk < rig->job->graph->chunk_count; chunk++) {
        rig_push(rig, "a", 1, number, (struct tree_node){0, 2}, chunk, false);
        rig_push(rig, "b", 1, number, (struct tree_node){2, 5}, chunk, false);
    }
    rig_deliver_parts(rig, lost);
    for (uint32_t i = 0; i < 3 * RIG_SHARDS; i++) {
        if (shard_waits(rig->shards[i % RIG_SHARDS]))
            shard_nudge(rig->shards[i % RIG_SHARDS]);
        rig_deliver_parts(rig, 0);
    }
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        ck_assert(!shard_waits(rig->shards[i]));
}

/* The weights of a version, one chunk after the other. Owns: the caller. */
static float *weights_of(struct rig *rig, uint64_t version)
{
    const struct graph *graph = rig->job->graph;
    float *weights = calloc(graph->floats, sizeof(*weights));

    ck_assert_ptr_nonnull(weights);
    for (uint32_t chunk = 0; chunk < graph->chunk_count; chunk++) {
        uint64_t begin, end;

        rig_forget_replies(rig);
        rig_pull(rig, "judge", 1, version, chunk, false);
        graph_chunk(graph, chunk, &begin, &end);
        memcpy(weights + begin, rig_values(rig, "judge", version, chunk), (end - begin) * sizeof(float));
    }
    rig_forget_replies(rig);
    return weights;
}

static float *trained(const char *optimizer, uint32_t shards, size_t lost)
{
    struct rig *rig = rig_on(optimizer, shards);
    float *weights;

    for (uint64_t number = 0; number < STEPS; number++) {
        step(rig, number, lost);
        if (number + 1 == 2) {
            size_t written = rig_write(rig);

            ck_assert_uint_eq(written, shards);
            for (uint32_t i = 0; i < written; i++)
                rig_expect_report(rig, SHARD_COMMITTED);
            for (uint32_t i = 0; i < RIG_SHARDS; i++)
                shard_committed(rig->shards[i], RIG_JOB, 1, 2);
        }
    }
    weights = weights_of(rig, STEPS);
    rig_free(rig);
    return weights;
}

START_TEST(shards_and_losses_cannot_be_seen)
{
    const char *optimizer = optimizers[_i];
    float *alone = trained(optimizer, 1, 0);
    struct rig *rig = rig_new(optimizer, 100);
    size_t bytes = rig->job->graph->floats * sizeof(float);
    struct reference *reference = reference_new(rig->job);

    for (uint32_t number = 0; number < STEPS; number++)
        reference_step(reference);
    ck_assert_mem_eq(alone, reference->weights, bytes);
    reference_free(reference);
    rig_free(rig);
    for (uint32_t shards = 2; shards <= RIG_SHARDS; shards++) {
        for (size_t lost = 0; lost <= 3; lost += 3) {
            float *together = trained(optimizer, shards, lost);

            ck_assert_mem_eq(alone, together, bytes);
            free(together);
        }
    }
    free(alone);
}
END_TEST

/* Sum of squares of a parameter's gradients in step 0, as plainly as can be. */
static double plain_squares(uint64_t begin, uint64_t end)
{
    float *sums = malloc((end - begin) * sizeof(*sums));
    double squares = 0;

    ck_assert_ptr_nonnull(sums);
    rig_node_sum(0, rig_whole, begin, sums, end - begin);
    for (uint64_t i = 0; i < end - begin; i++)
        squares += (double)sums[i] / RIG_BATCH * ((double)sums[i] / RIG_BATCH);
    free(sums);
    return squares;
}

/* Plain gradient descent at rate 1 moves the weights by the clipped gradient. (The gap behind a parameter
 * counts to it; only here is it not zero.) */
static void check_clipped(const char *optimizer, double limit, bool is_global)
{
    struct rig *rig = rig_on(optimizer, RIG_SHARDS);
    const struct graph *graph = rig->job->graph;
    float *before = weights_of(rig, 0), *after;
    double all = plain_squares(0, graph->floats);

    step(rig, 0, 0);
    after = weights_of(rig, 1);
    for (uint32_t i = 0; i < graph->parameter_count; i++) {
        uint64_t begin = graph->parameters[i].offset;
        uint64_t end = i + 1 < graph->parameter_count ? graph->parameters[i + 1].offset : graph->floats;
        double norm = sqrt(is_global ? all : plain_squares(begin, end));
        double scale = norm > limit ? limit / norm : 1, moved = 0;

        for (uint64_t j = begin; j < end; j++)
            moved += ((double)before[j] - after[j]) * ((double)before[j] - after[j]);
        ck_assert_double_eq_tol(sqrt(moved), scale * sqrt(plain_squares(begin, end)), 1e-5 * limit);
    }
    free(before);
    free(after);
    rig_free(rig);
}

START_TEST(gradients_are_clipped_to_the_norm)
{
    check_clipped("sgd: {learning_rate: 1.0, global_clipnorm: 0.5}", 0.5, true);
    check_clipped("sgd: {learning_rate: 1.0, global_clipnorm: 1000000.0}", 1e6, true);
    check_clipped("sgd: {learning_rate: 1.0, clipnorm: 0.02}", 0.02, false);
}
END_TEST

/* A part as it came, of which a test may change something. Owns: shard_handle takes *sums. */
static struct data_header part_of(const struct rig *rig, struct buffer **sums)
{
    const struct rig_part *part = &rig->parts[0];

    *sums = buffer_new(part->sums->length_bytes);
    ck_assert_ptr_nonnull(*sums);
    memcpy((*sums)->data, part->sums->data, part->sums->length_bytes);
    return part->header;
}

/* Delivers it; nothing follows. */
static void expect_dropped(struct rig *rig, const struct data_header *header, struct buffer *sums)
{
    size_t parts = rig->part_count;

    shard_handle(rig->shards[rig->parts[0].to], "x", 1, header, &sums);
    ck_assert_uint_eq(rig->part_count, parts);
    ck_assert_uint_eq(rig->reply_count, 0);
}

START_TEST(a_part_that_does_not_fit_is_dropped)
{
    struct rig *rig = rig_on(optimizers[0], RIG_SHARDS);
    struct data_header header;
    struct buffer *sums;

    for (uint32_t chunk = 0; chunk < rig->job->graph->chunk_count; chunk++)
        rig_push(rig, "a", 1, 0, rig_whole, chunk, false);
    ck_assert_uint_ge(rig->part_count, 2);
    header = part_of(rig, &sums);
    header.incarnation = 2;
    expect_dropped(rig, &header, sums);
    header = part_of(rig, &sums);
    header.table = TABLE_METRICS;
    expect_dropped(rig, &header, sums);
    header = part_of(rig, &sums);
    header.payloads[0].chunk = 77; /* no shard */
    expect_dropped(rig, &header, sums);
    header = part_of(rig, &sums);
    header.payloads[0].chunk = rig->parts[0].to; /* itself */
    expect_dropped(rig, &header, sums);
    header = part_of(rig, &sums);
    header.payloads[0].type = DATA_FLOAT64;
    expect_dropped(rig, &header, sums);
    header = part_of(rig, &sums);
    header.payloads[0].length_bytes = sums->length_bytes -= 8;
    expect_dropped(rig, &header, sums);
    header = part_of(rig, &sums);
    *(uint64_t *)sums->data = 1000; /* no chunk */
    expect_dropped(rig, &header, sums);
    header = part_of(rig, &sums);
    buffer_unref(sums);
    header.payload_count = 0;
    expect_dropped(rig, &header, NULL);
    rig_deliver_parts(rig, 0);
    free(weights_of(rig, 1));
    rig_free(rig);
}
END_TEST

/* Who is behind is told all totals that are kept and it has missed, and who is there what was given. */
START_TEST(who_asks_is_told_what_there_is)
{
    struct rig *rig = rig_on(optimizers[3], RIG_SHARDS); /* two rounds */
    struct data_header ask = rig_header(DATA_PART, 1, TABLE_WEIGHTS, 0);

    step(rig, 0, 0);
    ask.payload_count = 1;
    ask.payloads[0] = (struct data_payload){1, DATA_UINT64, 0};
    shard_handle(rig->shards[0], "x", 1, &ask, &(struct buffer *){NULL});
    ck_assert_uint_eq(rig->part_count, 2);
    ck_assert_uint_eq(rig->parts[0].to, 1);
    ck_assert_uint_eq(rig->parts[0].header.request, 0);
    ck_assert_uint_eq(rig->parts[1].header.request, 1);
    rig_deliver_parts(rig, 0);
    ask.request = 2;
    shard_handle(rig->shards[0], "x", 1, &ask, &(struct buffer *){NULL});
    ck_assert_uint_eq(rig->part_count, 0); /* nothing yet */
    rig_push(rig, "a", 1, 1, rig_whole, 0, false);
    rig_push(rig, "a", 1, 1, rig_whole, 3, false);
    ck_assert_uint_eq(rig->part_count, 2); /* to both of the others */
    rig_deliver_parts(rig, 2);
    shard_handle(rig->shards[0], "x", 1, &ask, &(struct buffer *){NULL});
    ck_assert_uint_eq(rig->part_count, 1);
    ck_assert_uint_eq(rig->parts[0].header.request, 2);
    rig_deliver_parts(rig, 0);
    ask.request = 77;
    shard_handle(rig->shards[0], "x", 1, &ask, &(struct buffer *){NULL});
    ck_assert_uint_eq(rig->part_count, 0);
    rig_free(rig);
}
END_TEST

static Suite *shard_norms_suite(void)
{
    Suite *suite = suite_create("shard_norms");
    TCase *tests = tcase_create("shard_norms");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, shards_and_losses_cannot_be_seen, 0,
                        (int)(sizeof(optimizers) / sizeof(optimizers[0])));
    tcase_add_test(tests, gradients_are_clipped_to_the_norm);
    tcase_add_test(tests, a_part_that_does_not_fit_is_dropped);
    tcase_add_test(tests, who_asks_is_told_what_there_is);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(shard_norms_suite)
