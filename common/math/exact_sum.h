/* Sums that do not depend on the order in which they are formed: of squares of float32 values, or sums of
 * such, as doubles.
 *
 * Problem: a norm over all parameters of a model is added up from parts on several shards, and floating-point
 * addition does not associate. Design: a fixed-point number wide enough for every such part, so that each
 * addition is exact; the total is rounded to a double once. Parts of a sum may be formed anywhere and added
 * in any order. Source: U. Kulisch, "Very fast and exact accumulation of products", Computing 91 (2011).
 *
 * Terms are zero or positive, multiples of 2^-320 (squares of float32 are of 2^-298) below 2^308; what is not
 * makes the sum not a number, which is what a diverged training should show. Pure; one thread an object.
 */
#ifndef CAIRN_MATH_EXACT_SUM_H
#define CAIRN_MATH_EXACT_SUM_H

#include <stdint.h>

#define EXACT_SUM_LIMBS 20 /* of 32 bits: 2^-320 to 2^320 */

/* All zero: the sum of nothing. It may travel between machines: its members are plain numbers. */
struct exact_sum {
    int64_t limbs[EXACT_SUM_LIMBS]; /* limb i counts 2^(32 i - 320); carries are settled by the functions */
    uint64_t foreign;               /* terms that were no such number */
};

void exact_sum_add(struct exact_sum *sum, double term);

/* sum += other, which must have come from these functions, or from a peer and passed exact_sum_is_sound. */
void exact_sum_merge(struct exact_sum *sum, const struct exact_sum *other);

/* Whether a foreign sum's limbs are settled numbers, so that it may be merged. */
int exact_sum_is_sound(const struct exact_sum *sum);

/* Settles the carries, as before a sum is sent. */
void exact_sum_settle(struct exact_sum *sum);

/* The sum, rounded to the nearest double, ties to even; NaN when there were foreign terms. */
double exact_sum_value(const struct exact_sum *sum);

#endif
