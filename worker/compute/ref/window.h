/* A window that slides over images: which input pixels lie under which output pixel. */
#ifndef CAIRN_WORKER_COMPUTE_REF_WINDOW_H
#define CAIRN_WORKER_COMPUTE_REF_WINDOW_H

#include "compute/ref/ref.h"

/* Pixel (row, column) of sample `sample` in an image tensor of `shape` [height, width, channels]: the index
 * of its first channel. */
static inline uint64_t window_pixel(const struct shape *shape, uint64_t sample, uint64_t row, uint64_t column)
{
    return ((sample * shape->dim[0] + row) * shape->dim[1] + column) * shape->dim[2];
}

/* Calls visit for each output pixel y and each input pixel x under its window that is not padding, in order.
 * tap: the position within the window, row by row. */
typedef void window_visit(void *context, uint64_t y, uint64_t x, uint32_t tap);

static inline void window_slide(const struct op_spec *spec, window_visit *visit, void *context)
{
    const struct shape *in = &spec->input, *out = &spec->output;

    for (uint32_t sample = 0; sample < spec->samples; sample++) {
        for (uint32_t output = 0; output < out->dim[0] * out->dim[1]; output++) {
            uint32_t row = output / out->dim[1], column = output % out->dim[1];

            for (uint32_t tap = 0; tap < spec->kernel_size[0] * spec->kernel_size[1]; tap++) {
                int64_t x_row = (int64_t)row * spec->strides[0] + tap / spec->kernel_size[1] - spec->pad_top;
                int64_t x_column =
                    (int64_t)column * spec->strides[1] + tap % spec->kernel_size[1] - spec->pad_left;

                if (x_row >= 0 && x_row < in->dim[0] && x_column >= 0 && x_column < in->dim[1])
                    visit(context, window_pixel(out, sample, row, column),
                          window_pixel(in, sample, (uint64_t)x_row, (uint64_t)x_column), tap);
            }
        }
    }
}

#endif
