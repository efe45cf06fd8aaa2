/* Real functions whose bits do not depend on the machine's libm: written with +, -, *, / and sqrt only, which
 * IEEE 754 fixes. Used where results enter the model (initial weights, optimizers). Pure; any thread. */
#ifndef CAIRN_MATH_REAL_H
#define CAIRN_MATH_REAL_H

#include <stdint.h>

/* base to a whole power, by squaring. */
double real_power(double base, uint64_t exponent);

/* Natural logarithm of a positive normal number, relative error below 1e-15. */
double real_log(double x);

/* e to the power of x, relative error below 2e-16 where the result is a normal number; 0 and infinity beyond
 * the range of a double, NaN for NaN. */
double real_exp(double x);

/* x to the power of y for x >= 0; 0 to a positive power is 0, to the power of 0 it is 1. Relative error below
 * 3e-16 for results from 1e-30 to 1e30, and below 3e-15 for all normal ones. y must not be so large that
 * y * log(x) overflows. */
double real_raise(double x, double y);

/* The cosine of pi times x, for x of at most 2^52 in magnitude; relative error below 3e-16. */
double real_cosine_pi(double x);

/* The standard normal quantile of p in (0, 1), relative error about 1e-15.
 * Source: M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", 1988. */
double real_normal_quantile(double p);

#endif
