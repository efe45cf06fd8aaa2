/* Initial weights: Keras's initializers, each element a function of (seed, parameter, element) alone. Knows
 * nothing of chunks. */
#include "math/philox.h"
#include "model/graph.h"
#include "model/sampler.h"

#include <string.h>

/* Every element has a Philox counter of its own. */
static double sample(const struct sampler *sampler, struct philox philox, uint32_t parameter,
                     uint64_t element)
{
    uint32_t counter[4] = {parameter, (uint32_t)element, (uint32_t)(element >> 32), 0}, words[4];

    philox_words(philox, counter, words);
    return sampler_value(sampler, philox_unit_double(words[0], words[1]));
}

/* Elements [begin, end) of one parameter to values[end - begin]. */
static void fill(const struct graph *graph, uint32_t index, struct philox philox, uint64_t begin,
                 uint64_t end, float *values)
{
    const struct graph_parameter *parameter = &graph->parameters[index];
    struct initializer_spec initializer = initializer_default(parameter->initializer);
    struct sampler sampler = sampler_of(&initializer, (double)parameter->fan_in, (double)parameter->fan_out);

    for (uint64_t element = begin; element < end; element++) {
        if (sampler.distribution == DISTRIBUTION_CONSTANT)
            values[element - begin] = (float)sampler.center;
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
