/* The server program's settings, one row each. */
#include "server.h"

#include "net/setting_rows.h"

static const struct setting rows[] = {
    SETTING_ROW_COORDINATOR(struct server_settings),
    {.name = "listen",
     .letter = 'l',
     .type = SETTING_TEXT,
     .fallback = "tcp://127.0.0.1:0",
     .value_name = "ENDPOINT",
     .help = "where shards listen: tcp://ADDRESS:PORT (port 0: any that is free; else one a shard from there "
             "on) or ipc://PATH (.SHARD is appended)",
     .offset = offsetof(struct server_settings, listen)},
    {.name = "advertise",
     .type = SETTING_TEXT,
     .value_name = "HOST",
     .help = "what others are told instead of the address that is listened on; needed when it is not "
             "reachable as this machine's name",
     .offset = offsetof(struct server_settings, advertise)},
    {.name = "data",
     .letter = 'd',
     .type = SETTING_TEXT,
     .required = 1,
     .value_name = "DIR",
     .help = "the directory that holds this server's state",
     .offset = offsetof(struct server_settings, data)},
    {.name = "name",
     .letter = 'n',
     .type = SETTING_TEXT,
     .value_name = "NAME",
     .help = "this server's name in the cluster; kept in the data directory, made when not given",
     .offset = offsetof(struct server_settings, name)},
    {.name = "shards",
     .letter = 's',
     .type = SETTING_INTEGER,
     .fallback = "1",
     .minimum = 1,
     .maximum = SERVER_SHARDS_MAX,
     .value_name = "N",
     .help = "shard threads",
     .offset = offsetof(struct server_settings, shards)},
    {.name = "memory",
     .letter = 'm',
     .type = SETTING_BYTES,
     .fallback = "0",
     .value_name = "BYTES",
     .help = "what the rows of the sparse tables of all jobs may take in memory, such as 8G; rows beyond it "
             "lie on "
             "disk; 0: all are in memory",
     .offset = offsetof(struct server_settings, memory)},
    SETTING_ROW_LOG_LEVEL(struct server_settings),
};

const struct settings_table server_settings_table = {.program = "cairn-server",
                                                     .summary = "A parameter server of a Cairn cluster.",
                                                     .rows = rows,
                                                     .count = sizeof(rows) / sizeof(rows[0])};
