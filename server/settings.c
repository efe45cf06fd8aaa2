/* The server program's settings. */
#include "server.h"

#include <stddef.h>

#define AT(member) offsetof(struct server_settings, member)

static const struct setting rows[] = {
    {"coordinator", 'c', SETTING_TEXT, "CAIRN_COORDINATOR", "tcp://127.0.0.1:7700", 0, 0, 0, "ENDPOINT",
     "the coordinator", AT(coordinator)},
    {"listen", 'l', SETTING_TEXT, NULL, "tcp://127.0.0.1:0", 0, 0, 0, "ENDPOINT",
     "where shards listen: tcp://ADDRESS:PORT (port 0: any that is free; else one a shard from there on) or "
     "ipc://PATH (.SHARD is appended)",
     AT(listen)},
    {"advertise", 0, SETTING_TEXT, NULL, NULL, 0, 0, 0, "HOST",
     "what others are told instead of the address that is listened on; needed when it is not reachable as "
     "this "
     "machine's name",
     AT(advertise)},
    {"data", 'd', SETTING_TEXT, NULL, NULL, 1, 0, 0, "DIR", "the directory that holds this server's state",
     AT(data)},
    {"name", 'n', SETTING_TEXT, NULL, NULL, 0, 0, 0, "NAME",
     "this server's name in the cluster; kept in the data directory, made when not given", AT(name)},
    {"shards", 's', SETTING_INTEGER, NULL, "1", 0, 1, SERVER_SHARDS_MAX, "N", "shard threads", AT(shards)},
    {"log-level", 0, SETTING_TEXT, "CAIRN_LOG_LEVEL", "info", 0, 0, 0, "LEVEL", "error, warn, info or debug",
     AT(log_level)},
};

const struct settings_table server_settings_table = {"cairn-server", "A parameter server of a Cairn cluster.",
                                                     rows, sizeof(rows) / sizeof(rows[0])};
