/* The few loops that oneDNN has no primitive for, or none in place. */
#include "compute/cpu/cpu.h"
#include "compute/cpu/vector.h"

#include <string.h>

VECTORED static void relu(float *y, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] = y[i] < 0 ? 0 : y[i];
}

VECTORED static void relu_backward(float *restrict dy, const float *restrict y, size_t count)
{
    for (size_t i = 0; i < count; i++)
        dy[i] = y[i] > 0 ? dy[i] : 0;
}

VECTORED static void sum_rows(float *restrict sums, const float *restrict x, uint64_t rows, uint64_t columns)
{
    memcpy(sums, x, columns * sizeof(float));
    for (uint64_t row = 1; row < rows; row++) {
        for (uint64_t column = 0; column < columns; column++)
            sums[column] += x[row * columns + column];
    }
}

void cpu_relu(float *y, size_t count)
{
    relu(y, count);
}

void cpu_relu_backward(float *dy, const float *y, size_t count)
{
    relu_backward(dy, y, count);
}

void cpu_sum_rows(float *sums, const float *x, uint64_t rows, uint64_t columns)
{
    sum_rows(sums, x, rows, columns);
}
