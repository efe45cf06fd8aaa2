/* Plans each operation of a chain on a backend, joins those whose layouts differ by reorders, gives all of
 * them memory from one arena, and runs them. Knows nothing of what an operation computes. */
#include "model/plan.h"

#include "model/chain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGNMENT 64u

struct node {
    struct op *op;
    uint32_t layer;  /* graph->layer_count for the loss */
    bool parameters; /* reads the layer's kernel and bias */
    const float *x;  /* NULL: the run's inputs */
    float *y;
    void *saved;
    float *dy, *dx; /* dx NULL: nobody needs it */
};

struct plan {
    const struct graph *graph;
    struct backend *backend;
    bool training;
    uint32_t node_count;   /* the last is the loss */
    uint32_t backward_end; /* nodes before it have no parameters behind them: backward ends at it */
    struct node *nodes;
    unsigned char *arena;
    void *scratch;
};

/* --- building the row of nodes --- */

static enum status append_op(struct plan *plan, const struct op_spec *spec, uint32_t layer, bool parameters,
                             struct error *error)
{
    struct node *node = &plan->nodes[plan->node_count];
    enum status status = plan->backend->ops->plan(plan->backend, spec, &node->op, error);

    if (status != CAIRN_OK)
        return error_prefix(error, status, "%s on %s",
                            layer < plan->graph->layer_count ? plan->graph->layers[layer].spec->name : "loss",
                            plan->backend->ops->name);
    node->layer = layer;
    node->parameters = parameters;
    plan->node_count++;
    return CAIRN_OK;
}

/* A reorder behind the last node, into `layout`. */
static enum status append_reorder(struct plan *plan, const struct layout *from, const struct layout *to,
                                  const struct shape *shape, const struct chain_link *before,
                                  struct error *error)
{
    struct op_spec spec = {.kind = OP_REORDER,
                           .samples = before->spec.samples,
                           .training = before->spec.training,
                           .input_gradient = before->spec.input_gradient,
                           .input = *shape,
                           .output = *shape,
                           .input_layout = *from,
                           .output_layout = *to};

    return append_op(plan, &spec, before->layer, false, error);
}

static bool shape_equal(const struct shape *a, const struct shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof(a->dim[0])) == 0;
}

/* The layout that the last node gives, when its output is seen as `shape`: plain, by a reorder if need be,
 * when that is another shape. */
static enum status current_layout(struct plan *plan, const struct chain_link *link, struct layout *layout,
                                  struct error *error)
{
    const struct shape *shape = &link->spec.input;
    const struct op *last = plan->node_count > 0 ? plan->nodes[plan->node_count - 1].op : NULL;
    struct layout plain = layout_plain(link->spec.samples, shape);

    *layout = last != NULL ? last->output : plain;
    if (last == NULL || layout->native == NULL || shape_equal(&last->spec.output, shape))
        return CAIRN_OK;
    *layout = plain;
    return append_reorder(plan, &last->output, &plain, &last->spec.output, link, error);
}

/* Plans one link; when it wants its input in another layout, the reorder goes before it. */
static enum status append_link(struct plan *plan, struct chain_link *link, struct error *error)
{
    struct op *op = NULL;
    enum status status = current_layout(plan, link, &link->spec.input_layout, error);

    if (status == CAIRN_OK)
        status = append_op(plan, &link->spec, link->layer, link->parameters, error);
    if (status != CAIRN_OK)
        return status;
    op = plan->nodes[plan->node_count - 1].op;
    if (plan->backend->ops->layout_equal(&op->input, &link->spec.input_layout))
        return CAIRN_OK;
    plan->node_count--;
    plan->nodes[plan->node_count].op = NULL;
    status = append_reorder(plan, &link->spec.input_layout, &op->input, &link->spec.input, link, error);
    if (status != CAIRN_OK) {
        op_free(op);
        return status;
    }
    plan->nodes[plan->node_count++] =
        (struct node){.op = op, .layer = link->layer, .parameters = link->parameters};
    return CAIRN_OK;
}

static enum status append_all(struct plan *plan, uint32_t samples, struct error *error)
{
    struct chain chain;
    enum status status = chain_init(&chain, plan->graph, samples, plan->training, error);

    if (status != CAIRN_OK)
        goto out;
    plan->nodes = calloc((size_t)chain.count * 3, sizeof(*plan->nodes)); /* each with at most two reorders */
    if (plan->nodes == NULL) {
        status = error_set(error, CAIRN_NO_MEMORY, "no memory for a plan of %u operations", chain.count);
        goto out;
    }
    for (uint32_t i = 0; i < chain.count && status == CAIRN_OK; i++)
        status = append_link(plan, &chain.links[i], error);
out:
    chain_fini(&chain);
    return status;
}

/* --- memory --- */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Takes `bytes` from the arena. Called in two passes: first with no arena, to measure it. */
static void *take(struct plan *plan, size_t *used, size_t bytes)
{
    size_t begin = *used;

    *used += (bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    return plan->arena != NULL ? plan->arena + begin : NULL;
}

static bool loss_node(const struct plan *plan, uint32_t i)
{
    return i == plan->node_count - 1;
}

/* Outputs: each its own place in training, as backward reads them; else two places in turns. */
static void place_outputs(struct plan *plan, size_t *used)
{
    size_t largest = 0;
    void *turns[2] = {NULL, NULL};

    for (uint32_t i = 0; i < plan->node_count; i++)
        largest = larger(largest, loss_node(plan, i) ? 0 : plan->nodes[i].op->output.bytes);
    for (int turn = 0; turn < 2 && !plan->training; turn++)
        turns[turn] = take(plan, used, largest);
    for (uint32_t i = 0; i < plan->node_count; i++) {
        struct node *node = &plan->nodes[i];

        node->x = i > 0 ? plan->nodes[i - 1].y : NULL;
        node->saved = take(plan, used, node->op->saved_bytes);
        if (loss_node(plan, i))
            continue;
        node->y = plan->training ? take(plan, used, node->op->output.bytes) : turns[i % 2];
    }
}

/* Gradients of outputs live from one backward to the next, so two places in turns serve all. */
static void place_gradients(struct plan *plan, size_t *used)
{
    size_t largest = 0;
    void *turns[2];

    for (uint32_t i = 0; i < plan->node_count; i++)
        largest = larger(largest, plan->nodes[i].op->input.bytes);
    for (int turn = 0; turn < 2; turn++)
        turns[turn] = take(plan, used, largest);
    for (uint32_t i = plan->backward_end; i < plan->node_count; i++) {
        plan->nodes[i].dy = turns[i % 2];
        plan->nodes[i].dx = i > plan->backward_end ? turns[(i + 1) % 2] : NULL;
    }
}

static size_t place_all(struct plan *plan)
{
    size_t used = 0, scratch = 0;

    place_outputs(plan, &used);
    if (plan->training)
        place_gradients(plan, &used);
    for (uint32_t i = 0; i < plan->node_count; i++)
        scratch = larger(scratch, plan->nodes[i].op->scratch_bytes);
    plan->scratch = take(plan, &used, scratch);
    return used;
}

static enum status give_memory(struct plan *plan, struct error *error)
{
    size_t bytes;

    plan->backward_end = 0;
    while (!plan->nodes[plan->backward_end].parameters)
        plan->backward_end++; /* ends: a graph has parameters */
    bytes = place_all(plan);
    plan->arena = plan->backend->ops->allocate(plan->backend, bytes);
    if (plan->arena == NULL)
        return error_set(error, CAIRN_NO_MEMORY,
                         "no memory for %zu MiB of activations: use more, smaller microbatches", bytes >> 20);
    place_all(plan);
    return CAIRN_OK;
}

enum status plan_new(const struct graph *graph, struct backend *backend, uint32_t samples, bool training,
                     struct plan **out, struct error *error)
{
    struct plan *plan = calloc(1, sizeof(*plan));
    enum status status;

    *out = NULL;
    if (plan == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for a plan");
    plan->graph = graph;
    plan->backend = backend;
    plan->training = training;
    status = append_all(plan, samples, error);
    if (status == CAIRN_OK)
        status = give_memory(plan, error);
    if (status == CAIRN_OK) {
        *out = plan;
        plan = NULL;
    }
    plan_free(plan);
    return status;
}

void plan_free(struct plan *plan)
{
    if (plan == NULL)
        return;
    for (uint32_t i = 0; plan->nodes != NULL && i < plan->node_count; i++)
        op_free(plan->nodes[i].op);
    plan->backend->ops->release(plan->backend, plan->arena);
    free(plan->nodes);
    free(plan);
}

/* --- running --- */

uint32_t plan_metric_count(const struct graph *graph)
{
    return 1 + graph->spec->metric_count;
}

/* The layer's kernel, or its bias, within an address space; NULL when the node has none. */
static const struct graph_parameter *parameter_of(const struct plan *plan, const struct node *node,
                                                  uint32_t which)
{
    const struct graph_layer *layer = &plan->graph->layers[node->layer];

    if (!node->parameters || which >= layer->parameter_count)
        return NULL;
    return &plan->graph->parameters[layer->first_parameter + which];
}

static struct op_run run_of(const struct plan *plan, const struct node *node, const struct plan_run *run,
                            bool evaluate)
{
    const struct graph_parameter *kernel = parameter_of(plan, node, 0), *bias = parameter_of(plan, node, 1);
    struct op_run op_run = {.x = node->x != NULL ? node->x : run->inputs,
                            .y = node->y,
                            .kernel = kernel != NULL ? run->weights + kernel->offset : NULL,
                            .bias = bias != NULL ? run->weights + bias->offset : NULL,
                            .saved = node->saved,
                            .scratch = plan->scratch,
                            .dy = node->dy,
                            .dx = node->dx,
                            .seed = run->seed,
                            .step = run->step,
                            .first_sample = run->first_sample,
                            .evaluate = evaluate,
                            .targets = run->targets,
                            .metrics = run->metrics};

    if (!evaluate && kernel != NULL)
        op_run.kernel_gradient = run->gradients + kernel->offset;
    if (!evaluate && bias != NULL)
        op_run.bias_gradient = run->gradients + bias->offset;
    return op_run;
}

static enum status forward(struct plan *plan, const struct plan_run *run, bool evaluate, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < plan->node_count && status == CAIRN_OK; i++) {
        struct node *node = &plan->nodes[i];
        struct op_run op_run = run_of(plan, node, run, evaluate);

        if (node->parameters && run->weights_ready != NULL && !run->weights_ready(run->context, node->layer))
            return error_set(error, CAIRN_CLOSED, "the weights of layer %s will not come",
                             plan->graph->layers[node->layer].spec->name);
        status = node->op->ops->forward(node->op, &op_run, error);
    }
    return status;
}

static enum status backward(struct plan *plan, const struct plan_run *run, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = plan->node_count; i > plan->backward_end && status == CAIRN_OK; i--) {
        struct node *node = &plan->nodes[i - 1];
        struct op_run op_run = run_of(plan, node, run, false);

        status = node->op->ops->backward(node->op, &op_run, error);
        if (status == CAIRN_OK && node->parameters && run->gradients_ready != NULL)
            run->gradients_ready(run->context, node->layer);
    }
    return status;
}

enum status plan_train(struct plan *plan, const struct plan_run *run, struct error *error)
{
    enum status status;

    BUG_IF(!plan->training || run->gradients == NULL);
    status = forward(plan, run, false, error);
    return status == CAIRN_OK ? backward(plan, run, error) : status;
}

enum status plan_evaluate(struct plan *plan, const struct plan_run *run, struct error *error)
{
    return forward(plan, run, true, error);
}

const float *plan_output(struct plan *plan)
{
    return plan->nodes[plan->node_count - 1].x;
}

static bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            return false;
    }
    return true;
}

/* Layouts do not matter: what a backend's own has beside the values is zero. */
uint32_t plan_first_not_finite(const struct plan *plan, const float *inputs)
{
    const struct op *first = plan->nodes[0].op;
    struct layout plain = layout_plain(first->spec.samples, &first->spec.input);

    BUG_IF(!plan->training);
    if (!all_finite(inputs, plain.bytes / sizeof(float)))
        return PLAN_INPUTS;
    for (uint32_t i = 0; !loss_node(plan, i); i++) {
        const struct node *node = &plan->nodes[i];

        if (!all_finite(node->y, node->op->output.bytes / sizeof(float)))
            return node->layer;
    }
    return plan->graph->layer_count;
}
