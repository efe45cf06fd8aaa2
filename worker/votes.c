/* Every voter adds in every step until the end: of a node that two workers push, one may be dropped. */
#include "votes.h"

double votes_cast(bool wants_stop, bool is_last, bool copies)
{
    if (copies && is_last)
        return -1;
    return wants_stop ? 1 : 0;
}

uint64_t votes_end(double sum, uint64_t done, uint64_t end, bool copies)
{
    uint64_t voted = sum > 0 && copies ? done + 1 : done;

    return sum != 0 && voted < end ? voted : end;
}
