/* Keras's HDF5 files: what is written is read back bit for bit, real files of Keras load, broken ones are
 * refused with one line. */
#include "check_main.h"
#include "folder.h"

#include "model/formats/h5.h"
#include "model/formats/keras_config.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[FOLDER_BYTES];
static char path[128];

static void setup(void)
{
    folder_make(folder);
    snprintf(path, sizeof path, "%s/model.h5", folder);
}

static void teardown(void)
{
    folder_remove(folder);
}

static struct layer_spec network[] = {
    {.type = LAYER_CONV2D,
     .name = "conv2d",
     .filters = 3,
     .kernel_size = {3, 2},
     .strides = {1, 2},
     .padding = PADDING_SAME,
     .activation = ACTIVATION_RELU,
     .use_bias = true,
     .kernel_initializer = INITIALIZER_HE_NORMAL,
     .bias_initializer = INITIALIZER_ZEROS},
    {.type = LAYER_MAX_POOLING2D, .name = "pool", .pool_size = {2, 2}, .strides = {2, 1}},
    {.type = LAYER_AVERAGE_POOLING2D,
     .name = "average",
     .pool_size = {2, 1},
     .strides = {1, 1},
     .padding = PADDING_SAME},
    {.type = LAYER_DROPOUT, .name = "dropout", .rate = 0.3f},
    {.type = LAYER_FLATTEN, .name = "input"},
    {.type = LAYER_DENSE,
     .name = "dense",
     .units = 7,
     .activation = ACTIVATION_GELU,
     .kernel_initializer = INITIALIZER_RANDOM_NORMAL},
    {.type = LAYER_ACTIVATION, .name = "activation", .activation = ACTIVATION_TANH},
    {.type = LAYER_DENSE,
     .name = "dense_1",
     .units = 4,
     .use_bias = true,
     .kernel_initializer = INITIALIZER_LECUN_UNIFORM,
     .bias_initializer = INITIALIZER_ONES},
};

static const struct model_spec spec_all = {.input_rank = 3,
                                           .input_shape = {8, 6, 2},
                                           .layer_count = sizeof network / sizeof network[0],
                                           .layers = network,
                                           .loss = LOSS_SPARSE_CATEGORICAL_CROSSENTROPY,
                                           .metric_count = 1,
                                           .metrics = {METRIC_ACCURACY}};

static const struct h5_training sgd = {
    .optimizer = {"SGD", 2, {{"momentum", H5_NUMBER, 0.9}, {"nesterov", H5_BOOLEAN, 1}}},
    .learning_rate = 0.1};

static struct graph *make_graph(const struct model_spec *spec, float **weights)
{
    struct graph *graph;
    struct error error;

    ck_assert_msg(graph_new(spec, &graph, NULL, &error) == CAIRN_OK, "%s", error.message);
    *weights = calloc(graph->floats, sizeof **weights);
    ck_assert_ptr_nonnull(*weights);
    graph_initial_values(graph, 7, 0, graph->floats, *weights);
    return graph;
}

static void write_model(const struct model_spec *spec, const struct h5_training *training)
{
    float *weights;
    struct graph *graph = make_graph(spec, &weights);
    struct error error;

    ck_assert_msg(h5_write(path, graph, "test", weights, training, &error) == CAIRN_OK, "%s", error.message);
    free(weights);
    graph_free(graph);
}

START_TEST(round_trip_is_exact)
{
    float *weights, *read_weights;
    struct graph *graph = make_graph(&spec_all, &weights), *read_graph;
    struct model_spec *read;
    struct error error;
    char hash[65], read_hash[65];

    ck_assert_msg(h5_write(path, graph, "test", weights, &sgd, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_msg(h5_read(path, &read, &read_weights, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_int_eq(read->input_rank, 3);
    ck_assert_mem_eq(read->input_shape, spec_all.input_shape, sizeof read->input_shape);
    ck_assert_int_eq(read->layer_count, spec_all.layer_count);
    for (uint32_t i = 0; i < read->layer_count; i++)
        ck_assert_msg(memcmp(&read->layers[i], &network[i], sizeof network[i]) == 0, "layer %u differs", i);
    ck_assert_int_eq(read->loss, spec_all.loss);
    ck_assert_int_eq(read->metric_count, 1);
    ck_assert_mem_eq(read_weights, weights, graph->floats * sizeof *weights);
    ck_assert_int_eq(graph_new(read, &read_graph, NULL, NULL), CAIRN_OK);
    graph_hash(graph, weights, hash);
    graph_hash(read_graph, read_weights, read_hash);
    ck_assert_str_eq(hash, read_hash);
    graph_free(read_graph);
    graph_free(graph);
    h5_spec_free(read);
    free(weights);
    free(read_weights);
}
END_TEST

static char *read_bytes(size_t *length)
{
    FILE *file = fopen(path, "rb");
    char *bytes;

    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*length + 1);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(fread(bytes, 1, *length, file), *length);
    bytes[*length] = '\0';
    fclose(file);
    return bytes;
}

START_TEST(equal_models_are_equal_files)
{
    size_t length_1, length_2;
    char *first, *second;

    write_model(&spec_all, &sgd);
    first = read_bytes(&length_1);
    write_model(&spec_all, &sgd);
    second = read_bytes(&length_2);
    ck_assert_int_eq(length_1, length_2);
    ck_assert_mem_eq(first, second, length_1);
    free(first);
    free(second);
}
END_TEST

/* The loss of what training_config and the last layer say; every loss, with and without training_config. */
START_TEST(losses_round_trip)
{
    static const struct h5_training adam = {.optimizer = {"Adam", 1, {{"epsilon", H5_NUMBER, 1e-7}}},
                                            .learning_rate = 1e-3};
    struct model_spec spec = spec_all, *read;
    float *weights;

    for (int loss = 0; loss < LOSS_COUNT; loss++) {
        spec.loss = (enum loss)loss;
        spec.metric_count = loss != LOSS_MEAN_SQUARED_ERROR;
        write_model(&spec, &adam);
        ck_assert_int_eq(h5_read(path, &read, &weights, NULL), CAIRN_OK);
        ck_assert_int_eq(read->loss, loss);
        ck_assert_int_eq(read->metric_count, spec.metric_count);
        h5_spec_free(read);
        free(weights);
    }
    write_model(&spec_all, NULL);
    ck_assert_int_eq(h5_read(path, &read, &weights, NULL), CAIRN_OK);
    ck_assert_int_eq(read->loss, LOSS_MEAN_SQUARED_ERROR);
    h5_spec_free(read);
    free(weights);
}
END_TEST

/* Keras 3 itself opens a file with each of these; see the commit that added them. */
START_TEST(optimizers_are_written_as_keras_writes_them)
{
    static const uint64_t boundaries[] = {10, 20};
    static const double values[] = {1, 0.5, 0.25};
    struct model_spec spec = {.loss = LOSS_MEAN_SQUARED_ERROR};
    struct h5_training training = {
        .optimizer = {"Adam", 2, {{"beta_1", H5_NUMBER, 0.5}, {"amsgrad", H5_BOOLEAN, 1}}},
        .schedule = {"CosineDecay", 2, {{"alpha", H5_NUMBER, 0.25}, {"decay_steps", H5_WHOLE, 7}}}};
    char *text = keras_training_config(&spec, &training);

    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_nonnull(strstr(
        text, "\"optimizer_config\":{\"class_name\":\"Adam\",\"config\":{\"name\":\"Adam\",\"learning_rate\":"
              "{\"module\":\"keras.optimizers.schedules\",\"class_name\":\"CosineDecay\",\"config\":{"
              "\"name\":\"CosineDecay\",\"alpha\":0.25,"
              "\"decay_steps\":7},\"registered_name\":null},\"beta_1\":0.5,\"amsgrad\":true}}"));
    free(text);
    training.schedule = (struct h5_object){.class_name = "PiecewiseConstantDecay"};
    training.boundaries = boundaries;
    training.values = values;
    training.boundaries_count = 2;
    training.values_count = 3;
    text = keras_training_config(&spec, &training);
    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_nonnull(strstr(text, "\"boundaries\":[10,20],\"values\":[1.0,0.5,0.25]}"));
    free(text);
}
END_TEST

START_TEST(truncated_files_are_refused)
{
    size_t length;
    char *bytes;

    write_model(&spec_all, &sgd);
    bytes = read_bytes(&length);
    for (size_t i = 0; i < length; i += 37) {
        struct model_spec *spec = NULL;
        float *weights = NULL;
        struct error error = {0};

        ck_assert_msg(h5_parse(bytes, i, "cut.h5", &spec, &weights, &error) != CAIRN_OK, "%zu bytes", i);
        ck_assert_msg(strstr(error.message, "cut.h5") != NULL, "%s", error.message);
        ck_assert_ptr_null(strchr(error.message, '\n'));
    }
    free(bytes);
}
END_TEST

/* --- files that are sound HDF5, but not the model that they say --- */

static void delete_attribute(hid_t file)
{
    ck_assert_int_ge(H5Adelete(file, "model_config"), 0);
}

static void make_attribute_a_number(hid_t file)
{
    hid_t space = H5Screate(H5S_SCALAR), attribute;

    delete_attribute(file);
    attribute = H5Acreate2(file, "model_config", H5T_NATIVE_INT, space, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(attribute, 0);
    H5Aclose(attribute);
    H5Sclose(space);
}

static void make_attribute_empty(hid_t file)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_NULL), attribute;

    delete_attribute(file);
    attribute = H5Acreate2(file, "model_config", type, space, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(attribute, 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static void delete_weights(hid_t file)
{
    ck_assert_int_ge(H5Ldelete(file, "model_weights", H5P_DEFAULT), 0);
}

static void delete_layer(hid_t file)
{
    ck_assert_int_ge(H5Ldelete(file, "model_weights/dense_1", H5P_DEFAULT), 0);
}

static void delete_weight_names(hid_t file)
{
    ck_assert_int_ge(H5Adelete_by_name(file, "model_weights/dense", "weight_names", H5P_DEFAULT), 0);
}

/* Replaces the names of layer dense's weights by `count` times `name`. */
static void set_weight_names(hid_t file, const char *name, hsize_t count)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &count, NULL), attribute;
    char names[2][16] = {{0}};

    delete_weight_names(file);
    snprintf(names[0], sizeof names[0], "%s", name);
    H5Tset_size(type, sizeof names[0]);
    attribute = H5Acreate_by_name(file, "model_weights/dense", "weight_names", type, space, H5P_DEFAULT,
                                  H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(attribute, 0);
    ck_assert_int_ge(H5Awrite(attribute, type, names), 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static void add_weight_name(hid_t file)
{
    set_weight_names(file, "dense/kernel:0", 2);
}

static void lead_out_of_group(hid_t file)
{
    set_weight_names(file, "/dense/kernel:0", 1);
}

static void empty_weight_name(hid_t file)
{
    set_weight_names(file, "", 1);
}

#define KERNEL "model_weights/dense/dense/kernel:0"

static void replace_kernel(hid_t file, hid_t type, int rank, const hsize_t *dimensions)
{
    hid_t space = H5Screate_simple(rank, dimensions, NULL), dataset;

    ck_assert_int_ge(H5Ldelete(file, KERNEL, H5P_DEFAULT), 0);
    dataset = H5Dcreate2(file, KERNEL, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(dataset, 0);
    H5Dclose(dataset);
    H5Sclose(space);
}

static void make_kernel_whole_numbers(hid_t file)
{
    replace_kernel(file, H5T_STD_I32LE, 2, (hsize_t[]){24, 7});
}

static void make_kernel_narrow(hid_t file)
{
    replace_kernel(file, H5T_IEEE_F32LE, 2, (hsize_t[]){24, 6});
}

static void make_kernel_deep(hid_t file)
{
    replace_kernel(file, H5T_IEEE_F32LE, 6, (hsize_t[]){24, 7, 1, 1, 1, 1});
}

static void make_kernel_external(hid_t file)
{
    ck_assert_int_ge(H5Ldelete(file, KERNEL, H5P_DEFAULT), 0);
    ck_assert_int_ge(H5Lcreate_external("/etc/passwd", "/x", file, KERNEL, H5P_DEFAULT, H5P_DEFAULT), 0);
}

static void make_kernel_lie_outside(hid_t file)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(2, (hsize_t[]){24, 7}, NULL),
          dataset;

    ck_assert_int_ge(H5Ldelete(file, KERNEL, H5P_DEFAULT), 0);
    ck_assert_int_ge(H5Pset_external(creation, "/dev/zero", 0, 24 * 7 * 4), 0);
    dataset = H5Dcreate2(file, KERNEL, H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    ck_assert_int_ge(dataset, 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(creation);
}

static const struct {
    void (*change)(hid_t file);
    const char *message;
} changes[] = {
    {delete_attribute, "no model_config"},
    {make_attribute_a_number, "model_config is not text"},
    {make_attribute_empty, "model_config has 0 values instead of 1"},
    {delete_weights, "group model_weights cannot be read"},
    {delete_layer, "layer dense_1: its group"},
    {delete_weight_names, "layer dense: weight_names cannot be read"},
    {add_weight_name, "layer dense: weight_names has 2 values instead of 1"},
    {lead_out_of_group, "layer dense: weight name 0 is not a path"},
    {empty_weight_name, "layer dense: weight name 0 is not a path"},
    {make_kernel_whole_numbers, "dense/kernel:0 is not an array of floats"},
    {make_kernel_narrow, "does not have the shape"},
    {make_kernel_deep, "does not have the shape"},
    {make_kernel_external, "dense/kernel:0 cannot be read"},
    {make_kernel_lie_outside, "lies in another file"},
};

START_TEST(changed_files_are_refused)
{
    struct model_spec *spec;
    struct error error = {0};
    float *weights;
    hid_t file;

    write_model(&spec_all, &sgd);
    file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    ck_assert_int_ge(file, 0);
    changes[_i].change(file);
    H5Fclose(file);
    ck_assert_int_ne(h5_read(path, &spec, &weights, &error), CAIRN_OK);
    ck_assert_msg(strstr(error.message, changes[_i].message) != NULL, "'%s' instead of '%s'", error.message,
                  changes[_i].message);
    ck_assert_msg(strncmp(error.message, path, strlen(path)) == 0, "%s", error.message);
}
END_TEST

START_TEST(a_failed_write_leaves_the_old_file)
{
    float *weights;
    struct graph *graph = make_graph(&spec_all, &weights);
    struct error error;
    char inside[160];

    ck_assert_int_eq(h5_write("/nowhere/model.h5", graph, "test", weights, &sgd, &error), CAIRN_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.message, "/nowhere/model.h5"));
    ck_assert_int_eq(mkdir(path, 0755), 0);
    snprintf(inside, sizeof inside, "%s/keep", path);
    ck_assert_int_eq(mkdir(inside, 0755), 0);
    ck_assert_int_eq(h5_write(path, graph, "test", weights, &sgd, &error), CAIRN_INVALID);
    ck_assert_int_eq(rmdir(inside), 0);
    ck_assert_int_eq(rmdir(path), 0);
    free(weights);
    graph_free(graph);
}
END_TEST

START_TEST(a_model_goes_where_a_link_leads_and_nowhere_else)
{
    float *weights, *read_weights;
    struct graph *graph = make_graph(&spec_all, &weights);
    struct model_spec *read;
    struct error error;
    struct stat facts;
    char link[160];

    ck_assert_int_eq(mknod(path, S_IFREG | 0600, 0), 0);
    snprintf(link, sizeof link, "%s/link", folder);
    ck_assert_int_eq(symlink(path, link), 0);
    ck_assert_msg(h5_write(link, graph, "test", weights, &sgd, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_int_eq(lstat(link, &facts), 0);
    ck_assert(S_ISLNK(facts.st_mode));
    ck_assert_msg(h5_read(path, &read, &read_weights, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_int_eq(read->layer_count, spec_all.layer_count);
    h5_spec_free(read);
    free(read_weights);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(h5_write(link, graph, "test", weights, &sgd, &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "no regular file"));
    ck_assert_int_eq(lstat(path, &facts), 0);
    ck_assert(S_ISFIFO(facts.st_mode));
    ck_assert_int_eq(unlink(link), 0);
    free(weights);
    graph_free(graph);
}
END_TEST

START_TEST(missing_and_foreign_files)
{
    struct model_spec *spec;
    float *weights;
    struct error error;
    FILE *file;

    ck_assert_int_eq(h5_read(path, &spec, &weights, &error), CAIRN_NOT_FOUND);
    ck_assert_int_eq(h5_read(folder, &spec, &weights, &error), CAIRN_INVALID);
    file = fopen(path, "w");
    fputs("this is a text", file);
    fclose(file);
    ck_assert_int_eq(h5_read(path, &spec, &weights, &error), CAIRN_CORRUPT);
    ck_assert_ptr_nonnull(strstr(error.message, "not an HDF5 file"));
}
END_TEST

/* --- JSON --- */

struct config_case {
    const char *model, *training, *message; /* message NULL: loads */
};

#define SEQUENTIAL(layers)                                                                                   \
    "{\"class_name\":\"Sequential\",\"config\":{\"name\":\"s\",\"layers\":[" layers "]}}"
#define INPUT       "{\"class_name\":\"InputLayer\",\"config\":{\"batch_shape\":[null,4],\"name\":\"i\"}}"
#define DENSE(more) "{\"class_name\":\"Dense\",\"config\":{\"name\":\"d\"," more "}}"
#define LOSS(text)  "{\"loss\":" text "}"
#define FUNCTIONAL(layers, output)                                                                           \
    "{\"class_name\":\"Functional\",\"config\":{\"layers\":[" INPUT "," layers "],\"output_layers\":" output \
    "}}"
#define NODE(name, from)                                                                                     \
    "{\"class_name\":\"Dense\",\"name\":\"" name "\",\"config\":{\"name\":\"" name                           \
    "\",\"units\":2},\"inbound_nodes\":[[[\"" from "\",0,0,{}]]]}"

static const struct config_case config_cases[] = {
    {SEQUENTIAL(INPUT "," DENSE("\"units\":3")), NULL, NULL},
    {SEQUENTIAL(INPUT "," DENSE("\"units\":3,\"activation\":\"softmax\"")),
     LOSS("\"categorical_crossentropy\""), NULL},
    {SEQUENTIAL(
         "{\"class_name\":\"Dense\",\"config\":{\"name\":\"d\",\"units\":1,\"batch_input_shape\":[null,4]}}"),
     LOSS("\"mse\""), NULL},
    {FUNCTIONAL(NODE("b", "a") "," NODE("a", "i"), "[[\"b\",0,0]]"), NULL, NULL},
    {"", NULL, "not JSON"},
    {"{", NULL, "not JSON"},
    {"[]", NULL, "no list of layers"},
    {"{\"class_name\":\"Sequential\",\"config\":{\"layers\":3}}", NULL, "no list of layers"},
    {"{\"class_name\":\"Other\",\"config\":{\"layers\":[]}}", NULL, "class 'Other'"},
    {SEQUENTIAL(""), NULL, "a list of 1 to"},
    {SEQUENTIAL(INPUT), NULL, "a list of 1 to"},
    {SEQUENTIAL(DENSE("\"units\":3")), NULL, "no input shape"},
    {SEQUENTIAL(INPUT ",17"), NULL, "without a name"},
    {SEQUENTIAL(INPUT ",{\"class_name\":\"LSTM\",\"config\":{\"name\":\"x\"}}"), NULL,
     "layer x: a layer of class LSTM"},
    {SEQUENTIAL(INPUT ",{\"class_name\":\"A\\nB\",\"config\":{\"name\":\"x\"}}"), NULL,
     "a layer of class A?B"},
    {SEQUENTIAL(INPUT "," DENSE("\"units\":0")), NULL, "layer d: units: not a whole number"},
    {SEQUENTIAL(INPUT "," DENSE("\"units\":\"3\"")), NULL, "units: not a whole number"},
    {SEQUENTIAL(INPUT "," DENSE("\"units\":99999999999")), NULL, "units: not a whole number"},
    {SEQUENTIAL(INPUT "," DENSE("\"units\":3,\"activation\":\"swish\"")), NULL, "activation 'swish'"},
    {SEQUENTIAL(INPUT "," DENSE("\"units\":3,\"activation\":[]")), NULL, "not given by a name"},
    {SEQUENTIAL(INPUT "," DENSE("\"units\":3,\"use_bias\":1")), NULL, "use_bias"},
    {SEQUENTIAL(INPUT ",{\"class_name\":\"Dropout\",\"config\":{\"name\":\"o\"}}"), NULL,
     "rate is not a number"},
    {SEQUENTIAL(INPUT
                ",{\"class_name\":\"Conv2D\",\"config\":{\"name\":\"c\",\"filters\":1,\"kernel_size\":[3]}}"),
     NULL, "kernel_size: not two numbers"},
    {SEQUENTIAL(INPUT ",{\"class_name\":\"MaxPooling2D\",\"config\":{\"name\":\"p\",\"pool_size\":2,"
                      "\"padding\":\"full\"}}"),
     NULL, "padding 'full'"},
    {SEQUENTIAL(
         INPUT
         ",{\"class_name\":\"Flatten\",\"config\":{\"name\":\"f\",\"data_format\":\"channels_first\"}}"),
     NULL, "channels_first"},
    {SEQUENTIAL(INPUT "," DENSE("\"units\":3")), LOSS("\"hinge\""), "training_config: loss 'hinge'"},
    {SEQUENTIAL(INPUT "," DENSE("\"units\":3")), LOSS("null"), "not one loss"},
    {SEQUENTIAL(INPUT "," DENSE("\"units\":3")), LOSS("\"sparse_categorical_crossentropy\""),
     "of probabilities"},
    {SEQUENTIAL(INPUT "," DENSE("\"units\":3")), "{", "training_config: not JSON"},
    {FUNCTIONAL(NODE("a", "i") "," NODE("b", "i"), "[[\"b\",0,0]]"), NULL, "several layers"},
    {FUNCTIONAL(NODE("a", "i") "," NODE("b", "c"), "[[\"b\",0,0]]"), NULL, "not one chain"},
    {FUNCTIONAL(NODE("a", "i") "," NODE("b", "a"), "[[\"a\",0,0]]"), NULL, "not one chain"},
    {FUNCTIONAL(NODE("a", "i"), "[[\"a\",0,0],[\"i\",0,0]]"), NULL, "one output"},
};

START_TEST(configs)
{
    const struct config_case *row = &config_cases[_i];
    struct keras_text model = {row->model, strlen(row->model)};
    struct keras_text training = {row->training, row->training != NULL ? strlen(row->training) : 0};
    struct model_spec *spec;
    struct error error = {0};
    enum status status = keras_config_parse(model, training, &spec, &error);

    if (row->message == NULL) {
        ck_assert_msg(status == CAIRN_OK, "%s", error.message);
        ck_assert_int_eq(spec->layers[spec->layer_count - 1].activation, ACTIVATION_LINEAR);
        h5_spec_free(spec);
    } else {
        ck_assert_int_ne(status, CAIRN_OK);
        ck_assert_msg(strstr(error.message, row->message) != NULL, "'%s' instead of '%s'", error.message,
                      row->message);
    }
}
END_TEST

/* --- files made by Keras --- */

struct real_file {
    const char *name;
    uint32_t layers, input_rank;
    uint64_t trainable;
};

static const struct real_file real_files[] = {
    {"cnn_mnist_tfkeras_2.2.4.h5", 4, 3, 3 * 3 * 16 + 16 + 2704 * 10 + 10},
    {"conv2d_keras_2.3.1.h5", 4, 3, 3 * 3 * 2 + 2 + 128 * 10 + 10},
    {"dense3_keras_2.3.1.h5", 4, 1, 16 * 64 + 64 + 64 * 32 + 32 + 32 * 32 + 32 + 32 * 5 + 5},
    {"iris_keras_3.4.1.h5", 7, 1, 4 * 34 + 34 + 34 * 104 + 104 + 104 * 69 + 69 + 69 * 3 + 3},
};

START_TEST(real_files_load)
{
    const char *data = getenv("CAIRN_TEST_DATA");
    const struct real_file *real = &real_files[_i];
    struct model_spec *spec;
    struct graph *graph;
    struct error error;
    double sum = 0;
    float *weights;
    char name[1024];

    snprintf(name, sizeof name, "%s/keras/%s", data != NULL ? data : CAIRN_TEST_DATA_DEFAULT, real->name);
    if (access(name, R_OK) != 0) {
        printf("skipped: no %s (set CAIRN_TEST_DATA)\n", name);
        return;
    }
    ck_assert_msg(h5_read(name, &spec, &weights, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_int_eq(spec->layer_count, real->layers);
    ck_assert_int_eq(spec->input_rank, real->input_rank);
    ck_assert_int_eq(spec->loss, LOSS_SPARSE_CATEGORICAL_CROSSENTROPY);
    ck_assert_int_eq(spec->layers[spec->layer_count - 1].activation, ACTIVATION_LINEAR);
    ck_assert_msg(graph_new(spec, &graph, NULL, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_uint_eq(graph->trainable, real->trainable);
    for (uint64_t i = 0; i < graph->floats; i++)
        sum += (double)weights[i] * weights[i];
    ck_assert(sum > 1 && sum < 1e4);
    graph_free(graph);
    h5_spec_free(spec);
    free(weights);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("h5");
    TCase *files = tcase_create("files"), *json = tcase_create("configs"), *real = tcase_create("real files");

    tcase_add_checked_fixture(files, setup, teardown);
    tcase_add_test(files, round_trip_is_exact);
    tcase_add_test(files, equal_models_are_equal_files);
    tcase_add_test(files, losses_round_trip);
    tcase_add_test(files, optimizers_are_written_as_keras_writes_them);
    tcase_add_test(files, truncated_files_are_refused);
    tcase_add_loop_test(files, changed_files_are_refused, 0, sizeof changes / sizeof changes[0]);
    tcase_add_test(files, a_failed_write_leaves_the_old_file);
    tcase_add_test(files, a_model_goes_where_a_link_leads_and_nowhere_else);
    tcase_add_test(files, missing_and_foreign_files);
    tcase_set_timeout(files, 60);
    suite_add_tcase(suite, files);
    tcase_add_loop_test(json, configs, 0, sizeof config_cases / sizeof config_cases[0]);
    suite_add_tcase(suite, json);
    tcase_add_loop_test(real, real_files_load, 0, sizeof real_files / sizeof real_files[0]);
    suite_add_tcase(suite, real);
    return suite;
}

CHECK_MAIN(make_suite)
