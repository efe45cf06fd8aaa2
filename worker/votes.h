/* Votes to stop: the first member of a step's metrics vector, in which all see the same sum (docs/design.md
 * section 5).
 *
 * Where weights are copies in a codec, the last version must be asked for as it is before it is made, so a
 * stop ends training one step after the one that it was voted in. In that step everybody says, with a number
 * below zero in place of a vote, that it is the last: else one who begins behind it could not tell it from
 * the step that it was voted in. Pure. */
#ifndef CAIRN_WORKER_VOTES_H
#define CAIRN_WORKER_VOTES_H

#include <stdbool.h>
#include <stdint.h>

/* What a node's vector of a step carries. wants_stop: this worker was told to stop; is_last: it is known that
 * no step follows; copies: weights travel as copies. */
double votes_cast(bool wants_stop, bool is_last, bool copies);

/* The version at which training ends, which was `end` until the sum of step done - 1 was seen. done <= end.
 */
uint64_t votes_end(double sum, uint64_t done, uint64_t end, bool copies);

#endif
