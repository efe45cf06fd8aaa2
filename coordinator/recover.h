/* Jobs of an earlier life of the coordinator. */
#ifndef CAIRN_COORDINATOR_RECOVER_H
#define CAIRN_COORDINATOR_RECOVER_H

#include "jobs.h"

/* Takes in a stored job. One that was under way goes on as the next incarnation by itself, unless a stop was
 * asked for. newest_entry: the number of its newest log entry.
 * Errors: CAIRN_CORRUPT: the record cannot be ours; CAIRN_NO_MEMORY. */
enum status recover_job(struct turn *turn, struct jobs *jobs, const Cairn__JobRecord *record,
                        uint64_t newest_entry, struct error *error) MUST_CHECK;

#endif
