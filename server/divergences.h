/* How many divergences a server tells the coordinator: the first few of each second, and how many it did not.
 * A machine that computes otherwise differs in every sum of every step; a few of them say as much. Pure. */
#ifndef CAIRN_SERVER_DIVERGENCES_H
#define CAIRN_SERVER_DIVERGENCES_H

#include <stdbool.h>
#include <stdint.h>

#define DIVERGENCES_A_SECOND 8

/* All zero: none yet. */
struct divergences {
    int64_t second_ms; /* when the second in hand began */
    uint32_t told;     /* in it */
    uint64_t untold;   /* since the last that was told */
};

/* Counts one more; true: it is to be told, *untold: how many before it were not. */
bool divergences_count(struct divergences *divergences, int64_t now_ms, uint64_t *untold);

#endif
