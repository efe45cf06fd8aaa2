/* Images of handwritten-looking digits, drawn instead of collected: for a demo without a download.
 *
 * An image is a function of (seed, sample) alone, in every bit on every machine: Philox gives the chance, and
 * of real arithmetic only what IEEE 754 fixes is used. A digit's strokes are jittered, bent, stretched,
 * turned and moved, drawn with a pen of changing width, blurred, and put among clutter and noise, so that a
 * model that only weighs pixels does clearly worse than one that finds shapes. Any thread. */
#ifndef CAIRN_CLI_SYNTH_DIGITS_H
#define CAIRN_CLI_SYNTH_DIGITS_H

#include <stdint.h>

#define SYNTH_DIGITS_SIDE   28
#define SYNTH_DIGITS_PIXELS (SYNTH_DIGITS_SIDE * SYNTH_DIGITS_SIDE)

/* Draws sample `sample` of `seed`; its class, 0 to 9, is returned.
 * Shapes: pixels [28, 28] row-major, 0 background to 255 ink */
uint8_t synth_digits_draw(uint64_t seed, uint64_t sample, uint8_t pixels[SYNTH_DIGITS_PIXELS]);

#endif
