/* What Cairn makes of an HDF5 model file. libhdf5's own decoder is not the subject (it hangs on some damaged
 * files, h5.h says so): the input is put into a sound file, as model_config, training_config and the weights'
 * names and shapes, and that file is read. A refusal must be one line that names the file; what is accepted
 * must be a model.
 *
 * Input: choices of one byte each (kind of text attributes, shape and place of the weights), a NUL-terminated
 * training_config (may be empty: none), then model_config. */
#include "model/formats/h5.h"
#include "model/formats/keras_config.h"
#include "fuzz.h"

#include <hdf5.h>
#include <string.h>

#define CHOICES 4

/* A text attribute, of variable or fixed length. */
static void put_text(hid_t file, const char *name, const char *text, size_t length, int variable)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), attribute;

    if (length == 0)
        length = 1;
    H5Tset_size(type, variable ? H5T_VARIABLE : length);
    attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute >= 0) {
        H5Awrite(attribute, type, variable ? (const void *)&text : text);
        H5Aclose(attribute);
    }
    H5Sclose(space);
    H5Tclose(type);
}

/* Group model_weights/d with weights k and b of [rows, columns] and [columns]. */
static void put_weights(hid_t file, const uint8_t choices[CHOICES])
{
    hsize_t shape[2] = {choices[1] % 8 + 1, choices[2] % 8 + 1}, names = choices[3] % 4;
    hid_t links = H5Pcreate(H5P_LINK_CREATE), type = H5Tcopy(H5T_C_S1), group, space, dataset;

    H5Pset_create_intermediate_group(links, 1);
    H5Tset_size(type, 2);
    group = H5Gcreate2(file, "model_weights/d", links, H5P_DEFAULT, H5P_DEFAULT);
    space = H5Screate_simple(1, &names, NULL);
    dataset = H5Acreate2(group, "weight_names", type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (names > 0)
        H5Awrite(dataset, type, "k\0b\0d\0");
    H5Aclose(dataset);
    H5Sclose(space);
    for (int i = 0; i < 2; i++) {
        space = H5Screate_simple(2 - i, shape + i, NULL);
        dataset = H5Dcreate2(group, i == 0 ? "k" : "b", choices[3] & 4 ? H5T_IEEE_F64BE : H5T_IEEE_F32LE,
                             space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        H5Dclose(dataset);
        H5Sclose(space);
    }
    H5Gclose(group);
    H5Tclose(type);
    H5Pclose(links);
}

/* The file's bytes, in memory that the caller frees. */
static void *make_file(const uint8_t *data, const char *training, const char *model, size_t *length)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file;
    void *image;

    H5Pset_fapl_core(access, 1u << 16, false);
    file = H5Fcreate("fuzz", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    put_text(file, "model_config", model, strlen(model), data[0] & 1);
    if (training[0] != '\0')
        put_text(file, "training_config", training, strlen(training), data[0] & 2);
    put_weights(file, data);
    H5Fflush(file, H5F_SCOPE_GLOBAL);
    *length = (size_t)H5Fget_file_image(file, NULL, 0);
    image = malloc(*length);
    REQUIRE(image != NULL && H5Fget_file_image(file, image, *length) >= 0);
    H5Fclose(file);
    H5Pclose(access);
    return image;
}

static void check_model(struct model_spec *spec, float *weights)
{
    struct graph *graph;
    char hash[65];

    REQUIRE(graph_new(spec, &graph, NULL, NULL) == CAIRN_OK);
    graph_hash(graph, weights, hash);
    graph_free(graph);
    h5_spec_free(spec);
    free(weights);
}

static bool is_config(const char *training, const char *model)
{
    struct keras_text training_text = {training[0] != '\0' ? training : NULL, strlen(training)};
    struct keras_text model_text = {model, strlen(model)};
    struct error error = {0};
    struct model_spec *spec;

    if (keras_config_parse(model_text, training_text, &spec, &error) == CAIRN_OK) {
        h5_spec_free(spec);
        return true;
    }
    REQUIRE(error.message[0] != '\0' && strchr(error.message, '\n') == NULL);
    return false;
}

static void read_file(const uint8_t *data, const char *training, const char *model)
{
    struct error error = {0};
    struct model_spec *spec;
    float *weights;
    size_t length;
    void *image = make_file(data, training, model, &length);

    if (h5_parse(image, length, "fuzz.h5", &spec, &weights, &error) == CAIRN_OK)
        check_model(spec, weights);
    else
        REQUIRE(strncmp(error.message, "fuzz.h5:", 8) == 0 && strchr(error.message, '\n') == NULL);
    free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *training, *model;
    char *texts;

    if (size < CHOICES)
        return 0;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    texts = calloc(1, size - CHOICES + 2); /* both texts end, whatever came in */
    REQUIRE(texts != NULL);
    memcpy(texts, data + CHOICES, size - CHOICES);
    training = texts;
    model = training + strlen(training) + 1;
    if (is_config(training, model))
        read_file(data, training, model);
    free(texts);
    return 0;
}
