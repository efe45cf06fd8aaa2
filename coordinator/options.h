/* The coordinator's command line. */
#ifndef CAIRN_COORDINATOR_OPTIONS_H
#define CAIRN_COORDINATOR_OPTIONS_H

#include "base/settings.h"

#include <stdint.h>

struct coordinator_options {
    const char *listen; /* endpoint; a tcp port may be *: any free one */
    const char *data;   /* directory of the records */
    int64_t lease_ms;
    int64_t log_level; /* enum log_level */
};

extern const struct settings_table coordinator_options_table;

#endif
