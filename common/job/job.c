/* What programs ask of a loaded job. Knows nothing of YAML. */
#include "job/job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_source(struct data_source *source)
{
    free(source->features);
    free(source->labels);
    free(source->label_column);
}

void job_free(struct job *job)
{
    if (job == NULL)
        return;
    free(job->tables);
    graph_free(job->graph);
    free(job->model.layers);
    free_source(&job->training);
    free_source(&job->validation);
    free(job->output_path);
    free(job->base_directory);
    free(job);
}

char *job_path(const struct job *job, const char *path)
{
    char *full = NULL;

    if (path[0] == '/')
        return strdup(path);
    return asprintf(&full, "%s/%s", job->base_directory, path) < 0 ? NULL : full;
}

/* ---- tables */

bool job_is_throughput(const struct job *job)
{
    return job->mode != TRAIN_SYNC;
}

bool job_has_tables(const struct job *job)
{
    return job->table_count > 0;
}

const struct table_spec *job_table(const struct job *job, uint32_t number)
{
    if (number < TABLE_FIRST_USER || number - TABLE_FIRST_USER >= job->table_count)
        return NULL;
    return &job->tables[number - TABLE_FIRST_USER];
}

uint32_t table_chunk_floats(const struct table_spec *table)
{
    return placement_chunk_floats(table->size);
}

uint32_t table_chunk_count(const struct table_spec *table)
{
    uint64_t chunk = table_chunk_floats(table);

    return (uint32_t)((table->size + chunk - 1) / chunk);
}

void table_chunk(const struct table_spec *table, uint32_t chunk, uint64_t *begin, uint64_t *end)
{
    uint32_t floats = table_chunk_floats(table);

    BUG_IF(chunk >= table_chunk_count(table));
    *begin = (uint64_t)chunk * floats;
    *end = *begin + floats < table->size ? *begin + floats : table->size;
}

uint64_t table_state_bytes(const struct table_spec *table)
{
    uint64_t arrays = 1 + optimizer_spec_slot_count(&table->optimizer);

    if (table->kind == TABLE_KIND_DENSE)
        return table->size * arrays * sizeof(float);
    return sizeof(uint64_t) + table->dimension * arrays * sizeof(float);
}

/* A table that is added must not move what lies in the slots: its chunks go round over those that there are.
 */
uint32_t job_slot_count(const struct job *job)
{
    uint32_t chunks = job->graph != NULL ? job->graph->chunk_count : 0;

    for (uint32_t i = 0; i < job->table_count - job->added_count; i++) {
        uint32_t count = table_chunk_count(&job->tables[i]);

        chunks = count > chunks ? count : chunks;
    }
    return placement_slot_count(chunks);
}

bool job_slot_has_state(const struct job *job, uint32_t slot)
{
    uint32_t slot_count = job_slot_count(job);

    if (job->graph != NULL && placement_chunk(TABLE_WEIGHTS, slot, slot_count) < job->graph->chunk_count)
        return true;
    for (uint32_t i = 0; i < job->table_count; i++) {
        const struct table_spec *table = &job->tables[i];

        if (table->kind == TABLE_KIND_SPARSE ||
            placement_chunk(TABLE_FIRST_USER + i, slot, slot_count) < table_chunk_count(table))
            return true;
    }
    return false;
}

/* ---- training */

/* Keras's None is left out: readers of any version take what is missing for it. */
static void add_h5_argument(struct h5_object *object, const struct spec_argument *argument)
{
    if (!argument->is_given)
        return;
    BUG_IF(object->argument_count == H5_ARGUMENTS_MAX);
    object->arguments[object->argument_count++] = (struct h5_argument){
        argument->name,
        argument->is_boolean ? H5_BOOLEAN
        : argument->is_whole ? H5_WHOLE
                             : H5_NUMBER,
        argument->number,
    };
}

struct h5_training job_h5_training(const struct job *job)
{
    const struct optimizer_spec *optimizer = &job->optimizer;
    const struct schedule_spec *schedule = &optimizer->schedule;
    struct spec_argument argument;
    struct h5_training training = {.optimizer.class_name = optimizer_class_name(optimizer->type),
                                   .learning_rate = optimizer->learning_rate,
                                   .boundaries = schedule->boundaries,
                                   .values = schedule->values,
                                   .boundaries_count = schedule->boundaries_count,
                                   .values_count = schedule->values_count};

    for (uint32_t i = 0; optimizer_spec_argument(optimizer, i, &argument); i++)
        add_h5_argument(&training.optimizer, &argument);
    if (schedule->type != SCHEDULE_CONSTANT)
        training.schedule.class_name = schedule_class_name(schedule->type);
    for (uint32_t i = 0; schedule_spec_argument(schedule, i, &argument); i++)
        add_h5_argument(&training.schedule, &argument);
    return training;
}

void job_microbatch(const struct job *job, uint32_t batch_samples, uint32_t microbatch, uint32_t *begin,
                    uint32_t *end)
{
    *begin = (uint32_t)((uint64_t)batch_samples * microbatch / job->microbatches);
    *end = (uint32_t)((uint64_t)batch_samples * (microbatch + 1) / job->microbatches);
}

uint64_t job_steps_per_epoch(const struct job *job, uint64_t samples)
{
    return samples / job->batch_size + (samples % job->batch_size != 0);
}

uint64_t job_final_step(const struct job *job, uint64_t samples)
{
    uint64_t steps;

    if (job->steps != 0)
        return job->steps;
    if (__builtin_mul_overflow((uint64_t)job->epochs, job_steps_per_epoch(job, samples), &steps))
        return UINT64_MAX;
    return steps;
}

/* ---- the digest: of a text with each value in one spelling, so that two job files that say the same in
 * different words have the same digest. Changing this text makes all running jobs strangers. */

static void add(struct hash *hash, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct hash *hash, const char *format, ...)
{
    char line[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    BUG_IF(length < 0 || (size_t)length >= sizeof(line));
    hash_update(hash, line, (size_t)length);
}

/* A foreign text of any length, with its length before it. */
static void add_text(struct hash *hash, const char *what, const char *text)
{
    size_t length = text == NULL ? 0 : strlen(text);

    add(hash, "%s %zu ", what, length);
    hash_update(hash, text == NULL ? "" : text, length);
    add(hash, "\n");
}

static void add_layer(struct hash *hash, const struct layer_spec *layer)
{
    add_text(hash, layer_type_name(layer->type), layer->name);
    add(hash, "units %u filters %u kernel %u %u pool %u %u strides %u %u padding %s activation %s bias %d\n",
        layer->units, layer->filters, layer->kernel_size[0], layer->kernel_size[1], layer->pool_size[0],
        layer->pool_size[1], layer->strides[0], layer->strides[1], padding_name(layer->padding),
        activation_name(layer->activation), layer->use_bias);
    add(hash, "kernel_initializer %s bias_initializer %s rate %a\n",
        initializer_name(layer->kernel_initializer), initializer_name(layer->bias_initializer),
        (double)layer->rate);
}

static void add_model(struct hash *hash, const struct model_spec *model)
{
    add(hash, "input_shape");
    for (uint32_t i = 0; i < model->input_rank; i++)
        add(hash, " %u", model->input_shape[i]);
    add(hash, "\nloss %s\nmetrics", loss_name(model->loss));
    for (uint32_t i = 0; i < model->metric_count; i++)
        add(hash, " %s", metric_name(model->metrics[i]));
    add(hash, "\nlayers %u\n", model->layer_count);
    for (uint32_t i = 0; i < model->layer_count; i++)
        add_layer(hash, &model->layers[i]);
}

static void add_source(struct hash *hash, const struct data_source *source)
{
    add(hash, "format %d header %d scale %a\n", source->format, source->header, source->scale);
    add_text(hash, "features", source->features);
    add_text(hash, "labels", source->labels);
    add_text(hash, "label_column", source->label_column);
}

static void add_schedule(struct hash *hash, const struct schedule_spec *schedule)
{
    struct spec_argument argument;

    add(hash, "schedule %s", schedule_type_name(schedule->type));
    for (uint32_t i = 0; schedule_spec_argument(schedule, i, &argument); i++)
        add(hash, " %s %a", argument.name, argument.number);
    for (uint32_t i = 0; i < schedule->boundaries_count; i++)
        add(hash, " boundary %" PRIu64, schedule->boundaries[i]);
    for (uint32_t i = 0; i < schedule->values_count; i++)
        add(hash, " value %a", schedule->values[i]);
    add(hash, "\n");
}

static void add_optimizer(struct hash *hash, const struct optimizer_spec *optimizer)
{
    struct spec_argument argument;

    add(hash, "optimizer %s learning_rate %a", optimizer_type_name(optimizer->type),
        optimizer->learning_rate);
    for (uint32_t i = 0; optimizer_spec_argument(optimizer, i, &argument); i++)
        add(hash, " %s %a", argument.name, argument.number);
    add(hash, "\n");
    add_schedule(hash, &optimizer->schedule);
}

static void add_codec(struct hash *hash, const struct codec_spec *codec)
{
    add(hash, "codec %s rounding %d block %" PRIu32 " share %a boundary %" PRIu64 "\n",
        codec_name(codec->type), codec->rounding, codec->block, codec->share, codec->boundary);
}

static void add_table(struct hash *hash, const struct table_spec *table)
{
    const struct initializer_spec *initializer = &table->initializer;

    add_text(hash, table->kind == TABLE_KIND_DENSE ? "dense" : "sparse", table->name);
    add(hash, "size %" PRIu64 " dimension %" PRIu32 " admit_after %" PRIu32 " expire_after %" PRIu64 "\n",
        table->size, table->dimension, table->admit_after, table->expire_after);
    add(hash, "initializer %s minval %a maxval %a mean %a stddev %a\n", initializer_name(initializer->type),
        initializer->minval, initializer->maxval, initializer->mean, initializer->stddev);
    add_codec(hash, &table->codec);
    add_optimizer(hash, &table->optimizer);
}

bool table_equals(const struct table_spec *table, const struct table_spec *other)
{
    char texts[2][HASH_TEXT_BYTES];
    struct hash hash;

    hash_init(&hash);
    add_table(&hash, table);
    hash_text(&hash, texts[0]);
    hash_init(&hash);
    add_table(&hash, other);
    hash_text(&hash, texts[1]);
    return strcmp(texts[0], texts[1]) == 0;
}

static void tables_digest(const struct job *job, char text[HASH_TEXT_BYTES])
{
    uint32_t count = job->table_count - job->added_count;
    struct hash hash;

    hash_init(&hash);
    add(&hash, "cairn tables 1\nseed %" PRIu64 " microbatches %u mode sync\ntables %u\n", job->seed,
        job->microbatches, count);
    for (uint32_t i = 0; i < count; i++)
        add_table(&hash, &job->tables[i]);
    hash_text(&hash, text);
}

const char *train_mode_name(enum train_mode mode)
{
    return mode == TRAIN_SYNC ? "sync" : mode == TRAIN_ASYNC ? "async" : "ssp";
}

void job_digest(const struct job *job, char text[HASH_TEXT_BYTES])
{
    struct hash hash;

    if (job_has_tables(job)) {
        tables_digest(job, text);
        return;
    }
    hash_init(&hash);
    add(&hash, "cairn job 1\nseed %" PRIu64 "\n", job->seed);
    add_model(&hash, &job->model);
    add_source(&hash, &job->training);
    add(&hash, "shuffle %d batch_size %u microbatches %u threads_per_microbatch %u mode %s\n", job->shuffle,
        job->batch_size, job->microbatches, job->threads_per_microbatch, train_mode_name(job->mode));
    if (job_is_throughput(job))
        add(&hash, "staleness %u damping %d\n", job->staleness, job->staleness_damping);
    add_optimizer(&hash, &job->optimizer);
    if (job->codec.type != CODEC_FLOAT32) /* so the digests of older jobs stay */
        add_codec(&hash, &job->codec);
    hash_text(&hash, text);
}
