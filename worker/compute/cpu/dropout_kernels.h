/* The loops of dropout: which elements are kept, as one bit an element, and the scaling of those. The same
 * bits for every implementation. Pure; any thread. */
#ifndef CAIRN_WORKER_COMPUTE_CPU_DROPOUT_KERNELS_H
#define CAIRN_WORKER_COMPUTE_CPU_DROPOUT_KERNELS_H

#include "compute/dropout.h"

#include <stdint.h>

struct dropout_kernels {
    /* kept[blocks]: bit i of block b tells whether element 64 b + i is kept: its draw is >= threshold. */
    void (*draw)(const struct dropout_stream *stream, uint32_t threshold, uint64_t *kept, uint64_t blocks);
    /* y = x * scale where kept, else 0 */
    void (*apply)(float *y, const float *x, const uint64_t *kept, float scale, uint64_t elements);
};

/* The fastest ones that this machine can run. */
const struct dropout_kernels *dropout_kernels_best(void);

/* Those that any machine can run, for tests to compare. */
const struct dropout_kernels *dropout_kernels_plain(void);

#endif
