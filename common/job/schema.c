#include "job/schema.h"

#include <string.h>

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define COUNT_OF CYAML_ARRAY_LEN

/* ---- words */

#define X(number, text) {text, ACTIVATION_##number},
static const cyaml_strval_t activations[] = {ACTIVATION_LIST(X)};
#undef X
#define X(number, text) {text, PADDING_##number},
static const cyaml_strval_t paddings[] = {PADDING_LIST(X)};
#undef X
#define X(number, text) {text, INITIALIZER_##number},
static const cyaml_strval_t initializers[] = {INITIALIZER_LIST(X)};
#undef X
#define X(number, text) {text, LOSS_##number},
static const cyaml_strval_t losses[] = {LOSS_LIST(X)};
#undef X
#define X(number, text) {text, METRIC_##number},
static const cyaml_strval_t metrics[] = {METRIC_LIST(X)};
#undef X

static const cyaml_strval_t formats[] = {{"idx", DATA_FORMAT_IDX}, {"csv", DATA_FORMAT_CSV}};
static const cyaml_strval_t modes[] = {{"sync", TRAIN_SYNC}, {"async", TRAIN_ASYNC}, {"ssp", TRAIN_SSP}};
static const cyaml_strval_t devices[] = {{"auto", DEVICE_AUTO}, {"cpu", DEVICE_CPU}, {"cuda", DEVICE_CUDA}};

/* An enum field, in this project's argument order. */
#define FIELD_ENUM(key, flags, structure, member, words)                                                     \
    CYAML_FIELD_ENUM(key, (flags) | CYAML_FLAG_STRICT, structure, member, words, COUNT_OF(words))
#define FIELD_PATH(key, structure, member)                                                                   \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | OPTIONAL, structure, member, 1, JOB_PATH_TEXT_MAX)

/* ---- model */

static const cyaml_schema_value_t dimension = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t)};
static const cyaml_schema_value_t metric = {
    CYAML_VALUE_ENUM(CYAML_FLAG_STRICT, enum metric, metrics, COUNT_OF(metrics))};

#define LAYER_FIELD_NAME CYAML_FIELD_STRING("name", OPTIONAL, struct layer_spec, name, 1)
#define LAYER_FIELD_PAIR(key, flags, member)                                                                 \
    CYAML_FIELD_SEQUENCE_FIXED(key, flags, struct layer_spec, member, &dimension, 2)
#define LAYER_FIELDS_WEIGHTS                                                                                 \
    FIELD_ENUM("activation", OPTIONAL, struct layer_spec, activation, activations),                          \
        CYAML_FIELD_BOOL("use_bias", OPTIONAL, struct layer_spec, use_bias),                                 \
        FIELD_ENUM("kernel_initializer", OPTIONAL, struct layer_spec, kernel_initializer, initializers),     \
        FIELD_ENUM("bias_initializer", OPTIONAL, struct layer_spec, bias_initializer, initializers)

static const cyaml_schema_field_t dense_fields[] = {
    CYAML_FIELD_UINT("units", CYAML_FLAG_DEFAULT, struct layer_spec, units),
    LAYER_FIELDS_WEIGHTS,
    LAYER_FIELD_NAME,
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t conv2d_fields[] = {
    CYAML_FIELD_UINT("filters", CYAML_FLAG_DEFAULT, struct layer_spec, filters),
    LAYER_FIELD_PAIR("kernel_size", CYAML_FLAG_DEFAULT, kernel_size),
    LAYER_FIELD_PAIR("strides", OPTIONAL, strides),
    FIELD_ENUM("padding", OPTIONAL, struct layer_spec, padding, paddings),
    LAYER_FIELDS_WEIGHTS,
    LAYER_FIELD_NAME,
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t pooling_fields[] = {
    LAYER_FIELD_PAIR("pool_size", OPTIONAL, pool_size),
    LAYER_FIELD_PAIR("strides", OPTIONAL, strides),
    FIELD_ENUM("padding", OPTIONAL, struct layer_spec, padding, paddings),
    LAYER_FIELD_NAME,
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t flatten_fields[] = {LAYER_FIELD_NAME, CYAML_FIELD_END};
static const cyaml_schema_field_t dropout_fields[] = {
    CYAML_FIELD_FLOAT("rate", CYAML_FLAG_DEFAULT, struct layer_spec, rate),
    LAYER_FIELD_NAME,
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t activation_fields[] = {
    FIELD_ENUM("activation", CYAML_FLAG_DEFAULT, struct layer_spec, activation, activations),
    LAYER_FIELD_NAME,
    CYAML_FIELD_END,
};

#define LAYER_FIELD(key, type, fields)                                                                       \
    CYAML_FIELD_MAPPING_PTR(key, OPTIONAL, struct form_layer, of[LAYER_##type], fields)
static const cyaml_schema_field_t layer_fields[] = {
    LAYER_FIELD("dense", DENSE, dense_fields),
    LAYER_FIELD("conv2d", CONV2D, conv2d_fields),
    LAYER_FIELD("max_pooling2d", MAX_POOLING2D, pooling_fields),
    LAYER_FIELD("average_pooling2d", AVERAGE_POOLING2D, pooling_fields),
    LAYER_FIELD("flatten", FLATTEN, flatten_fields),
    LAYER_FIELD("dropout", DROPOUT, dropout_fields),
    LAYER_FIELD("activation", ACTIVATION, activation_fields),
    CYAML_FIELD_END,
};
_Static_assert(COUNT_OF(layer_fields) == LAYER_TYPE_COUNT + 1, "every layer type has its keys");

static const cyaml_schema_value_t layer = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct form_layer, layer_fields)};

static const cyaml_schema_field_t model_fields[] = {
    CYAML_FIELD_SEQUENCE("input_shape", CYAML_FLAG_POINTER, struct form_model, input_shape, &dimension, 1,
                         MODEL_RANK_MAX),
    CYAML_FIELD_SEQUENCE("layers", CYAML_FLAG_POINTER, struct form_model, layers, &layer, 1,
                         MODEL_LAYERS_MAX),
    FIELD_ENUM("loss", CYAML_FLAG_DEFAULT, struct form_model, loss, losses),
    CYAML_FIELD_SEQUENCE("metrics", CYAML_FLAG_POINTER | OPTIONAL, struct form_model, metrics, &metric, 0,
                         MODEL_METRICS_MAX),
    CYAML_FIELD_END,
};

/* ---- data */

static const cyaml_schema_field_t source_fields[] = {
    FIELD_ENUM("format", CYAML_FLAG_DEFAULT, struct form_source, format, formats),
    FIELD_PATH("features", struct form_source, features),
    FIELD_PATH("labels", struct form_source, labels),
    FIELD_PATH("path", struct form_source, path),
    FIELD_PATH("label_column", struct form_source, label_column),
    CYAML_FIELD_BOOL_PTR("header", OPTIONAL, struct form_source, header),
    CYAML_FIELD_FLOAT("scale", OPTIONAL, struct form_source, scale),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t data_fields[] = {
    CYAML_FIELD_MAPPING("train", CYAML_FLAG_DEFAULT, struct form_data, train, source_fields),
    CYAML_FIELD_MAPPING_PTR("validation", OPTIONAL, struct form_data, validation, source_fields),
    CYAML_FIELD_BOOL("shuffle", OPTIONAL, struct form_data, shuffle),
    CYAML_FIELD_END,
};

/* ---- codecs */

static const cyaml_schema_field_t no_fields[] = {CYAML_FIELD_END};
static const cyaml_strval_t roundings[] = {{"nearest", CODEC_NEAREST}, {"stochastic", CODEC_STOCHASTIC}};

#define CODEC_FIELD_ROUNDING FIELD_ENUM("rounding", OPTIONAL, struct codec_spec, rounding, roundings)
static const cyaml_schema_field_t float16_fields[] = {CODEC_FIELD_ROUNDING, CYAML_FIELD_END};
static const cyaml_schema_field_t bfloat16_fields[] = {CODEC_FIELD_ROUNDING, CYAML_FIELD_END};
static const cyaml_schema_field_t int8_fields[] = {
    CYAML_FIELD_UINT("block", OPTIONAL, struct codec_spec, block),
    CODEC_FIELD_ROUNDING,
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t top_k_fields[] = {
    CYAML_FIELD_FLOAT("share", OPTIONAL, struct codec_spec, share),
    CYAML_FIELD_END,
};

#define CODEC_FIELD(key, type, fields)                                                                       \
    CYAML_FIELD_MAPPING_PTR(key, OPTIONAL, struct form_codec, of[CODEC_##type], fields)
static const cyaml_schema_field_t codec_fields[] = {
    CODEC_FIELD("float32", FLOAT32, no_fields),         CODEC_FIELD("float16", FLOAT16, float16_fields),
    CODEC_FIELD("bfloat16", BFLOAT16, bfloat16_fields), CODEC_FIELD("int8", INT8, int8_fields),
    CODEC_FIELD("top_k", TOP_K, top_k_fields),          CYAML_FIELD_END,
};
_Static_assert(COUNT_OF(codec_fields) == CODEC_COUNT + 1, "every codec has its keys");

/* ---- train */

static const cyaml_schema_field_t train_fields[] = {
    CYAML_FIELD_UINT("epochs", OPTIONAL, struct form_train, epochs),
    CYAML_FIELD_UINT("steps", OPTIONAL, struct form_train, steps),
    CYAML_FIELD_UINT("batch_size", OPTIONAL, struct form_train, batch_size),
    CYAML_FIELD_UINT("microbatches", OPTIONAL, struct form_train, microbatches),
    FIELD_ENUM("mode", OPTIONAL, struct form_train, mode, modes),
    CYAML_FIELD_UINT("staleness", OPTIONAL, struct form_train, staleness),
    CYAML_FIELD_BOOL("staleness_damping", OPTIONAL, struct form_train, staleness_damping),
    CYAML_FIELD_MAPPING_PTR("optimizer", OPTIONAL, struct form_train, optimizer, optimizer_fields),
    CYAML_FIELD_UINT("threads_per_microbatch", OPTIONAL, struct form_train, threads_per_microbatch),
    CYAML_FIELD_UINT("commit_every", OPTIONAL, struct form_train, commit_every),
    CYAML_FIELD_MAPPING("codec", OPTIONAL, struct form_train, codec, codec_fields),
    CYAML_FIELD_BOOL("record_hashes", OPTIONAL, struct form_train, record_hashes),
    CYAML_FIELD_BOOL("terminate_on_nan", OPTIONAL, struct form_train, terminate_on_nan),
    CYAML_FIELD_END,
};

/* ---- tables */

static const cyaml_schema_field_t uniform_fields[] = {
    CYAML_FIELD_FLOAT("minval", OPTIONAL, struct initializer_spec, minval),
    CYAML_FIELD_FLOAT("maxval", OPTIONAL, struct initializer_spec, maxval),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t normal_fields[] = {
    CYAML_FIELD_FLOAT("mean", OPTIONAL, struct initializer_spec, mean),
    CYAML_FIELD_FLOAT("stddev", OPTIONAL, struct initializer_spec, stddev),
    CYAML_FIELD_END,
};

#define INITIALIZER_FIELD(key, type, fields)                                                                 \
    CYAML_FIELD_MAPPING_PTR(key, OPTIONAL, struct form_initializer, of[INITIALIZER_##type], fields)
static const cyaml_schema_field_t initializer_fields[] = {
    INITIALIZER_FIELD("zeros", ZEROS, no_fields),
    INITIALIZER_FIELD("ones", ONES, no_fields),
    INITIALIZER_FIELD("random_uniform", RANDOM_UNIFORM, uniform_fields),
    INITIALIZER_FIELD("random_normal", RANDOM_NORMAL, normal_fields),
    INITIALIZER_FIELD("truncated_normal", TRUNCATED_NORMAL, normal_fields),
    INITIALIZER_FIELD("glorot_uniform", GLOROT_UNIFORM, no_fields),
    INITIALIZER_FIELD("glorot_normal", GLOROT_NORMAL, no_fields),
    CYAML_FIELD_END,
};

#define TABLE_FIELD_NAME CYAML_FIELD_STRING("name", CYAML_FLAG_DEFAULT, struct form_table_arguments, name, 1)
#define TABLE_FIELDS_VALUES                                                                                  \
    CYAML_FIELD_MAPPING("initializer", OPTIONAL, struct form_table_arguments, initializer,                   \
                        initializer_fields),                                                                 \
        CYAML_FIELD_MAPPING_PTR("optimizer", OPTIONAL, struct form_table_arguments, optimizer,               \
                                optimizer_fields),                                                           \
        CYAML_FIELD_MAPPING("codec", OPTIONAL, struct form_table_arguments, codec, codec_fields)

static const cyaml_schema_field_t dense_table_fields[] = {
    TABLE_FIELD_NAME,
    CYAML_FIELD_UINT("size", CYAML_FLAG_DEFAULT, struct form_table_arguments, size),
    TABLE_FIELDS_VALUES,
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t sparse_table_fields[] = {
    TABLE_FIELD_NAME,
    CYAML_FIELD_UINT("dimension", CYAML_FLAG_DEFAULT, struct form_table_arguments, dimension),
    TABLE_FIELDS_VALUES,
    CYAML_FIELD_UINT("admit_after", OPTIONAL, struct form_table_arguments, admit_after),
    CYAML_FIELD_UINT("expire_after", OPTIONAL, struct form_table_arguments, expire_after),
    CYAML_FIELD_END,
};

#define TABLE_FIELD(key, kind, fields)                                                                       \
    CYAML_FIELD_MAPPING_PTR(key, OPTIONAL, struct form_table, of[TABLE_KIND_##kind], fields)
static const cyaml_schema_field_t table_fields[] = {
    TABLE_FIELD("dense", DENSE, dense_table_fields),
    TABLE_FIELD("sparse", SPARSE, sparse_table_fields),
    CYAML_FIELD_END,
};
_Static_assert(COUNT_OF(table_fields) == TABLE_KIND_COUNT + 1, "every kind of table has its keys");

static const cyaml_schema_value_t table = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct form_table, table_fields)};

/* ---- cluster, output */

static const cyaml_schema_field_t workers_fields[] = {
    CYAML_FIELD_UINT("min", OPTIONAL, struct form_workers, min),
    CYAML_FIELD_UINT("max", OPTIONAL, struct form_workers, max),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t cluster_fields[] = {
    CYAML_FIELD_UINT("servers", OPTIONAL, struct form_cluster, servers),
    CYAML_FIELD_UINT("replicas", OPTIONAL, struct form_cluster, replicas),
    CYAML_FIELD_MAPPING("workers", OPTIONAL, struct form_cluster, workers, workers_fields),
    CYAML_FIELD_UINT("threads_per_worker", OPTIONAL, struct form_cluster, threads_per_worker),
    FIELD_ENUM("device", OPTIONAL, struct form_cluster, device, devices),
    CYAML_FIELD_UINT("worker_tries", OPTIONAL, struct form_cluster, worker_tries),
    CYAML_FIELD_UINT("server_timeout", OPTIONAL, struct form_cluster, server_timeout),
    CYAML_FIELD_FLOAT("straggler_factor", OPTIONAL, struct form_cluster, straggler_factor),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t output_fields[] = {
    FIELD_PATH("path", struct form_output, path),
    CYAML_FIELD_END,
};

/* ---- the document */

static const cyaml_schema_field_t job_fields[] = {
    CYAML_FIELD_STRING("name", CYAML_FLAG_DEFAULT, struct job_form, name, 1),
    CYAML_FIELD_UINT("seed", OPTIONAL, struct job_form, seed),
    CYAML_FIELD_MAPPING_PTR("model", OPTIONAL, struct job_form, model, model_fields),
    CYAML_FIELD_MAPPING_PTR("data", OPTIONAL, struct job_form, data, data_fields),
    CYAML_FIELD_SEQUENCE("tables", CYAML_FLAG_POINTER | OPTIONAL, struct job_form, tables, &table, 1,
                         JOB_TABLES_MAX),
    CYAML_FIELD_MAPPING("train", OPTIONAL, struct job_form, train, train_fields),
    CYAML_FIELD_MAPPING("cluster", OPTIONAL, struct job_form, cluster, cluster_fields),
    CYAML_FIELD_MAPPING("output", OPTIONAL, struct job_form, output, output_fields),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t job_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct job_form, job_fields)};

/* ---- rules */

#define SIZE_MAXIMUM         INT32_MAX /* units, filters, windows: more would not fit a sample's elements */
#define SAMPLES_MAXIMUM      (1 << 24) /* of a batch */
#define STEPS_MAXIMUM        0x1p53    /* whole numbers that a JSON reader keeps exact */
#define MICROBATCHES_MAXIMUM 4096      /* the reduction tree's leaves */
#define NODES_MAXIMUM        4096
#define REPLICAS_MAXIMUM     7
#define THREADS_MAXIMUM      1024
#define TRIES_MAXIMUM        1000
#define SECONDS_MAXIMUM      (365 * 86400)
#define FACTOR_MAXIMUM       1000
#define INITIAL_MAXIMUM      1e6 /* of initial values */

#define FALLBACK(table, name, value)                                                                         \
    {                                                                                                        \
        .fields = table, .key = name, .fallback = value                                                      \
    }

const struct field_rule job_rules[] = {
    {.fields = job_fields, .key = "name", .forms = FORM_WORD},
    FALLBACK(job_fields, "seed", "0"),

    {.fields = model_fields, .key = "input_shape", .minimum = 1, .maximum = SIZE_MAXIMUM},
    {.fields = layer_fields, .forms = FORM_ONE_OF},
    {.fields = dense_fields, .key = "units", .minimum = 1, .maximum = SIZE_MAXIMUM},
    FALLBACK(dense_fields, "activation", "linear"),
    FALLBACK(dense_fields, "use_bias", "true"),
    FALLBACK(dense_fields, "kernel_initializer", "glorot_uniform"),
    FALLBACK(dense_fields, "bias_initializer", "zeros"),
    {.fields = conv2d_fields, .key = "filters", .minimum = 1, .maximum = SIZE_MAXIMUM},
    {.fields = conv2d_fields, .key = "kernel_size", .minimum = 1, .maximum = SIZE_MAXIMUM},
    {.fields = conv2d_fields, .key = "strides", .minimum = 1, .maximum = SIZE_MAXIMUM, .fallback = "1"},
    FALLBACK(conv2d_fields, "padding", "valid"),
    FALLBACK(conv2d_fields, "activation", "linear"),
    FALLBACK(conv2d_fields, "use_bias", "true"),
    FALLBACK(conv2d_fields, "kernel_initializer", "glorot_uniform"),
    FALLBACK(conv2d_fields, "bias_initializer", "zeros"),
    {.fields = pooling_fields, .key = "pool_size", .minimum = 1, .maximum = SIZE_MAXIMUM, .fallback = "2"},
    {.fields = pooling_fields, .key = "strides", .minimum = 1, .maximum = SIZE_MAXIMUM},
    FALLBACK(pooling_fields, "padding", "valid"),
    {.fields = dropout_fields, .key = "rate", .minimum = 0, .maximum = 1, .below_maximum = true},

    {.fields = source_fields,
     .key = "scale",
     .minimum = 0,
     .maximum = 1e30,
     .above_minimum = true,
     .forms = FORM_FRACTION,
     .fallback = "1"},
    FALLBACK(data_fields, "shuffle", "true"),

    {.fields = train_fields, .key = "epochs", .minimum = 1, .maximum = INT32_MAX},
    {.fields = train_fields, .key = "steps", .minimum = 1, .maximum = STEPS_MAXIMUM},
    {.fields = train_fields, .key = "batch_size", .minimum = 1, .maximum = SAMPLES_MAXIMUM, .fallback = "32"},
    {.fields = train_fields, .key = "microbatches", .minimum = 1, .maximum = MICROBATCHES_MAXIMUM},
    FALLBACK(train_fields, "mode", "sync"),
    {.fields = train_fields, .key = "staleness", .maximum = INT32_MAX},
    FALLBACK(train_fields, "staleness_damping", "false"),
    {.fields = train_fields,
     .key = "threads_per_microbatch",
     .minimum = 1,
     .maximum = THREADS_MAXIMUM,
     .fallback = "1"},
    {.fields = train_fields,
     .key = "commit_every",
     .minimum = 1,
     .maximum = STEPS_MAXIMUM,
     .fallback = "100"},
    FALLBACK(train_fields, "codec", "float32"),
    FALLBACK(train_fields, "record_hashes", "false"),
    FALLBACK(train_fields, "terminate_on_nan", "true"),

    {.fields = table_fields, .forms = FORM_ONE_OF},
    {.fields = dense_table_fields, .key = "name", .forms = FORM_WORD},
    {.fields = dense_table_fields, .key = "size", .minimum = 1, .maximum = JOB_TABLE_SIZE_MAX},
    FALLBACK(dense_table_fields, "initializer", "zeros"),
    FALLBACK(dense_table_fields, "codec", "float32"),
    {.fields = sparse_table_fields, .key = "name", .forms = FORM_WORD},
    {.fields = sparse_table_fields, .key = "dimension", .minimum = 1, .maximum = JOB_TABLE_DIMENSION_MAX},
    FALLBACK(sparse_table_fields, "initializer", "random_uniform"),
    FALLBACK(sparse_table_fields, "codec", "float32"),
    {.fields = sparse_table_fields, .key = "admit_after", .maximum = INT32_MAX, .fallback = "0"},
    {.fields = sparse_table_fields, .key = "expire_after", .maximum = STEPS_MAXIMUM, .fallback = "0"},
    {.fields = codec_fields, .forms = FORM_ONE_OF},
    FALLBACK(float16_fields, "rounding", "nearest"),
    FALLBACK(bfloat16_fields, "rounding", "nearest"),
    {.fields = int8_fields,
     .key = "block",
     .minimum = CODEC_BLOCK_MIN,
     .maximum = CODEC_BLOCK_MAX,
     .fallback = "64"},
    FALLBACK(int8_fields, "rounding", "stochastic"),
    {.fields = top_k_fields, .key = "share", .maximum = 1, .above_minimum = true, .fallback = "0.01"},
    {.fields = initializer_fields, .forms = FORM_ONE_OF},
    {.fields = uniform_fields,
     .key = "minval",
     .minimum = -INITIAL_MAXIMUM,
     .maximum = INITIAL_MAXIMUM,
     .fallback = "-0.05"},
    {.fields = uniform_fields,
     .key = "maxval",
     .minimum = -INITIAL_MAXIMUM,
     .maximum = INITIAL_MAXIMUM,
     .fallback = "0.05"},
    {.fields = normal_fields,
     .key = "mean",
     .minimum = -INITIAL_MAXIMUM,
     .maximum = INITIAL_MAXIMUM,
     .fallback = "0"},
    {.fields = normal_fields, .key = "stddev", .maximum = INITIAL_MAXIMUM, .fallback = "0.05"},

    {.fields = cluster_fields, .key = "servers", .minimum = 1, .maximum = NODES_MAXIMUM, .fallback = "1"},
    {.fields = cluster_fields, .key = "replicas", .minimum = 1, .maximum = REPLICAS_MAXIMUM, .fallback = "1"},
    {.fields = cluster_fields, .key = "threads_per_worker", .minimum = 1, .maximum = THREADS_MAXIMUM},
    FALLBACK(cluster_fields, "device", "auto"),
    {.fields = cluster_fields,
     .key = "worker_tries",
     .minimum = 1,
     .maximum = TRIES_MAXIMUM,
     .fallback = "3"},
    {.fields = cluster_fields,
     .key = "server_timeout",
     .minimum = 1,
     .maximum = SECONDS_MAXIMUM,
     .fallback = "600"},
    {.fields = cluster_fields, .key = "straggler_factor", .maximum = FACTOR_MAXIMUM, .fallback = "3"},
    {.fields = workers_fields, .forms = FORM_FOR_ALL},
    {.fields = workers_fields, .key = "min", .minimum = 1, .maximum = NODES_MAXIMUM, .fallback = "1"},
    {.fields = workers_fields, .key = "max", .minimum = 1, .maximum = NODES_MAXIMUM},
};
const size_t job_rule_count = COUNT_OF(job_rules);

/* The rule among `count`; NULL when there is none. */
static const struct field_rule *find_rule(const struct field_rule *rules, size_t count,
                                          const cyaml_schema_field_t *fields, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        const struct field_rule *rule = &rules[i];

        if (rule->fields != fields)
            continue;
        if (key == NULL ? rule->key == NULL : rule->key != NULL && strcmp(rule->key, key) == 0)
            return rule;
    }
    return NULL;
}

const struct field_rule *job_rule_of(const cyaml_schema_field_t *fields, const char *key)
{
    static const struct field_rule nothing = {0};
    const struct field_rule *rule = find_rule(job_rules, job_rule_count, fields, key);

    if (rule == NULL)
        rule = find_rule(optimizer_rules, optimizer_rule_count, fields, key);
    return rule == NULL ? &nothing : rule;
}

const cyaml_schema_value_t *job_schema_of(const char *path, const struct field_rule **rule)
{
    const cyaml_schema_value_t *value = &job_schema;

    while (*path != '\0') {
        const cyaml_schema_field_t *field = value->mapping.fields;
        size_t length = strcspn(path, ".");

        while (field->key != NULL && (strncmp(field->key, path, length) != 0 || field->key[length] != '\0'))
            field++;
        BUG_IF(field->key == NULL);
        *rule = job_rule_of(value->mapping.fields, field->key);
        value = &field->value;
        path += length + (path[length] == '.');
    }
    return value;
}
