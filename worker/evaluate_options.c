/* The options of `cairn-worker evaluate`, and which data they mean. */
#include "evaluate.h"

#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_DEFAULT  "64"
#define OPTION(member) offsetof(struct evaluate_options, member)

static const char *const formats[] = {[DATA_FORMAT_IDX] = "idx", [DATA_FORMAT_CSV] = "csv", NULL};

#define LOSS_WORD(suffix, text) text,
static const char *const losses[] = {LOSS_LIST(LOSS_WORD) NULL};

static const struct setting rows[] = {
    {.name = "MODEL",
     .type = SETTING_ARGUMENT,
     .required = 1,
     .value_name = "MODEL",
     .help = "the model file (.h5)",
     .offset = OPTION(model)},
    {.name = "job",
     .type = SETTING_TEXT,
     .value_name = "FILE",
     .help = "take the validation data of this job file",
     .offset = OPTION(job)},
    {.name = "data",
     .letter = 'd',
     .type = SETTING_TEXT,
     .value_name = "DIR",
     .help = "take MNIST's test files in this directory (t10k-...-ubyte, .gz or not), scaled by 1/255",
     .offset = OPTION(data)},
    {.name = "format",
     .type = SETTING_CHOICE,
     .fallback = "idx",
     .value_name = "FORMAT",
     .help = "of --features",
     .words = formats,
     .offset = OPTION(format)},
    {.name = "features",
     .type = SETTING_TEXT,
     .value_name = "PATH",
     .help = "the samples; csv: the file with the labels in it",
     .offset = OPTION(features)},
    {.name = "labels",
     .type = SETTING_TEXT,
     .value_name = "PATH",
     .help = "idx: the labels",
     .offset = OPTION(labels)},
    {.name = "label-column",
     .type = SETTING_TEXT,
     .value_name = "COLUMN",
     .help = "csv: name or number of the labels' column (default: the last)",
     .offset = OPTION(label_column)},
    {.name = "no-header",
     .type = SETTING_FLAG,
     .help = "csv: the first line is a sample",
     .offset = OPTION(no_header)},
    {.name = "scale",
     .type = SETTING_TEXT,
     .fallback = "1",
     .value_name = "FACTOR",
     .help = "multiply every feature by it, such as 1/255",
     .offset = OPTION(scale)},
    {.name = "loss",
     .type = SETTING_CHOICE,
     .value_name = "NAME",
     .help = "in place of the loss that the model file names",
     .words = losses,
     .offset = OPTION(loss)},
    {.name = "batch-size",
     .letter = 'b',
     .type = SETTING_INTEGER,
     .fallback = BATCH_DEFAULT,
     .minimum = 1,
     .maximum = 1 << 20,
     .value_name = "N",
     .help = "samples computed at once (--job: as in training)",
     .offset = OPTION(batch_size)},
    {.name = "threads",
     .letter = 't',
     .type = SETTING_INTEGER,
     .environment = "CAIRN_THREADS",
     .fallback = "0",
     .minimum = 0,
     .maximum = 1024,
     .value_name = "N",
     .help = "0: one a core",
     .offset = OPTION(threads)},
    {.name = "json", .type = SETTING_FLAG, .help = "print one JSON object", .offset = OPTION(json)},
};

static const struct settings_table table = {.program = "cairn-worker evaluate",
                                            .summary =
                                                "Tells the loss and metrics of a model over a data set.",
                                            .rows = rows,
                                            .count = sizeof(rows) / sizeof(rows[0])};

static enum status check_together(const struct evaluate_options *options, struct error *error)
{
    int sources = (options->job != NULL) + (options->data != NULL) + (options->features != NULL);

    if (sources != 1)
        return error_set(error, CAIRN_INVALID, "%s; one of --job, --data and --features is needed",
                         sources ? "several data sets are given" : "no data set is given");
    if (options->features && options->format == DATA_FORMAT_IDX && !options->labels)
        return error_set(error, CAIRN_INVALID, "--labels is needed with --format idx");
    return CAIRN_OK;
}

enum status evaluate_options_resolve(int argc, char **argv, struct evaluate_options *options,
                                     enum settings_outcome *outcome, struct error *error)
{
    enum status status = settings_resolve(&table, argc, argv, options, outcome, error);

    if (status != CAIRN_OK || *outcome != SETTINGS_RUN)
        return status;
    return check_together(options, error);
}

/* ---- the job */

/* A number, or one divided by another. */
static enum status parse_scale(const char *text, double *scale, struct error *error)
{
    char *end;
    double divisor = 1;

    *scale = strtod(text, &end);
    if (end != text && *end == '/') {
        const char *second = end + 1;

        divisor = strtod(second, &end);
        if (end == second)
            divisor = 0;
    }
    *scale /= divisor;
    if (end == text || *end != '\0' || divisor == 0 || !isfinite(*scale))
        return error_set(error, CAIRN_INVALID,
                         "--scale %.32s: a number is allowed, or one divided by another", text);
    return CAIRN_OK;
}

static enum status copy_text(const char *text, char **out, struct error *error)
{
    if (!text)
        return CAIRN_OK;
    *out = strdup(text);
    return *out ? CAIRN_OK : error_set(error, CAIRN_NO_MEMORY, "out of memory");
}

/* DIR/NAME, or DIR/NAME.gz when only that is there. */
static enum status find_file(const char *directory, const char *name, char **out, struct error *error)
{
    static const char *const endings[] = {"", ".gz"};

    for (size_t i = 0; i < 2; i++) {
        if (asprintf(out, "%s/%s%s", directory, name, endings[i]) < 0) {
            *out = NULL;
            return error_set(error, CAIRN_NO_MEMORY, "out of memory");
        }
        if (access(*out, R_OK) == 0)
            return CAIRN_OK;
        free(*out);
        *out = NULL;
    }
    return error_set(error, CAIRN_NOT_FOUND, "--data %s: there is no %s, with or without .gz, in it",
                     directory, name);
}

static enum status name_mnist(const char *directory, struct data_source *source, struct error *error)
{
    enum status status = find_file(directory, "t10k-images-idx3-ubyte", &source->features, error);

    source->format = DATA_FORMAT_IDX;
    source->scale = 1.0 / 255.0;
    return status == CAIRN_OK ? find_file(directory, "t10k-labels-idx1-ubyte", &source->labels, error)
                              : status;
}

static enum status name_files(const struct evaluate_options *options, struct data_source *source,
                              struct error *error)
{
    enum status status = parse_scale(options->scale, &source->scale, error);

    source->format = (enum data_format)options->format;
    source->header = !options->no_header;
    if (status == CAIRN_OK)
        status = copy_text(options->features, &source->features, error);
    if (status == CAIRN_OK)
        status = copy_text(options->labels, &source->labels, error);
    return status == CAIRN_OK ? copy_text(options->label_column, &source->label_column, error) : status;
}

static enum status make_job(const struct evaluate_options *options, struct job *job, struct error *error)
{
    enum status status = copy_text(".", &job->base_directory, error);

    if (status != CAIRN_OK)
        return status;
    job->has_validation = true;
    job->threads_per_microbatch = 1;
    return options->data ? name_mnist(options->data, &job->validation, error)
                         : name_files(options, &job->validation, error);
}

static enum status load_job(const char *path, struct job **out, struct error *error)
{
    static const struct job_overrides none;
    char *text = NULL, *copy = strdup(path);
    size_t length;
    enum status status;

    if (!copy)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    status = job_read_file(path, &text, &length, error);
    if (status == CAIRN_OK)
        status = job_load_text(text, length, path, dirname(copy), &none, out, error);
    free(text);
    free(copy);
    if (status == CAIRN_OK && !(*out)->has_validation) {
        job_free(*out);
        *out = NULL;
        status = error_set(error, CAIRN_INVALID, "%s: it has no data.validation to evaluate on", path);
    }
    return status;
}

enum status evaluate_options_job(const struct evaluate_options *options, struct job **out,
                                 struct error *error)
{
    struct job *job;
    enum status status;

    if (options->job)
        return load_job(options->job, out, error);
    job = calloc(1, sizeof(*job));
    if (!job)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    status = make_job(options, job, error);
    if (status != CAIRN_OK) {
        job_free(job);
        return status;
    }
    *out = job;
    return CAIRN_OK;
}
