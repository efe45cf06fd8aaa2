/* Mixing the bits of a number so that no pattern of inputs is seen in the output. Pure; any thread. */
#ifndef CAIRN_MATH_MIX_H
#define CAIRN_MATH_MIX_H

#include <stdint.h>

/* What SplitMix64 adds before it mixes. */
#define MIX64_STEP UINT64_C(0x9e3779b97f4a7c15)

/* The finaliser of SplitMix64: a bijection of 64 bits; 0 stays 0. Never to be changed: where rows lie and
 * what is drawn follow from it. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
 * 2014. */
static inline uint64_t mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#endif
