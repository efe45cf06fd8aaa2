/* norms.h */
#include "optimizers/norms.h"

#include "optimizers/lanes.h"

#include <math.h>

bool norms_next_segment(const struct graph *graph, uint64_t end, struct norms_segment *segment)
{
    uint32_t last = graph->parameter_count - 1;

    segment->begin = segment->end;
    if (segment->begin >= end)
        return false;
    while (segment->parameter < last && graph->parameters[segment->parameter + 1].offset <= segment->begin)
        segment->parameter++;
    segment->end = end;
    if (segment->parameter < last && graph->parameters[segment->parameter + 1].offset < end)
        segment->end = graph->parameters[segment->parameter + 1].offset;
    return true;
}

KERNEL double norms_gradient_squares(const float *sums, float samples, size_t count)
{
    double lanes[LANES] = {0};
    size_t whole = count - count % LANES;

    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t lane = 0; lane < LANES; lane++)
            add_square(&lanes[lane], sums[i + lane] / samples);
    }
    for (size_t i = whole; i < count; i++)
        add_square(&lanes[i - whole], sums[i] / samples);
    return folded(lanes);
}

float norms_clip_scale(double limit, double squares)
{
    double norm = sqrt(squares);

    if (!isfinite(norm))
        return NAN;
    return norm > limit ? (float)(limit / norm) : 1.0f;
}

float norms_trust_ratio(double weight_squares, double update_squares)
{
    if (weight_squares > 0.0 && update_squares > 0.0)
        return (float)(sqrt(weight_squares) / sqrt(update_squares));
    return 1.0f;
}
