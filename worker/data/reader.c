/* reader.h: the table of formats. A new format is one file and one line here. */
#include "data/reader.h"

#include "data/format.h"

#include <stdlib.h>

static reader_open_format *const formats[DATA_FORMAT_COUNT] = {
    [DATA_FORMAT_IDX] = idx_reader_open,
    [DATA_FORMAT_CSV] = csv_reader_open,
};

/* path from the job's base directory in *out; NULL stays NULL. */
static enum status resolve(const struct job *job, const char *path, char **out, struct error *error)
{
    if (path == NULL)
        return CAIRN_OK;
    *out = job_path(job, path);
    return *out != NULL ? CAIRN_OK : error_set(error, CAIRN_NO_MEMORY, "%s: out of memory", path);
}

enum status reader_open(const struct job *job, const struct data_source *source,
                        const struct reader_wants *wants, struct reader **out, struct error *error)
{
    struct data_source resolved = *source;
    enum status status;

    if ((unsigned)source->format >= DATA_FORMAT_COUNT)
        return error_set(error, CAIRN_UNSUPPORTED, "data format %u is unknown", (unsigned)source->format);
    resolved.features = NULL;
    resolved.labels = NULL;
    status = resolve(job, source->features, &resolved.features, error);
    if (status == CAIRN_OK)
        status = resolve(job, source->labels, &resolved.labels, error);
    if (status == CAIRN_OK)
        status = formats[source->format](&resolved, wants, out, error);
    free(resolved.features);
    free(resolved.labels);
    return status;
}

void reader_free(struct reader *reader)
{
    if (reader != NULL)
        reader->ops->free(reader);
}

uint64_t reader_count(const struct reader *reader)
{
    return reader->count;
}

void reader_read(const struct reader *reader, uint64_t index, float *features, void *target)
{
    BUG_IF(index >= reader->count);
    reader->ops->read(reader, index, features, target);
}

struct reader_wants reader_wants_of(const struct graph *graph)
{
    const struct shape *output = &graph->layers[graph->layer_count - 1].output;
    struct reader_wants wants = {
        .input = {.rank = graph->spec->input_rank},
        .target = graph->spec->loss == LOSS_SPARSE_CATEGORICAL_CROSSENTROPY ? TARGET_CLASS : TARGET_FLOAT,
    };

    for (uint32_t i = 0; i < wants.input.rank; i++)
        wants.input.dim[i] = graph->spec->input_shape[i];
    if (wants.target == TARGET_CLASS)
        wants.classes = output->dim[output->rank - 1];
    else
        wants.target_elements = (uint32_t)shape_elements(output);
    return wants;
}
