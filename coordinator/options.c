/* The coordinator's settings, one row each. */
#include "options.h"

#include "net/setting_rows.h"

#include <stddef.h>

static const struct setting rows[] = {
    {.name = "listen",
     .letter = 'l',
     .type = SETTING_TEXT,
     .environment = "CAIRN_LISTEN",
     .fallback = COORDINATOR_ENDPOINT_DEFAULT,
     .value_name = "ENDPOINT",
     .help = "where nodes and clients connect; tcp port *: any free one, told in DIR/endpoint",
     .offset = offsetof(struct coordinator_options, listen)},
    {.name = "data",
     .letter = 'd',
     .type = SETTING_TEXT,
     .required = 1,
     .value_name = "DIR",
     .help = "directory of the job records and logs; made when missing",
     .offset = offsetof(struct coordinator_options, data)},
    {.name = "lease",
     .type = SETTING_INTEGER,
     .environment = "CAIRN_LEASE",
     .fallback = "5000",
     .minimum = 500,
     .maximum = 600000,
     .unit = "milliseconds",
     .value_name = "MS",
     .help = "a node that is silent for so long is given up",
     .offset = offsetof(struct coordinator_options, lease_ms)},
    SETTING_ROW_LOG_LEVEL(struct coordinator_options),
};

const struct settings_table coordinator_options_table = {
    .program = "cairn-coordinator",
    .summary = "Knows the cluster's nodes and jobs, and decides who works "
               "on what.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0])};
