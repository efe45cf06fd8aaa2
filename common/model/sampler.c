/* Inverse distribution functions. Knows nothing of generators. */
#include "model/sampler.h"

#include "math/real.h"

#include <math.h>

/* Keras cuts normals at two deviations; the scaled ones are widened by the deviation that the cut leaves. */
#define PHI_MINUS_2         0.022750131948179207
#define PHI_PLUS_2          0.97724986805182079
#define TRUNCATED_DEVIATION 0.87962566103423978

struct initializer_spec initializer_default(enum initializer type)
{
    return (struct initializer_spec){type, -SAMPLER_SPREAD_DEFAULT, SAMPLER_SPREAD_DEFAULT, 0.0,
                                     SAMPLER_SPREAD_DEFAULT};
}

static struct sampler variance_scaling(enum distribution distribution, double scale, double fan)
{
    double variance = scale / (fan < 1.0 ? 1.0 : fan);

    if (distribution == DISTRIBUTION_UNIFORM)
        return (struct sampler){DISTRIBUTION_UNIFORM, 0.0, sqrt(3.0 * variance)};
    return (struct sampler){DISTRIBUTION_TRUNCATED, 0.0, sqrt(variance) / TRUNCATED_DEVIATION};
}

struct sampler sampler_of(const struct initializer_spec *initializer, double fan_in, double fan_out)
{
    double fan_average = (fan_in + fan_out) / 2.0;

    switch (initializer->type) {
    case INITIALIZER_GLOROT_UNIFORM:
        return variance_scaling(DISTRIBUTION_UNIFORM, 1.0, fan_average);
    case INITIALIZER_GLOROT_NORMAL:
        return variance_scaling(DISTRIBUTION_TRUNCATED, 1.0, fan_average);
    case INITIALIZER_HE_UNIFORM:
        return variance_scaling(DISTRIBUTION_UNIFORM, 2.0, fan_in);
    case INITIALIZER_HE_NORMAL:
        return variance_scaling(DISTRIBUTION_TRUNCATED, 2.0, fan_in);
    case INITIALIZER_LECUN_UNIFORM:
        return variance_scaling(DISTRIBUTION_UNIFORM, 1.0, fan_in);
    case INITIALIZER_LECUN_NORMAL:
        return variance_scaling(DISTRIBUTION_TRUNCATED, 1.0, fan_in);
    case INITIALIZER_RANDOM_UNIFORM:
        return (struct sampler){DISTRIBUTION_UNIFORM, (initializer->minval + initializer->maxval) / 2.0,
                                (initializer->maxval - initializer->minval) / 2.0};
    case INITIALIZER_RANDOM_NORMAL:
        return (struct sampler){DISTRIBUTION_NORMAL, initializer->mean, initializer->stddev};
    case INITIALIZER_TRUNCATED_NORMAL:
        return (struct sampler){DISTRIBUTION_TRUNCATED, initializer->mean, initializer->stddev};
    case INITIALIZER_ONES:
        return (struct sampler){DISTRIBUTION_CONSTANT, 1.0, 0.0};
    case INITIALIZER_ZEROS:
    case INITIALIZER_COUNT:
        break;
    }
    return (struct sampler){DISTRIBUTION_CONSTANT, 0.0, 0.0};
}

double sampler_value(const struct sampler *sampler, double unit)
{
    switch (sampler->distribution) {
    case DISTRIBUTION_UNIFORM:
        return sampler->center + sampler->spread * (2.0 * unit - 1.0);
    case DISTRIBUTION_TRUNCATED:
        unit = PHI_MINUS_2 + unit * (PHI_PLUS_2 - PHI_MINUS_2);
        return sampler->center + sampler->spread * real_normal_quantile(unit);
    case DISTRIBUTION_NORMAL:
        return sampler->center + sampler->spread * real_normal_quantile(unit);
    case DISTRIBUTION_CONSTANT:
        break;
    }
    return sampler->center;
}
