/* h5.h, writing. libhdf5 lays the file out in memory, and the finished image is written here: a failing disk
 * then gives an errno and leaves libhdf5 without a half-written file to close. The image has no times in it,
 * so equal models are equal files. */
#include "model/formats/h5.h"

#include "base/new_file.h"
#include "model/formats/h5_quiet.h"
#include "model/formats/keras_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERAS_VERSION "2.15.0" /* whose form of the file this is */
#define BACKEND       "tensorflow"
#define NAME_SIZE     (MODEL_NAME_MAX + 24) /* "LAYER/kernel:0" */

static enum status library_failed(const char *doing, struct error *error)
{
    char reason[H5_REASON_SIZE];

    return error_set(error, CAIRN_IO, "libhdf5 cannot %s: %s", doing, h5_reason(reason));
}

/* An attribute with one text of any length. */
static enum status put_text(hid_t place, const char *name, const char *text, struct error *error)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), attribute = H5_NONE;
    enum status status = CAIRN_OK;

    if (type < 0 || space < 0 || H5Tset_size(type, H5T_VARIABLE) < 0 ||
        H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
        (attribute = H5Acreate2(place, name, type, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
        H5Awrite(attribute, type, &text) < 0)
        status = library_failed(name, error);
    h5_close(attribute);
    h5_close(space);
    h5_close(type);
    return status;
}

/* An attribute with `count` texts of `width` bytes each, padded with zeros. */
static enum status put_names(hid_t place, const char *name, const char *names, size_t width, hsize_t count,
                             struct error *error)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &count, NULL), attribute = H5_NONE;
    enum status status = CAIRN_OK;

    if (type < 0 || space < 0 || H5Tset_size(type, width) < 0 || H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 ||
        (attribute = H5Acreate2(place, name, type, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
        (count > 0 && H5Awrite(attribute, type, names) < 0))
        status = library_failed(name, error);
    h5_close(attribute);
    h5_close(space);
    h5_close(type);
    return status;
}

/* One parameter as a dataset at `path` under the layer's group, with the groups between. */
static enum status put_parameter(hid_t layer_group, const char *path, const struct graph_parameter *parameter,
                                 const float *weights, struct error *error)
{
    hsize_t dimensions[MODEL_RANK_MAX];
    hid_t space = H5_NONE, links = H5Pcreate(H5P_LINK_CREATE), creation = H5Pcreate(H5P_DATASET_CREATE);
    hid_t dataset = H5_NONE;
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < parameter->shape.rank; i++)
        dimensions[i] = parameter->shape.dim[i];
    space = H5Screate_simple((int)parameter->shape.rank, dimensions, NULL);
    if (space < 0 || links < 0 || creation < 0 || H5Pset_obj_track_times(creation, false) < 0 ||
        H5Pset_create_intermediate_group(links, 1) < 0 ||
        (dataset = H5Dcreate2(layer_group, path, H5T_IEEE_F32LE, space, links, creation, H5P_DEFAULT)) < 0 ||
        H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, weights + parameter->offset) < 0)
        status = library_failed(path, error);
    h5_close(dataset);
    h5_close(creation);
    h5_close(links);
    h5_close(space);
    return status;
}

static enum status put_layer(hid_t weights_group, const struct graph *graph, const struct graph_layer *layer,
                             const float *weights, struct error *error)
{
    const struct graph_parameter *parameters = &graph->parameters[layer->first_parameter];
    char names[2][NAME_SIZE] = {{0}};
    hid_t group = H5Gcreate2(weights_group, layer->spec->name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    enum status status;

    if (group < 0)
        return library_failed(layer->spec->name, error);
    BUG_IF(layer->parameter_count > 2);
    for (uint32_t i = 0; i < layer->parameter_count; i++)
        snprintf(names[i], NAME_SIZE, "%s:0", parameters[i].name);
    status = put_names(group, "weight_names", names[0], NAME_SIZE, layer->parameter_count, error);
    for (uint32_t i = 0; i < layer->parameter_count && status == CAIRN_OK; i++)
        status = put_parameter(group, names[i], &parameters[i], weights, error);
    h5_close(group);
    return status;
}

static enum status put_layer_names(hid_t weights_group, const struct graph *graph, struct error *error)
{
    char *names = calloc(graph->layer_count, MODEL_NAME_MAX);
    enum status status;

    if (names == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < graph->layer_count; i++)
        memcpy(names + i * MODEL_NAME_MAX, graph->layers[i].spec->name, MODEL_NAME_MAX);
    status = put_names(weights_group, "layer_names", names, MODEL_NAME_MAX, graph->layer_count, error);
    free(names);
    return status;
}

static enum status put_versions(hid_t place, struct error *error)
{
    enum status status = put_text(place, "keras_version", KERAS_VERSION, error);

    return status == CAIRN_OK ? put_text(place, "backend", BACKEND, error) : status;
}

static enum status put_weights(hid_t file, const struct graph *graph, const float *weights,
                               struct error *error)
{
    hid_t group = H5Gcreate2(file, "model_weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    enum status status;

    if (group < 0)
        return library_failed("model_weights", error);
    status = put_versions(group, error);
    if (status == CAIRN_OK)
        status = put_layer_names(group, graph, error);
    for (uint32_t i = 0; i < graph->layer_count && status == CAIRN_OK; i++)
        status = put_layer(group, graph, &graph->layers[i], weights, error);
    h5_close(group);
    return status;
}

static enum status put_configs(hid_t file, const struct graph *graph, const char *model_name,
                               const struct h5_training *training, struct error *error)
{
    char *model = keras_model_config(graph, model_name);
    char *config = training != NULL ? keras_training_config(graph->spec, training) : NULL;
    enum status status;

    if (model == NULL || (training != NULL && config == NULL))
        status = error_set(error, CAIRN_NO_MEMORY, "out of memory for the model's description");
    else
        status = put_text(file, "model_config", model, error);
    if (status == CAIRN_OK && config != NULL)
        status = put_text(file, "training_config", config, error);
    free(model);
    free(config);
    return status;
}

/* Everything but the bytes' way to the disk. */
static enum status put_model(hid_t file, const struct graph *graph, const char *model_name,
                             const float *weights, const struct h5_training *training, struct error *error)
{
    enum status status = put_configs(file, graph, model_name, training, error);

    if (status == CAIRN_OK)
        status = put_versions(file, error);
    if (status == CAIRN_OK)
        status = put_weights(file, graph, weights, error);
    if (status == CAIRN_OK && H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        status = library_failed("flush", error);
    return status;
}

/* A file in memory only, which grows by an eighth of the model. */
static hid_t memory_file(const struct graph *graph, hid_t access)
{
    size_t increment = (size_t)(graph->floats / 8 * sizeof(float)) + (1u << 20);

    if (access < 0 || H5Pset_fapl_core(access, increment, false) < 0 ||
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) < 0)
        return H5_NONE;
    return H5Fcreate("cairn.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access);
}

static enum status write_bytes(const char *path, const void *bytes, size_t length, struct error *error)
{
    struct new_file new_file;
    enum status status = new_file_open(&new_file, path, error);

    if (status == CAIRN_OK)
        status = new_file_write(&new_file, bytes, length, error);
    if (status == CAIRN_OK)
        status = new_file_finish(&new_file, error);
    new_file_fini(&new_file);
    return status;
}

/* The image of the flushed file, where it lies in libhdf5's memory driver. */
static enum status write_image(hid_t file, hid_t access, const char *path, struct error *error)
{
    ssize_t length = H5Fget_file_image(file, NULL, 0);
    void *handle = NULL;

    if (length <= 0 || H5Fget_vfd_handle(file, access, &handle) < 0 || handle == NULL)
        return error_prefix(error, library_failed("give the file's image", error), "%s", path);
    return write_bytes(path, *(void **)handle, (size_t)length, error);
}

enum status h5_write(const char *path, const struct graph *graph, const char *model_name,
                     const float *weights, const struct h5_training *training, struct error *error)
{
    struct h5_quiet before;
    hid_t access, file;
    enum status status;

    h5_quiet(&before);
    access = H5Pcreate(H5P_FILE_ACCESS);
    file = memory_file(graph, access);
    status = file < 0 ? library_failed("make a file in memory", error)
                      : put_model(file, graph, model_name, weights, training, error);
    if (status != CAIRN_OK)
        error_prefix(error, status, "%s", path);
    else
        status = write_image(file, access, path, error);
    h5_close(file);
    h5_close(access);
    h5_loud(&before);
    return status;
}
