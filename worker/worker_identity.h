/* Who this worker is: what it tells the coordinator of itself. Knows nothing of connections. */
#ifndef CAIRN_WORKER_WORKER_IDENTITY_H
#define CAIRN_WORKER_WORKER_IDENTITY_H

#include "base/status.h"
#include "control.pb-c.h"
#include "worker.h"

#include <limits.h>

#define WORKER_NAME_BYTES 128

/* The registration points to what lies beside it: it must not be moved. */
struct worker_identity {
    char name[WORKER_NAME_BYTES], host[HOST_NAME_MAX + 1];
    Cairn__Registration registration;
};

/* Fills in all of it. Errors: CAIRN_INVALID: the name that was asked for is empty or too long;
 * CAIRN_UNSUPPORTED: a device that this build does not have. */
enum status worker_identify(struct worker_identity *identity, const struct worker_options *options,
                            struct error *error) MUST_CHECK;

#endif
