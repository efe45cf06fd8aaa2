/* Job files: what good ones become, and what programs ask of them. */
#include "check_main.h"
#include "good_job.h"

#include "job/schema.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- good files */

START_TEST(defaults_are_as_documented)
{
    struct job *job = load(GOOD);
    const struct layer_spec *conv = &job->model.layers[0], *dense = &job->model.layers[2];

    ck_assert_str_eq(job->name, "digits");
    ck_assert_uint_eq(job->seed, 0);
    ck_assert_str_eq(conv->name, "conv2d");
    ck_assert_uint_eq(conv->line, 5);
    ck_assert_uint_eq(conv->strides[0], 1);
    ck_assert_uint_eq(conv->strides[1], 1);
    ck_assert_int_eq(conv->padding, PADDING_VALID);
    ck_assert(conv->use_bias);
    ck_assert_int_eq(dense->activation, ACTIVATION_LINEAR);
    ck_assert_int_eq(dense->kernel_initializer, INITIALIZER_GLOROT_UNIFORM);
    ck_assert_int_eq(dense->bias_initializer, INITIALIZER_ZEROS);
    ck_assert_uint_eq(job->model.metric_count, 0);
    ck_assert_double_eq(job->training.scale, 1.0);
    ck_assert(!job->has_validation);
    ck_assert(job->shuffle);
    ck_assert_uint_eq(job->epochs, 2);
    ck_assert_uint_eq(job->steps, 0);
    ck_assert_uint_eq(job->batch_size, 32);
    ck_assert_uint_eq(job->microbatches, 8);
    ck_assert_int_eq(job->optimizer.type, OPTIMIZER_ADAM);
    ck_assert_double_eq(job->optimizer.learning_rate, 0.001);
    ck_assert_double_eq(job->optimizer.beta_1, 0.9);
    ck_assert_double_eq(job->optimizer.beta_2, 0.999);
    ck_assert_double_eq(job->optimizer.epsilon, 1e-7);
    ck_assert(!job->optimizer.amsgrad);
    ck_assert_int_eq(job->optimizer.schedule.type, SCHEDULE_CONSTANT);
    ck_assert_double_eq(job->optimizer.weight_decay, 0);
    ck_assert_double_eq(job->optimizer.clipnorm, 0);
    ck_assert_uint_eq(job->threads_per_microbatch, 1);
    ck_assert_uint_eq(job->commit_every, 100);
    ck_assert(!job->record_hashes);
    ck_assert(job->terminate_on_nan);
    ck_assert_uint_eq(job->servers, 1);
    ck_assert_uint_eq(job->workers_min, 1);
    ck_assert_uint_eq(job->workers_max, 8);
    ck_assert_uint_eq(job->threads_per_worker, 0);
    ck_assert_int_eq(job->device, DEVICE_AUTO);
    ck_assert_uint_eq(job->worker_tries, 3);
    ck_assert_uint_eq(job->server_timeout, 600);
    ck_assert_double_eq(job->straggler_factor, 3);
    ck_assert_str_eq(job->output_path, "digits.h5");
    ck_assert_uint_eq(job->graph->trainable, 80 + 26 * 26 * 8 * 10 + 10);
    job_free(job);
}
END_TEST

static const char everything[] =
    "# all keys\n"
    "name: all-of_it\n"
    "seed: 18446744073709551615\n"
    "model:\n"
    "  input_shape: [20, 30, 2]\n"
    "  layers:\n"
    "    - conv2d:\n"
    "        filters: 4\n"
    "        kernel_size: [3, 5]\n"
    "        strides: [1, 2]\n"
    "        padding: same\n"
    "        activation: tanh\n"
    "        use_bias: false\n"
    "        kernel_initializer: he_normal\n"
    "        bias_initializer: ones\n"
    "        name: first\n"
    "    - max_pooling2d\n"
    "    - average_pooling2d: {pool_size: [2, 3], strides: 1, padding: same}\n"
    "    - max_pooling2d: {pool_size: [3, 2]}\n"
    "    - activation: {activation: gelu}\n"
    "    - flatten:\n"
    "    - dropout: {rate: .5}\n"
    "    - dense: {units: 1, name: \"out\"}\n"
    "  loss: binary_crossentropy\n"
    "  metrics: [accuracy]\n"
    "data:\n"
    "  train: {format: csv, path: /abs/train.csv, label_column: 0, header: false, scale: 1/255}\n"
    "  validation: {format: csv, path: 'with: sign.csv', scale: 2.5e-1}\n"
    "  shuffle: false\n"
    "train:\n"
    "  steps: 1000\n"
    "  batch_size: 30\n"
    "  microbatches: 7\n"
    "  mode: sync\n"
    "  optimizer: {sgd: {learning_rate: 1e-2, momentum: 0.9, nesterov: true}}\n"
    "  threads_per_microbatch: 2\n"
    "  commit_every: 5\n"
    "  record_hashes: true\n"
    "  terminate_on_nan: false\n"
    "  codec: {int8: {block: 128, rounding: nearest}}\n"
    "cluster: {servers: 3, workers: {min: 2, max: 5}, threads_per_worker: 4, device: cuda,\n"
    "  worker_tries: 2, server_timeout: 30, straggler_factor: 1.5}\n"
    "output: {path: out/model.h5}\n";

START_TEST(every_key_arrives_in_the_model)
{
    struct job *job = load(everything);
    const struct layer_spec *layers = job->model.layers;

    ck_assert_uint_eq(job->seed, UINT64_MAX);
    ck_assert_uint_eq(job->model.layer_count, 8);
    ck_assert_str_eq(layers[0].name, "first");
    ck_assert_uint_eq(layers[0].kernel_size[0], 3);
    ck_assert_uint_eq(layers[0].kernel_size[1], 5);
    ck_assert_uint_eq(layers[0].strides[1], 2);
    ck_assert_int_eq(layers[0].padding, PADDING_SAME);
    ck_assert_int_eq(layers[0].activation, ACTIVATION_TANH);
    ck_assert(!layers[0].use_bias);
    ck_assert_int_eq(layers[0].kernel_initializer, INITIALIZER_HE_NORMAL);
    ck_assert_int_eq(layers[0].bias_initializer, INITIALIZER_ONES);
    ck_assert_uint_eq(layers[1].pool_size[1], 2);
    ck_assert_uint_eq(layers[1].strides[1], 2);
    ck_assert_uint_eq(layers[1].line, 17);
    ck_assert_uint_eq(layers[2].pool_size[1], 3);
    ck_assert_uint_eq(layers[2].strides[0], 1);
    ck_assert_uint_eq(layers[3].strides[0], 3);
    ck_assert_uint_eq(layers[3].strides[1], 2);
    ck_assert_str_eq(layers[3].name, "max_pooling2d_1");
    ck_assert_int_eq(layers[4].activation, ACTIVATION_GELU);
    ck_assert_int_eq(layers[5].type, LAYER_FLATTEN);
    ck_assert_float_eq(layers[6].rate, 0.5f);
    ck_assert_str_eq(layers[7].name, "out");
    ck_assert_int_eq(job->model.loss, LOSS_BINARY_CROSSENTROPY);
    ck_assert_uint_eq(job->model.metric_count, 1);
    job_free(job);
}
END_TEST

START_TEST(every_key_arrives_elsewhere)
{
    struct job *job = load(everything);

    ck_assert_int_eq(job->training.format, DATA_FORMAT_CSV);
    ck_assert_str_eq(job->training.features, "/abs/train.csv");
    ck_assert_str_eq(job->training.label_column, "0");
    ck_assert(!job->training.header);
    ck_assert_double_eq(job->training.scale, 1.0 / 255.0);
    ck_assert_uint_eq(job->training.line, 27);
    ck_assert(job->has_validation);
    ck_assert_str_eq(job->validation.features, "with: sign.csv");
    ck_assert_ptr_null(job->validation.label_column);
    ck_assert(job->validation.header);
    ck_assert_double_eq(job->validation.scale, 0.25);
    ck_assert(!job->shuffle);
    ck_assert_uint_eq(job->epochs, 0);
    ck_assert_uint_eq(job->steps, 1000);
    ck_assert_uint_eq(job->batch_size, 30);
    ck_assert_uint_eq(job->microbatches, 7);
    ck_assert_int_eq(job->optimizer.type, OPTIMIZER_SGD);
    ck_assert_double_eq(job->optimizer.learning_rate, 0.01);
    ck_assert_double_eq(job->optimizer.momentum, 0.9);
    ck_assert(job->optimizer.nesterov);
    ck_assert_uint_eq(job->threads_per_microbatch, 2);
    ck_assert_uint_eq(job->commit_every, 5);
    ck_assert(job->record_hashes);
    ck_assert(!job->terminate_on_nan);
    ck_assert_int_eq(job->codec.type, CODEC_INT8);
    ck_assert_int_eq(job->codec.rounding, CODEC_NEAREST);
    ck_assert_uint_eq(job->codec.block, 128);
    ck_assert_uint_eq(job->servers, 3);
    ck_assert_uint_eq(job->workers_min, 2);
    ck_assert_uint_eq(job->workers_max, 5);
    ck_assert_uint_eq(job->threads_per_worker, 4);
    ck_assert_int_eq(job->device, DEVICE_CUDA);
    ck_assert_uint_eq(job->worker_tries, 2);
    ck_assert_uint_eq(job->server_timeout, 30);
    ck_assert_double_eq(job->straggler_factor, 1.5);
    ck_assert_str_eq(job->output_path, "out/model.h5");
    job_free(job);
}
END_TEST

/* ---- optimizers */

static const char *const also_good[] = {
    "\xef\xbb\xbf" GOOD,  /* a byte order mark */
    "---\n" GOOD "...\n", /* marks of a document */
    HEAD MODEL DATA "train:\n  epochs: 1\n  optimizer:\n    adam:\n",
    HEAD MODEL DATA "train: {epochs: 1, optimizer: {sgd: {}}}\n",
    HEAD MODEL "  metrics: []\n" DATA TRAIN,
    GOOD "cluster:\noutput:\n", /* nothing is all defaults */
    GOOD "cluster: {workers: {}}\n",
    HEAD MODEL DATA "train: {epochs: 1, optimizer: lamb}\ncluster: {servers: 2, replicas: 2}\n",
    HEAD MODEL DATA
    "train: {epochs: 1, optimizer: {sgd: {clipnorm: 1}}}\ncluster: {servers: 2, replicas: 2}\n",
    "{name: a, model: {input_shape: [3], layers: [dense: {units: 1}], loss: mean_squared_error}, data: "
    "{train: "
    "{format: csv, path: b}}, train: {steps: 1, batch_size: 1, optimizer: sgd}}",
    "{\"name\": \"a\", \"model\": {\"input_shape\": [3], \"layers\": [{\"dense\": {\"units\": 1}}], "
    "\"loss\": "
    "\"mean_squared_error\"}, \"data\": {\"train\": {\"format\": \"csv\", \"path\": \"b\"}}, \"train\": "
    "{\"steps\": "
    "1, \"batch_size\": 1, \"optimizer\": \"sgd\"}}", /* JSON is YAML */
};

START_TEST(other_spellings_are_good_too)
{
    job_free(load(also_good[_i]));
}
END_TEST

START_TEST(a_number_of_workers_is_both_bounds)
{
    struct job *job = load(GOOD "cluster: {workers: 3}\n");

    ck_assert_uint_eq(job->workers_min, 3);
    ck_assert_uint_eq(job->workers_max, 3);
    job_free(job);
}
END_TEST

START_TEST(microbatches_divide_the_batch_by_default)
{
    static const uint32_t cases[][2] = {{1, 1},  {2, 2},  {7, 7},   {12, 6}, {32, 8},
                                        {60, 6}, {77, 7}, {121, 1}, {128, 8}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[1024];
        struct job *job;

        snprintf(text, sizeof(text), HEAD MODEL DATA "train: {epochs: 1, optimizer: sgd, batch_size: %u}\n",
                 cases[i][0]);
        job = load(text);
        ck_assert_uint_eq(job->microbatches, cases[i][1]);
        job_free(job);
    }
}
END_TEST

START_TEST(the_command_line_overrides_the_cluster)
{
    struct job_overrides overrides = {.servers = 4, .workers_min = 2, .workers_max = 6};
    struct error error = {0};
    struct job *job;

    ck_assert_int_eq(job_load_text(GOOD, strlen(GOOD), "job.yaml", NULL, &overrides, &job, &error), CAIRN_OK);
    ck_assert_uint_eq(job->servers, 4);
    ck_assert_uint_eq(job->workers_min, 2);
    ck_assert_uint_eq(job->workers_max, 6);
    job_free(job);
    overrides.workers_max = 9;
    ck_assert_int_eq(job_load_text(GOOD, strlen(GOOD), "job.yaml", NULL, &overrides, &job, &error),
                     CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "train.microbatches, which is 8"));
}
END_TEST

/* ---- what programs ask */

START_TEST(microbatches_cover_any_batch)
{
    struct job job = {.microbatches = 6, .batch_size = 60};

    for (uint32_t samples = 0; samples <= 60; samples++) {
        uint32_t begin, end, next = 0;

        for (uint32_t m = 0; m < job.microbatches; m++) {
            job_microbatch(&job, samples, m, &begin, &end);
            ck_assert_uint_eq(begin, next);
            ck_assert_uint_ge(end, begin);
            ck_assert_uint_ge(end - begin, samples / 6);
            ck_assert_uint_le(end - begin, (samples + 5) / 6);
            next = end;
        }
        ck_assert_uint_eq(next, samples);
    }
}
END_TEST

START_TEST(steps_follow_from_samples)
{
    struct job job = {.batch_size = 32, .epochs = 3};

    ck_assert_uint_eq(job_steps_per_epoch(&job, 1), 1);
    ck_assert_uint_eq(job_steps_per_epoch(&job, 64), 2);
    ck_assert_uint_eq(job_steps_per_epoch(&job, 65), 3);
    ck_assert_uint_eq(job_steps_per_epoch(&job, UINT64_MAX), UINT64_MAX / 32 + 1);
    ck_assert_uint_eq(job_final_step(&job, 65), 9);
    job.batch_size = 1;
    ck_assert_uint_eq(job_final_step(&job, UINT64_MAX), UINT64_MAX);
    job.steps = 17;
    ck_assert_uint_eq(job_final_step(&job, 65), 17);
}
END_TEST

START_TEST(paths_start_from_the_base)
{
    struct job *job = load(GOOD);
    char *path = job_path(job, "data/x");

    ck_assert_str_eq(path, "/base/data/x");
    free(path);
    path = job_path(job, "/data/x");
    ck_assert_str_eq(path, "/data/x");
    free(path);
    job_free(job);
}
END_TEST

static const struct {
    const char *text;
    bool same; /* digest as GOOD's */
} digests[] = {
    {"# the same in other words\nseed: 0\n" HEAD MODEL
     "data: {train: {labels: 'labels', format: idx, scale: 2/2, features: "
     "images}, shuffle: true}\ntrain: {optimizer: {adam: {beta_1: 0.90}}, steps: 7, commit_every: 3, "
     "terminate_on_nan: false}\n",
     true},
    {GOOD "cluster: {servers: 4, workers: 2, device: cpu, worker_tries: 9, server_timeout: 1, "
          "straggler_factor: 0}\noutput: {path: x}\n",
     true},
    {GOOD "seed: 1\n", false},
    {HEAD INPUT "    - flatten\n    - dense: {units: 10}\n" LOSS DATA TRAIN, false},
    {HEAD MODEL "data:\n  train: {format: idx, features: images2, labels: labels}\n" TRAIN, false},
    {HEAD MODEL "data:\n  train: {format: idx, features: images, labels: labels, scale: 0.5}\n" TRAIN, false},
    {HEAD MODEL DATA "  shuffle: false\n" TRAIN, false},
    {HEAD MODEL DATA "train: {epochs: 2, optimizer: {adam: {learning_rate: 0.0010000000000000001}}}\n", true},
    {HEAD MODEL DATA "train: {epochs: 2, optimizer: {adam: {learning_rate: 0.0010000000000000003}}}\n",
     false},
    {HEAD MODEL DATA "train: {epochs: 2, optimizer: adam, batch_size: 64}\n", false},
    {HEAD MODEL DATA "train: {epochs: 2, optimizer: adam, microbatches: 4}\n", false},
    {HEAD MODEL DATA "train: {epochs: 2, optimizer: adam, threads_per_microbatch: 2}\n", false},
    {HEAD MODEL DATA "train: {epochs: 2, optimizer: adam, codec: float32}\n", true},
    {HEAD MODEL DATA "train: {epochs: 2, optimizer: adam, record_hashes: true}\n", true},
    {HEAD MODEL DATA "train: {epochs: 2, optimizer: adam, codec: bfloat16}\n", false},
    {HEAD MODEL DATA "train: {epochs: 2, optimizer: adam, mode: sync}\n", true},
    {HEAD MODEL DATA "train: {epochs: 2, optimizer: adam, mode: async}\n", false},
    {HEAD MODEL DATA "train: {epochs: 2, optimizer: adam, mode: ssp, staleness: 0}\n", false},
};

START_TEST(digest_is_of_what_the_model_depends_on)
{
    struct job *good = load(GOOD), *other = load(digests[_i].text);
    char a[HASH_TEXT_BYTES], b[HASH_TEXT_BYTES];

    job_digest(good, a);
    job_digest(other, b);
    ck_assert_int_eq(strcmp(a, b) == 0, digests[_i].same);
    job_free(good);
    job_free(other);
}
END_TEST

START_TEST(modes_arrive_in_the_model)
{
    struct job *job = load(HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, mode: ssp, staleness: 3, "
                                           "staleness_damping: true}\n");

    ck_assert_int_eq(job->mode, TRAIN_SSP);
    ck_assert_uint_eq(job->staleness, 3);
    ck_assert(job->staleness_damping && job_is_throughput(job));
    job_free(job);
    job = load(HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, mode: async}\n");
    ck_assert_int_eq(job->mode, TRAIN_ASYNC);
    ck_assert(!job->staleness_damping && job_is_throughput(job));
    job_free(job);
    job = load(GOOD);
    ck_assert(job->mode == TRAIN_SYNC && !job_is_throughput(job));
    job_free(job);
}
END_TEST

START_TEST(files_are_read_whole)
{
    char path[] = "/tmp/cairn-test-job-XXXXXX", *text;
    char *large = calloc(1, 200000);
    int file = mkstemp(path);
    struct error error = {0};
    size_t length;

    memset(large, 'x', 199999);
    ck_assert_int_eq(write(file, large, 199999), 199999);
    ck_assert_int_eq(job_read_file(path, &text, &length, &error), CAIRN_OK);
    ck_assert_uint_eq(length, 199999);
    ck_assert_str_eq(text, large);
    free(text);
    ck_assert_int_eq(ftruncate(file, (16 << 20) + 1), 0);
    ck_assert_int_eq(job_read_file(path, &text, &length, &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "too large"));
    close(file);
    unlink(path);
    ck_assert_int_eq(job_read_file(path, &text, &length, &error), CAIRN_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    ck_assert_int_eq(job_read_file("/", &text, &length, &error), CAIRN_IO);
    free(large);
}
END_TEST

/* ---- the tables themselves */

/* Every number has bounds, but for the seed. */
static void check_bounds(const cyaml_schema_field_t *fields)
{
    for (const cyaml_schema_field_t *field = fields; field->key != NULL; field++) {
        const cyaml_schema_value_t *value = &field->value;

        if (value->type == CYAML_SEQUENCE || value->type == CYAML_SEQUENCE_FIXED)
            value = value->sequence.entry;
        if (value->type == CYAML_MAPPING)
            check_bounds(value->mapping.fields);
        else if ((value->type == CYAML_UINT || value->type == CYAML_FLOAT) && strcmp(field->key, "seed") != 0)
            ck_assert_msg(job_rule_of(fields, field->key)->maximum > 0 ||
                              job_rule_of(fields, field->key)->minimum < 0,
                          "%s has no bounds", field->key);
    }
}

START_TEST(numbers_have_bounds)
{
    check_bounds(job_schema.mapping.fields);
}
END_TEST

static bool has_key(const cyaml_schema_field_t *fields, const char *key)
{
    for (; fields->key != NULL; fields++) {
        if (strcmp(fields->key, key) == 0)
            return true;
    }
    return false;
}

START_TEST(rules_name_keys_that_are_there_once)
{
    for (size_t i = 0; i < job_rule_count + optimizer_rule_count; i++) {
        const struct field_rule *rule =
            i < job_rule_count ? &job_rules[i] : &optimizer_rules[i - job_rule_count];

        ck_assert_ptr_eq(job_rule_of(rule->fields, rule->key), rule);
        if (rule->key != NULL)
            ck_assert_msg(has_key(rule->fields, rule->key), "no key %s", rule->key);
    }
}
END_TEST

/* Reads a file of the source tree. */
static char *read_source(const char *name, size_t *length)
{
    char path[4096], *text;
    struct error error = {0};
    enum status status;

    snprintf(path, sizeof(path), "%s/%s", SOURCE_FOLDER, name);
    status = job_read_file(path, &text, length, &error);
    ck_assert_msg(status == CAIRN_OK, "%s", error.message);
    return text;
}

static const char *const examples[] = {"examples/mnist-cnn.yaml", "examples/mnist-linear.yaml",
                                       "examples/heart-csv.yaml", "examples/tables.yaml"};

START_TEST(examples_load)
{
    size_t length;
    char *text = read_source(examples[_i], &length);

    job_free(load(text));
    free(text);
}
END_TEST

/* The page names every key, word and default. */
static void find_documented(const char *page, const cyaml_schema_value_t *value)
{
    char code[100];

    if (value->type == CYAML_SEQUENCE || value->type == CYAML_SEQUENCE_FIXED)
        find_documented(page, value->sequence.entry);
    for (uint32_t i = 0; value->type == CYAML_ENUM && i < value->enumeration.count; i++) {
        snprintf(code, sizeof(code), "`%s`", value->enumeration.strings[i].str);
        ck_assert_msg(strstr(page, code) != NULL, "%s is not documented", code);
    }
    if (value->type != CYAML_MAPPING)
        return;
    for (const cyaml_schema_field_t *field = value->mapping.fields; field->key != NULL; field++) {
        const char *fallback = job_rule_of(value->mapping.fields, field->key)->fallback;
        bool bound = strcmp(field->key, "min") == 0 || strcmp(field->key, "max") == 0;

        if (bound) /* of the workers: shown as `{min, max}` */
            snprintf(code, sizeof(code), "%s", "`{min, max}`");
        else
            snprintf(code, sizeof(code), "`%s`", field->key);
        ck_assert_msg(strstr(page, code) != NULL, "%s is not documented", code);
        ck_assert_msg(fallback == NULL || strstr(page, fallback) != NULL, "default %s of %s", fallback,
                      field->key);
        find_documented(page, &field->value);
    }
}

START_TEST(all_keys_are_documented)
{
    size_t length;
    char *page = read_source("docs/job-file.md", &length);

    find_documented(page, &job_schema);
    free(page);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("job");
    TCase *good = tcase_create("good"), *use = tcase_create("use");

    tcase_add_test(good, defaults_are_as_documented);
    tcase_add_test(good, every_key_arrives_in_the_model);
    tcase_add_test(good, every_key_arrives_elsewhere);
    tcase_add_loop_test(good, other_spellings_are_good_too, 0,
                        (int)(sizeof(also_good) / sizeof(also_good[0])));
    tcase_add_test(good, a_number_of_workers_is_both_bounds);
    tcase_add_test(good, microbatches_divide_the_batch_by_default);
    tcase_add_test(good, the_command_line_overrides_the_cluster);
    suite_add_tcase(suite, good);
    tcase_add_test(use, microbatches_cover_any_batch);
    tcase_add_test(use, steps_follow_from_samples);
    tcase_add_test(use, paths_start_from_the_base);
    tcase_add_loop_test(use, digest_is_of_what_the_model_depends_on, 0,
                        (int)(sizeof(digests) / sizeof(digests[0])));
    tcase_add_test(use, modes_arrive_in_the_model);
    tcase_add_test(use, files_are_read_whole);
    tcase_add_test(use, rules_name_keys_that_are_there_once);
    tcase_add_test(use, numbers_have_bounds);
    tcase_add_loop_test(use, examples_load, 0, (int)(sizeof(examples) / sizeof(examples[0])));
    tcase_add_test(use, all_keys_are_documented);
    suite_add_tcase(suite, use);
    return suite;
}

CHECK_MAIN(make_suite)
