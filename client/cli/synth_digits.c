/* synth_digits.h. From a glyph to pixels: its points are jittered; curves become short straight pieces; each
 * piece goes through the sample's bend and affine map into the image; ink is laid by the distance to the
 * piece. */
#include "synth_digits.h"

#include "math/philox.h"
#include "synth_glyphs.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define SIDE         SYNTH_DIGITS_SIDE
#define CURVE_PIECES 6 /* straight pieces between two points of a curve */

/* Chance: numbers (sample, draw 0), (sample, draw 1), ... */
struct chance {
    struct philox philox;
    uint64_t sample;
    uint32_t draw;
    uint32_t words[4];
    unsigned used;
};

static uint32_t chance_word(struct chance *chance)
{
    if (chance->used == 4) {
        uint32_t counter[4] = {(uint32_t)chance->sample, (uint32_t)(chance->sample >> 32), chance->draw++, 0};

        philox_words(chance->philox, counter, chance->words);
        chance->used = 0;
    }
    return chance->words[chance->used++];
}

/* In [low, high). */
static double chance_between(struct chance *chance, double low, double high)
{
    return low + (high - low) * philox_unit_float(chance_word(chance));
}

static uint32_t chance_below(struct chance *chance, uint32_t bound)
{
    return (uint32_t)((uint64_t)chance_word(chance) * bound >> 32);
}

/* About normal, by the sum of four uniform numbers; never beyond 3.5 deviations. */
static double chance_normal(struct chance *chance, double deviation)
{
    double sum = 0;

    for (int i = 0; i < 4; i++)
        sum += philox_unit_float(chance_word(chance));
    return (sum - 2) * 1.7320508075688772 * deviation;
}

struct point {
    double x, y;
};

/* From a glyph's box, [-1, 1] in both directions, to pixels. */
struct map {
    double bend[6]; /* x += b0 xy + b1 yy + b2 yyy; y += b3 xy + b4 xx + b5 xxx */
    double matrix[4];
    double shift[2];
};

/* Sine and cosine of a small angle by their series: the same bits everywhere, unlike libm's. */
static void small_turn(double angle, double *sine, double *cosine)
{
    double square = angle * angle;

    *sine = angle * (1 - square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72))));
    *cosine = 1 - square / 2 * (1 - square / 12 * (1 - square / 30 * (1 - square / 56)));
}

static void draw_map(struct chance *chance, struct map *map)
{
    double sine, cosine, height = chance_between(chance, 7.4, 11.0);
    double width = height * chance_between(chance, 0.52, 0.92), slant = chance_normal(chance, 0.22);

    small_turn(chance_normal(chance, 0.18), &sine, &cosine);
    for (int i = 0; i < 6; i++)
        map->bend[i] = chance_normal(chance, 0.09);
    /* turn * slant * size */
    map->matrix[0] = cosine * width;
    map->matrix[1] = (-cosine * slant - sine) * height;
    map->matrix[2] = sine * width;
    map->matrix[3] = (-sine * slant + cosine) * height;
    for (int i = 0; i < 2; i++)
        map->shift[i] = SIDE * 0.5 + chance_between(chance, -2.8, 2.8);
}

static struct point map_point(const struct map *map, struct point point)
{
    const double *bend = map->bend;
    double x = point.x, y = point.y;
    double u = x + bend[0] * x * y + bend[1] * y * y + bend[2] * y * y * y;
    double v = y + bend[3] * x * y + bend[4] * x * x + bend[5] * x * x * x;

    return (struct point){map->matrix[0] * u + map->matrix[1] * v + map->shift[0],
                          map->matrix[2] * u + map->matrix[3] * v + map->shift[1]};
}

/* The distance of (x, y) to the piece from a to b. */
static double distance_to(struct point a, struct point b, double x, double y)
{
    double dx = b.x - a.x, dy = b.y - a.y, square = dx * dx + dy * dy;
    double along = square > 0 ? ((x - a.x) * dx + (y - a.y) * dy) / square : 0;

    along = along < 0 ? 0 : along > 1 ? 1 : along;
    dx = a.x + along * dx - x;
    dy = a.y + along * dy - y;
    return sqrt(dx * dx + dy * dy);
}

static int clamp_pixel(double position)
{
    return position < 0 ? 0 : position > SIDE - 1 ? SIDE - 1 : (int)position;
}

/* Lays ink of a pen of `radius` from a to b; ink does not add up where pieces meet. */
static void lay_ink(float ink[SIDE][SIDE], struct point a, struct point b, double radius, float strength)
{
    double reach = radius + 1;
    int left = clamp_pixel((a.x < b.x ? a.x : b.x) - reach),
        right = clamp_pixel((a.x < b.x ? b.x : a.x) + reach);
    int top = clamp_pixel((a.y < b.y ? a.y : b.y) - reach),
        bottom = clamp_pixel((a.y < b.y ? b.y : a.y) + reach);

    for (int row = top; row <= bottom; row++) {
        for (int column = left; column <= right; column++) {
            double edge = radius + 0.5 - distance_to(a, b, column + 0.5, row + 0.5);
            float value = edge >= 1 ? strength : (float)edge * strength;

            if (value > ink[row][column])
                ink[row][column] = value;
        }
    }
}

/* Between points 1 and 2, at t in [0, 1]. Source: E. Catmull, R. Rom, "A class of local interpolating
 * splines", 1974. */
static struct point curve_point(const struct point point[4], double t)
{
    double a = -0.5 * t + t * t - 0.5 * t * t * t, b = 1 - 2.5 * t * t + 1.5 * t * t * t;
    double c = 0.5 * t + 2 * t * t - 1.5 * t * t * t, d = -0.5 * t * t + 0.5 * t * t * t;

    return (struct point){a * point[0].x + b * point[1].x + c * point[2].x + d * point[3].x,
                          a * point[0].y + b * point[1].y + c * point[2].y + d * point[3].y};
}

/* How a pen is held for one digit. */
struct pen {
    double radius, change; /* pixels; change along a stroke */
    float strength;
    double jitter; /* of points, in the glyph's box */
};

static void draw_stroke(struct chance *chance, const struct glyph_stroke *stroke, const struct map *map,
                        const struct pen *pen, float ink[SIDE][SIDE])
{
    /* The first and last points stand twice, for a curve's ends. */
    struct point points[GLYPH_POINTS_MAX + 2];
    int count = stroke->count, pieces = stroke->smooth ? CURVE_PIECES : 1;
    double radius = pen->radius, step = chance_normal(chance, pen->change) / ((count - 1) * pieces);

    for (int i = 0; i < count; i++) {
        points[i + 1].x = stroke->point[i][0] * 0.02 - 1 + chance_normal(chance, pen->jitter);
        points[i + 1].y = stroke->point[i][1] * 0.02 - 1 + chance_normal(chance, pen->jitter);
    }
    points[0] = points[1];
    points[count + 1] = points[count];
    for (int i = 0; i + 1 < count; i++) {
        struct point from = map_point(map, points[i + 1]);

        for (int piece = 1; piece <= pieces; piece++) {
            struct point to = map_point(map, stroke->smooth ? curve_point(&points[i], piece / (double)pieces)
                                                            : points[i + 2]);

            lay_ink(ink, from, to, radius < 0.35 ? 0.35 : radius, pen->strength);
            from = to;
            radius += step;
        }
    }
}

static void draw_glyph(struct chance *chance, uint8_t digit, float ink[SIDE][SIDE])
{
    const struct glyph *glyph;
    struct map map;
    struct pen pen;
    uint32_t variants = 1;

    while (variants < GLYPH_VARIANTS_MAX && glyphs[digit][variants].strokes[0].count > 0)
        variants++;
    glyph = &glyphs[digit][chance_below(chance, variants)];
    draw_map(chance, &map);
    pen.radius = chance_between(chance, 0.6, 1.55);
    pen.change = 0.35;
    pen.strength = (float)chance_between(chance, 0.6, 1);
    pen.jitter = chance_between(chance, 0.02, 0.08);
    for (int i = 0; i < GLYPH_STROKES_MAX && glyph->strokes[i].count > 0; i++)
        draw_stroke(chance, &glyph->strokes[i], &map, &pen, ink);
}

/* Short strokes that belong to no digit, mostly near the border. */
static void draw_clutter(struct chance *chance, float ink[SIDE][SIDE])
{
    uint32_t count = chance_below(chance, 4);

    for (uint32_t i = 0; i < count; i++) {
        /* One draw a declaration: the order in which a call's arguments are evaluated is the compiler's. */
        double along = chance_between(chance, 0, SIDE), inwards = chance_between(chance, -1, 6);
        uint32_t side = chance_below(chance, 4);
        double across = side < 2 ? inwards : SIDE - inwards;
        double dx = chance_between(chance, -5, 5), dy = chance_between(chance, -5, 5);
        double radius = chance_between(chance, 0.4, 1.1), strength = chance_between(chance, 0.25, 0.8);
        struct point from = side % 2 == 0 ? (struct point){along, across} : (struct point){across, along};

        lay_ink(ink, from, (struct point){from.x + dx, from.y + dy}, radius, (float)strength);
    }
}

/* One pass over a row or column: each pixel mixes with its two neighbours. */
static void blur_line(float *line, int stride, float share)
{
    float before = 0;

    for (int i = 0; i < SIDE; i++) {
        float here = line[i * stride], after = i + 1 < SIDE ? line[(i + 1) * stride] : 0;

        line[i * stride] = here + share * (before - 2 * here + after);
        before = here;
    }
}

static void blur(float ink[SIDE][SIDE], float share)
{
    for (int i = 0; i < SIDE; i++)
        blur_line(ink[i], 1, share);
    for (int i = 0; i < SIDE; i++)
        blur_line(&ink[0][i], SIDE, share);
}

/* Noise, a grey background, and the step to bytes. */
static void develop(struct chance *chance, float ink[SIDE][SIDE], uint8_t *pixels)
{
    float background = (float)chance_between(chance, 0, 0.12),
          grain = (float)chance_between(chance, 0.02, 0.11);
    uint32_t specks = chance_below(chance, 9);

    for (uint32_t i = 0; i < specks; i++) {
        uint32_t place = chance_below(chance, SIDE * SIDE);

        ink[place / SIDE][place % SIDE] = philox_unit_float(chance_word(chance));
    }
    for (int i = 0; i < SIDE * SIDE; i++) {
        /* Two uniform numbers out of one word: their sum is a triangle's. */
        uint32_t word = chance_word(chance);
        float noise = ((float)(word >> 16) + (float)(word & 0xffff)) * 0x1p-16f - 1;
        float value = background + (1 - background) * ink[i / SIDE][i % SIDE] + grain * noise;

        pixels[i] = value <= 0 ? 0 : value >= 1 ? 255 : (uint8_t)(value * 255 + 0.5f);
    }
}

uint8_t synth_digits_draw(uint64_t seed, uint64_t sample, uint8_t pixels[SYNTH_DIGITS_PIXELS])
{
    struct chance chance = {.philox = philox_for(seed, PHILOX_SYNTHETIC_DATA), .sample = sample, .used = 4};
    uint8_t digit = (uint8_t)chance_below(&chance, 10);
    float ink[SIDE][SIDE];

    memset(ink, 0, sizeof ink);
    draw_glyph(&chance, digit, ink);
    draw_clutter(&chance, ink);
    blur(ink, (float)chance_between(&chance, 0.02, 0.22));
    develop(&chance, ink, pixels);
    return digit;
}
