/* The worker's settings, one row each. */
#include "worker.h"

#include <stddef.h>
#include <string.h>

#define THREADS_MAX 1024

static const struct setting rows[] = {
    {.name = "coordinator",
     .letter = 'c',
     .type = SETTING_TEXT,
     .environment = "CAIRN_COORDINATOR",
     .fallback = "tcp://127.0.0.1:7700",
     .value_name = "ENDPOINT",
     .help = "where the coordinator listens",
     .offset = offsetof(struct worker_options, coordinator)},
    {.name = "name",
     .letter = 'n',
     .type = SETTING_TEXT,
     .environment = "CAIRN_NAME",
     .value_name = "NAME",
     .help = "unique in the cluster (default: made from host and process)",
     .offset = offsetof(struct worker_options, name)},
    {.name = "threads",
     .letter = 't',
     .type = SETTING_INTEGER,
     .environment = "CAIRN_THREADS",
     .fallback = "0",
     .minimum = 0,
     .maximum = THREADS_MAX,
     .value_name = "N",
     .help = "microbatches computed at once; 0: as the job says, else one a core",
     .offset = offsetof(struct worker_options, threads)},
    {.name = "device",
     .type = SETTING_TEXT,
     .environment = "CAIRN_DEVICE",
     .fallback = "auto",
     .value_name = "DEVICE",
     .help = "auto, cpu or cuda",
     .offset = offsetof(struct worker_options, device)},
    {.name = "log-level",
     .type = SETTING_TEXT,
     .environment = "CAIRN_LOG_LEVEL",
     .fallback = "info",
     .value_name = "LEVEL",
     .help = "error, warn, info or debug",
     .offset = offsetof(struct worker_options, log_level_name)},
};

static const struct settings_table table = {
    .program = "cairn-worker",
    .summary = "Computes gradients of jobs; `cairn-worker evaluate --help` tells of evaluating a model file.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0])};

static enum status check_device(const char *device, struct error *error)
{
    if (strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0)
        return CAIRN_OK;
    if (strcmp(device, "cuda") == 0)
        return error_set(error, CAIRN_INVALID,
                         "--device cuda: this build has no cuda; auto and cpu are allowed");
    return error_set(error, CAIRN_INVALID, "--device %.32s: auto, cpu and cuda are allowed", device);
}

enum status worker_options_resolve(int argc, char **argv, struct worker_options *options,
                                   enum settings_outcome *outcome, struct error *error)
{
    enum status status = settings_resolve(&table, argc, argv, options, outcome, error);

    if (status != CAIRN_OK || *outcome != SETTINGS_RUN)
        return status;
    if (!log_level_parse(options->log_level_name, &options->log_level))
        return error_set(error, CAIRN_INVALID, "--log-level %.32s: error, warn, info and debug are allowed",
                         options->log_level_name);
    return check_device(options->device, error);
}
