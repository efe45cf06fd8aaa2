/* What the optimizers' loops share: the gradient of an element, the decay of its weight, and the two
 * functions that one loop becomes, for arrays and for rows. Inside optimizers/ only. */
#ifndef CAIRN_SERVER_OPTIMIZERS_KERNELS_H
#define CAIRN_SERVER_OPTIMIZERS_KERNELS_H

#include "base/kernel.h"
#include "optimizers/optimizer.h"

#define KERNEL_ROW_FLOATS                                                                                    \
    16                      /* a dimension so common that its loop is compiled for it alone: one cache line */
#define KERNEL_ROWS_AHEAD 8 /* rows that are asked for before their turn */
#define CACHE_LINE_FLOATS 16

/* A part of a kernel: compiled as wide as the kernel that it is in. */
#define KERNEL_PART static inline __attribute__((always_inline))

/* The gradient of an element, clipped. With a scale of 1 and no limit it is sum / samples to the bit. */
KERNEL_PART float gradient_of(float sum, const struct optimizer_update *update, float limit)
{
    float gradient = sum / update->samples * update->scale;

    gradient = gradient > limit ? limit : gradient;
    return gradient < -limit ? -limit : gradient;
}

/* A weight after its decay and `change`, in one rounding; without decay it is weight - change to the bit. */
KERNEL_PART float weight_after(float weight, float change, float decay)
{
    return weight - (decay > 0.0f ? weight * decay + change : change);
}

/* A weight after its decay alone; without decay it is the weight to the bit, whatever it is. */
KERNEL_PART float decayed(float weight, float decay)
{
    return weight - (decay > 0.0f ? weight * decay : 0.0f);
}

/* Row `index` as an update in place. */
KERNEL_PART struct optimizer_update kernel_row(const struct optimizer_rows *rows, size_t index)
{
    float *row = rows->rows[index];
    struct optimizer_update update = {
        .sums = rows->sums + index * rows->dimension,
        .samples = rows->samples,
        .scale = rows->scale,
        .weights = row,
        .next_weights = row,
        .count = rows->dimension,
    };

    for (uint32_t i = 0; i < OPTIMIZER_SLOTS_MAX; i++) /* those beyond the row are not touched */
        update.slots[i] = update.next_slots[i] = row + (size_t)(i + 1) * rows->dimension;
    return update;
}

/* Asks for the row that comes KERNEL_ROWS_AHEAD later. */
KERNEL_PART void kernel_prefetch(const struct optimizer_rows *rows, size_t index, uint32_t slots)
{
    const float *row;

    if (index + KERNEL_ROWS_AHEAD >= rows->count)
        return;
    row = rows->rows[index + KERNEL_ROWS_AHEAD];
    for (size_t i = 0; i < (size_t)rows->dimension * (1 + slots); i += CACHE_LINE_FLOATS)
        __builtin_prefetch(row + i, 1);
}

/* Makes NAME_kernels of the loop NAME_run(struct optimizer_step, struct optimizer_update), a KERNEL_PART that
 * uses `slots` slots. */
#define OPTIMIZER_KERNELS(name, slots)                                                                       \
    KERNEL static void name##_apply(const struct optimizer_step *step,                                       \
                                    const struct optimizer_update *update)                                   \
    {                                                                                                        \
        name##_run(*step, *update);                                                                          \
    }                                                                                                        \
    KERNEL static void name##_apply_rows(const struct optimizer_step *given,                                 \
                                         const struct optimizer_rows *from)                                  \
    {                                                                                                        \
        struct optimizer_step step = *given; /* copies, which no store to a row can change */                \
        struct optimizer_rows rows = *from;                                                                  \
                                                                                                             \
        for (size_t i = 0; i < rows.count; i++) {                                                            \
            struct optimizer_update update = kernel_row(&rows, i);                                           \
                                                                                                             \
            kernel_prefetch(&rows, i, slots);                                                                \
            if (rows.dimension == KERNEL_ROW_FLOATS) {                                                       \
                update.count = KERNEL_ROW_FLOATS;                                                            \
                name##_run(step, update);                                                                    \
            } else {                                                                                         \
                name##_run(step, update);                                                                    \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    static const struct optimizer_kernels name##_kernels = {name##_apply, name##_apply_rows, NULL}

#endif
