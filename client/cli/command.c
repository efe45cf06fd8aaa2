/* What all commands share. */
#include "command.h"

#include <stdio.h>

bool command_resolve(const struct settings_table *table, int argc, char **argv, void *target, int *code)
{
    enum settings_outcome outcome;
    struct error error;

    if (settings_resolve(table, argc, argv, target, &outcome, &error) != CAIRN_OK) {
        *code = command_fail(table->program, EXIT_USAGE, &error);
        return false;
    }
    *code = EXIT_DONE;
    return outcome == SETTINGS_RUN;
}

int command_fail(const char *program, int code, const struct error *error)
{
    fprintf(stderr, "%s: %s\n", program, error->message);
    return code;
}

bool command_print_json(json_t *object)
{
    bool printed = object && json_dumpf(object, stdout, JSON_REAL_PRECISION(17)) == 0;

    json_decref(object);
    printed = printed && putchar('\n') != EOF && fflush(stdout) == 0;
    if (!printed)
        fprintf(stderr, "cairn: cannot write JSON to standard output\n");
    return printed;
}
