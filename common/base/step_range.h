/* Steps that follow one another, such as those whose generations were gone over. Any thread. */
#ifndef CAIRN_BASE_STEP_RANGE_H
#define CAIRN_BASE_STEP_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* The steps after the first one, up to the second. All zeros: none. */
struct step_range {
    uint64_t after, last;
};

static inline bool step_range_has(struct step_range range, uint64_t step)
{
    return step > range.after && step <= range.last;
}

/* Takes in another range with what lies between; whichever of the two ends at `committed` or before counts
 * for nothing. */
static inline void step_range_add(struct step_range *range, struct step_range added, uint64_t committed)
{
    if (added.last <= committed)
        return;
    if (range->last <= committed || added.after < range->after)
        range->after = added.after;
    if (added.last > range->last)
        range->last = added.last;
}

#endif
