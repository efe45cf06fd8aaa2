/* When others are late in a step, and what to take of theirs (docs/design.md section 5). A worker that has
 * pushed its own part of a step waits for the rest so many times as long as a step takes, and then computes
 * some of what is missing.
 *
 * Pure: the caller gives the time. One thread an object. */
#ifndef CAIRN_WORKER_PACE_H
#define CAIRN_WORKER_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_STEPS     15                 /* whose median counts */
#define PACE_STEPS_MIN 3                  /* before that nobody is late */
#define PACE_LEAST_NS  UINT64_C(50000000) /* steps that are so short are late by chance */
#define PACE_PIECES    8                  /* what is missing is taken in so many pieces at most */

/* How long the last steps took. Zeroed: of none. */
struct pace {
    uint64_t durations_ns[PACE_STEPS]; /* a ring */
    uint32_t count, next;
};

/* One more step took so long. */
void pace_add(struct pace *pace, uint64_t duration_ns);

/* How long to wait for others: factor times the median of the last steps, UINT64_MAX: for ever, since there
 * are too few or the factor is 0. */
uint64_t pace_patience_ns(const struct pace *pace, double factor);

/* The piece of what is missing [leaves] that a worker takes: neighbours, as many as it computes at once or a
 * share of all that are missing. Workers of different numbers begin at different pieces, as far as there are
 * so many. False: nothing is missing. */
bool pace_piece(const bool *missing, uint32_t leaves, uint32_t lanes, uint64_t worker, uint32_t *begin,
                uint32_t *end);

#endif
