#include "job/resolve.h"

#include "job/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MICROBATCHES_DEFAULT_MAX                                                                             \
    8 /* few enough to keep batches whole, enough for the workers of one machine */

/* A path as check.c writes it: "tables.2.dense" is tables[2].dense. */
static const char *display_path(const char *path, char text[RESOLVE_PATH_MAX])
{
    size_t used = 0;

    text[0] = '\0';
    while (*path != '\0') {
        int length = (int)strcspn(path, ".");
        bool entry = *path >= '0' && *path <= '9';

        used += (size_t)snprintf(text + used, RESOLVE_PATH_MAX - used,
                                 entry  ? "[%.*s]"
                                 : used ? ".%.*s"
                                        : "%.*s",
                                 length, path);
        BUG_IF(used >= RESOLVE_PATH_MAX);
        path += length + (path[length] == '.');
    }
    return text;
}

enum status resolve_wrong(struct resolve *resolve, const char *path, const char *format, ...)
{
    char what[sizeof(resolve->error->message)], display[RESOLVE_PATH_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    return document_error(resolve->document, document_find_line(resolve->document, path), resolve->error,
                          "%s: %s", display_path(path, display), what);
}

/* A key that the text must have, as check.c says it of one that all jobs must have. */
static enum status need_key(struct resolve *resolve, const char *section, const char *path, const char *other)
{
    const struct field_rule *rule;
    const cyaml_schema_value_t *schema = job_schema_of(path, &rule);
    char allowed[ALLOWED_TEXT_MAX];
    size_t outside = strlen(section);

    if (document_has(resolve->document, path))
        return CAIRN_OK;
    return document_error(resolve->document, document_find_line(resolve->document, section), resolve->error,
                          "%s%smissing key \"%s\"%s, allowed: %s", section, outside ? ": " : "",
                          path + outside + (outside > 0), other, allowed_value(schema, rule, allowed));
}

/* Gives a text to the job. */
static char *take(char **text)
{
    char *taken = *text;

    *text = NULL;
    return taken;
}

/* ---- model */

/* The layer that one entry of the list says. */
static void copy_layer(const struct form_layer *form, uint32_t line, struct layer_spec *layer)
{
    for (int type = 0; type < LAYER_TYPE_COUNT; type++) {
        if (form->of[type] == NULL)
            continue;
        *layer = *form->of[type];
        layer->type = (enum layer_type)type;
    }
    layer->line = line;
    if (layer->strides[0] == 0) { /* pooling: one window after another */
        layer->strides[0] = layer->pool_size[0];
        layer->strides[1] = layer->pool_size[1];
    }
}

static enum status copy_layers(struct resolve *resolve)
{
    const struct form_model *form = resolve->form->model;
    struct model_spec *model = &resolve->job->model;

    model->layers = calloc(form->layers_count, sizeof(*model->layers));
    if (model->layers == NULL)
        return error_set(resolve->error, CAIRN_NO_MEMORY, "no memory for %u layers", form->layers_count);
    model->layer_count = form->layers_count;
    for (uint32_t i = 0; i < form->layers_count; i++) {
        char path[32];

        snprintf(path, sizeof(path), "model.layers.%u", i);
        copy_layer(&form->layers[i], document_find_line(resolve->document, path), &model->layers[i]);
    }
    model_spec_name_layers(model);
    return CAIRN_OK;
}

static enum status resolve_input_shape(struct resolve *resolve)
{
    const struct form_model *form = resolve->form->model;
    struct model_spec *model = &resolve->job->model;
    uint64_t elements = 1;

    model->input_rank = form->input_shape_count;
    for (uint32_t i = 0; i < form->input_shape_count; i++) {
        model->input_shape[i] = form->input_shape[i];
        elements *= form->input_shape[i];
        if (elements > GRAPH_ELEMENTS_MAX)
            return resolve_wrong(resolve, "model.input_shape",
                                 "too many elements a sample, allowed: at most %d", GRAPH_ELEMENTS_MAX);
    }
    return CAIRN_OK;
}

static enum status resolve_metrics(struct resolve *resolve)
{
    const struct form_model *form = resolve->form->model;
    struct model_spec *model = &resolve->job->model;

    model->loss = form->loss;
    model->metric_count = form->metrics_count;
    for (uint32_t i = 0; i < form->metrics_count; i++) {
        model->metrics[i] = form->metrics[i];
        for (uint32_t j = 0; j < i; j++) {
            if (form->metrics[j] == form->metrics[i])
                return resolve_wrong(resolve, "model.metrics", "%s is given twice, allowed: once",
                                     metric_name(form->metrics[i]));
        }
        if (form->metrics[i] == METRIC_ACCURACY && form->loss == LOSS_MEAN_SQUARED_ERROR)
            return resolve_wrong(resolve, "model.metrics",
                                 "accuracy says nothing about %s, allowed: accuracy with a crossentropy",
                                 loss_name(form->loss));
    }
    return CAIRN_OK;
}

static enum status resolve_model(struct resolve *resolve)
{
    struct job *job = resolve->job;
    struct error inner = {0};
    uint32_t bad_layer, line;
    enum status status = resolve_input_shape(resolve);

    if (status == CAIRN_OK)
        status = resolve_metrics(resolve);
    if (status == CAIRN_OK)
        status = copy_layers(resolve);
    if (status != CAIRN_OK)
        return status;
    status = graph_new(&job->model, &job->graph, &bad_layer, &inner);
    if (status == CAIRN_OK)
        return CAIRN_OK;
    if (status != CAIRN_INVALID)
        return error_set(resolve->error, status, "%s", inner.message);
    line = bad_layer < job->model.layer_count ? job->model.layers[bad_layer].line
                                              : document_find_line(resolve->document, "model");
    return document_error(resolve->document, line, resolve->error, "model: %s", inner.message);
}

/* ---- data */

/* How a format stands to a key. */
enum key_use { KEY_FOREIGN, KEY_OPTIONAL, KEY_NEEDED };

static enum status check_source_key(struct resolve *resolve, const char *section, const char *key, bool given,
                                    enum key_use use)
{
    char path[48];

    if (use == KEY_NEEDED && !given)
        return resolve_wrong(resolve, section, "missing key \"%s\", which this format needs, allowed: a path",
                             key);
    if (use != KEY_FOREIGN || !given)
        return CAIRN_OK;
    snprintf(path, sizeof(path), "%s.%s", section, key);
    return resolve_wrong(
        resolve, path,
        "not a key of this format, allowed: features and labels with idx; path, label_column and header "
        "with csv");
}

static enum status resolve_source(struct resolve *resolve, const char *section, struct form_source *form,
                                  struct data_source *source)
{
    bool csv = form->format == DATA_FORMAT_CSV;
    const struct {
        const char *key;
        bool given;
        enum key_use idx, csv;
    } keys[] = {
        {"features", form->features != NULL, KEY_NEEDED, KEY_FOREIGN},
        {"labels", form->labels != NULL, KEY_NEEDED, KEY_FOREIGN},
        {"path", form->path != NULL, KEY_FOREIGN, KEY_NEEDED},
        {"label_column", form->label_column != NULL, KEY_FOREIGN, KEY_OPTIONAL},
        {"header", form->header != NULL, KEY_FOREIGN, KEY_OPTIONAL},
    };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        enum status status =
            check_source_key(resolve, section, keys[i].key, keys[i].given, csv ? keys[i].csv : keys[i].idx);

        if (status != CAIRN_OK)
            return status;
    }
    source->format = form->format;
    source->features = csv ? take(&form->path) : take(&form->features);
    source->labels = take(&form->labels);
    source->label_column = take(&form->label_column);
    source->header = csv && (form->header == NULL || *form->header);
    source->scale = form->scale;
    source->line = document_find_line(resolve->document, section);
    return CAIRN_OK;
}

static enum status resolve_data(struct resolve *resolve)
{
    struct form_data *form = resolve->form->data;
    struct job *job = resolve->job;
    enum status status = resolve_source(resolve, "data.train", &form->train, &job->training);

    if (status == CAIRN_OK && form->validation != NULL) {
        job->has_validation = true;
        status = resolve_source(resolve, "data.validation", form->validation, &job->validation);
    }
    job->shuffle = form->shuffle;
    return status;
}

/* ---- train */

enum status resolve_codec(struct resolve *resolve, const char *path, const struct form_codec *form,
                          struct codec_spec *codec)
{
    struct error error;

    for (int type = 0; type < CODEC_COUNT; type++) {
        if (form->of[type] == NULL)
            continue;
        *codec = *form->of[type];
        codec->type = (enum codec_type)type;
    }
    if (codec->type == CODEC_TOP_K)
        codec->boundary = resolve->form->train.commit_every;
    if (codec_spec_check(codec, &error) != CAIRN_OK)
        return resolve_wrong(resolve, path, "%s", error.message);
    return CAIRN_OK;
}

/* top_k needs what a microbatch left unsent in earlier steps, which only the worker that computed it has. */
static enum status resolve_model_codec(struct resolve *resolve)
{
    enum status status =
        resolve_codec(resolve, "train.codec", &resolve->form->train.codec, &resolve->job->codec);

    if (status == CAIRN_OK && resolve->job->codec.type == CODEC_TOP_K)
        return resolve_wrong(resolve, "train.codec",
                             "top_k for a model, allowed: all others; it ties each microbatch to the worker "
                             "that remembers what was not sent");
    return status;
}

static uint32_t default_microbatches(uint32_t batch_size)
{
    uint32_t count = MICROBATCHES_DEFAULT_MAX;

    while (batch_size % count != 0)
        count--;
    return count;
}

/* What goes with each mode. Where every worker's gradients are an update of their own, there is no moment at
 * which a whole step's sums, or all weights of one version, are anywhere. */
static enum status resolve_mode(struct resolve *resolve)
{
    const struct form_train *form = &resolve->form->train;
    const bool has_staleness = document_has(resolve->document, "train.staleness");
    struct job *job = resolve->job;

    job->mode = (enum train_mode)form->mode;
    job->staleness = form->staleness;
    job->staleness_damping = form->staleness_damping;
    if (has_staleness && job->mode != TRAIN_SSP)
        return resolve_wrong(resolve, "train.staleness", "given with another mode, allowed: with mode: ssp");
    if (!has_staleness && job->mode == TRAIN_SSP)
        return resolve_wrong(resolve, "train.mode",
                             "ssp without \"staleness\", allowed: a whole number of steps from 0");
    if (job->staleness_damping && !job_is_throughput(job))
        return resolve_wrong(
            resolve, "train.staleness_damping",
            "given with mode sync, in which no gradient is stale, allowed: with async and ssp");
    if (job->record_hashes && job_is_throughput(job))
        return resolve_wrong(
            resolve, "train.record_hashes",
            "given with mode async or ssp, in which no two runs are alike, allowed: with sync");
    return CAIRN_OK;
}

/* Norms are over whole parameters, whose gradients of one step must be on all shards at once. */
static enum status check_norms(struct resolve *resolve)
{
    if (!job_is_throughput(resolve->job) || !optimizer_spec_needs_norms(&resolve->job->optimizer))
        return CAIRN_OK;
    return resolve_wrong(
        resolve, "train.optimizer",
        "clipnorm, global_clipnorm and lamb need the sums of all workers, allowed: with mode "
        "sync; clipvalue with all modes");
}

static enum status resolve_train(struct resolve *resolve)
{
    const struct form_train *form = &resolve->form->train;
    struct job *job = resolve->job;

    if (form->epochs != 0 && form->steps != 0)
        return resolve_wrong(resolve, "train.steps", "given beside epochs, allowed: one of epochs and steps");
    if (form->epochs == 0 && form->steps == 0)
        return resolve_wrong(resolve, "train",
                             "missing key \"epochs\" (or \"steps\"), allowed: a whole number from 1");
    if (form->microbatches > form->batch_size)
        return resolve_wrong(resolve, "train.microbatches", "%u, allowed: at most batch_size, which is %u",
                             form->microbatches, form->batch_size);
    job->epochs = form->epochs;
    job->steps = form->steps;
    job->batch_size = form->batch_size;
    job->microbatches = form->microbatches != 0 ? form->microbatches : default_microbatches(form->batch_size);
    job->threads_per_microbatch = form->threads_per_microbatch;
    job->commit_every = form->commit_every;
    job->record_hashes = form->record_hashes;
    job->terminate_on_nan = form->terminate_on_nan;
    return resolve_mode(resolve);
}

/* ---- cluster, output */

static uint32_t first_given(uint32_t first, uint32_t second, uint32_t third)
{
    return first != 0 ? first : second != 0 ? second : third;
}

static enum status resolve_cluster(struct resolve *resolve)
{
    const struct form_cluster *form = &resolve->form->cluster;
    const struct job_overrides *overrides = resolve->overrides;
    struct job *job = resolve->job;

    job->servers = first_given(overrides->servers, form->servers, 1);
    job->workers_min = first_given(overrides->workers_min, form->workers.min, 1);
    job->workers_max = first_given(overrides->workers_max, form->workers.max, job->microbatches);
    job->threads_per_worker = form->threads_per_worker;
    job->device = form->device;
    job->worker_tries = form->worker_tries;
    job->server_timeout = form->server_timeout;
    job->straggler_factor = form->straggler_factor;
    job->replicas = form->replicas;
    if (job->replicas > job->servers)
        return resolve_wrong(
            resolve, "cluster.replicas",
            "%u replicas, allowed: up to cluster.servers, which is %u, as each is on another", job->replicas,
            job->servers);
    if (job->workers_max > job->microbatches)
        return resolve_wrong(
            resolve, "cluster.workers",
            "%u workers, allowed: up to train.microbatches, which is %u, as each worker needs one",
            job->workers_max, job->microbatches);
    if (job->workers_min > job->workers_max)
        return resolve_wrong(resolve, "cluster.workers",
                             "at least %u workers, allowed: up to the most, which is %u", job->workers_min,
                             job->workers_max);
    return CAIRN_OK;
}

static enum status resolve_output(struct resolve *resolve)
{
    struct job *job = resolve->job;

    job->output_path = take(&resolve->form->output.path);
    if (job->output_path != NULL || asprintf(&job->output_path, "%s.h5", job->name) >= 0)
        return CAIRN_OK;
    job->output_path = NULL;
    return error_set(resolve->error, CAIRN_NO_MEMORY, "no memory for the output's path");
}

/* ---- the two kinds of job */

static enum status resolve_model_job(struct resolve *resolve)
{
    enum status status = need_key(resolve, "", "model", " (or \"tables\")");

    if (status == CAIRN_OK)
        status = need_key(resolve, "", "data", "");
    if (status == CAIRN_OK)
        status = need_key(resolve, "", "train", "");
    if (status == CAIRN_OK)
        status = need_key(resolve, "train", "train.optimizer", "");
    if (status == CAIRN_OK)
        status = resolve_model(resolve);
    if (status == CAIRN_OK)
        status = resolve_data(resolve);
    if (status == CAIRN_OK)
        status = resolve_train(resolve);
    if (status == CAIRN_OK)
        status = resolve_optimizer(resolve, "train.optimizer", resolve->form->train.optimizer,
                                   &resolve->job->optimizer);
    if (status == CAIRN_OK)
        status = check_norms(resolve);
    if (status == CAIRN_OK)
        status = resolve_model_codec(resolve);
    if (status == CAIRN_OK)
        status = resolve_cluster(resolve);
    if (status == CAIRN_OK)
        status = resolve_output(resolve);
    return status;
}

enum status job_resolve(struct job_form *form, struct document *document,
                        const struct job_overrides *overrides, struct job *job, struct error *error)
{
    struct resolve resolve = {form, document, overrides, job, error};

    memcpy(job->name, form->name, sizeof(job->name));
    job->seed = form->seed;
    return form->tables_count > 0 ? resolve_tables_job(&resolve) : resolve_model_job(&resolve);
}
