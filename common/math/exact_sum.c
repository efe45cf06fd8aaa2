/* Fixed-point sums. A limb takes 32 bits of each term and has room for carries, which every addition that
 * uses up half of it settles; so between calls each limb is below 2^61, and of two sums the limbs can be
 * added. */
#include "math/exact_sum.h"

#include <float.h>
#include <string.h>

#define LIMB_BITS  32
#define LIMB_MASK  INT64_C(0xffffffff)
#define LOWEST_BIT (-LIMB_BITS * EXACT_SUM_LIMBS / 2) /* exponent of limb 0's unit */
#define ROOM       (INT64_C(1) << 61)

void exact_sum_settle(struct exact_sum *sum)
{
    int64_t carry = 0;

    for (int i = 0; i < EXACT_SUM_LIMBS; i++) {
        int64_t limb = sum->limbs[i] + carry;

        sum->limbs[i] = limb & LIMB_MASK;
        carry = limb >> LIMB_BITS;
    }
    if (carry != 0)
        sum->foreign++; /* beyond all bounds */
}

/* Splits a positive finite double into a whole number of 53 bits times 2^*exponent. */
static uint64_t split(double term, int *exponent)
{
    uint64_t bits, fraction;
    int biased;

    memcpy(&bits, &term, sizeof(bits));
    biased = (int)(bits >> 52);
    fraction = bits & ((UINT64_C(1) << 52) - 1);
    *exponent = (biased ? biased : 1) - 1075;
    return biased ? fraction | UINT64_C(1) << 52 : fraction;
}

void exact_sum_add(struct exact_sum *sum, double term)
{
    unsigned __int128 wide;
    uint64_t mantissa;
    int exponent, limb;

    if (term == 0.0)
        return;
    if (!(term > 0.0 && term <= DBL_MAX)) {
        sum->foreign++;
        return;
    }
    mantissa = split(term, &exponent);
    while (exponent < LOWEST_BIT && (mantissa & 1) == 0) {
        mantissa >>= 1;
        exponent++;
    }
    limb = (exponent - LOWEST_BIT) / LIMB_BITS;
    if (exponent < LOWEST_BIT || limb + 3 > EXACT_SUM_LIMBS) {
        sum->foreign++;
        return;
    }
    wide = (unsigned __int128)mantissa << ((exponent - LOWEST_BIT) % LIMB_BITS);
    for (int i = 0; i < 3; i++, wide >>= LIMB_BITS)
        sum->limbs[limb + i] += (int64_t)((uint64_t)wide & (uint64_t)LIMB_MASK);
    if (sum->limbs[limb] >= ROOM || sum->limbs[limb + 1] >= ROOM || sum->limbs[limb + 2] >= ROOM)
        exact_sum_settle(sum);
}

int exact_sum_is_sound(const struct exact_sum *sum)
{
    int64_t highest = 0;

    for (int i = 0; i < EXACT_SUM_LIMBS; i++)
        highest |= sum->limbs[i];
    return (highest & ~LIMB_MASK) == 0;
}

void exact_sum_merge(struct exact_sum *sum, const struct exact_sum *other)
{
    int64_t highest = 0;

    for (int i = 0; i < EXACT_SUM_LIMBS; i++) {
        sum->limbs[i] += other->limbs[i];
        highest |= sum->limbs[i];
    }
    sum->foreign += other->foreign;
    if (highest >= ROOM)
        exact_sum_settle(sum);
}

/* 2^exponent, within the range of a sum. */
static double power_of_two(int exponent)
{
    uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double power;

    memcpy(&power, &bits, sizeof(power));
    return power;
}

/* The highest three limbs that count, with the lowest bit set when anything is below them, which is less than
 * a double can tell; *exponent: of its unit. */
static unsigned __int128 head_of(const struct exact_sum *sum, int *exponent)
{
    unsigned __int128 head = 0;
    int top = EXACT_SUM_LIMBS - 1;

    while (top > 2 && sum->limbs[top] == 0)
        top--;
    for (int i = top; i > top - 3; i--)
        head = head << LIMB_BITS | (uint64_t)sum->limbs[i];
    for (int i = top - 3; i >= 0; i--)
        head |= sum->limbs[i] != 0;
    *exponent = (top - 2) * LIMB_BITS + LOWEST_BIT;
    return head;
}

double exact_sum_value(const struct exact_sum *sum)
{
    struct exact_sum settled = *sum;
    unsigned __int128 head, rest, half;
    uint64_t mantissa;
    int exponent, shift = 0;

    exact_sum_settle(&settled);
    if (settled.foreign)
        return __builtin_nan("");
    head = head_of(&settled, &exponent);
    while (head >> shift >> 53 != 0)
        shift++;
    mantissa = (uint64_t)(head >> shift);
    if (shift > 0) {
        rest = head - ((unsigned __int128)mantissa << shift);
        half = (unsigned __int128)1 << (shift - 1);
        mantissa += rest > half || (rest == half && (mantissa & 1));
    }
    return (double)mantissa * power_of_two(exponent + shift);
}
