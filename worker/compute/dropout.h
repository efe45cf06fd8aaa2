/* Which elements a dropout keeps: a function of seed, step, sample, layer and element alone, the same for
 * every backend.
 *
 * An element's draw is one 32-bit word of Philox. Elements are cut into blocks of 64, a block takes the four
 * words of 16 counters: element 64 b + 16 w + l is word w of counter 16 b + l. So 16 counters side by side
 * give 16 neighbours, and the kernels of a vector machine need no transposition. Pure; any thread. */
#ifndef CAIRN_WORKER_COMPUTE_DROPOUT_H
#define CAIRN_WORKER_COMPUTE_DROPOUT_H

#include "math/philox.h"

#include <stdbool.h>
#include <stdint.h>

#define DROPOUT_COUNTERS 16u                     /* a block */
#define DROPOUT_BLOCK    (4u * DROPOUT_COUNTERS) /* elements a block */

/* The draws of one sample at one layer in one step. */
struct dropout_stream {
    struct philox philox;
    uint32_t counter[4]; /* [0]: the counter's number, to be set */
};

static inline struct dropout_stream dropout_stream_for(uint64_t seed, uint64_t step, uint32_t layer,
                                                       uint32_t sample)
{
    /* layers are at most MODEL_LAYERS_MAX, so 16 bits are left over for steps beyond 2^32 */
    return (struct dropout_stream){philox_for(seed, PHILOX_DROPOUT),
                                   {0, sample, layer | (uint32_t)(step >> 32) << 16, (uint32_t)step}};
}

/* The smallest word that is kept: philox_unit_float(word) >= rate, exactly. */
static inline uint32_t dropout_threshold(float rate)
{
    float scaled = rate * 0x1p24f; /* exact */
    uint32_t whole = (uint32_t)scaled;

    return (whole + ((float)whole < scaled)) << 8;
}

#endif
