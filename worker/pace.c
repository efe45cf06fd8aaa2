/* A median by sorting a copy; it is asked for once a step. */
#include "pace.h"

#include <stdlib.h>
#include <string.h>

void pace_add(struct pace *pace, uint64_t duration_ns)
{
    pace->durations_ns[pace->next] = duration_ns;
    pace->next = (pace->next + 1) % PACE_STEPS;
    if (pace->count < PACE_STEPS)
        pace->count++;
}

static int order(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

static uint64_t median(const struct pace *pace)
{
    uint64_t sorted[PACE_STEPS];

    memcpy(sorted, pace->durations_ns, pace->count * sizeof(sorted[0]));
    qsort(sorted, pace->count, sizeof(sorted[0]), order);
    return sorted[pace->count / 2];
}

uint64_t pace_patience_ns(const struct pace *pace, double factor)
{
    double patience;

    if (factor <= 0 || pace->count < PACE_STEPS_MIN)
        return UINT64_MAX;
    patience = factor * (double)median(pace);
    if (patience >= 0x1p63)
        return UINT64_MAX;
    return patience > (double)PACE_LEAST_NS ? (uint64_t)patience : PACE_LEAST_NS;
}

bool pace_piece(const bool *missing, uint32_t leaves, uint32_t lanes, uint64_t worker, uint32_t *begin,
                uint32_t *end)
{
    uint32_t count = 0, piece, skip, leaf = 0;

    for (uint32_t i = 0; i < leaves; i++)
        count += missing[i];
    if (count == 0)
        return false;
    piece = (count + PACE_PIECES - 1) / PACE_PIECES;
    piece = piece > lanes ? piece : lanes;
    skip = (uint32_t)(worker % ((count + piece - 1) / piece)) * piece;
    for (; !missing[leaf] || skip > 0; leaf++)
        skip -= missing[leaf];
    *begin = leaf;
    while (leaf < leaves && missing[leaf] && leaf - *begin < piece)
        leaf++;
    *end = leaf;
    return true;
}
