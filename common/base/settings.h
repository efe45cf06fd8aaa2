/* A program's settings: one table row a setting drives the command line, the environment, the bounds and
 * --help. Resolved once in main into a plain struct that is const from then on.
 *
 * Order of force: command line, environment variable, default. Used by main threads at start only. */
#ifndef CAIRN_BASE_SETTINGS_H
#define CAIRN_BASE_SETTINGS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum setting_type {
    SETTING_TEXT,    /* const char *; borrowed from argv, environ or the table */
    SETTING_INTEGER, /* int64_t within [minimum, maximum] */
    SETTING_BYTES,   /* int64_t; "512", "64K", "8M", "2G", "1T" in powers of 1024 */
    SETTING_CHOICE,  /* int64_t, the index of a word in `words`; without a default -1 when nothing sets it */
    SETTING_FLAG,    /* int64_t 0 or 1; takes no value on the command line */
    SETTING_ARGUMENT /* const char *; a positional argument, in table order */
};

struct setting {
    const char *name; /* long option without dashes, or the positional argument's name in --help */
    char letter;      /* short option, 0: none */
    enum setting_type type;
    const char *environment;  /* variable that sets it, NULL: none */
    const char *fallback;     /* default as text, NULL: none (the member stays NULL or 0) */
    int required;             /* 1: an error when nothing sets it */
    int64_t minimum, maximum; /* SETTING_INTEGER; both 0: any number */
    const char *unit;         /* of these, such as "milliseconds"; NULL: none */
    const char *value_name;   /* shown in --help, such as ENDPOINT */
    const char *help;
    size_t offset;            /* of the member in the target struct */
    const char *const *words; /* SETTING_CHOICE: all that are allowed, then NULL */
};

struct settings_table {
    const char *program; /* as the user types it, such as "cairn train" */
    const char *summary; /* one line of what it does, shown by --help */
    const struct setting *rows;
    size_t count;
};

enum settings_outcome { SETTINGS_RUN, SETTINGS_HELP, SETTINGS_VERSION };

/* Resolves argv[1..argc) and the environment into target. --help and --version are understood everywhere:
 * they print to stdout and are told through *outcome (exit 0 then).
 * Errors: CAIRN_INVALID with one line that names the option, what is wrong and what is allowed (with a
 * "did you mean" for a near miss); target is then unspecified. */
enum status settings_resolve(const struct settings_table *table, int argc, char **argv, void *target,
                             enum settings_outcome *outcome, struct error *error) MUST_CHECK;

#endif
