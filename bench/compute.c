/* How fast do lanes compute? Trains the CNN of the README's figures from memory: no data files, no servers,
 * no optimizer. Each lane is a thread with its own backend and plan, as in a worker; a step is one microbatch
 * a lane, all of which begin together.
 *
 * Prints samples/s (median and range of the steps) and the work rate; the limit beside it is the rate of the
 * same machine's large matrix product. Winograd's convolutions may pass it: they need fewer operations than
 * are counted here. */
#include "base/clock.h"
#include "compute/compute.h"
#include "math/philox.h"
#include "model/graph.h"
#include "model/plan.h"
#include "timed.h"

#include <argp.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANES_MAX 64
#define STEPS_MAX 10000
#define WARM_UP   3

struct options {
    uint32_t lanes, samples, steps;
    bool dropout, ops, reference;
};

struct lane {
    const struct options *options;
    const struct graph *graph;
    const float *weights;
    pthread_barrier_t *begin, *end;
    struct timed *timed;
    struct backend *backend;
    struct plan *plan;
    float *inputs, *gradients;
    int32_t *targets;
    struct error error;
    enum status status;
};

/* --- the model --- */

static void fill_layers(struct layer_spec layers[8], bool dropout)
{
    static const struct layer_spec all[] = {
        {.type = LAYER_CONV2D,
         .filters = 32,
         .kernel_size = {3, 3},
         .strides = {1, 1},
         .activation = ACTIVATION_RELU,
         .use_bias = true},
        {.type = LAYER_CONV2D,
         .filters = 64,
         .kernel_size = {3, 3},
         .strides = {1, 1},
         .activation = ACTIVATION_RELU,
         .use_bias = true},
        {.type = LAYER_MAX_POOLING2D, .pool_size = {2, 2}, .strides = {2, 2}},
        {.type = LAYER_DROPOUT, .rate = 0.25f},
        {.type = LAYER_FLATTEN},
        {.type = LAYER_DENSE, .units = 128, .activation = ACTIVATION_RELU, .use_bias = true},
        {.type = LAYER_DROPOUT, .rate = 0.5f},
        {.type = LAYER_DENSE, .units = 10, .use_bias = true},
    };

    memcpy(layers, all, sizeof(all));
    for (int i = 0; i < 8 && !dropout; i++) {
        if (layers[i].type == LAYER_DROPOUT)
            layers[i].rate = 0;
    }
}

/* Multiplications and additions that training on one sample needs, done plainly: forward and two gradients,
 * the first layer's inputs having none. */
static double work_of_sample(const struct graph *graph)
{
    double work = 0;

    for (uint32_t i = 0; i < graph->parameter_count; i++) {
        const struct graph_parameter *kernel = &graph->parameters[i];
        const struct shape *output = &graph->layers[kernel->layer].output;
        double pixels = output->rank == 3 ? (double)output->dim[0] * output->dim[1] : 1;

        if (kernel->shape.rank > 1)
            work += 2.0 * (double)kernel->elements * pixels * (kernel->layer == 0 ? 2 : 3);
    }
    return work;
}

/* --- lanes --- */

static enum status prepare(struct lane *lane)
{
    const struct options *options = lane->options;
    uint64_t elements = options->samples * shape_elements(&lane->graph->layers[0].input);
    struct philox philox = philox_for(1, PHILOX_SYNTHETIC_DATA);
    struct backend *inner = NULL;
    enum status status =
        options->reference ? backend_ref_new(&inner, &lane->error) : backend_cpu_new(1, &inner, &lane->error);

    if (status == CAIRN_OK)
        status = timed_new(inner, lane->timed, &lane->backend, &lane->error);
    if (status == CAIRN_OK)
        status = plan_new(lane->graph, lane->backend, options->samples, true, &lane->plan, &lane->error);
    if (status != CAIRN_OK)
        return status;
    lane->inputs = host_allocate(elements * sizeof(float));
    lane->gradients = host_allocate(lane->graph->floats * sizeof(float));
    lane->targets = host_allocate(options->samples * sizeof(int32_t));
    if (lane->inputs == NULL || lane->gradients == NULL || lane->targets == NULL)
        return error_set(&lane->error, CAIRN_NO_MEMORY, "no memory for a lane");
    for (uint64_t i = 0; i < elements; i++) {
        uint32_t counter[4] = {(uint32_t)i}, words[4];

        philox_words(philox, counter, words);
        lane->inputs[i] = philox_unit_float(words[0]);
    }
    for (uint32_t i = 0; i < options->samples; i++)
        lane->targets[i] = (int32_t)(i % 10);
    return CAIRN_OK;
}

static void finish(struct lane *lane)
{
    plan_free(lane->plan);
    backend_free(lane->backend);
    free(lane->inputs);
    free(lane->gradients);
    free(lane->targets);
}

static void *run_lane(void *argument)
{
    struct lane *lane = argument;
    double metrics[2];

    lane->status = prepare(lane);
    for (uint32_t step = 0; step < lane->options->steps + WARM_UP; step++) {
        struct plan_run run = {.weights = lane->weights,
                               .inputs = lane->inputs,
                               .targets = lane->targets,
                               .seed = 1,
                               .step = step,
                               .gradients = lane->gradients,
                               .metrics = metrics};

        (void)pthread_barrier_wait(lane->begin);
        if (lane->status == CAIRN_OK)
            lane->status = plan_train(lane->plan, &run, &lane->error);
        (void)pthread_barrier_wait(lane->end);
        if (step == WARM_UP - 1) {
            for (uint32_t i = 0; i < lane->timed->count; i++)
                lane->timed->ops[i].runs = lane->timed->ops[i].forward_ns = lane->timed->ops[i].backward_ns =
                    0;
        }
    }
    finish(lane);
    return NULL;
}

/* --- the figures --- */

/* GFLOP/s of a product of two square matrices of 1024, through the same backend. */
static double limit_of_machine(struct error *error)
{
    enum { SIZE = 1024, RUNS = 5 };
    struct op_spec spec = {.kind = OP_DENSE, .samples = SIZE, .input = {1, {SIZE}}, .output = {1, {SIZE}}};
    float *matrices = host_allocate(3 * sizeof(float) * SIZE * SIZE);
    struct op_run run = {.x = matrices, .kernel = matrices + SIZE * SIZE, .y = matrices + 2 * SIZE * SIZE};
    struct backend *backend = NULL;
    struct op *op = NULL;
    uint64_t best = UINT64_MAX;
    enum status status = backend_cpu_new(1, &backend, error);

    if (status == CAIRN_OK)
        status = backend->ops->plan(backend, &spec, &op, error);
    run.scratch = status == CAIRN_OK ? host_allocate(op->scratch_bytes) : NULL;
    for (int i = 0; i < RUNS && status == CAIRN_OK && matrices != NULL && run.scratch != NULL; i++) {
        uint64_t begin = clock_ns();

        status = op->ops->forward(op, &run, error);
        if (clock_ns() - begin < best)
            best = clock_ns() - begin;
    }
    free(run.scratch);
    free(matrices);
    op_free(op);
    backend_free(backend);
    return status == CAIRN_OK ? 2.0 * SIZE * SIZE * SIZE / (double)best : 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void print_result(const struct options *options, const struct graph *graph, uint64_t *times_ns)
{
    struct error error;
    double samples = (double)options->lanes * options->samples, limit = limit_of_machine(&error);
    double rate, work = work_of_sample(graph);

    qsort(times_ns, options->steps, sizeof(*times_ns), compare);
    rate = samples * 1e9 / (double)times_ns[options->steps / 2];
    printf("%u lanes, microbatches of %u%s: %.0f samples/s (%.0f to %.0f over %u steps)\n", options->lanes,
           options->samples, options->dropout ? ", dropout" : "", rate,
           samples * 1e9 / (double)times_ns[options->steps - 1], samples * 1e9 / (double)times_ns[0],
           options->steps);
    printf("%.1f GFLOP/s a lane, counted plainly; the limit of one large matrix product: %.1f\n",
           rate * work / options->lanes / 1e9, limit);
}

static void print_ops(const struct timed *timed)
{
    static const char *const names[OP_KIND_COUNT] = {
        "dense", "conv2d", "max_pooling2d", "average_pooling2d", "activation", "dropout", "reorder", "loss"};

    printf("\n%-14s %12s %12s  %s\n", "operation", "forward us", "backward us", "kernels");
    for (uint32_t i = 0; i < timed->count; i++) {
        const struct timed_op *op = &timed->ops[i];

        if (op->runs > 0)
            printf("%-14s %12.1f %12.1f  %s\n", names[op->spec.kind],
                   (double)op->forward_ns / 1e3 / (double)op->runs,
                   (double)op->backward_ns / 1e3 / (double)op->runs, op->kernels);
    }
}

/* --- the program --- */

static bool number(const char *text, uint32_t most, uint32_t *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    *out = (uint32_t)value;
    return *end == '\0' && value >= 1 && value <= most;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    bool good = true;

    switch (key) {
    case 'l':
        good = number(argument, LANES_MAX, &options->lanes);
        break;
    case 'n':
        good = number(argument, 65536, &options->samples);
        break;
    case 's':
        good = number(argument, STEPS_MAX, &options->steps);
        break;
    case 'd':
        options->dropout = true;
        break;
    case 'o':
        options->ops = true;
        break;
    case 'r':
        options->reference = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    if (!good)
        argp_error(state, "%s is not a number that is allowed here", argument);
    return 0;
}

/* Runs all lanes; the times of the steps that count go to times_ns[steps]. */
static enum status run(const struct options *options, const struct graph *graph, const float *weights,
                       struct timed *timed, uint64_t *times_ns)
{
    struct lane lanes[LANES_MAX];
    pthread_t threads[LANES_MAX];
    pthread_barrier_t begin, end;
    enum status status = CAIRN_OK;

    (void)pthread_barrier_init(&begin, NULL, options->lanes + 1);
    (void)pthread_barrier_init(&end, NULL, options->lanes + 1);
    for (uint32_t i = 0; i < options->lanes; i++) {
        lanes[i] = (struct lane){.options = options,
                                 .graph = graph,
                                 .weights = weights,
                                 .begin = &begin,
                                 .end = &end,
                                 .timed = &timed[i]};
        if (pthread_create(&threads[i], NULL, run_lane, &lanes[i]) != 0) {
            fprintf(stderr, "cannot start a thread\n");
            exit(EXIT_FAILURE);
        }
    }
    for (uint32_t step = 0; step < options->steps + WARM_UP; step++) {
        uint64_t time = 0;

        (void)pthread_barrier_wait(&begin);
        time = clock_ns();
        (void)pthread_barrier_wait(&end);
        if (step >= WARM_UP)
            times_ns[step - WARM_UP] = clock_ns() - time;
    }
    for (uint32_t i = 0; i < options->lanes; i++) {
        (void)pthread_join(threads[i], NULL);
        if (lanes[i].status != CAIRN_OK) {
            status = lanes[i].status;
            fprintf(stderr, "lane %u: %s\n", i, lanes[i].error.message);
        }
    }
    return status;
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {
        {"lanes", 'l', "N", 0, "Threads, each with a microbatch of its own (2)", 0},
        {"samples", 'n', "N", 0, "Samples a microbatch (32)", 0},
        {"steps", 's', "N", 0, "Steps to measure (50)", 0},
        {"dropout", 'd', NULL, 0, "With the two dropout layers", 0},
        {"ops", 'o', NULL, 0, "Print the time of each operation (first lane)", 0},
        {"reference", 'r', NULL, 0, "On the backend ref", 0},
        {0}};
    static const struct argp argp = {argp_options, parse, NULL, "Measures how fast lanes train a small CNN.",
                                     NULL,         NULL,  NULL};
    struct options options = {.lanes = 2, .samples = 32, .steps = 50};
    struct layer_spec layers[8];
    struct model_spec spec = {.input_rank = 3,
                              .input_shape = {28, 28, 1},
                              .layer_count = 8,
                              .layers = layers,
                              .loss = LOSS_SPARSE_CATEGORICAL_CROSSENTROPY,
                              .metric_count = 1,
                              .metrics = {METRIC_ACCURACY}};
    struct graph *graph = NULL;
    struct timed *timed = calloc(LANES_MAX, sizeof(*timed));
    uint64_t *times_ns = calloc(STEPS_MAX, sizeof(*times_ns));
    float *weights = NULL;
    struct error error = {0};
    enum status status;

    (void)argp_parse(&argp, argc, argv, 0, NULL, &options);
    fill_layers(layers, options.dropout);
    model_spec_name_layers(&spec);
    status = graph_new(&spec, &graph, NULL, &error);
    if (status == CAIRN_OK)
        weights = host_allocate(graph->floats * sizeof(float));
    if (weights == NULL || timed == NULL || times_ns == NULL) {
        fprintf(stderr, "bench_compute: %s\n", status == CAIRN_OK ? "out of memory" : error.message);
        return EXIT_FAILURE;
    }
    graph_initial_values(graph, 1, 0, graph->floats, weights);
    status = run(&options, graph, weights, timed, times_ns);
    if (status == CAIRN_OK) {
        print_result(&options, graph, times_ns);
        if (options.ops)
            print_ops(&timed[0]);
    }
    free(weights);
    free(times_ns);
    free(timed);
    graph_free(graph);
    return status == CAIRN_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
