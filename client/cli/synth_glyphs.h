/* How digits are written by hand: strokes through a few points, in several variants a digit. Data only. */
#ifndef CAIRN_CLI_SYNTH_GLYPHS_H
#define CAIRN_CLI_SYNTH_GLYPHS_H

#include <stdint.h>

#define GLYPH_POINTS_MAX   10
#define GLYPH_STROKES_MAX  3
#define GLYPH_VARIANTS_MAX 4

/* A line through points in a box of 100 x 100, y downwards. */
struct glyph_stroke {
    uint8_t count;                     /* of points; 0: no stroke */
    uint8_t smooth;                    /* 1: a curve through the points, 0: straight from one to the next */
    int8_t point[GLYPH_POINTS_MAX][2]; /* x, y */
};

struct glyph {
    struct glyph_stroke strokes[GLYPH_STROKES_MAX];
};

/* The variants of each digit; those without a first stroke are not there. */
extern const struct glyph glyphs[10][GLYPH_VARIANTS_MAX];

#endif
