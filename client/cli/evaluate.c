/* cairn evaluate: measures a model file on data. Computing lives in the worker, so this becomes the worker
 * program, which stands beside this one or on PATH. */
#include "command.h"
#include "commands.h"
#include "programs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct evaluate_settings {
    const char *model, *job, *data, *format, *features, *labels, *label_column, *scale, *loss;
    int64_t no_header, batch_size, json;
};

#define TEXT_ROW(name_, member_, value_name_, help_)                                                         \
    {                                                                                                        \
        .name = name_, .type = SETTING_TEXT, .value_name = value_name_, .help = help_,                       \
        .offset = offsetof(struct evaluate_settings, member_)                                                \
    }

/* Only checked and explained here: the worker reads the same words again and owns the defaults. */
static const struct setting rows[] = {
    {.name = "MODEL",
     .type = SETTING_ARGUMENT,
     .required = 1,
     .help = "a Keras .h5 file, written by Cairn or by Keras",
     .offset = offsetof(struct evaluate_settings, model)},
    TEXT_ROW("job", job, "FILE", "measure on this job file's validation data"),
    TEXT_ROW("data", data, "DIR",
             "a folder with MNIST's names: t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or .gz; "
             "features are scaled by 1/255"),
    TEXT_ROW("format", format, "idx|csv", "format of the files below"),
    TEXT_ROW("features", features, "PATH", "idx: images; csv: the file"),
    TEXT_ROW("labels", labels, "PATH", "idx: labels"),
    TEXT_ROW("label-column", label_column, "NAME",
             "csv: the label's column, by name or number from 0; default the last"),
    {.name = "no-header",
     .type = SETTING_FLAG,
     .help = "csv: the first line is data",
     .offset = offsetof(struct evaluate_settings, no_header)},
    TEXT_ROW("scale", scale, "NUMBER", "every feature is multiplied by it, such as 1/255; default 1"),
    {.name = "batch-size",
     .type = SETTING_INTEGER,
     .minimum = 1,
     .maximum = 65536,
     .value_name = "N",
     .help = "samples computed at once",
     .offset = offsetof(struct evaluate_settings, batch_size)},
    TEXT_ROW("loss", loss, "NAME", "in place of the loss that the model file names"),
    SETTING_ROW_JSON(struct evaluate_settings),
};

static const struct settings_table table = {
    "cairn evaluate",
    "Measures the loss and accuracy of a model file on data. Name the "
    "data by --job, by --data, or by --format and the options after it.",
    rows, sizeof(rows) / sizeof(rows[0])};

static enum status become_worker(int argc, char **argv, struct error *error)
{
    char **words = calloc((size_t)argc + 2, sizeof(*words));
    char path[PROGRAMS_PATH_MAX], program[] = "cairn-worker", command[] = "evaluate";

    if (!words)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    programs_find(program, path);
    words[0] = program;
    words[1] = command;
    memcpy(words + 2, argv + 1, (size_t)(argc - 1) * sizeof(*words));
    execvp(path, words);
    free(words);
    return error_system(error, errno, "cannot start %s", path);
}

int command_evaluate(int argc, char **argv)
{
    struct evaluate_settings settings;
    struct error error;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    if (!settings.job && !settings.data && !settings.features) {
        (void)error_set(&error, CAIRN_INVALID, "no data: give --job, --data or --features; see %s --help",
                        table.program);
        return command_fail(table.program, EXIT_USAGE, &error);
    }
    (void)become_worker(argc, argv, &error);
    return command_fail(table.program, EXIT_FAILED, &error);
}
