/* A lane's loop: take the next number, find its round and microbatch, compute it. Numbers count the span's
 * microbatches through all rounds, so one atomic addition hands out all work of a training.
 *
 * A lane may be a round ahead of another. That is safe: it cannot read weights of a version that is not
 * here, and none comes that another lane of this worker still works for (docs/design.md section 5).
 */
#include "lanes.h"

#include "base/clock.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lane {
    struct lanes *lanes;
    uint32_t index;
    pthread_t thread;
    struct runner runner;
    /* The work in hand. */
    uint64_t step;
    uint32_t microbatch;
    struct arena *arena; /* NULL once the fold has it */
    double metrics[LANES_METRICS_MAX];
    const struct plan *plan; /* that computes it; NULL: it has no samples */
    const float *inputs;
    uint64_t weights_ns, data_ns; /* slept for this microbatch */
    /* Sums, for other threads to read. */
    _Atomic uint64_t compute_total, weights_total, data_total, train_total, microbatches;
};

struct lanes {
    struct lanes_params params;
    const struct graph *graph;
    uint32_t metric_count;
    uint32_t lane_count, started;
    struct lane *lanes;
    _Atomic uint64_t next_number;
    atomic_uint ended; /* lanes that do nothing more */
    atomic_bool has_failed;
    struct error failure; /* written once, before `failed` is called */
    pthread_mutex_t fault_mutex; /* of the two below */
    struct lanes_fault fault;
    bool has_fault;
};

uint32_t lanes_metric_count(const struct graph *graph)
{
    return plan_metric_count(graph) + 2;
}

/* ---- what a plan calls while it runs */

static bool weights_ready(void *context, uint32_t layer)
{
    struct lane *lane = context;

    return weights_await(lane->lanes->params.weights, layer, lane->step, &lane->weights_ns);
}

/* Looks where a loss that is not finite comes from. */
static void note_fault(struct lane *lane)
{
    struct lanes *lanes = lane->lanes;
    const struct lanes_fault *known = &lanes->fault;
    struct lanes_fault fault = {lane->step, lane->microbatch,
                                plan_first_not_finite(lane->plan, lane->inputs)};

    pthread_mutex_lock(&lanes->fault_mutex);
    if (!lanes->has_fault || fault.step < known->step ||
        (fault.step == known->step && fault.microbatch < known->microbatch))
        lanes->fault = fault;
    lanes->has_fault = true;
    pthread_mutex_unlock(&lanes->fault_mutex);
}

/* Hands arena and metrics to the fold, before the first layer's gradients. Not sooner: until this step's
 * weights were there, the fold may still hold the same microbatch of the step before. */
static void enter_fold(struct lane *lane)
{
    if (!lane->arena)
        return;
    if (lane->plan && !isfinite(lane->metrics[1]) && lane->lanes->params.schedule->job->terminate_on_nan)
        note_fault(lane);
    fold_enter(lane->lanes->params.fold, lane->step, lane->microbatch, lane->arena, lane->metrics);
    lane->arena = NULL;
}

static void gradients_ready(void *context, uint32_t layer)
{
    struct lane *lane = context;

    enter_fold(lane);
    fold_layer(lane->lanes->params.fold, lane->microbatch, layer);
}

/* ---- one microbatch */

static bool await_all_weights(struct lane *lane)
{
    bool there = true;

    for (uint32_t layer = 0; layer < lane->lanes->graph->layer_count && there; layer++)
        there = weights_ready(lane, layer);
    return there;
}

/* No samples (a short last batch): its gradient is +0 everywhere, and is folded like any other. */
static enum status train_nothing(struct lane *lane, struct error *error)
{
    const struct graph *graph = lane->lanes->graph;

    if (!await_all_weights(lane))
        return error_set(error, CAIRN_CLOSED, "closed");
    memset(lane->arena->floats, 0, graph->floats * sizeof(float));
    for (uint32_t layer = graph->layer_count; layer > 0; layer--) {
        if (graph->layers[layer - 1].parameter_begin < graph->layers[layer - 1].parameter_end)
            gradients_ready(lane, layer - 1);
    }
    return CAIRN_OK;
}

static enum status train_samples(struct lane *lane, const struct microbatch *data, struct error *error)
{
    const struct lanes_params *params = &lane->lanes->params;
    struct plan_run run = {.weights = weights_floats(params->weights),
                           .inputs = data->features,
                           .targets = data->targets,
                           .seed = params->schedule->job->seed,
                           .step = data->step,
                           .first_sample = data->first_sample,
                           .gradients = lane->arena->floats,
                           .metrics = &lane->metrics[1],
                           .weights_ready = weights_ready,
                           .gradients_ready = gradients_ready,
                           .context = lane};
    struct plan *plan;
    enum status status = runner_plan(&lane->runner, data->samples, true, &plan, error);

    if (status != CAIRN_OK)
        return status;
    lane->plan = plan;
    lane->inputs = data->features;
    return plan_train(plan, &run, error);
}

static enum status train(struct lane *lane, struct error *error)
{
    const struct lanes_params *params = &lane->lanes->params;
    uint64_t begin = clock_ns();
    struct microbatch *data = loader_take(params->loader, lane->step, lane->microbatch);
    enum status status;

    lane->data_ns = clock_ns() - begin;
    if (!data)
        return error_set(error, CAIRN_CLOSED, "closed");
    memset(lane->metrics, 0, sizeof(lane->metrics));
    lane->plan = NULL;
    lane->metrics[lane->lanes->metric_count - 1] = data->samples;
    lane->arena = arenas_take(params->arenas);
    if (!lane->arena)
        status = error_set(error, CAIRN_NO_MEMORY, "out of memory for gradients");
    else if (data->samples == 0)
        status = train_nothing(lane, error);
    else
        status = train_samples(lane, data, error);
    loader_give(params->loader, data);
    arenas_give(lane->arena); /* a failure before the fold had it */
    lane->arena = NULL;
    return status;
}

static enum status validate(struct lane *lane, struct error *error)
{
    const struct lanes_params *params = &lane->lanes->params;
    struct tree_node leaf = {lane->microbatch, lane->microbatch + 1};
    struct runner_evaluation evaluation = {.reader = params->validation,
                                           .batch = schedule_validation_batch(params->schedule->job),
                                           .weights = weights_floats(params->weights),
                                           .weights_ready = weights_ready,
                                           .context = lane,
                                           .sums = &lane->metrics[1]};
    enum status status;

    schedule_validation_range(params->schedule, leaf, &evaluation.begin, &evaluation.end);
    memset(lane->metrics, 0, sizeof(lane->metrics));
    lane->metrics[lane->lanes->metric_count - 1] = (double)(evaluation.end - evaluation.begin);
    if (!await_all_weights(lane))
        return error_set(error, CAIRN_CLOSED, "closed");
    status = runner_evaluate(&lane->runner, &evaluation, error);
    if (status == CAIRN_OK)
        fold_validation(params->fold, lane->microbatch, lane->metrics);
    return status;
}

/* ---- the loop */

static void account(struct lane *lane, enum round_kind kind, uint64_t elapsed_ns)
{
    uint64_t slept = lane->weights_ns + lane->data_ns;
    uint64_t compute_ns = elapsed_ns > slept ? elapsed_ns - slept : 0;

    atomic_fetch_add_explicit(&lane->compute_total, compute_ns, memory_order_relaxed);
    if (kind == ROUND_TRAIN) {
        atomic_fetch_add_explicit(&lane->train_total, compute_ns, memory_order_relaxed);
        atomic_fetch_add_explicit(&lane->microbatches, 1, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&lane->weights_total, lane->weights_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&lane->data_total, lane->data_ns, memory_order_relaxed);
}

static enum status work(struct lane *lane, struct round round, uint32_t microbatch, struct error *error)
{
    uint64_t begin = clock_ns();
    enum status status;

    lane->step = round.step;
    lane->microbatch = microbatch;
    lane->weights_ns = lane->data_ns = 0;
    status = round.kind == ROUND_TRAIN ? train(lane, error) : validate(lane, error);
    account(lane, round.kind, clock_ns() - begin);
    return status;
}

static void fail(struct lanes *lanes, enum status status, const struct error *error)
{
    if (atomic_exchange(&lanes->has_failed, true))
        return;
    error_set(&lanes->failure, status, "%s", error->message[0] ? error->message : status_text(status));
    lanes->params.failed(lanes->params.context);
}

static enum status run_rounds(struct lane *lane, struct error *error)
{
    struct lanes *lanes = lane->lanes;
    const struct lanes_params *params = &lanes->params;
    uint32_t span = params->span_end - params->span_begin;
    struct round round = schedule_first(params->schedule);
    uint64_t rounds_done = 0;
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK) {
        uint64_t number = atomic_fetch_add_explicit(&lanes->next_number, 1, memory_order_relaxed);

        for (; rounds_done < number / span; rounds_done++)
            round = schedule_next(params->schedule, round);
        if (round.kind == ROUND_END)
            break;
        status = work(lane, round, params->span_begin + (uint32_t)(number % span), error);
    }
    return status;
}

static void *lane_main(void *argument)
{
    struct lane *lane = argument;
    const struct job *job = lane->lanes->params.schedule->job;
    struct error error = {.message = ""};
    char name[16];
    enum status status;

    snprintf(name, sizeof(name), "lane %u", lane->index);
    pthread_setname_np(pthread_self(), name);
    status = runner_init(&lane->runner, lane->lanes->graph, lane->lanes->params.make_backend,
                         job->threads_per_microbatch, &error);
    if (status == CAIRN_OK)
        status = run_rounds(lane, &error);
    if (status != CAIRN_OK && status != CAIRN_CLOSED)
        fail(lane->lanes, status, &error);
    runner_fini(&lane->runner);
    atomic_fetch_add(&lane->lanes->ended, 1);
    return NULL;
}

/* Signals are the main thread's. */
static enum status start_all(struct lanes *lanes, struct error *error)
{
    sigset_t all, before;
    int code = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; i < lanes->lane_count && code == 0; i++) {
        lanes->lanes[i].lanes = lanes;
        lanes->lanes[i].index = i;
        code = pthread_create(&lanes->lanes[i].thread, NULL, lane_main, &lanes->lanes[i]);
        lanes->started += code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code ? error_system(error, code, "cannot start a lane") : CAIRN_OK;
}

enum status lanes_start(const struct lanes_params *params, struct lanes **out, struct error *error)
{
    uint32_t span = params->span_end - params->span_begin;
    struct lanes *lanes = calloc(1, sizeof(*lanes));
    enum status status;

    if (!lanes)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for lanes");
    pthread_mutex_init(&lanes->fault_mutex, NULL);
    lanes->params = *params;
    lanes->graph = params->schedule->job->graph;
    lanes->metric_count = lanes_metric_count(lanes->graph);
    lanes->lane_count = params->lane_count < span ? params->lane_count : span;
    lanes->lanes = calloc(lanes->lane_count, sizeof(*lanes->lanes));
    status =
        lanes->lanes ? start_all(lanes, error) : error_set(error, CAIRN_NO_MEMORY, "out of memory for lanes");
    if (status != CAIRN_OK) {
        weights_close(params->weights);
        loader_close(params->loader);
        lanes_stop(lanes);
        return status;
    }
    *out = lanes;
    return CAIRN_OK;
}

void lanes_stop(struct lanes *lanes)
{
    if (!lanes)
        return;
    for (uint32_t i = 0; i < lanes->started; i++)
        pthread_join(lanes->lanes[i].thread, NULL);
    pthread_mutex_destroy(&lanes->fault_mutex);
    free(lanes->lanes);
    free(lanes);
}

bool lanes_have_ended(const struct lanes *lanes)
{
    return atomic_load(&lanes->ended) == lanes->started;
}

enum status lanes_failure(const struct lanes *lanes, struct error *error)
{
    *error = lanes->failure;
    return lanes->failure.status;
}

bool lanes_find_fault(struct lanes *lanes, uint64_t step, struct lanes_fault *fault)
{
    bool found;

    pthread_mutex_lock(&lanes->fault_mutex);
    *fault = lanes->fault;
    found = lanes->has_fault && fault->step == step;
    pthread_mutex_unlock(&lanes->fault_mutex);
    return found;
}

struct lanes_times lanes_times(const struct lanes *lanes)
{
    struct lanes_times times = {0, 0, 0, 0, 0};

    for (uint32_t i = 0; lanes && i < lanes->started; i++) {
        times.compute_ns += atomic_load_explicit(&lanes->lanes[i].compute_total, memory_order_relaxed);
        times.weights_ns += atomic_load_explicit(&lanes->lanes[i].weights_total, memory_order_relaxed);
        times.data_ns += atomic_load_explicit(&lanes->lanes[i].data_total, memory_order_relaxed);
        times.train_ns += atomic_load_explicit(&lanes->lanes[i].train_total, memory_order_relaxed);
        times.microbatches += atomic_load_explicit(&lanes->lanes[i].microbatches, memory_order_relaxed);
    }
    return times;
}
