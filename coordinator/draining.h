/* Which processes a person has drained and are not known to have ended: kept durably, so that one that was
 * out of reach when it was drained, or when the coordinator began anew, gets no work when it comes back, and
 * is told to end. A process is a registration's name, host and number: who starts a node of that name again
 * wants it to work. Knows nothing of nodes that are registered. */
#ifndef CAIRN_COORDINATOR_DRAINING_H
#define CAIRN_COORDINATOR_DRAINING_H

#include "turn.h"

#include <stdbool.h>
#include <stddef.h>

/* All zeros: nobody. */
struct draining {
    Cairn__Registration **items; /* [count], owned, each without endpoints and engagements */
    size_t count;
};

void draining_fini(struct draining *draining);

/* What an earlier coordinator stored. Before anything else. */
void draining_load(struct turn *turn, struct draining *draining, const Cairn__DrainingNodes *record);

/* A process was drained; a process of that name has ended, or another one has taken its place. Stored in this
 * turn if that is news. */
void draining_add(struct turn *turn, struct draining *draining, const Cairn__Registration *registration);
void draining_remove(struct turn *turn, struct draining *draining, const char *name);

/* Whether this process was drained. Another one of the same name is forgotten: it is gone. */
bool draining_includes(struct turn *turn, struct draining *draining, const Cairn__Registration *registration);

#endif
