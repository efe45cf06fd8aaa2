/* Sums of squares in an order that does not depend on the machine's width: LANES partial sums, folded
 * pairwise. Inside optimizers/ only. */
#ifndef CAIRN_SERVER_OPTIMIZERS_LANES_H
#define CAIRN_SERVER_OPTIMIZERS_LANES_H

#include "optimizers/kernels.h"

#define LANES 16

/* The square of a float32 is exact in float64. */
KERNEL_PART void add_square(double *sum, float value)
{
    *sum += (double)value * (double)value;
}

KERNEL_PART double folded(double lanes[LANES])
{
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int lane = 0; lane < width; lane++)
            lanes[lane] += lanes[lane + width];
    }
    return lanes[0];
}

#endif
