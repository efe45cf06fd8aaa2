/* Real functions whose bits do not depend on the machine's libm: written with +, -, *, / and sqrt only, which
 * IEEE 754 fixes. Used where results enter the model (initial weights, optimizers). Pure; any thread. */
#ifndef CAIRN_MATH_REAL_H
#define CAIRN_MATH_REAL_H

#include <stdint.h>

/* base to a whole power, by squaring. */
double real_power(double base, uint64_t exponent);

/* Natural logarithm of a positive normal number, relative error below 1e-15. */
double real_log(double x);

/* The standard normal quantile of p in (0, 1), relative error about 1e-15.
 * Source: M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", 1988. */
double real_normal_quantile(double p);

#endif
