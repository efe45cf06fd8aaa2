/* h5.h, reading. The file is foreign: each attribute's type and size, each dataset's type and shape are
 * checked before memory is asked for, and links that lead out of the file are refused. */
#include "model/formats/h5.h"

#include "model/formats/h5_quiet.h"
#include "model/formats/keras_config.h"
#include "model/formats/keras_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_BYTES_MAX (16u * 1024u * 1024u)
#define NAME_BYTES_MAX 4096u
#define PARAMETERS_MAX 2 /* of a layer */
/* No encoding in HDF5 that we read makes a float of less: deflate at its best, of half-precision values. */
#define FLOATS_PER_BYTE (1032 / 2)

struct h5_file {
    hid_t file;
    hid_t groups, datasets; /* access lists that refuse external links */
    uint64_t bytes;         /* of the file */
};

static enum status corrupt(const char *what, struct error *error)
{
    char reason[H5_REASON_SIZE];

    return error_set(error, CAIRN_CORRUPT, "%s cannot be read: %s", what, h5_reason(reason));
}

static herr_t refuse_external(const char *parent_file, const char *parent_group, const char *child_file,
                              const char *child_object, unsigned *flags, hid_t access, void *context)
{
    (void)parent_file, (void)parent_group, (void)child_file, (void)child_object, (void)flags, (void)access,
        (void)context;
    return -1;
}

/* A string attribute's values, opened: `count` texts. */
struct texts {
    hid_t attribute, type, space;
    bool variable;
    size_t width; /* bytes of one in memory: a pointer when variable */
    char *buffer; /* count * width */
};

static void texts_fini(struct texts *texts)
{
    if (texts->variable && texts->buffer != NULL)
        (void)H5Dvlen_reclaim(texts->type, texts->space, H5P_DEFAULT, texts->buffer);
    free(texts->buffer);
    h5_close(texts->space);
    h5_close(texts->type);
    h5_close(texts->attribute);
}

/* Reads attribute `name` of `place`, which must be `count` strings. May be finished after a failure. */
static enum status texts_init(struct texts *texts, hid_t place, const char *name, hssize_t count,
                              struct error *error)
{
    *texts = (struct texts){.attribute = H5_NONE, .type = H5_NONE, .space = H5_NONE};
    texts->attribute = H5Aopen(place, name, H5P_DEFAULT);
    if (texts->attribute < 0)
        return corrupt(name, error);
    texts->type = H5Aget_type(texts->attribute);
    texts->space = H5Aget_space(texts->attribute);
    if (texts->type < 0 || texts->space < 0)
        return corrupt(name, error);
    if (H5Tget_class(texts->type) != H5T_STRING)
        return error_set(error, CAIRN_INVALID, "%s is not text", name);
    if (H5Sget_simple_extent_npoints(texts->space) != count)
        return error_set(error, CAIRN_INVALID, "%s has %lld values instead of %lld", name,
                         (long long)H5Sget_simple_extent_npoints(texts->space), (long long)count);
    texts->variable = H5Tis_variable_str(texts->type) > 0;
    texts->width = texts->variable ? sizeof(char *) : H5Tget_size(texts->type);
    if (texts->width == 0 || texts->width > TEXT_BYTES_MAX)
        return error_set(error, CAIRN_INVALID, "%s is longer than %u bytes", name, TEXT_BYTES_MAX);
    texts->buffer = calloc((size_t)count, texts->width);
    if (texts->buffer == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    return H5Aread(texts->attribute, texts->type, texts->buffer) < 0 ? corrupt(name, error) : CAIRN_OK;
}

/* Text `index`, borrowed, and its length. */
static const char *texts_get(const struct texts *texts, size_t index, size_t *length)
{
    const char *text = texts->buffer + index * texts->width;

    if (texts->variable)
        memcpy(&text, texts->buffer + index * texts->width, sizeof text);
    if (text == NULL)
        text = "";
    *length = texts->variable ? strlen(text) : strnlen(text, texts->width);
    return text;
}

/* A dataset that is where `path` says, holds floats and has the parameter's shape. H5_NONE after a failure.
 */
static enum status open_parameter(const struct h5_file *h5, hid_t group, const char *path,
                                  const struct graph_parameter *parameter, hid_t *out, struct error *error)
{
    hsize_t dimensions[MODEL_RANK_MAX] = {0};
    hid_t dataset = H5Dopen2(group, path, h5->datasets), type, space, creation;
    enum status status = CAIRN_OK;
    bool same;

    *out = H5_NONE;
    if (dataset < 0)
        return corrupt(path, error);
    type = H5Dget_type(dataset);
    space = H5Dget_space(dataset);
    creation = H5Dget_create_plist(dataset);
    same = space >= 0 && H5Sget_simple_extent_ndims(space) == (int)parameter->shape.rank &&
           H5Sget_simple_extent_dims(space, dimensions, NULL) >= 0;
    for (uint32_t i = 0; i < parameter->shape.rank && same; i++)
        same = dimensions[i] == parameter->shape.dim[i];
    if (type < 0 || creation < 0 || H5Tget_class(type) != H5T_FLOAT)
        status = error_set(error, CAIRN_INVALID, "%s is not an array of floats", path);
    else if (!same)
        status = error_set(error, CAIRN_INVALID, "%s does not have the shape that its layer needs", path);
    else if (H5Pget_external_count(creation) != 0 || H5Pget_layout(creation) == H5D_VIRTUAL)
        status = error_set(error, CAIRN_UNSUPPORTED, "%s lies in another file", path);
    h5_close(creation);
    h5_close(space);
    h5_close(type);
    if (status == CAIRN_OK)
        *out = dataset;
    else
        h5_close(dataset);
    return status;
}

static enum status read_parameter(const struct h5_file *h5, hid_t group, const struct texts *names,
                                  size_t index, const struct graph_parameter *parameter, float *weights,
                                  struct error *error)
{
    char path[NAME_BYTES_MAX];
    size_t length;
    const char *name = texts_get(names, index, &length);
    enum status status;
    hid_t dataset;

    if (length == 0 || length >= sizeof path || name[0] == '/')
        return error_set(error, CAIRN_INVALID, "weight name %zu is not a path", index);
    memcpy(path, name, length);
    path[length] = '\0';
    status = open_parameter(h5, group, path, parameter, &dataset, error);
    if (status != CAIRN_OK)
        return status;
    if (H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, weights + parameter->offset) < 0)
        status = corrupt(path, error);
    h5_close(dataset);
    return status;
}

static enum status read_layer(const struct h5_file *h5, hid_t weights_group, const struct graph *graph,
                              const struct graph_layer *layer, float *weights, struct error *error)
{
    hid_t group = H5Gopen2(weights_group, layer->spec->name, h5->groups);
    struct texts names;
    enum status status;

    if (group < 0)
        return corrupt("its group in model_weights", error);
    status = texts_init(&names, group, "weight_names", layer->parameter_count, error);
    for (uint32_t i = 0; i < layer->parameter_count && status == CAIRN_OK; i++)
        status = read_parameter(h5, group, &names, i, &graph->parameters[layer->first_parameter + i], weights,
                                error);
    texts_fini(&names);
    h5_close(group);
    return status;
}

static enum status read_weights(const struct h5_file *h5, const struct graph *graph, float **out,
                                struct error *error)
{
    hid_t group = H5_NONE;
    float *weights = NULL;
    enum status status = CAIRN_OK;

    if (graph->trainable / FLOATS_PER_BYTE > h5->bytes)
        return error_set(error, CAIRN_CORRUPT, "the file is too small for the %llu weights of its model",
                         (unsigned long long)graph->trainable);
    weights = calloc(graph->floats, sizeof *weights);
    if (weights == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %llu weights",
                         (unsigned long long)graph->floats);
    group = H5Gopen2(h5->file, "model_weights", h5->groups);
    if (group < 0)
        status = corrupt("group model_weights", error);
    for (uint32_t i = 0; i < graph->layer_count && status == CAIRN_OK; i++) {
        if (graph->layers[i].parameter_count == 0)
            continue;
        status = read_layer(h5, group, graph, &graph->layers[i], weights, error);
        if (status != CAIRN_OK)
            error_prefix(error, status, "layer %s", graph->layers[i].spec->name);
    }
    h5_close(group);
    if (status != CAIRN_OK) {
        free(weights);
        return status;
    }
    *out = weights;
    return CAIRN_OK;
}

static enum status read_spec(const struct h5_file *h5, struct model_spec **out, struct error *error)
{
    struct keras_text model = {0}, training = {0};
    struct texts model_texts, training_texts;
    bool has_training = H5Aexists(h5->file, "training_config") > 0;
    enum status status;

    if (H5Aexists(h5->file, "model_config") <= 0)
        return error_set(error, CAIRN_INVALID, "no model_config: not a whole Keras model (weights only?)");
    status = texts_init(&model_texts, h5->file, "model_config", 1, error);
    if (status == CAIRN_OK)
        model.text = texts_get(&model_texts, 0, &model.length);
    if (status == CAIRN_OK && has_training) {
        status = texts_init(&training_texts, h5->file, "training_config", 1, error);
        if (status == CAIRN_OK)
            training.text = texts_get(&training_texts, 0, &training.length);
        if (status == CAIRN_OK)
            status = keras_config_parse(model, training, out, error);
        texts_fini(&training_texts);
    } else if (status == CAIRN_OK) {
        status = keras_config_parse(model, training, out, error);
    }
    texts_fini(&model_texts);
    return status;
}

static enum status read_model(const struct h5_file *h5, struct model_spec **spec_out, float **weights_out,
                              struct error *error)
{
    struct model_spec *spec = NULL;
    struct graph *graph = NULL;
    enum status status = read_spec(h5, &spec, error);

    if (status == CAIRN_OK)
        status = graph_new(spec, &graph, NULL, error);
    if (status == CAIRN_OK)
        status = read_weights(h5, graph, weights_out, error);
    if (status == CAIRN_OK) {
        *spec_out = spec;
        spec = NULL;
    }
    graph_free(graph);
    h5_spec_free(spec);
    return status;
}

/* Opens with the given access list (taken) and reads. */
static enum status open_and_read(const char *path, hid_t access, uint64_t bytes, struct model_spec **spec,
                                 float **weights, struct error *error)
{
    struct h5_file h5 = {.file = H5_NONE,
                         .groups = H5Pcreate(H5P_GROUP_ACCESS),
                         .datasets = H5Pcreate(H5P_DATASET_ACCESS),
                         .bytes = bytes};
    enum status status;
    char reason[H5_REASON_SIZE];

    if (access < 0 || h5.groups < 0 || h5.datasets < 0 ||
        H5Pset_elink_cb(h5.groups, refuse_external, NULL) < 0 ||
        H5Pset_elink_cb(h5.datasets, refuse_external, NULL) < 0 ||
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) < 0)
        status = error_set(error, CAIRN_NO_MEMORY, "libhdf5: %s", h5_reason(reason));
    else if ((h5.file = H5Fopen(path, H5F_ACC_RDONLY, access)) < 0)
        status = error_set(error, CAIRN_CORRUPT, "not an HDF5 file, or a damaged one: %s", h5_reason(reason));
    else
        status = read_model(&h5, spec, weights, error);
    h5_close(h5.file);
    h5_close(h5.groups);
    h5_close(h5.datasets);
    h5_close(access);
    if (status == CAIRN_OK)
        return CAIRN_OK;
    keras_json_one_line(error);
    return error_prefix(error, status, "%s", path);
}

enum status h5_read(const char *path, struct model_spec **spec, float **weights, struct error *error)
{
    struct h5_quiet before;
    struct stat file;
    enum status status;

    if (stat(path, &file) != 0)
        return error_system(error, errno, "%s", path);
    if (!S_ISREG(file.st_mode))
        return error_set(error, CAIRN_INVALID, "%s: not a regular file", path);
    h5_quiet(&before);
    status = open_and_read(path, H5Pcreate(H5P_FILE_ACCESS), (uint64_t)file.st_size, spec, weights, error);
    h5_loud(&before);
    return status;
}

enum status h5_parse(const void *bytes, size_t length, const char *name, struct model_spec **spec,
                     float **weights, struct error *error)
{
    struct h5_quiet before;
    enum status status;
    hid_t access;

    if (length == 0)
        return error_set(error, CAIRN_CORRUPT, "%s: the file is empty", name);
    h5_quiet(&before);
    access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && (H5Pset_fapl_core(access, 1u << 16, false) < 0 ||
                        H5Pset_file_image(access, (void *)(uintptr_t)bytes, length) < 0)) {
        h5_close(access);
        access = H5_NONE;
    }
    status = open_and_read(name, access, length, spec, weights, error);
    h5_loud(&before);
    return status;
}
