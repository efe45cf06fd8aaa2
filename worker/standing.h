/* What a worker has reported of the job in hand and still stands. It is said again to a coordinator that has
 * just taken the worker's registration: what was said to the one before may have died with it, and nobody
 * would ever ask. Of a kind only the newest counts. Knows nothing of how a report is sent. The main thread
 * only. */
#ifndef CAIRN_WORKER_STANDING_H
#define CAIRN_WORKER_STANDING_H

#include "step.h"

#include <stdbool.h>

struct standing_report {
    bool is_made;
    struct step_report report;
};

/* All zeros: nothing was reported yet. */
struct standing {
    struct standing_report prepared, validated, ended; /* ended: reached, not finite or failed */
};

/* Keeps a copy of a report if it is of a kind that stands. */
void standing_keep(struct standing *standing, const struct step_report *report);

/* Calls tell for each report that stands, in the order in which a job comes to them. */
typedef void standing_tell(void *context, const struct step_report *report);
void standing_visit(const struct standing *standing, standing_tell *tell, void *context);

#endif
