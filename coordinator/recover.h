/* Jobs of an earlier life of the coordinator. */
#ifndef CAIRN_COORDINATOR_RECOVER_H
#define CAIRN_COORDINATOR_RECOVER_H

#include "jobs.h"
#include "state.h"

/* Takes in a stored job (EVENT_RECORD). One that was at work is taken up as it is: its nodes are awaited
 * (retake.h). One whose nodes had only prepared, or that an older program stored, goes on from its committed
 * step as the next incarnation, unless a stop was asked for. Errors: CAIRN_CORRUPT: the record cannot be
 * ours; CAIRN_NO_MEMORY. */
enum status recover_job(struct turn *turn, struct jobs *jobs, const struct event *event, uint32_t lease_ms,
                        struct error *error) MUST_CHECK;

#endif
