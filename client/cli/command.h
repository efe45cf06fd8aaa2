/* What all commands share: exit codes, settings, how an error is said, JSON on stdout. Main thread only. */
#ifndef CAIRN_CLI_COMMAND_H
#define CAIRN_CLI_COMMAND_H

#include "base/settings.h"
#include "base/status.h"
#include "net/setting_rows.h"

#include <jansson.h>
#include <stdbool.h>

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,        /* a bad command line or job file */
    EXIT_INTERRUPTED = 130 /* as shells report SIGINT */
};

/* Rows that many tables have; type is the target struct, with members `json`, `job`. */
#define SETTING_ROW_JSON(type_)                                                                              \
    {                                                                                                        \
        .name = "json", .type = SETTING_FLAG, .help = "print one line of JSON on stdout",                    \
        .offset = offsetof(type_, json)                                                                      \
    }
#define SETTING_ROW_JOB(type_)                                                                               \
    {                                                                                                        \
        .name = "JOB", .type = SETTING_ARGUMENT, .required = 1,                                              \
        .help = "a job's id or number, or a name that only one job under way has, or only one at all",       \
        .offset = offsetof(type_, job)                                                                       \
    }

/* Resolves a command's settings. False: the command is over with *code (--help, or a bad command line, which
 * was said). */
bool command_resolve(const struct settings_table *table, int argc, char **argv, void *target, int *code);

/* Prints "PROGRAM: MESSAGE" on stderr and returns code. program is as the user types it, "cairn train". */
int command_fail(const char *program, int code, const struct error *error);

/* Prints object as one line on stdout and drops it. False (with a message on stderr) when it is NULL, which
 * is how jansson says that memory is out, or when stdout takes no more. */
bool command_print_json(json_t *object);

#endif
