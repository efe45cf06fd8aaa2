/* Initial weights: Keras's initializers, each element a function of (seed, parameter, element) alone.
 *
 * Every element takes one uniform deviate from its own Philox counter and sends it through the inverse of the
 * distribution function. That rules out rejection (which truncated normals are often drawn by), where the
 * number of draws depends on luck, and so lets any shard make any part. Knows nothing of chunks. */
#include "math/philox.h"
#include "math/real.h"
#include "model/graph.h"

#include <math.h>
#include <string.h>

#define RANDOM_SPREAD 0.05 /* Keras's default limit and deviation of the initializers without a fan */

/* Keras cuts normals at two deviations; the scaled ones are widened by the deviation that the cut leaves. */
#define PHI_MINUS_2         0.022750131948179207
#define PHI_PLUS_2          0.97724986805182079
#define TRUNCATED_DEVIATION 0.87962566103423978

enum distribution { CONSTANT, UNIFORM, NORMAL, TRUNCATED_NORMAL };

struct sampler {
    enum distribution distribution;
    double scale; /* the constant, the limit, the deviation */
};

/* Source: Keras, VarianceScaling with its aliases' arguments. */
static struct sampler variance_scaling(enum distribution distribution, double scale, double fan)
{
    double variance = scale / (fan < 1.0 ? 1.0 : fan);

    if (distribution == UNIFORM)
        return (struct sampler){UNIFORM, sqrt(3.0 * variance)};
    return (struct sampler){TRUNCATED_NORMAL, sqrt(variance) / TRUNCATED_DEVIATION};
}

static struct sampler sampler_of(const struct graph_parameter *parameter)
{
    double fan_in = (double)parameter->fan_in;
    double fan_average = ((double)parameter->fan_in + (double)parameter->fan_out) / 2.0;

    switch (parameter->initializer) {
    case INITIALIZER_GLOROT_UNIFORM:
        return variance_scaling(UNIFORM, 1.0, fan_average);
    case INITIALIZER_GLOROT_NORMAL:
        return variance_scaling(TRUNCATED_NORMAL, 1.0, fan_average);
    case INITIALIZER_HE_UNIFORM:
        return variance_scaling(UNIFORM, 2.0, fan_in);
    case INITIALIZER_HE_NORMAL:
        return variance_scaling(TRUNCATED_NORMAL, 2.0, fan_in);
    case INITIALIZER_LECUN_UNIFORM:
        return variance_scaling(UNIFORM, 1.0, fan_in);
    case INITIALIZER_LECUN_NORMAL:
        return variance_scaling(TRUNCATED_NORMAL, 1.0, fan_in);
    case INITIALIZER_RANDOM_UNIFORM:
        return (struct sampler){UNIFORM, RANDOM_SPREAD};
    case INITIALIZER_RANDOM_NORMAL:
        return (struct sampler){NORMAL, RANDOM_SPREAD};
    case INITIALIZER_TRUNCATED_NORMAL:
        return (struct sampler){TRUNCATED_NORMAL, RANDOM_SPREAD};
    case INITIALIZER_ONES:
        return (struct sampler){CONSTANT, 1.0};
    case INITIALIZER_ZEROS:
    case INITIALIZER_COUNT:
        break;
    }
    return (struct sampler){CONSTANT, 0.0};
}

static double sample(const struct sampler *sampler, struct philox philox, uint32_t parameter,
                     uint64_t element)
{
    uint32_t counter[4] = {parameter, (uint32_t)element, (uint32_t)(element >> 32), 0}, words[4];
    double unit;

    philox_words(philox, counter, words);
    unit = philox_unit_double(words[0], words[1]);
    if (sampler->distribution == UNIFORM)
        return sampler->scale * (2.0 * unit - 1.0);
    if (sampler->distribution == TRUNCATED_NORMAL)
        unit = PHI_MINUS_2 + unit * (PHI_PLUS_2 - PHI_MINUS_2);
    return sampler->scale * real_normal_quantile(unit);
}

/* Elements [begin, end) of one parameter to values[end - begin]. */
static void fill(const struct graph *graph, uint32_t index, struct philox philox, uint64_t begin,
                 uint64_t end, float *values)
{
    struct sampler sampler = sampler_of(&graph->parameters[index]);

    for (uint64_t element = begin; element < end; element++) {
        if (sampler.distribution == CONSTANT)
            values[element - begin] = (float)sampler.scale;
        else
            values[element - begin] = (float)sample(&sampler, philox, index, element);
    }
}

void graph_initial_values(const struct graph *graph, uint64_t seed, uint64_t begin, uint64_t end,
                          float *values)
{
    struct philox philox = philox_for(seed, PHILOX_INITIAL_WEIGHTS);

    BUG_IF(begin > end || end > graph->floats);
    memset(values, 0, (end - begin) * sizeof(*values));
    for (uint32_t i = 0; i < graph->parameter_count; i++) {
        const struct graph_parameter *parameter = &graph->parameters[i];
        uint64_t first = parameter->offset > begin ? parameter->offset : begin;
        uint64_t last =
            parameter->offset + parameter->elements < end ? parameter->offset + parameter->elements : end;

        if (first < last)
            fill(graph, i, philox, first - parameter->offset, last - parameter->offset,
                 values + (first - begin));
    }
}
