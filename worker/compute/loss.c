/* Losses and metrics, and the losses' gradients. Sums are doubles, in the samples' order; the crossentropies
 * take logits. Their bits depend on libm's exp and log, as those of any kernel do on its machine.
 *
 * Definitions are Keras's: mean squared error and binary crossentropy are means over a sample's outputs.
 * Accuracy is, by loss: the class of the largest logit (the first of equal ones); the share of outputs on the
 * target's side of one half, which is 0 for logits; for the squared error of several outputs whether the
 * largest is where the target's largest is. */
#include "compute/compute.h"

#include <math.h>
#include <stdlib.h>

/* One sample. */
struct row {
    const float *x;      /* [outputs] */
    const float *target; /* [outputs], all losses but the sparse one */
    uint32_t class;      /* the sparse one */
    uint64_t outputs;
};

struct loss_kind {
    /* The loss; *saved is what gradient may need. */
    double (*value)(const struct row *row, double *saved);
    void (*gradient)(const struct row *row, double saved, float *dx);
    double (*accuracy)(const struct row *row);
};

static uint64_t largest(const float *x, uint64_t count)
{
    uint64_t best = 0;

    for (uint64_t i = 1; i < count; i++) {
        if (x[i] > x[best])
            best = i;
    }
    return best;
}

/* --- sparse categorical crossentropy: log(sum of exp(x)) - x[class] --- */

static double sparse_value(const struct row *row, double *saved)
{
    double top = row->x[largest(row->x, row->outputs)], sum = 0;

    for (uint64_t i = 0; i < row->outputs; i++)
        sum += exp(row->x[i] - top);
    *saved = top + log(sum);
    return *saved - row->x[row->class];
}

static void sparse_gradient(const struct row *row, double saved, float *dx)
{
    for (uint64_t i = 0; i < row->outputs; i++)
        dx[i] = (float)(exp(row->x[i] - saved) - (i == row->class));
}

static double sparse_accuracy(const struct row *row)
{
    return largest(row->x, row->outputs) == row->class;
}

/* --- binary crossentropy: max(x, 0) - x t + log(1 + exp(-|x|)), which overflows for no x --- */

static double binary_value(const struct row *row, double *saved)
{
    double sum = 0;

    (void)saved;
    for (uint64_t i = 0; i < row->outputs; i++) {
        double x = row->x[i];

        sum += (x > 0 ? x : 0) - x * row->target[i] + log1p(exp(-fabs(x)));
    }
    return sum / (double)row->outputs;
}

static void binary_gradient(const struct row *row, double saved, float *dx)
{
    (void)saved;
    for (uint64_t i = 0; i < row->outputs; i++)
        dx[i] = (float)((1 / (1 + exp(-(double)row->x[i])) - row->target[i]) / (double)row->outputs);
}

/* The share of outputs that are above `threshold` when their target is above one half, or both are not. */
static double share_on_side(const struct row *row, float threshold)
{
    uint64_t right = 0;

    for (uint64_t i = 0; i < row->outputs; i++)
        right += (row->x[i] > threshold) == (row->target[i] > 0.5f);
    return (double)right / (double)row->outputs;
}

static double binary_accuracy(const struct row *row)
{
    return share_on_side(row, 0.0f);
}

/* --- mean squared error --- */

static double squared_value(const struct row *row, double *saved)
{
    double sum = 0;

    (void)saved;
    for (uint64_t i = 0; i < row->outputs; i++) {
        double difference = (double)row->x[i] - row->target[i];

        sum += difference * difference;
    }
    return sum / (double)row->outputs;
}

static void squared_gradient(const struct row *row, double saved, float *dx)
{
    (void)saved;
    for (uint64_t i = 0; i < row->outputs; i++)
        dx[i] = (float)(2 * ((double)row->x[i] - row->target[i]) / (double)row->outputs);
}

static double squared_accuracy(const struct row *row)
{
    if (row->outputs == 1)
        return share_on_side(row, 0.5f);
    return largest(row->x, row->outputs) == largest(row->target, row->outputs);
}

static const struct loss_kind loss_kinds[LOSS_COUNT] = {
    [LOSS_SPARSE_CATEGORICAL_CROSSENTROPY] = {sparse_value, sparse_gradient, sparse_accuracy},
    [LOSS_BINARY_CROSSENTROPY] = {binary_value, binary_gradient, binary_accuracy},
    [LOSS_MEAN_SQUARED_ERROR] = {squared_value, squared_gradient, squared_accuracy},
};

/* --- the operation --- */

static struct row row_of(const struct op *op, const struct op_run *run, uint32_t sample)
{
    uint64_t outputs = shape_elements(&op->spec.input);
    struct row row = {.x = run->x + sample * outputs, .outputs = outputs};

    if (op->spec.loss == LOSS_SPARSE_CATEGORICAL_CROSSENTROPY)
        row.class = (uint32_t)((const int32_t *)run->targets)[sample];
    else
        row.target = (const float *)run->targets + sample * outputs;
    return row;
}

/* Labels come from files: one that the model has no output for is the user's to mend. */
static enum status check_classes(const struct op *op, const struct op_run *run, struct error *error)
{
    uint64_t outputs = shape_elements(&op->spec.input);

    if (op->spec.loss != LOSS_SPARSE_CATEGORICAL_CROSSENTROPY)
        return CAIRN_OK;
    for (uint32_t i = 0; i < op->spec.samples; i++) {
        int32_t class = ((const int32_t *)run->targets)[i];

        if (class < 0 || (uint64_t) class >= outputs)
            return error_set(error, CAIRN_INVALID,
                             "a sample has class %d, allowed: 0 to %d, the model's outputs", class,
                             (int)(outputs - 1));
    }
    return CAIRN_OK;
}

static enum status loss_forward(struct op *op, const struct op_run *run, struct error *error)
{
    const struct loss_kind *kind = &loss_kinds[op->spec.loss];
    double *saved = run->saved, unused;
    enum status status = check_classes(op, run, error);

    if (status != CAIRN_OK)
        return status;
    for (uint32_t i = 0; i <= op->spec.metric_count; i++)
        run->metrics[i] = 0;
    for (uint32_t sample = 0; sample < op->spec.samples; sample++) {
        struct row row = row_of(op, run, sample);

        run->metrics[0] += kind->value(&row, op->spec.training ? &saved[sample] : &unused);
        for (uint32_t i = 0; i < op->spec.metric_count; i++) {
            if (op->spec.metrics[i] == METRIC_ACCURACY)
                run->metrics[1 + i] += kind->accuracy(&row);
        }
    }
    return CAIRN_OK;
}

static enum status loss_backward(struct op *op, const struct op_run *run, struct error *error)
{
    const struct loss_kind *kind = &loss_kinds[op->spec.loss];
    const double *saved = run->saved;

    (void)error;
    for (uint32_t sample = 0; sample < op->spec.samples; sample++) {
        struct row row = row_of(op, run, sample);

        kind->gradient(&row, saved[sample], run->dx + sample * row.outputs);
    }
    return CAIRN_OK;
}

static void loss_free(struct op *op)
{
    free(op);
}

enum status loss_op_new(struct backend *backend, const struct op_spec *spec, struct op **out,
                        struct error *error)
{
    static const struct op_ops ops = {loss_forward, loss_backward, loss_free};
    struct op *op;

    *out = NULL;
    BUG_IF((unsigned)spec->loss >= LOSS_COUNT || spec->metric_count > MODEL_METRICS_MAX);
    op = calloc(1, sizeof(*op));
    if (op == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for an operation");
    op->ops = &ops;
    op->backend = backend;
    op->spec = *spec;
    op->input = layout_plain(spec->samples, &spec->input);
    op->saved_bytes = spec->training ? spec->samples * sizeof(double) : 0;
    *out = op;
    return CAIRN_OK;
}
