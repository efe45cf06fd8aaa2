/* Where a job is: the shards that clients speak to, of its live state or of what is committed. Knows nothing
 * of who else waits for what. */
#ifndef CAIRN_COORDINATOR_LOCATION_H
#define CAIRN_COORDINATOR_LOCATION_H

#include "jobs.h"
#include "nodes.h"
#include "turn.h"

/* Whether a live job can be found, or never will be as it has ended or is about to; else it may yet: it waits
 * for something, or we started again and have not heard of all of its servers. */
bool location_is_settled(const struct nodes *nodes, const struct job_entry *entry);

/* Replies with where the live state is; without shards when that is not settled, or with why it is nowhere.
 */
void location_reply_live(struct turn *turn, const struct nodes *nodes, const struct job_entry *entry,
                         const struct peer *client, uint64_t request);

/* Replies with where the committed state is. Errors: CAIRN_NOT_FOUND (there is none, or a server is not
 * there), CAIRN_INVALID. */
enum status location_reply_committed(struct turn *turn, const struct nodes *nodes,
                                     const struct job_entry *entry, const struct peer *client,
                                     uint64_t request, struct error *error) MUST_CHECK;

#endif
