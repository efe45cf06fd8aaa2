/* Counter-based random numbers: the same key and counter give the same number on any machine, in any order,
 * so that nothing that draws on chance depends on who draws first.
 *
 * Source: Philox4x32-10, J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2,
 * 3", SC 2011. Pure functions; any thread. */
#ifndef CAIRN_MATH_PHILOX_H
#define CAIRN_MATH_PHILOX_H

#include <stdint.h>

/* What a number is drawn for. Part of the key, so that no two uses share a sequence. Never renumber. */
enum philox_use {
    PHILOX_INITIAL_WEIGHTS = 1, /* (parameter index, element) */
    PHILOX_SHUFFLE = 2,         /* (training epoch, position) */
    PHILOX_DROPOUT = 3,         /* (step, sample in batch, layer, element) */
    PHILOX_SYNTHETIC_DATA = 4,  /* (sample, draw) */
    PHILOX_TABLE_ROWS = 5,      /* (float of the row / 4, key, table) */
    PHILOX_TABLE_VALUES = 6,    /* (float / 4, table) */
    PHILOX_ROUNDING = 7,        /* by a codec: (step, table, node) for a key, then (element, array) */
};

struct philox {
    uint32_t key[2];
};

/* A generator for one use under the job's seed. */
struct philox philox_for(uint64_t seed, enum philox_use use);

/* The four 32-bit words of one counter. */
void philox_words(struct philox philox, const uint32_t counter[4], uint32_t words[4]);

/* The words of four counters: the given one and those with 1, 2 and 3 added to counter[0], which must not
 * overflow by that. The same as four calls of philox_words, faster. */
#define PHILOX_WORDS_WIDE 16
void philox_words_wide(struct philox philox, const uint32_t counter[4], uint32_t words[PHILOX_WORDS_WIDE]);

/* A word as a float in [0, 1) with 24 random bits. */
static inline float philox_unit_float(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

/* Two words as a double in (0, 1) with 52 random bits, never 0 or 1. */
static inline double philox_unit_double(uint32_t high, uint32_t low)
{
    return ((double)(((uint64_t)high << 20) | (low >> 12)) + 0.5) * 0x1p-52;
}

/* One word as a double in (0, 1), never 0 or 1. */
static inline double philox_unit_of_word(uint32_t word)
{
    return ((double)word + 0.5) * 0x1p-32;
}

/* A permutation of [0, count) in order[count]: Fisher-Yates (Durstenfeld 1964) from the counters
 * (stream, position). */
void philox_permutation(struct philox philox, uint64_t stream, uint64_t *order, uint64_t count);

#endif
