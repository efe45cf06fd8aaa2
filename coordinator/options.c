/* The coordinator's settings, one row each. */
#include "options.h"

#include <stddef.h>

static const struct setting rows[] = {
    {.name = "listen",
     .letter = 'l',
     .type = SETTING_TEXT,
     .environment = "CAIRN_LISTEN",
     .fallback = "tcp://127.0.0.1:7700",
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
     .value_name = "MS",
     .help = "a node that is silent for so long is given up",
     .offset = offsetof(struct coordinator_options, lease_ms)},
    {.name = "log-level",
     .type = SETTING_TEXT,
     .environment = "CAIRN_LOG_LEVEL",
     .fallback = "info",
     .value_name = "LEVEL",
     .help = "error, warn, info or debug",
     .offset = offsetof(struct coordinator_options, log_level_name)},
};

static const struct settings_table table = {.program = "cairn-coordinator",
                                            .summary =
                                                "Knows the cluster's nodes and jobs, and decides who works "
                                                "on what.",
                                            .rows = rows,
                                            .count = sizeof(rows) / sizeof(rows[0])};

enum status coordinator_options_resolve(int argc, char **argv, struct coordinator_options *options,
                                        enum settings_outcome *outcome, struct error *error)
{
    enum status status = settings_resolve(&table, argc, argv, options, outcome, error);

    if (status != CAIRN_OK || *outcome != SETTINGS_RUN)
        return status;
    if (!log_level_parse(options->log_level_name, &options->log_level))
        return error_set(error, CAIRN_INVALID, "--log-level %.32s: error, warn, info and debug are allowed",
                         options->log_level_name);
    return CAIRN_OK;
}
