/* cairn check: what is wrong with a job file, or the table of its layers or tables. */
#include "command.h"
#include "commands.h"
#include "job_file.h"
#include "result.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>

struct check_settings {
    const char *file;
    int64_t json;
};

static const struct setting rows[] = {
    {.name = "JOB_FILE",
     .type = SETTING_ARGUMENT,
     .required = 1,
     .help = "the job file",
     .offset = offsetof(struct check_settings, file)},
    SETTING_ROW_JSON(struct check_settings),
};

static const struct settings_table table = {"cairn check",
                                            "Checks a job file and prints its layers with their shapes and "
                                            "parameters, or its tables. Exit code 2: the file "
                                            "is wrong; one line says what and where.",
                                            rows, sizeof(rows) / sizeof(rows[0])};

static void print_missing(void *context, const char *key, const char *path, uint32_t line)
{
    const struct job_file *file = context;

    printf("note: %s:%" PRIu32 ": %s: %s cannot be read from here\n", file->path, line, key, path);
}

static void append_missing(void *context, const char *key, const char *path, uint32_t line)
{
    json_t **list = context;

    if (*list && json_array_append_new(*list, json_pack("{s:s, s:o, s:I}", "key", key, "path",
                                                        result_text(path), "line", (json_int_t)line)) != 0) {
        json_decref(*list);
        *list = NULL;
    }
}

/* What is not as usual: of sync nothing need be said. */
static void print_mode(const struct job *job)
{
    if (!job_is_throughput(job))
        return;
    printf("mode: %s", train_mode_name(job->mode));
    if (job->mode == TRAIN_SSP)
        printf(", staleness %" PRIu32, job->staleness);
    printf("%s\n", job->staleness_damping ? ", staleness_damping" : "");
}

static void print_training(const struct job *job)
{
    if (job->steps != 0)
        printf("training: %" PRIu64 " steps", job->steps);
    else
        printf("training: %" PRIu32 " epochs", job->epochs);
    printf(" of batches of %" PRIu32 " in %" PRIu32 " microbatches; committed every %" PRIu64 " steps\n",
           job->batch_size, job->microbatches, job->commit_every);
    print_mode(job);
    printf("codec: %s\n", codec_name(job->codec.type));
    printf("cluster: servers %" PRIu32 ", workers %" PRIu32 " to %" PRIu32 "\n", job->servers,
           job->workers_min, job->workers_max);
    printf("output: %s\n", job->output_path);
}

/* "16 a row", or just the number for a dense table. */
static void add_amount(struct table *list, const struct table_spec *spec, uint64_t amount)
{
    table_add(list, "%" PRIu64 "%s", amount, spec->kind == TABLE_KIND_SPARSE ? " a row" : "");
}

/* When rows come and go. */
static void add_rows(struct table *list, const struct table_spec *spec)
{
    char from[32] = "", until[48] = "";

    if (spec->admit_after > 1)
        snprintf(from, sizeof(from), "admitted after %" PRIu32, spec->admit_after);
    if (spec->expire_after > 0)
        snprintf(until, sizeof(until), "expire after %" PRIu64, spec->expire_after);
    table_add(list, "%s%s%s", from, from[0] && until[0] ? ", " : "", until[0] || from[0] ? until : "-");
}

static const char *kind_name(const struct table_spec *spec)
{
    return spec->kind == TABLE_KIND_SPARSE ? "sparse" : "dense";
}

static enum status print_tables(const struct job *job, struct error *error)
{
    static const char *const headings[] = {"TABLE",     "KIND",  "FLOATS", "INITIALIZER",
                                           "OPTIMIZER", "CODEC", "BYTES",  "ROWS"};
    struct table list;
    bool printed;

    table_init(&list, sizeof(headings) / sizeof(headings[0]), headings);
    for (uint32_t i = 0; i < job->table_count; i++) {
        const struct table_spec *spec = &job->tables[i];

        table_add(&list, "%s", spec->name);
        table_add(&list, "%s", kind_name(spec));
        add_amount(&list, spec, spec->kind == TABLE_KIND_SPARSE ? spec->dimension : spec->size);
        table_add(&list, "%s", initializer_name(spec->initializer.type));
        table_add(&list, "%s", optimizer_type_name(spec->optimizer.type));
        table_add(&list, "%s", codec_name(spec->codec.type));
        add_amount(&list, spec, table_state_bytes(spec));
        add_rows(&list, spec);
    }
    printed = table_print(&list, stdout);
    table_fini(&list);
    printf("bytes: values, optimizer state and keys\n");
    printf("steps: sums of %" PRIu32 " microbatch%s; committed every %" PRIu64 " steps\n", job->microbatches,
           job->microbatches > 1 ? "es" : "", job->commit_every);
    printf("cluster: servers %" PRIu32 "\n", job->servers);
    return printed ? CAIRN_OK : error_set(error, CAIRN_NO_MEMORY, "out of memory");
}

static enum status print_check(const struct job_file *file, struct error *error)
{
    if (job_has_tables(file->job))
        return print_tables(file->job, error);
    graph_print_summary(file->job->graph, file->job->name, stdout);
    print_training(file->job);
    return job_file_find_missing(file, print_missing, (void *)file, error);
}

static json_t *shape_json(const struct shape *shape)
{
    json_t *list = json_array();

    for (uint32_t i = 0; list && i < shape->rank; i++) {
        if (json_array_append_new(list, json_integer((json_int_t)shape->dim[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *layer_json(const struct graph *graph, const struct graph_layer *layer)
{
    uint64_t elements = 0;

    for (uint32_t i = 0; i < layer->parameter_count; i++)
        elements += graph->parameters[layer->first_parameter + i].elements;
    return json_pack("{s:s, s:s, s:o, s:I}", "name", layer->spec->name, "type",
                     layer_type_name(layer->spec->type), "output_shape", shape_json(&layer->output),
                     "parameters", (json_int_t)elements);
}

static json_t *layers_json(const struct graph *graph)
{
    json_t *list = json_array();

    for (uint32_t i = 0; list && i < graph->layer_count; i++) {
        if (json_array_append_new(list, layer_json(graph, &graph->layers[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static enum status print_model_json(const struct job_file *file, struct error *error)
{
    const struct job *job = file->job;
    json_t *missing = json_array();
    enum status status = job_file_find_missing(file, append_missing, &missing, error);
    char digest[HASH_TEXT_BYTES];

    if (status != CAIRN_OK) {
        json_decref(missing);
        return status;
    }
    job_digest(job, digest);
    if (command_print_json(json_pack(
            "{s:s, s:I, s:o, s:I, s:I, s:I, s:I, s:s, s:s, s:o, s:s, s:I, s:b}", "name", job->name,
            "parameters", (json_int_t)job->graph->trainable, "layers", layers_json(job->graph), "batch_size",
            (json_int_t)job->batch_size, "microbatches", (json_int_t)job->microbatches, "epochs",
            (json_int_t)job->epochs, "steps", (json_int_t)job->steps, "codec", codec_name(job->codec.type),
            "digest", digest, "missing_files", missing, "mode", train_mode_name(job->mode), "staleness",
            (json_int_t)job->staleness, "staleness_damping", job->staleness_damping)))
        return CAIRN_OK;
    return error_set(error, CAIRN_IO, "the result was not printed");
}

static json_t *table_json(const struct table_spec *spec)
{
    bool sparse = spec->kind == TABLE_KIND_SPARSE;

    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:I, s:I, s:I}", "name", spec->name, "kind",
                     kind_name(spec), sparse ? "dimension" : "size",
                     (json_int_t)(sparse ? spec->dimension : spec->size), "initializer",
                     initializer_name(spec->initializer.type), "optimizer",
                     optimizer_type_name(spec->optimizer.type), "codec", codec_name(spec->codec.type),
                     sparse ? "row_bytes" : "bytes", (json_int_t)table_state_bytes(spec), "admit_after",
                     (json_int_t)spec->admit_after, "expire_after", (json_int_t)spec->expire_after);
}

static enum status print_tables_json(const struct job *job, struct error *error)
{
    json_t *list = json_array();
    char digest[HASH_TEXT_BYTES];

    for (uint32_t i = 0; list && i < job->table_count; i++) {
        if (json_array_append_new(list, table_json(&job->tables[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    job_digest(job, digest);
    if (command_print_json(json_pack("{s:s, s:o, s:I, s:I, s:I, s:s}", "name", job->name, "tables", list,
                                     "microbatches", (json_int_t)job->microbatches, "commit_every",
                                     (json_int_t)job->commit_every, "servers", (json_int_t)job->servers,
                                     "digest", digest)))
        return CAIRN_OK;
    return error_set(error, CAIRN_IO, "the result was not printed");
}

static enum status print_check_json(const struct job_file *file, struct error *error)
{
    if (job_has_tables(file->job))
        return print_tables_json(file->job, error);
    return print_model_json(file, error);
}

int command_check(int argc, char **argv)
{
    const struct job_overrides as_written = {0};
    struct check_settings settings;
    struct job_file file;
    struct error error;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    if (job_file_load(&file, settings.file, &as_written, &error) != CAIRN_OK) {
        code = command_fail(table.program, EXIT_USAGE, &error);
    } else if ((settings.json ? print_check_json(&file, &error) : print_check(&file, &error)) != CAIRN_OK) {
        code = command_fail(table.program, EXIT_FAILED, &error);
    }
    job_file_fini(&file);
    return code;
}
