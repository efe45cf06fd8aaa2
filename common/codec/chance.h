/* The random numbers of stochastic rounding, from Philox: element i of an array has the same ones on any
 * machine and in any order. Internal to codec/. Pure; any thread. */
#ifndef CAIRN_CODEC_CHANCE_H
#define CAIRN_CODEC_CHANCE_H

#include "math/philox.h"

#include <stddef.h>
#include <stdint.h>

/* Elements are drawn for in groups of this many. */
#define CHANCE_GROUP 128

/* chance[count] gets 16 random bits for each of the elements [begin, begin + count) of an array.
 * Shapes: begin a multiple of CHANCE_GROUP; chance has room for the next multiple after count. */
void chance_draw(struct philox philox, uint64_t array, size_t begin, size_t count, uint16_t *chance);

#endif
