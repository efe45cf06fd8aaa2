/* Copying short rows of floats, where a call of memcpy would cost as much as the copy. Any thread. */
#ifndef CAIRN_BASE_FLOATS_H
#define CAIRN_BASE_FLOATS_H

#include <stdint.h>
#include <string.h>

#define FLOATS_LINE 16 /* a cache line's */

/* to[count] = from[count]; they do not overlap. */
static inline void floats_copy(float *to, const float *from, uint32_t count)
{
    for (; count >= FLOATS_LINE; count -= FLOATS_LINE, to += FLOATS_LINE, from += FLOATS_LINE)
        memcpy(to, from, FLOATS_LINE * sizeof(float)); /* of a size that the compiler knows */
    if (count > 0)
        memcpy(to, from, count * sizeof(float));
}

#endif
