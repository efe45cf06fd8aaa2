/* How near is each optimizer to the memory's speed? Updates arrays that no cache holds, as a dense table does
 * (the next weights in another array, slots in place), and single rows of 16 floats in random order, as a
 * sparse table does (all in place). One thread.
 *
 * The limit beside each figure is measured in the same run, in turn with it: the plainest loop over the same
 * arrays or rows in the same way, next = weights + c * sums and slot = slot + c * sums. The share is the
 * median of the pairs' ratios. GB/s count the bytes that the loop names, 4 a float read or written. */
#include "arguments.h"
#include "base/clock.h"
#include "base/kernel.h"
#include "figures.h"
#include "optimizers/norms.h"
#include "optimizers/optimizer.h"

#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_FLOATS 16
#define ROWS_AHEAD 8
#define SAMPLES    32

struct options {
    uint32_t mebifloats, kilorows, batch_rows, repetitions;
    bool json;
};

/* What is measured; each has all that its optimizer does by default. */
static const struct subject {
    const char *name;
    struct optimizer_spec spec;
} subjects[] = {
    {"sgd", {.type = OPTIMIZER_SGD, .learning_rate = 0.01}},
    {"sgd, momentum", {.type = OPTIMIZER_SGD, .learning_rate = 0.01, .momentum = 0.9}},
    {"sgd, nesterov", {.type = OPTIMIZER_SGD, .learning_rate = 0.01, .momentum = 0.9, .nesterov = true}},
    {"adagrad",
     {.type = OPTIMIZER_ADAGRAD, .learning_rate = 0.001, .initial_accumulator_value = 0.1, .epsilon = 1e-7}},
    {"rmsprop", {.type = OPTIMIZER_RMSPROP, .learning_rate = 0.001, .rho = 0.9, .epsilon = 1e-7}},
    {"rmsprop, centered, momentum",
     {.type = OPTIMIZER_RMSPROP,
      .learning_rate = 0.001,
      .rho = 0.9,
      .momentum = 0.9,
      .epsilon = 1e-7,
      .centered = true}},
    {"lion", {.type = OPTIMIZER_LION, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.99}},
    {"adam",
     {.type = OPTIMIZER_ADAM, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-7}},
    {"adam, amsgrad",
     {.type = OPTIMIZER_ADAM,
      .learning_rate = 0.001,
      .beta_1 = 0.9,
      .beta_2 = 0.999,
      .epsilon = 1e-7,
      .amsgrad = true}},
    {"adamw",
     {.type = OPTIMIZER_ADAMW,
      .learning_rate = 0.001,
      .beta_1 = 0.9,
      .beta_2 = 0.999,
      .epsilon = 1e-7,
      .weight_decay = 0.004}},
    {"nadam",
     {.type = OPTIMIZER_NADAM, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-7}},
    {"adadelta", {.type = OPTIMIZER_ADADELTA, .learning_rate = 0.001, .rho = 0.95, .epsilon = 1e-7}},
    {"ftrl",
     {.type = OPTIMIZER_FTRL,
      .learning_rate = 0.001,
      .learning_rate_power = -0.5,
      .initial_accumulator_value = 0.1,
      .l1_regularization_strength = 0.001}},
    {"lamb",
     {.type = OPTIMIZER_LAMB, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-7}},
};
#define SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

/* What one subject showed. */
struct result {
    struct figure rate, limit, share;
};

/* --- the limits --- */

/* Loops over fixed numbers of arrays, so that the compiler sees all of them. */
#define LIMIT_LOOP(slots)                                                                                    \
    KERNEL_LOOP                                                                                              \
    for (size_t i = 0; i < count; i++) {                                                                     \
        float gradient = c * sums[i];                                                                        \
                                                                                                             \
        next[i] = weights[i] + gradient;                                                                     \
        if ((slots) > 0)                                                                                     \
            a[i] += gradient;                                                                                \
        if ((slots) > 1)                                                                                     \
            b[i] += gradient;                                                                                \
        if ((slots) > 2)                                                                                     \
            d[i] += gradient;                                                                                \
    }

/* The plainest loop over an update's arrays. */
KERNEL static void limit_run(const struct optimizer_update *update, uint32_t slot_count, float c)
{
    const float *sums = update->sums, *weights = update->weights;
    float *next = update->next_weights, *a = update->next_slots[0], *b = update->next_slots[1];
    float *d = update->next_slots[2];
    size_t count = update->count;

    if (slot_count == 0) {
        LIMIT_LOOP(0)
    } else if (slot_count == 1) {
        LIMIT_LOOP(1)
    } else if (slot_count == 2) {
        LIMIT_LOOP(2)
    } else {
        LIMIT_LOOP(3)
    }
}

/* The same of rows, each with `slots` slots behind its weights. */
#define LIMIT_ROWS(slots)                                                                                    \
    for (size_t row = 0; row < rows.count; row++, sums += count) {                                           \
        float *weights = rows.rows[row], *next = weights;                                                    \
        float *a = weights + count, *b = a + count, *d = b + count;                                          \
                                                                                                             \
        for (size_t line = 0; row + ROWS_AHEAD < rows.count && line <= (slots); line++)                      \
            __builtin_prefetch(rows.rows[row + ROWS_AHEAD] + line * ROW_FLOATS, 1);                          \
        LIMIT_LOOP(slots)                                                                                    \
    }

KERNEL static void limit_rows(struct optimizer_rows rows, uint32_t slot_count, float c)
{
    const float *sums = rows.sums;
    size_t count = rows.dimension; /* ROW_FLOATS, but not known to the compiler */

    if (slot_count == 0) {
        LIMIT_ROWS(0)
    } else if (slot_count == 1) {
        LIMIT_ROWS(1)
    } else if (slot_count == 2) {
        LIMIT_ROWS(2)
    } else {
        LIMIT_ROWS(3)
    }
}

/* --- measuring --- */

static float *filled(size_t count, uint32_t seed)
{
    float *values = aligned_alloc(64, count * sizeof(float));

    if (values == NULL) {
        fprintf(stderr, "bench_optimizers: no memory for %zu floats\n", count);
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < count; i++)
        values[i] = (float)((i * 7919 + seed) % 2003 + 1) / 2048;
    return values;
}

static double seconds_since(uint64_t begin_ns)
{
    return (double)(clock_ns() - begin_ns) / 1e9;
}

static void add_pair(struct result *result, double work, double seconds, double limit_seconds)
{
    figure_add(&result->rate, work / seconds);
    figure_add(&result->limit, work / limit_seconds);
    figure_add(&result->share, limit_seconds / seconds);
}

/* One whole update, with both phases of lamb's. */
static void update_once(const struct optimizer_spec *spec, struct optimizer_update update, uint64_t number)
{
    struct optimizer_squares squares;
    struct optimizer_step step;

    optimizer_prepare(spec, number, &step);
    if (spec->type == OPTIMIZER_LAMB) {
        optimizer_measure(&step, &update, &squares);
        update.trust = norms_trust_ratio(squares.weights, squares.update);
    }
    optimizer_apply(&step, &update);
}

static void measure_arrays(const struct options *options, const struct optimizer_spec *spec,
                           struct result *result)
{
    size_t count = (size_t)options->mebifloats << 20;
    uint32_t slots = optimizer_spec_slot_count(spec);
    float *sums = filled(count, 1), *weights = filled(count, 2), *next = filled(count, 3);
    float *arrays[OPTIMIZER_SLOTS_MAX] = {NULL};
    struct optimizer_update update = {.sums = sums,
                                      .samples = SAMPLES,
                                      .scale = 1,
                                      .trust = 1,
                                      .weights = weights,
                                      .next_weights = next,
                                      .count = count};
    double gigabytes = (double)count * sizeof(float) * (3 + 2 * slots) / 1e9;

    for (uint32_t i = 0; i < slots; i++) {
        arrays[i] = filled(count, 4 + i);
        update.slots[i] = update.next_slots[i] = arrays[i];
    }
    for (uint32_t i = 0; i <= options->repetitions; i++) { /* the first does not count */
        uint64_t begin = clock_ns();
        double seconds;

        update_once(spec, update, i + 1);
        seconds = seconds_since(begin);
        begin = clock_ns();
        limit_run(&update, slots, 1e-9f);
        if (i > 0)
            add_pair(result, gigabytes, seconds, seconds_since(begin));
    }
    for (uint32_t i = 0; i < slots; i++)
        free(arrays[i]);
    free(sums);
    free(weights);
    free(next);
}

/* Pointers to all rows in a random order. */
static float **shuffled(float *memory, size_t rows, size_t row_floats)
{
    float **order = malloc(rows * sizeof(*order));
    uint64_t state = 88172645463325252u;

    if (order == NULL) {
        fprintf(stderr, "bench_optimizers: no memory for %zu pointers\n", rows);
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < rows; i++)
        order[i] = memory + i * row_floats;
    for (size_t i = rows - 1; i > 0; i--) {
        size_t other;
        float *moved = order[i];

        state ^= state << 13; /* xorshift64 */
        state ^= state >> 7;
        state ^= state << 17;
        other = state % (i + 1);
        order[i] = order[other];
        order[other] = moved;
    }
    return order;
}

static void measure_rows(const struct options *options, const struct optimizer_spec *spec,
                         struct result *result)
{
    size_t count = (size_t)options->kilorows * 1000, batch = options->batch_rows;
    uint32_t slots = optimizer_spec_slot_count(spec);
    size_t row_floats = (size_t)ROW_FLOATS * (1 + slots);
    float *memory = filled(count * row_floats, 1), *sums = filled(batch * ROW_FLOATS, 2);
    float **order = shuffled(memory, count, row_floats);
    struct optimizer_rows rows = {
        .sums = sums, .samples = SAMPLES, .scale = 1, .dimension = ROW_FLOATS, .count = batch};
    struct optimizer_step step;

    optimizer_prepare(spec, 1, &step);
    for (uint32_t i = 0; i <= options->repetitions; i++) { /* the first does not count */
        uint64_t begin = clock_ns();
        double seconds;

        for (size_t at = 0; at + batch <= count; at += batch) {
            rows.rows = order + at;
            optimizer_apply_rows(&step, &rows);
        }
        seconds = seconds_since(begin);
        begin = clock_ns();
        for (size_t at = 0; at + batch <= count; at += batch) {
            rows.rows = order + at;
            limit_rows(rows, slots, 1e-9f);
        }
        if (i > 0)
            add_pair(result, (double)(count / batch * batch) / 1e6, seconds, seconds_since(begin));
    }
    free(memory);
    free(sums);
    free(order);
}

/* --- printing --- */

static void print_json(const char *unit, const struct result *result)
{
    printf("\"%s\": {\"median\": %.3f, \"least\": %.3f, \"most\": %.3f, \"limit\": %.3f, \"share\": %.3f}",
           unit, figure_median(&result->rate), figure_least(&result->rate), figure_most(&result->rate),
           figure_median(&result->limit), figure_median(&result->share));
}

static void print_text(const struct result *result)
{
    printf(" %6.2f (%.2f to %.2f), limit %6.2f, share %.2f", figure_median(&result->rate),
           figure_least(&result->rate), figure_most(&result->rate), figure_median(&result->limit),
           figure_median(&result->share));
}

static void measure(const struct options *options, const struct subject *subject, bool is_first)
{
    struct result arrays = {0}, rows = {0};
    bool has_rows = subject->spec.type != OPTIMIZER_LAMB;

    measure_arrays(options, &subject->spec, &arrays);
    if (has_rows)
        measure_rows(options, &subject->spec, &rows);
    if (options->json) {
        printf("%s\n  {\"optimizer\": \"%s\", \"slots\": %" PRIu32 ", ", is_first ? "" : ",", subject->name,
               optimizer_spec_slot_count(&subject->spec));
        print_json("arrays_gb_s", &arrays);
        if (has_rows) {
            printf(", ");
            print_json("rows_m_s", &rows);
        }
        printf("}");
    } else {
        printf("%-28s arrays GB/s", subject->name);
        print_text(&arrays);
        if (has_rows) {
            printf("; rows M/s");
            print_text(&rows);
        }
        printf("\n");
    }
    fflush(stdout);
}

/* --- */

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 'f':
        options->mebifloats = (uint32_t)argument_number(argument, 1024, state);
        return 0;
    case 'r':
        options->kilorows = (uint32_t)argument_number(argument, 100000, state);
        return 0;
    case 'b':
        options->batch_rows = (uint32_t)argument_number(argument, 1000000, state);
        return 0;
    case 'n':
        options->repetitions = (uint32_t)argument_number(argument, FIGURE_SAMPLES_MAX, state);
        return 0;
    case 'j':
        options->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {
        {"floats", 'f', "N", 0, "Mebifloats of an array (16)", 0},
        {"rows", 'r', "N", 0, "Thousands of rows (1000)", 0},
        {"batch", 'b', "N", 0, "Rows a call (10000)", 0},
        {"repetitions", 'n', "N", 0, "Runs of each (9)", 0},
        {"json", 'j', NULL, 0, "One JSON object", 0},
        {0}};
    static const struct argp argp = {
        argp_options, parse, NULL, "Measures optimizers beside the memory's speed.", NULL, NULL, NULL};
    struct options options = {.mebifloats = 16, .kilorows = 1000, .batch_rows = 10000, .repetitions = 9};

    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_FAILURE;
    if (options.batch_rows > options.kilorows * 1000)
        options.batch_rows = options.kilorows * 1000;
    if (options.json)
        printf("{\"benchmark\": \"optimizers\", \"floats\": %" PRIu64 ", \"rows\": %" PRIu32
               ", \"row_floats\": %d, \"batch_rows\": %" PRIu32 ", \"optimizers\": [",
               (uint64_t)options.mebifloats << 20, options.kilorows * 1000, ROW_FLOATS, options.batch_rows);
    for (size_t i = 0; i < SUBJECTS; i++)
        measure(&options, &subjects[i], i == 0);
    if (options.json)
        printf("\n]}\n");
    return EXIT_SUCCESS;
}
