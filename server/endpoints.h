/* Where a server's shards listen, and what others are told. Pure text; any thread. */
#ifndef CAIRN_SERVER_ENDPOINTS_H
#define CAIRN_SERVER_ENDPOINTS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* The endpoint that shard `shard` binds when the server is to listen on `listen`: ipc://PATH gives
 * ipc://PATH.SHARD; tcp://HOST:0 itself (each binds a port of its own), tcp://HOST:PORT the port SHARD after
 * it. Errors: CAIRN_INVALID. */
enum status endpoint_listen(const char *listen, uint32_t shard, char *endpoint, size_t size,
                            struct error *error) MUST_CHECK;

/* The endpoint to tell others of one that was bound: a tcp endpoint's host becomes `advertise` when that is
 * not NULL, or `host` when it listens on every address. Errors: CAIRN_INVALID: too long. */
enum status endpoint_advertise(const char *bound, const char *advertise, const char *host, char *endpoint,
                               size_t size, struct error *error) MUST_CHECK;

#endif
