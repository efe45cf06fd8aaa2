/* Inside of the `ref` backend: its operations need nothing but what struct op holds, so each kind is a
 * forward, a backward and the bytes that it saves between the two. All tensors are plain. */
#ifndef CAIRN_WORKER_COMPUTE_REF_H
#define CAIRN_WORKER_COMPUTE_REF_H

#include "model/backend.h"

struct ref_kernel {
    void (*forward)(const struct op_spec *spec, const struct op_run *run);
    void (*backward)(const struct op_spec *spec, const struct op_run *run);
    /* Bytes of op_run.saved; NULL: none. */
    size_t (*saved_bytes)(const struct op_spec *spec);
};

extern const struct ref_kernel ref_dense, ref_conv2d, ref_max_pooling2d, ref_average_pooling2d,
    ref_activation, ref_dropout, ref_reorder;

/* For kernels with a fused activation (linear or relu): applies it to y, and takes it back out of dy. */
void ref_activate(const struct op_spec *spec, float *y);
void ref_deactivate(const struct op_spec *spec, const float *y, float *dy);

/* The elements of a whole input or output. */
static inline uint64_t ref_inputs(const struct op_spec *spec)
{
    return spec->samples * shape_elements(&spec->input);
}

static inline uint64_t ref_outputs(const struct op_spec *spec)
{
    return spec->samples * shape_elements(&spec->output);
}

#endif
