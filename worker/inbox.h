/* What the coordinator has said while this worker could not do it: kept in order. Knows nothing of what
 * commands mean. The main thread's. */
#ifndef CAIRN_WORKER_INBOX_H
#define CAIRN_WORKER_INBOX_H

#include "base/status.h"
#include "control.pb-c.h"

struct inbox_item;

/* All zeros: empty. */
struct inbox {
    struct inbox_item *first, *last;
};

/* Puts a command at the end. Owns: takes *command on CAIRN_OK. Errors: CAIRN_NO_MEMORY. */
enum status inbox_put(struct inbox *inbox, Cairn__NodeCommand **command, struct error *error) MUST_CHECK;

/* The first one, which is the caller's then; NULL: it is empty. */
Cairn__NodeCommand *inbox_take(struct inbox *inbox);

/* Frees all that is in it; it is empty afterwards. */
void inbox_clear(struct inbox *inbox);

#endif
