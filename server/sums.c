/* Adding arrays. */
#include "sums.h"

#include "base/kernel.h"

KERNEL void sum_float32(float *left, const float *right, size_t count)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++)
        left[i] += right[i];
}

KERNEL void sum_float64(double *left, const double *right, size_t count)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++)
        left[i] += right[i];
}
