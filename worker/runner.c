/* Plans are found by a walk over a handful; beyond that the oldest place is used again. */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

enum status runner_init(struct runner *runner, const struct graph *graph, backend_maker *make,
                        unsigned threads, struct error *error)
{
    memset(runner, 0, sizeof(*runner));
    runner->graph = graph;
    return make(threads, &runner->backend, error);
}

void runner_fini(struct runner *runner)
{
    for (uint32_t i = 0; i < RUNNER_PLANS; i++)
        plan_free(runner->plans[i].plan);
    if (runner->backend)
        runner->backend->ops->free(runner->backend);
    free(runner->features);
    free(runner->targets);
    memset(runner, 0, sizeof(*runner));
}

static struct runner_plan *find(struct runner *runner, uint32_t samples, bool training)
{
    for (uint32_t i = 0; i < RUNNER_PLANS; i++) {
        struct runner_plan *place = &runner->plans[i];

        if (place->plan && place->samples == samples && place->training == training)
            return place;
    }
    return NULL;
}

/* A place for a new plan; the plan that was there is given up. */
static struct runner_plan *make_place(struct runner *runner)
{
    struct runner_plan *place = &runner->plans[runner->next_place];

    runner->next_place = (runner->next_place + 1) % RUNNER_PLANS;
    plan_free(place->plan);
    place->plan = NULL;
    return place;
}

enum status runner_plan(struct runner *runner, uint32_t samples, bool training, struct plan **out,
                        struct error *error)
{
    struct runner_plan *place = find(runner, samples, training);
    enum status status;

    if (!place) {
        place = make_place(runner);
        status = plan_new(runner->graph, runner->backend, samples, training, &place->plan, error);
        if (status != CAIRN_OK) {
            place->plan = NULL;
            return status;
        }
        place->samples = samples;
        place->training = training;
    }
    *out = place->plan;
    return CAIRN_OK;
}

static void *aligned_room(uint64_t elements, uint32_t samples)
{
    uint64_t bytes = elements * sizeof(float) * samples;

    return aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

/* Room for so many samples and their targets (int32 or float32: four bytes an element). */
static enum status make_room(struct runner *runner, uint32_t samples, struct error *error)
{
    struct reader_wants wants = reader_wants_of(runner->graph);
    uint64_t target_elements = wants.target == TARGET_CLASS ? 1 : wants.target_elements;

    if (samples <= runner->room_samples)
        return CAIRN_OK;
    free(runner->features);
    free(runner->targets);
    runner->room_samples = 0;
    runner->features = aligned_room(shape_elements(&wants.input), samples);
    runner->targets = aligned_room(target_elements, samples);
    if (!runner->features || !runner->targets)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %u samples", samples);
    runner->room_samples = samples;
    return CAIRN_OK;
}

static void read_samples(struct runner *runner, const struct reader *reader, uint64_t begin, uint32_t count)
{
    struct reader_wants wants = reader_wants_of(runner->graph);
    uint64_t input_elements = shape_elements(&wants.input);
    uint64_t target_elements = wants.target == TARGET_CLASS ? 1 : wants.target_elements;

    for (uint32_t i = 0; i < count; i++)
        reader_read(reader, begin + i, runner->features + i * input_elements,
                    (char *)runner->targets + i * target_elements * sizeof(float));
}

/* One batch of an evaluation. */
static enum status evaluate_batch(struct runner *runner, const struct runner_evaluation *evaluation,
                                  uint64_t begin, uint32_t samples, struct error *error)
{
    double metrics[1 + MODEL_METRICS_MAX];
    struct plan_run run = {.weights = evaluation->weights,
                           .inputs = runner->features,
                           .targets = runner->targets,
                           .metrics = metrics,
                           .weights_ready = evaluation->weights_ready,
                           .context = evaluation->context};
    struct plan *plan;
    enum status status = runner_plan(runner, samples, false, &plan, error);

    if (status != CAIRN_OK)
        return status;
    read_samples(runner, evaluation->reader, begin, samples);
    status = plan_evaluate(plan, &run, error);
    if (status != CAIRN_OK)
        return status;
    for (uint32_t i = 0; i < plan_metric_count(runner->graph); i++)
        evaluation->sums[i] += metrics[i];
    return CAIRN_OK;
}

enum status runner_evaluate(struct runner *runner, const struct runner_evaluation *evaluation,
                            struct error *error)
{
    enum status status = make_room(runner, evaluation->batch, error);

    for (uint64_t begin = evaluation->begin; begin < evaluation->end && status == CAIRN_OK;) {
        uint64_t left = evaluation->end - begin;
        uint32_t samples = left < evaluation->batch ? (uint32_t)left : evaluation->batch;

        status = evaluate_batch(runner, evaluation, begin, samples, error);
        begin += samples;
    }
    return status;
}
