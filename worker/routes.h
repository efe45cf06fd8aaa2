/* Where the shards of a job are: a copy of what a command says, that the step thread can read while the main
 * thread gets the next one. Lists of them are freed together, when nobody reads any more. */
#ifndef CAIRN_WORKER_ROUTES_H
#define CAIRN_WORKER_ROUTES_H

#include "base/status.h"
#include "control.pb-c.h"

#include <stdint.h>

struct routes {
    struct routes *next; /* an older one */
    uint32_t shard_count, slot_count;
    char **endpoints;      /* [shard_count] */
    uint32_t *slot_shards; /* [slot_count] */
};

/* Makes those of an epoch that has some the first of a list. Where they are already nothing is added: epochs
 * come every few seconds, while shards stay where they are. Errors: CAIRN_NO_MEMORY; the list is as it was.
 */
enum status routes_add(struct routes **list, const Cairn__EpochCommand *epoch,
                       struct error *error) MUST_CHECK;

/* Frees all of a list, which is empty afterwards. */
void routes_free(struct routes **list);

#endif
