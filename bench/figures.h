/* Medians and ranges of a few repetitions, as benchmarks report them. Pure; any thread. */
#ifndef CAIRN_BENCH_FIGURES_H
#define CAIRN_BENCH_FIGURES_H

#include <stdint.h>

#define FIGURE_SAMPLES_MAX 64

/* Zeroed: no sample. */
struct figure {
    uint32_t count;
    double samples[FIGURE_SAMPLES_MAX];
};

/* Further samples than FIGURE_SAMPLES_MAX are left out. */
void figure_add(struct figure *figure, double sample);

/* 0 of no samples. The median of an even number is the upper one. */
double figure_median(const struct figure *figure);
double figure_least(const struct figure *figure);
double figure_most(const struct figure *figure);

#endif
