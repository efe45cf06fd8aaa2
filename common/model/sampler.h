/* From uniform deviates to an initializer's values: Keras's distributions.
 *
 * Every value takes one uniform deviate through the inverse of the distribution function. That rules out
 * rejection (which truncated normals are often drawn by), where the number of draws depends on luck, and so
 * lets any part of a tensor be made anywhere. Where the deviates come from is the caller's business. Pure;
 * any thread; the same bits on every machine. */
#ifndef CAIRN_MODEL_SAMPLER_H
#define CAIRN_MODEL_SAMPLER_H

#include "model/spec.h"

enum distribution {
    DISTRIBUTION_CONSTANT,
    DISTRIBUTION_UNIFORM,
    DISTRIBUTION_NORMAL,
    DISTRIBUTION_TRUNCATED
};

struct sampler {
    enum distribution distribution;
    double center; /* the constant, the middle, the mean */
    double spread; /* half the width, the deviation (before the cut) */
};

/* Keras's default limit and deviation of the initializers without a fan. */
#define SAMPLER_SPREAD_DEFAULT 0.05

/* An initializer without arguments of its own: Keras's defaults. */
struct initializer_spec initializer_default(enum initializer type);

/* fan_in, fan_out: for the scaled initializers.
 * Source: Keras, VarianceScaling with its aliases' arguments; RandomUniform, RandomNormal, TruncatedNormal.
 */
struct sampler sampler_of(const struct initializer_spec *initializer, double fan_in, double fan_out);

/* The value of a deviate in (0, 1). */
double sampler_value(const struct sampler *sampler, double unit);

#endif
