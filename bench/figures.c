/* Medians and ranges. */
#include "figures.h"

#include <stdlib.h>
#include <string.h>

void figure_add(struct figure *figure, double sample)
{
    if (figure->count < FIGURE_SAMPLES_MAX)
        figure->samples[figure->count++] = sample;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The sample of rank `rank` from below. */
static double ranked(const struct figure *figure, uint32_t rank)
{
    double sorted[FIGURE_SAMPLES_MAX];

    if (figure->count == 0)
        return 0;
    memcpy(sorted, figure->samples, figure->count * sizeof(sorted[0]));
    qsort(sorted, figure->count, sizeof(sorted[0]), compare);
    return sorted[rank];
}

double figure_median(const struct figure *figure)
{
    return ranked(figure, figure->count / 2);
}

double figure_least(const struct figure *figure)
{
    return ranked(figure, 0);
}

double figure_most(const struct figure *figure)
{
    return ranked(figure, figure->count > 0 ? figure->count - 1 : 0);
}
