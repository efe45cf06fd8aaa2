/* cairn version */
#include "command.h"
#include "commands.h"

#include <stdio.h>

struct version_settings {
    int64_t json;
};

static const struct setting rows[] = {SETTING_ROW_JSON(struct version_settings)};
static const struct settings_table table = {"cairn version", "Shows the version of this program.", rows, 1};

int command_version(int argc, char **argv)
{
    struct version_settings settings;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    if (settings.json)
        return command_print_json(json_pack("{s:s}", "version", CAIRN_VERSION)) ? EXIT_DONE : EXIT_FAILED;
    printf("cairn %s\n", CAIRN_VERSION);
    return EXIT_DONE;
}
