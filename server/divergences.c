/* A window of a second. */
#include "divergences.h"

bool divergences_count(struct divergences *divergences, int64_t now_ms, uint64_t *untold)
{
    if (divergences->told == 0 || now_ms >= divergences->second_ms + 1000) {
        divergences->second_ms = now_ms;
        divergences->told = 0;
    }
    if (divergences->told == DIVERGENCES_A_SECOND) {
        divergences->untold++;
        return false;
    }
    divergences->told++;
    *untold = divergences->untold;
    divergences->untold = 0;
    return true;
}
