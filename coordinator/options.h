/* The coordinator's command line. */
#ifndef CAIRN_COORDINATOR_OPTIONS_H
#define CAIRN_COORDINATOR_OPTIONS_H

#include "base/log.h"
#include "base/settings.h"
#include "base/status.h"

#include <stdint.h>

struct coordinator_options {
    const char *listen; /* endpoint; a tcp port may be *: any free one */
    const char *data;   /* directory of the records */
    int64_t lease_ms;
    const char *log_level_name;
    enum log_level log_level;
};

/* Resolves the command line and the environment. Errors: as settings_resolve. */
enum status coordinator_options_resolve(int argc, char **argv, struct coordinator_options *options,
                                        enum settings_outcome *outcome, struct error *error) MUST_CHECK;

#endif
