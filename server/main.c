/* The server program. */
#include "base/log.h"
#include "server.h"

#include <stdio.h>
#include <stdlib.h>

#define EXIT_USAGE 2

static int usage(const char *message)
{
    fprintf(stderr, "cairn-server: %s\n", message);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct server_settings settings = {0};
    enum settings_outcome outcome;
    enum log_level level;
    struct error error;

    if (settings_resolve(&server_settings_table, argc, argv, &settings, &outcome, &error) != CAIRN_OK)
        return usage(error.message);
    if (outcome != SETTINGS_RUN)
        return EXIT_SUCCESS;
    if (!log_level_parse(settings.log_level, &level))
        return usage("--log-level is error, warn, info or debug");
    log_init(level, "server");
    if (server_run(&settings, &error) == CAIRN_OK)
        return EXIT_SUCCESS;
    log_error("failed", "reason=\"%s\"", error.message);
    return EXIT_FAILURE;
}
