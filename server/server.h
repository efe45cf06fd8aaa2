/* A parameter-server node: its membership, its shard threads, and the job commands between the two. */
#ifndef CAIRN_SERVER_SERVER_H
#define CAIRN_SERVER_SERVER_H

#include "base/settings.h"
#include "base/status.h"

#include <stdint.h>

#define SERVER_SHARDS_MAX 64

struct server_settings {
    const char *coordinator; /* endpoint */
    const char *listen;      /* endpoint, see endpoints.h */
    const char *advertise;   /* host to tell others, NULL: the one that is listened on, or this machine's */
    const char *data;        /* directory */
    const char *name;        /* NULL: the directory's */
    int64_t shards;
    int64_t memory; /* bytes for the rows of sparse tables, 0: no bound */
    int64_t log_level; /* enum log_level */
};

extern const struct settings_table server_settings_table;

/* Serves until stop_descriptor (a signalfd, an eventfd) can be read, or until the coordinator dismisses or
 * refuses the node. zmq_context must have no socket yet: it gets threads by the number of shards. Errors:
 * what kept it from starting, or the coordinator's refusal. */
enum status server_run(const struct server_settings *settings, void *zmq_context, int stop_descriptor,
                       struct error *error) MUST_CHECK;

#endif
