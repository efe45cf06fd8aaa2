/* The fold against a plain recursive sum: any span, any number of threads, the same bits. */
#include "check_main.h"
#include "fold.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LAYERS  5
#define METRICS 4
#define STEPS   20
#define FLOATS  528

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
                                   .chunk_floats = 32,
                                   .chunk_count = 17};

/* A float whose sums depend on the order of adding. */
static float value_of(uint64_t step, uint32_t leaf, uint64_t position)
{
    uint64_t x =
        (step * 4099 + leaf + 1) * UINT64_C(0x9E3779B97F4A7C15) + position * UINT64_C(0xD1B54A32D192ED03);

    x ^= x >> 29;
    x *= UINT64_C(0xBF58476D1CE4E5B9);
    x ^= x >> 32;
    return ((float)(x & 0xFFFFFF) - 8388608.0f) * (float)(1u << (x >> 60));
}

static bool has_value(uint64_t position)
{
    return position % 16 < 13; /* the rest is a gap */
}

/* ---- the reference */

static float sum_of(uint64_t step, uint32_t begin, uint32_t end, uint64_t position)
{
    uint32_t middle = begin + (end - begin) / 2;

    if (end - begin == 1)
        return has_value(position) ? value_of(step, begin, position) : 0;
    return sum_of(step, begin, middle, position) + sum_of(step, middle, end, position);
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
    fold_enter(trial->fold, leaf, arena, metrics);
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
    float expected[FLOATS];

    for (uint64_t i = 0; i < FLOATS; i++)
        expected[i] = sum_of(trial->step, node.begin, node.end, i);
    ck_assert_mem_eq(fold_gradients(trial->fold, cover)->data, expected, sizeof(expected));
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

static void run_trial(uint32_t leaves, uint32_t begin, uint32_t end, uint32_t threads)
{
    struct trial trial = {.leaves = leaves, .begin = begin, .end = end, .threads = threads};
    struct fold_params params = {.graph = &graph,
                                 .microbatches = leaves,
                                 .span_begin = begin,
                                 .span_end = end,
                                 .metric_count = METRICS,
                                 .completed = completed,
                                 .context = &trial};
    struct error error;

    trial.arenas = arenas_new(graph.floats);
    ck_assert_int_eq(mailbox_init(&trial.mailbox, &error), CAIRN_OK);
    ck_assert_int_eq(fold_new(&params, &trial.fold, &error), CAIRN_OK);
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
    fold_free(trial.fold);
    arenas_free(trial.arenas);
    mailbox_fini(&trial.mailbox);
}

START_TEST(one_thread_gives_the_recursive_sum)
{
    for (uint32_t leaves = 1; leaves <= 9; leaves++) {
        for (uint32_t begin = 0; begin < leaves; begin++) {
            for (uint32_t end = begin + 1; end <= leaves; end++)
                run_trial(leaves, begin, end, 1);
        }
    }
}
END_TEST

START_TEST(any_number_of_threads_gives_the_same_bits)
{
    for (uint32_t threads = 2; threads <= 6; threads++) {
        run_trial(8, 0, 8, threads);
        run_trial(13, 2, 13, threads);
        run_trial(5, 0, 5, threads);
    }
}
END_TEST

/* In index order, a lone lane needs one arena a level of the tree. */
START_TEST(few_arenas_are_made)
{
    struct trial trial = {.leaves = 64, .end = 64, .threads = 1};
    struct fold_params params = {.graph = &graph,
                                 .microbatches = 64,
                                 .span_end = 64,
                                 .metric_count = METRICS,
                                 .completed = completed,
                                 .context = &trial};

    trial.arenas = arenas_new(graph.floats);
    ck_assert_int_eq(mailbox_init(&trial.mailbox, NULL), CAIRN_OK);
    ck_assert_int_eq(fold_new(&params, &trial.fold, NULL), CAIRN_OK);
    compute_step(&trial);
    ck_assert_uint_le(arenas_count(trial.arenas), 7);
    fold_free(trial.fold);
    arenas_free(trial.arenas);
    mailbox_fini(&trial.mailbox);
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
    tcase_add_test(test, one_thread_gives_the_recursive_sum);
    tcase_add_test(test, any_number_of_threads_gives_the_same_bits);
    tcase_add_test(test, few_arenas_are_made);
    tcase_add_test(test, an_arena_is_left_alone_while_it_is_sent);
    tcase_add_test(test, spans_that_are_none_are_refused);
    suite_add_tcase(suite, test);
    return suite;
}

CHECK_MAIN(make_suite)
