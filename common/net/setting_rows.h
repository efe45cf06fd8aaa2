/* Rows of settings tables that several programs have, so that an option is spelt and explained once. */
#ifndef CAIRN_NET_SETTING_ROWS_H
#define CAIRN_NET_SETTING_ROWS_H

#include "base/log.h"
#include "base/settings.h"

/* Where a coordinator listens, and where all others look for it, unless they are told. */
#define COORDINATOR_ENDPOINT_DEFAULT "tcp://127.0.0.1:7700"

/* type_ is the target struct, with the member `const char *coordinator`. */
#define SETTING_ROW_COORDINATOR(type_)                                                                       \
    {                                                                                                        \
        .name = "coordinator", .letter = 'c', .type = SETTING_TEXT, .environment = "CAIRN_COORDINATOR",      \
        .fallback = COORDINATOR_ENDPOINT_DEFAULT, .value_name = "ENDPOINT",                                  \
        .help = "where the coordinator listens", .offset = offsetof(type_, coordinator)                      \
    }

/* type_ has the member `int64_t log_level`, an enum log_level. */
#define SETTING_ROW_LOG_LEVEL(type_)                                                                         \
    {                                                                                                        \
        .name = "log-level", .type = SETTING_CHOICE, .environment = "CAIRN_LOG_LEVEL", .fallback = "info",   \
        .value_name = "LEVEL", .help = "the least important level that is logged", .words = log_level_words, \
        .offset = offsetof(type_, log_level)                                                                 \
    }

#endif
