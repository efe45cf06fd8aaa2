/* Adding one array to another, to the same bits on every machine (kernel.h). Pure; any thread. */
#ifndef CAIRN_SERVER_SUMS_H
#define CAIRN_SERVER_SUMS_H

#include <stddef.h>
#include <stdint.h>

/* left[count] += right[count]; the arrays do not overlap. */
void sum_float32(float *left, const float *right, size_t count);
void sum_float64(double *left, const double *right, size_t count);

/* The same for the few elements of one row, to be inlined. */
static inline void sum_row(float *left, const float *right, uint32_t dimension)
{
    for (uint32_t i = 0; i < dimension; i++)
        left[i] += right[i];
}

#endif
