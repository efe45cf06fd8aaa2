/* The fold against a plain recursive sum in the codec's numbers, and against a shard that gets each
 * microbatch by itself: any span, any number of threads, the same bits. */
#include "check_main.h"
#include "dense_table.h"
#include "fold.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LAYERS  5
#define METRICS 4
#define STEPS   10
#define FLOATS  528
#define CHUNK   32
#define CHUNKS  17
#define SEED    7

/* A graph of five layers: the second has no chunk of its own, the third no parameters; gaps between the
 * parameters, and a short last chunk. */
static const struct graph_layer layers[LAYERS] = {
    {.parameter_begin = 0, .parameter_end = 48},    {.parameter_begin = 48, .parameter_end = 64},
    {.parameter_begin = 64, .parameter_end = 64},   {.parameter_begin = 64, .parameter_end = 512},
    {.parameter_begin = 512, .parameter_end = 528},
};
static const struct graph graph = {.layer_count = LAYERS,
                                   .layers = (struct graph_layer *)layers,
                                   .floats = FLOATS,
                                   .chunk_floats = CHUNK,
                                   .chunk_count = CHUNKS};

/* Blocks of int8 are shorter than chunks, and do not end where layers do. */
static const struct codec_spec codecs[] = {
    {.type = CODEC_FLOAT32},
    {.type = CODEC_FLOAT16},
    {.type = CODEC_FLOAT16, .rounding = CODEC_STOCHASTIC},
    {.type = CODEC_BFLOAT16},
    {.type = CODEC_BFLOAT16, .rounding = CODEC_STOCHASTIC},
    {.type = CODEC_INT8, .block = 16},
    {.type = CODEC_INT8, .block = 16, .rounding = CODEC_STOCHASTIC},
    {.type = CODEC_INT8, .block = 64, .rounding = CODEC_STOCHASTIC},
};
#define CODECS (int)(sizeof(codecs) / sizeof(codecs[0]))

/* A float whose sums depend on the order of adding. */
static float value_of(uint64_t step, uint32_t leaf, uint64_t position)
{
    uint64_t x =
        (step * 4099 + leaf + 1) * UINT64_C(0x9E3779B97F4A7C15) + position * UINT64_C(0xD1B54A32D192ED03);

    x ^= x >> 29;
    x *= UINT64_C(0xBF58476D1CE4E5B9);
    x ^= x >> 32;
    return ((float)(x & 0xFFFFFF) - 8388608.0f) * (float)(1u << (x >> 60)) * 0x1p-30f;
}

static bool has_value(uint64_t position)
{
    return position % 16 < 13; /* the rest is a gap */
}

/* ---- the reference */

static void chunk_range(uint32_t chunk, uint32_t *begin, size_t *count)
{
    *begin = chunk * CHUNK;
    *count = FLOATS - *begin < CHUNK ? FLOATS - *begin : CHUNK;
}

/* A chunk's gradients of one microbatch as a shard gets them. */
static void leaf_of_chunk(const struct codec_spec *codec, uint64_t step, uint32_t leaf, uint32_t chunk,
                          float values[CHUNK])
{
    struct codec_node node =
        codec_node_for(codec, SEED, TABLE_WEIGHTS, step, (struct tree_node){leaf, leaf + 1});
    uint32_t begin;
    size_t count;

    chunk_range(chunk, &begin, &count);
    for (size_t i = 0; i < count; i++)
        values[i] = has_value(begin + i) ? value_of(step, leaf, begin + i) : 0;
    node.array = chunk;
    codec_round(&node, values, NULL, count);
}

static void sum_of_chunk(const struct codec_spec *codec, uint64_t step, struct tree_node of, uint32_t chunk,
                         float sum[CHUNK])
{
    struct codec_node node = codec_node_for(codec, SEED, TABLE_WEIGHTS, step, of);
    uint32_t middle = of.begin + (of.end - of.begin) / 2, begin;
    float right[CHUNK];
    size_t count;

    if (of.end - of.begin == 1) {
        leaf_of_chunk(codec, step, of.begin, chunk, sum);
        return;
    }
    sum_of_chunk(codec, step, (struct tree_node){of.begin, middle}, chunk, sum);
    sum_of_chunk(codec, step, (struct tree_node){middle, of.end}, chunk, right);
    chunk_range(chunk, &begin, &count);
    node.array = chunk;
    codec_fold(&node, sum, right, count);
}

static double metric_of(uint64_t step, uint32_t begin, uint32_t end, uint32_t metric)
{
    uint32_t middle = begin + (end - begin) / 2;

    if (end - begin == 1)
        return (double)value_of(step, begin, 1000 + metric) / 3;
    return metric_of(step, begin, middle, metric) + metric_of(step, middle, end, metric);
}

/* ---- lanes that take leaves from a counter */

struct trial {
    const struct codec_spec *codec;
    uint32_t leaves, begin, end, threads;
    struct arenas *arenas;
    struct fold *fold;
    struct mailbox mailbox;
    uint64_t step;
    atomic_uint next;
};

static void completed(void *context, struct completion *completion)
{
    struct trial *trial = context;

    mailbox_post(&trial->mailbox, &completion->mail);
}

static void compute_leaf(struct trial *trial, uint32_t leaf)
{
    struct arena *arena = arenas_take(trial->arenas);
    double metrics[METRICS];

    if (!arena)
        abort();
    for (uint32_t i = 0; i < METRICS; i++)
        metrics[i] = metric_of(trial->step, leaf, leaf + 1, i);
    fold_validation(trial->fold, leaf, metrics);
    fold_enter(trial->fold, trial->step, leaf, arena, metrics);
    for (uint32_t layer = LAYERS; layer > 0; layer--) {
        const struct graph_layer *of = &layers[layer - 1];

        for (uint64_t i = of->parameter_begin; i < of->parameter_end; i++) {
            if (has_value(i))
                arena->floats[i] = value_of(trial->step, leaf, i);
        }
        if (of->parameter_begin < of->parameter_end)
            fold_layer(trial->fold, leaf, layer - 1);
    }
}

static void *lane(void *argument)
{
    struct trial *trial = argument;
    uint32_t leaf;

    while ((leaf = trial->begin + atomic_fetch_add(&trial->next, 1)) < trial->end)
        compute_leaf(trial, leaf);
    return NULL;
}

static void compute_step(struct trial *trial)
{
    pthread_t threads[8];

    atomic_store(&trial->next, 0);
    if (trial->threads == 1) {
        lane(trial);
        return;
    }
    for (uint32_t i = 0; i < trial->threads; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, lane, trial), 0);
    for (uint32_t i = 0; i < trial->threads; i++)
        pthread_join(threads[i], NULL);
}

/* ---- what must have come out */

static void check_vectors(const struct trial *trial, uint32_t cover)
{
    struct tree_node node = fold_cover(trial->fold, cover);
    double expected[METRICS];

    for (uint32_t i = 0; i < METRICS; i++)
        expected[i] = metric_of(trial->step, node.begin, node.end, i);
    ck_assert_mem_eq(fold_sums(trial->fold, cover, FOLD_METRICS), expected, sizeof(expected));
    ck_assert_mem_eq(fold_sums(trial->fold, cover, FOLD_VALIDATION), expected, sizeof(expected));
}

static void check_gradients(const struct trial *trial, uint32_t cover)
{
    struct tree_node node = fold_cover(trial->fold, cover);
    float expected[CHUNKS * CHUNK];

    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
        sum_of_chunk(trial->codec, trial->step, node, chunk, expected + chunk * CHUNK);
    ck_assert_mem_eq(fold_gradients(trial->fold, cover)->data, expected, FLOATS * sizeof(float));
}

static uint32_t layers_with_chunks(void)
{
    uint32_t count = 0, first, end;

    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        graph_layer_chunks(&graph, layer, &first, &end);
        count += first < end;
    }
    return count;
}

/* Each node of the cover completes once in each vector, and each layer in which chunks begin. */
static void check_completions(struct trial *trial)
{
    uint32_t covers = fold_cover_count(trial->fold), count = 0, seen[TREE_COVER_MAX][LAYERS + 2] = {{0}};

    for (struct mail *mail = mailbox_take(&trial->mailbox); mail; mail = mail->next) {
        const struct completion *completion = (const struct completion *)mail;
        uint32_t unit = completion->kind == FOLD_LAYER ? completion->layer : LAYERS - 1 + completion->kind;

        count += completion->cover < covers && seen[completion->cover][unit]++ == 0;
    }
    ck_assert_uint_eq(layers_with_chunks(), 3);
    ck_assert_uint_eq(count, covers * (3 + 2));
}

static void trial_open(struct trial *trial)
{
    const struct fold_params params = {.graph = &graph,
                                       .microbatches = trial->leaves,
                                       .span_begin = trial->begin,
                                       .span_end = trial->end,
                                       .metric_count = METRICS,
                                       .codec = trial->codec,
                                       .seed = SEED,
                                       .completed = completed,
                                       .context = trial};

    trial->arenas = arenas_new(graph.floats);
    ck_assert_ptr_nonnull(trial->arenas);
    ck_assert_int_eq(mailbox_init(&trial->mailbox, NULL), CAIRN_OK);
    ck_assert_int_eq(fold_new(&params, &trial->fold, NULL), CAIRN_OK);
}

static void trial_close(struct trial *trial)
{
    fold_free(trial->fold);
    arenas_free(trial->arenas);
    mailbox_fini(&trial->mailbox);
}

static void run_trial(const struct codec_spec *codec, uint32_t leaves, uint32_t begin, uint32_t end,
                      uint32_t threads)
{
    struct trial trial = {.codec = codec, .leaves = leaves, .begin = begin, .end = end, .threads = threads};

    trial_open(&trial);
    for (trial.step = 0; trial.step < STEPS; trial.step++) {
        compute_step(&trial);
        check_completions(&trial);
        for (uint32_t cover = 0; cover < fold_cover_count(trial.fold); cover++) {
            check_vectors(&trial, cover);
            check_gradients(&trial, cover);
            fold_release(trial.fold, cover);
        }
    }
    ck_assert_uint_le(arenas_count(trial.arenas), end - begin);
    trial_close(&trial);
}

START_TEST(one_thread_gives_the_recursive_sum)
{
    for (uint32_t leaves = 1; leaves <= 9; leaves++) {
        for (uint32_t begin = 0; begin < leaves; begin++) {
            for (uint32_t end = begin + 1; end <= leaves; end++)
                run_trial(&codecs[_i], leaves, begin, end, 1);
        }
    }
}
END_TEST

START_TEST(any_number_of_threads_gives_the_same_bits)
{
    for (uint32_t threads = 2; threads <= 6; threads++) {
        run_trial(&codecs[_i], 8, 0, 8, threads);
        run_trial(&codecs[_i], 13, 2, 13, threads);
        run_trial(&codecs[_i], 5, 0, 5, threads);
    }
}
END_TEST

/* ---- beside a shard */

static struct dense_table *shard_table(const struct codec_spec *codec, uint32_t leaves)
{
    static const struct optimizer_spec sgd = {.type = OPTIMIZER_SGD};
    const struct dense_params params = {.floats = FLOATS,
                                        .chunk_floats = CHUNK,
                                        .chunk_count = CHUNKS,
                                        .microbatches = leaves,
                                        .optimizer = &sgd,
                                        .codec = codec,
                                        .seed = SEED,
                                        .number = TABLE_WEIGHTS};
    struct dense_table *table = NULL;
    uint32_t numbers[CHUNKS];

    for (uint32_t i = 0; i < CHUNKS; i++)
        numbers[i] = i;
    ck_assert_int_eq(dense_table_new(&params, numbers, CHUNKS, 0, &table, NULL), CAIRN_OK);
    return table;
}

/* What arrives of a node at a shard. */
static void shard_push(struct dense_table *table, struct tree_node node, uint32_t chunk, const float *sum)
{
    struct dense_chunk *at = dense_find(table, chunk);
    struct buffer *arrived = buffer_new(CHUNK * sizeof(float));

    ck_assert_ptr_nonnull(arrived);
    memcpy(arrived->data, sum, at->floats * sizeof(float));
    dense_push(at, node, arrived, 1);
}

/* A worker with the span folds and pushes the nodes that cover it. */
static void push_span(struct dense_table *table, const struct codec_spec *codec, uint32_t leaves,
                      uint32_t begin, uint32_t end)
{
    struct trial trial = {.codec = codec, .leaves = leaves, .begin = begin, .end = end, .threads = 2};

    trial_open(&trial);
    compute_step(&trial);
    for (uint32_t cover = 0; cover < fold_cover_count(trial.fold); cover++) {
        const float *sums = fold_gradients(trial.fold, cover)->data;

        for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
            shard_push(table, fold_cover(trial.fold, cover), chunk, sums + chunk * CHUNK);
    }
    trial_close(&trial);
}

/* One worker a microbatch, so that the shard folds all, or two that share at `middle`. */
static struct dense_table *shard_summed(const struct codec_spec *codec, uint32_t leaves, uint32_t middle)
{
    struct dense_table *table = shard_table(codec, leaves);
    float values[CHUNK];

    for (uint32_t leaf = 0; leaf < leaves && middle == 0; leaf++) {
        for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
            leaf_of_chunk(codec, 0, leaf, chunk, values);
            shard_push(table, (struct tree_node){leaf, leaf + 1}, chunk, values);
        }
    }
    if (middle > 0)
        push_span(table, codec, leaves, 0, middle);
    if (middle > 0 && middle < leaves)
        push_span(table, codec, leaves, middle, leaves);
    return table;
}

START_TEST(a_shard_makes_the_same_sum_of_microbatches_and_of_covers)
{
    const uint32_t leaves = 11;
    struct dense_table *expected = shard_summed(&codecs[_i], leaves, 0);

    for (uint32_t middle = 1; middle <= leaves; middle++) {
        struct dense_table *table = shard_summed(&codecs[_i], leaves, middle);

        for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
            ck_assert(table->chunks[chunk]->is_summed && expected->chunks[chunk]->is_summed);
            ck_assert_mem_eq(table->chunks[chunk]->sum->data, expected->chunks[chunk]->sum->data,
                             table->chunks[chunk]->floats * sizeof(float));
        }
        dense_table_free(table);
    }
    dense_table_free(expected);
}
END_TEST

/* ---- arenas */

/* In index order, a lone lane needs one arena a level of the tree. */
START_TEST(few_arenas_are_made)
{
    struct trial trial = {.codec = &codecs[0], .leaves = 64, .end = 64, .threads = 1};

    trial_open(&trial);
    compute_step(&trial);
    ck_assert_uint_le(arenas_count(trial.arenas), 7);
    trial_close(&trial);
}
END_TEST

START_TEST(an_arena_is_left_alone_while_it_is_sent)
{
    struct arenas *arenas = arenas_new(16);
    struct arena *first = arenas_take(arenas), *second;
    struct buffer *sent = buffer_ref(first->buffer);

    arenas_give(first);
    second = arenas_take(arenas);
    ck_assert_ptr_ne(first, second);
    arenas_give(second);
    buffer_unref(sent);
    ck_assert_ptr_eq(arenas_take(arenas), second);
    ck_assert_ptr_eq(arenas_take(arenas), first);
    ck_assert_uint_eq(arenas_count(arenas), 2);
    arenas_free(arenas);
}
END_TEST

START_TEST(spans_that_are_none_are_refused)
{
    struct fold_params params = {.graph = &graph, .microbatches = 4, .metric_count = METRICS};
    struct fold *fold = NULL;
    struct error error;

    ck_assert_int_eq(fold_new(&params, &fold, &error), CAIRN_INVALID);
    params.span_end = 5;
    ck_assert_int_eq(fold_new(&params, &fold, &error), CAIRN_INVALID);
    ck_assert_ptr_null(fold);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("fold");
    TCase *test = tcase_create("fold");

    tcase_set_timeout(test, 60);
    tcase_add_loop_test(test, one_thread_gives_the_recursive_sum, 0, CODECS);
    tcase_add_loop_test(test, any_number_of_threads_gives_the_same_bits, 0, CODECS);
    tcase_add_loop_test(test, a_shard_makes_the_same_sum_of_microbatches_and_of_covers, 0, CODECS);
    tcase_add_test(test, few_arenas_are_made);
    tcase_add_test(test, an_arena_is_left_alone_while_it_is_sent);
    tcase_add_test(test, spans_that_are_none_are_refused);
    suite_add_tcase(suite, test);
    return suite;
}

CHECK_MAIN(make_suite)
