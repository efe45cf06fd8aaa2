/* Copying only; the wire has checked that the lists belong together. */
#include "roster.h"

#include <stdlib.h>
#include <string.h>

struct roster *roster_of(const Cairn__EpochCommand *epoch)
{
    struct roster *roster = malloc(sizeof(*roster) + epoch->n_workers * sizeof(roster->workers[0]));

    if (!roster)
        return NULL;
    roster->number = epoch->number;
    roster->count = 0;
    for (size_t i = 0; i < epoch->n_workers && i < epoch->n_worker_steps; i++) {
        if (epoch->spans[i]->begin < epoch->spans[i]->end)
            roster->workers[roster->count++] =
                (struct clock_start){epoch->worker_numbers[i], epoch->worker_steps[i]};
    }
    return roster;
}

struct roster *roster_copy(const struct roster *roster)
{
    size_t bytes = sizeof(*roster) + roster->count * sizeof(roster->workers[0]);
    struct roster *copy = malloc(bytes);

    if (copy)
        memcpy(copy, roster, bytes);
    return copy;
}
