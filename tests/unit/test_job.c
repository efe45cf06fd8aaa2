/* Job files: what good ones become, and the one line that each bad one gets. */
#include "check_main.h"
#include "job/job.h"
#include "job/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The parts of a good file; the tables below change them. */
#define HEAD  "name: digits\n"
#define INPUT "model:\n  input_shape: [28, 28, 1]\n  layers:\n"
#define LAYERS                                                                                               \
    "    - conv2d: {filters: 8, kernel_size: 3, activation: relu}\n    - flatten\n    - dense: {units: "     \
    "10}\n"
#define LOSS  "  loss: sparse_categorical_crossentropy\n"
#define MODEL INPUT LAYERS LOSS
#define DATA  "data:\n  train: {format: idx, features: images, labels: labels}\n"
#define TRAIN "train: {epochs: 2, optimizer: adam}\n"
#define GOOD  HEAD MODEL DATA TRAIN

static struct job *load(const char *text)
{
    struct error error = {0};
    struct job *job;
    enum status status = job_load_text(text, strlen(text), "job.yaml", "/base", NULL, &job, &error);

    ck_assert_msg(status == CAIRN_OK, "%s", error.message);
    return job;
}

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

#define OPTIMIZER(text) HEAD MODEL DATA "train:\n  epochs: 1\n  optimizer: " text "\n"

/* The optimizers' defaults are Keras's. */
static const struct {
    const char *text;
    struct optimizer_spec spec;
} optimizers[] = {
    {"sgd", {.type = OPTIMIZER_SGD, .learning_rate = 0.01}},
    {"{sgd: {momentum: 0.9, weight_decay: 0.5}}",
     {.type = OPTIMIZER_SGD, .learning_rate = 0.01, .momentum = 0.9, .weight_decay = 0.5}},
    {"{adam: {amsgrad: true, clipnorm: 1}}",
     {.type = OPTIMIZER_ADAM,
      .learning_rate = 0.001,
      .beta_1 = 0.9,
      .beta_2 = 0.999,
      .epsilon = 1e-7,
      .amsgrad = true,
      .clipnorm = 1}},
    {"adamw",
     {.type = OPTIMIZER_ADAMW,
      .learning_rate = 0.001,
      .beta_1 = 0.9,
      .beta_2 = 0.999,
      .epsilon = 1e-7,
      .weight_decay = 0.004}},
    {"{adagrad: {clipvalue: 0.5}}",
     {.type = OPTIMIZER_ADAGRAD,
      .learning_rate = 0.001,
      .initial_accumulator_value = 0.1,
      .epsilon = 1e-7,
      .clipvalue = 0.5}},
    {"rmsprop", {.type = OPTIMIZER_RMSPROP, .learning_rate = 0.001, .rho = 0.9, .epsilon = 1e-7}},
    {"{rmsprop: {centered: true, momentum: 0.5, global_clipnorm: 3}}",
     {.type = OPTIMIZER_RMSPROP,
      .learning_rate = 0.001,
      .rho = 0.9,
      .momentum = 0.5,
      .epsilon = 1e-7,
      .centered = true,
      .global_clipnorm = 3}},
    {"adadelta", {.type = OPTIMIZER_ADADELTA, .learning_rate = 0.001, .rho = 0.95, .epsilon = 1e-7}},
    {"nadam",
     {.type = OPTIMIZER_NADAM, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-7}},
    {"lion", {.type = OPTIMIZER_LION, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.99}},
    {"{ftrl: {l1_regularization_strength: 1, l2_regularization_strength: 2,\n"
     "         l2_shrinkage_regularization_strength: 3, beta: 4, learning_rate_power: -0.25}}",
     {.type = OPTIMIZER_FTRL,
      .learning_rate = 0.001,
      .learning_rate_power = -0.25,
      .initial_accumulator_value = 0.1,
      .l1_regularization_strength = 1,
      .l2_regularization_strength = 2,
      .l2_shrinkage_regularization_strength = 3,
      .beta = 4}},
    {"ftrl",
     {.type = OPTIMIZER_FTRL,
      .learning_rate = 0.001,
      .learning_rate_power = -0.5,
      .initial_accumulator_value = 0.1}},
    {"lamb",
     {.type = OPTIMIZER_LAMB, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-7}},
    {"{sgd: {learning_rate: {constant: 0.25}}}", {.type = OPTIMIZER_SGD, .learning_rate = 0.25}},
    {"{sgd: {learning_rate: {exponential_decay: {initial_learning_rate: 0.5, decay_steps: 9, decay_rate: "
     "0.9}}}}",
     {.type = OPTIMIZER_SGD,
      .schedule = {SCHEDULE_EXPONENTIAL_DECAY, .initial_learning_rate = 0.5, .decay_steps = 9,
                   .decay_rate = 0.9}}},
    {"\n    sgd:\n      learning_rate:\n        inverse_time_decay:\n"
     "          {initial_learning_rate: 0.5, decay_steps: 9, decay_rate: 0, staircase: true}",
     {.type = OPTIMIZER_SGD,
      .schedule = {SCHEDULE_INVERSE_TIME_DECAY, .initial_learning_rate = 0.5, .decay_steps = 9,
                   .staircase = true}}},
    {"{sgd: {learning_rate: {polynomial_decay: {initial_learning_rate: 1, decay_steps: 9, cycle: true}}}}",
     {.type = OPTIMIZER_SGD,
      .schedule = {SCHEDULE_POLYNOMIAL_DECAY, .initial_learning_rate = 1, .decay_steps = 9,
                   .end_learning_rate = 0.0001, .power = 1, .cycle = true}}},
    {"{sgd: {learning_rate: {cosine_decay: {initial_learning_rate: 0, decay_steps: 9007199254740992, alpha: "
     "0.1, warmup_target: 2, warmup_steps: 5}}}}",
     {.type = OPTIMIZER_SGD,
      .schedule = {SCHEDULE_COSINE_DECAY, .decay_steps = UINT64_C(1) << 53, .alpha = 0.1, .warmup_target = 2,
                   .warmup_steps = 5}}},
    {"{sgd: {learning_rate: {piecewise_constant_decay: {boundaries: [10, 20], values: [0.3, 0.2, 0]}}}}",
     {.type = OPTIMIZER_SGD,
      .schedule = {SCHEDULE_PIECEWISE_CONSTANT_DECAY, .boundaries = {10, 20}, .boundaries_count = 2,
                   .values = {0.3, 0.2, 0}, .values_count = 3}}},
};
#define OPTIMIZERS ((int)(sizeof(optimizers) / sizeof(optimizers[0])))

static struct job *load_optimizer(const char *optimizer)
{
    char text[1024];
    int length =
        snprintf(text, sizeof(text), HEAD MODEL DATA "train:\n  epochs: 1\n  optimizer: %s\n", optimizer);

    ck_assert_int_lt(length, (int)sizeof(text));
    return load(text);
}

static void check_schedule(const struct schedule_spec *got, const struct schedule_spec *expected)
{
    ck_assert_int_eq(got->type, expected->type);
    ck_assert_double_eq(got->initial_learning_rate, expected->initial_learning_rate);
    ck_assert_uint_eq(got->decay_steps, expected->decay_steps);
    ck_assert_double_eq(got->decay_rate, expected->decay_rate);
    ck_assert_int_eq(got->staircase, expected->staircase);
    ck_assert_double_eq(got->end_learning_rate, expected->end_learning_rate);
    ck_assert_double_eq(got->power, expected->power);
    ck_assert_int_eq(got->cycle, expected->cycle);
    ck_assert_double_eq(got->alpha, expected->alpha);
    ck_assert_double_eq(got->warmup_target, expected->warmup_target);
    ck_assert_uint_eq(got->warmup_steps, expected->warmup_steps);
    ck_assert_uint_eq(got->boundaries_count, expected->boundaries_count);
    ck_assert_uint_eq(got->values_count, expected->values_count);
    ck_assert_mem_eq(got->boundaries, expected->boundaries, sizeof(got->boundaries));
    ck_assert_mem_eq(got->values, expected->values, sizeof(got->values));
}

START_TEST(optimizers_are_as_documented)
{
    struct job *job = load_optimizer(optimizers[_i].text);
    const struct optimizer_spec *got = &job->optimizer, *expected = &optimizers[_i].spec;

    ck_assert_int_eq(got->type, expected->type);
    ck_assert_double_eq(got->learning_rate, expected->learning_rate);
    ck_assert_double_eq(got->momentum, expected->momentum);
    ck_assert_int_eq(got->nesterov, expected->nesterov);
    ck_assert_double_eq(got->beta_1, expected->beta_1);
    ck_assert_double_eq(got->beta_2, expected->beta_2);
    ck_assert_double_eq(got->epsilon, expected->epsilon);
    ck_assert_int_eq(got->amsgrad, expected->amsgrad);
    ck_assert_double_eq(got->rho, expected->rho);
    ck_assert_int_eq(got->centered, expected->centered);
    ck_assert_double_eq(got->initial_accumulator_value, expected->initial_accumulator_value);
    ck_assert_double_eq(got->learning_rate_power, expected->learning_rate_power);
    ck_assert_double_eq(got->l1_regularization_strength, expected->l1_regularization_strength);
    ck_assert_double_eq(got->l2_regularization_strength, expected->l2_regularization_strength);
    ck_assert_double_eq(got->l2_shrinkage_regularization_strength,
                        expected->l2_shrinkage_regularization_strength);
    ck_assert_double_eq(got->beta, expected->beta);
    ck_assert_double_eq(got->weight_decay, expected->weight_decay);
    ck_assert_double_eq(got->clipnorm, expected->clipnorm);
    ck_assert_double_eq(got->clipvalue, expected->clipvalue);
    ck_assert_double_eq(got->global_clipnorm, expected->global_clipnorm);
    check_schedule(&got->schedule, &expected->schedule);
    job_free(job);
}
END_TEST

/* Any two of the table above are different trainings. */
START_TEST(every_argument_of_an_optimizer_is_in_the_digest)
{
    char digests[OPTIMIZERS][HASH_TEXT_BYTES];

    for (int i = 0; i < OPTIMIZERS; i++) {
        struct job *job = load_optimizer(optimizers[i].text);

        job_digest(job, digests[i]);
        for (int j = 0; j < i; j++)
            ck_assert_msg(strcmp(digests[i], digests[j]) != 0, "%s", optimizers[i].text);
        job_free(job);
    }
}
END_TEST

/* What digests and model files walk over. */
START_TEST(every_number_of_a_specification_is_in_its_arguments)
{
    struct optimizer_spec spec = {.type = (enum optimizer_type)_i};
    struct spec_argument argument;
    uint32_t count = 0;

    while (optimizer_spec_argument(&spec, count, &argument)) {
        ck_assert_double_eq(argument.number, 0);
        count++;
    }
    ck_assert_uint_ge(count, 4); /* weight_decay and the three of clipping */
    ck_assert_uint_le(count, H5_ARGUMENTS_MAX);
    ck_assert_str_eq(argument.name, "global_clipnorm");
    ck_assert(!argument.is_given);
    spec.global_clipnorm = 0.25;
    ck_assert(optimizer_spec_argument(&spec, count - 1, &argument));
    ck_assert(argument.is_given);
    ck_assert_double_eq(argument.number, 0.25);
    ck_assert(optimizer_spec_needs_norms(&spec));
}
END_TEST

START_TEST(a_model_file_names_the_optimizer)
{
    struct job *job = load_optimizer(
        "{adamw: {clipvalue: 2, learning_rate: {cosine_decay: {initial_learning_rate: 1, decay_steps: 7}}}}");
    struct h5_training training = job_h5_training(job);

    ck_assert_str_eq(training.optimizer.class_name, "AdamW");
    ck_assert_uint_eq(training.optimizer.argument_count, 6);
    ck_assert_str_eq(training.optimizer.arguments[4].name, "weight_decay");
    ck_assert_str_eq(training.optimizer.arguments[5].name, "clipvalue");
    ck_assert_double_eq(training.optimizer.arguments[5].number, 2);
    ck_assert_str_eq(training.schedule.class_name, "CosineDecay");
    ck_assert_uint_eq(training.schedule.argument_count, 4); /* and no warmup_target */
    ck_assert_str_eq(training.schedule.arguments[1].name, "decay_steps");
    ck_assert_int_eq(training.schedule.arguments[1].kind, H5_WHOLE);
    job_free(job);
}
END_TEST

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

/* ---- bad files: each gives exactly one line */

static const struct {
    const char *text;
    unsigned line;
    const char *words; /* in the message after "job.yaml:LINE: " */
} bad[] = {
    /* YAML */
    {"", 1, "the file is empty"},
    {"# nothing\n\n", 1, "the file is empty"},
    {"---\n", 1, "the file is empty"},
    {HEAD "\tseed: 1\n", 2, "a tab in the indentation, allowed: spaces"},
    {HEAD "seed: [1\nmodel: 2\n", 3, "not valid YAML"},
    {HEAD "seed: \"1\n", 3, "not valid YAML: while scanning a quoted scalar: found unexpected end of stream"},
    {HEAD "seed: 1\n  model: 2\n", 3, "not valid YAML: mapping values are not allowed in this context"},
    {HEAD "seed: @1\n", 2, "not valid YAML"},
    {HEAD "a: \xff\n", 2, "not UTF-8 text"},
    {HEAD "\n\na: \xc3\x28\n", 4, "not UTF-8 text"},
    {"\xff\xfen\0a\0", 1, "not UTF-8 text"},
    {HEAD "a: \x01\n", 2, "not UTF-8 text (control characters are not allowed"},
    {GOOD "---\n" GOOD, 12, "a second YAML document begins, allowed: one job a file"},
    {"a: &x [*x]\n", 1, "an anchor (&x)"},
    {HEAD "seed: *x\n", 2, "an alias (*x)"},
    {"name: !!str digits\n", 1, "a tag (tag:yaml.org,2002:str)"},
    {HEAD "seed: !mine 1\n", 2, "a tag (!mine)"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 1, "nested too deep, allowed: 16 levels"},
    {"name: \"a\\0b\"\n", 1, "a text with a zero byte"},
    {"- name\n", 1, "a list, allowed: the keys name, seed, model, data, tables, train, cluster, output"},
    {"job\n", 1, "\"job\", allowed: the keys name"},
    /* keys */
    {"nmae: digits\n", 1, "unknown key \"nmae\", did you mean \"name\"? allowed: name, seed, model"},
    {HEAD "epochs: 5\n", 2, "unknown key \"epochs\", allowed: name, seed"},
    {HEAD "\"a\\nb\": 5\n", 2, "unknown key \"a?b\""},
    {HEAD "? [a]\n: 5\n", 2, "a key that is no word"},
    {HEAD "<<: {seed: 1}\n", 2, "unknown key \"<<\""},
    {HEAD HEAD, 2, "the key \"name\" is given twice"},
    {HEAD MODEL DATA, 1, "missing key \"train\", allowed: the keys epochs"},
    {MODEL DATA TRAIN, 1, "missing key \"name\""},
    {HEAD "model:\n" DATA TRAIN, 2, "model: missing key \"input_shape\""},
    {HEAD "model: none\n" DATA TRAIN, 2,
     "model: \"none\", allowed: the keys input_shape, layers, loss, metrics"},
    {HEAD "model: [1]\n" DATA TRAIN, 2, "model: a list, allowed: the keys"},
    /* texts and numbers */
    {"name:\n", 1, "name: no value, allowed: a text of 1 to 63 bytes"},
    {"name: ~\n", 1, "name: \"~\", allowed: a text"},
    {"name: [a]\n", 1, "name: a list, allowed: a text"},
    {"name: "
     "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3"
     "\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
     "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3"
     "\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
     "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\n",
     1, "\xc3\xa9...\", allowed"},
    {"name: "
     "-\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3"
     "\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
     "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3"
     "\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
     "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\n",
     1, "\xc3\xa9...\", allowed"},
    {"name: a b\n", 1, "name: \"a b\", allowed: a text of 1 to 63 bytes of letters, digits, - and _"},
    {"name: ../x\n", 1, "name: \"../x\""},
    {"name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", 1,
     "aaa...\", allowed"},
    {HEAD "seed: -1\n", 2, "seed: \"-1\", allowed: a whole number from 0 to 18446744073709551615"},
    {HEAD "seed: 18446744073709551616\n", 2, "seed: \"18446744073709551616\""},
    {HEAD "seed: 1.5\n", 2, "seed: \"1.5\""},
    {HEAD "seed: 1e3\n", 2, "seed: \"1e3\""},
    {HEAD "seed: 010\n", 2, "seed: \"010\""},
    {HEAD "seed: 0x10\n", 2, "seed: \"0x10\""},
    {HEAD "seed: '7'\n", 2, "seed: \"7\""},
    {HEAD "seed: {a: 1}\n", 2, "seed: a mapping"},
    /* model */
    {HEAD "model: {input_shape: 28}\n", 2,
     "model.input_shape: \"28\", allowed: a list of 1 to 4 entries, each a whole"},
    {HEAD "model: {input_shape: [1, 2, 3, 4, 5]}\n", 2, "model.input_shape: a list of 5"},
    {HEAD "model:\n  input_shape:\n    - 3\n    - x\n", 5, "model.input_shape[1]: \"x\""},
    {HEAD "model:\n  input_shape: [65536, 65536]\n  layers: [flatten, dense: {units: 1}]\n  loss: "
          "mean_squared_error\n" DATA TRAIN,
     3, "model.input_shape: too many elements a sample, allowed: at most 2147483647"},
    {HEAD INPUT "    - dens: {units: 1}\n", 5,
     "model.layers[0]: unknown key \"dens\", did you mean \"dense\"? allowed: dense, conv2d"},
    {HEAD INPUT "    - flaten\n", 5, "model.layers[0]: unknown word \"flaten\", did you mean \"flatten\"?"},
    {HEAD INPUT "    -\n", 5, "model.layers[0]: no value, allowed: one of dense"},
    {HEAD INPUT "    - {}\n", 5, "model.layers[0]: a mapping, allowed: one of dense"},
    {HEAD INPUT "    - flatten\n    - dense\n", 6, "model.layers[1].dense: missing key \"units\""},
    {HEAD INPUT "    - flatten:\n      dropout: {rate: 0.1}\n", 6,
     "model.layers[0]: a second key \"dropout\", allowed: exactly one"},
    {HEAD INPUT "    - dense: {units: 1, units: 2}\n", 5, "the key \"units\" is given twice"},
    {HEAD INPUT "    - dense: 10\n", 5, "model.layers[0].dense: \"10\", allowed: the keys units"},
    {HEAD INPUT "    - conv2d: {filters: 1, kernel_size: [3]}\n", 5,
     "kernel_size: a list of 1, allowed: a whole number from 1 to 2147483647, or a list of 2"},
    {HEAD INPUT "    - conv2d: {filters: 1, kernel_size: x}\n", 5,
     "kernel_size: \"x\", allowed: a whole number from 1 to 2147483647, or a list of 2 such"},
    {HEAD INPUT "    - conv2d: {filters: 1, kernel_size: [3, 0]}\n", 5, "kernel_size[1]: \"0\""},
    {HEAD INPUT "    - conv2d: {filters: 1, kernel_size: 3, use_bias: yes}\n", 5,
     "use_bias: \"yes\", allowed: true or false"},
    {HEAD INPUT "    - conv2d: {filters: 1, kernel_size: 3, activation: Relu}\n", 5,
     "unknown word \"Relu\", did you mean \"relu\"?"},
    {HEAD INPUT "    - conv2d: {filters: 1, kernel_size: 3, activation: }\n", 5,
     "activation: no value, allowed: linear, relu"},
    {HEAD INPUT "    - dropout: {rate: 1}\n", 5, "rate: \"1\", allowed: a number from 0 and less than 1"},
    {HEAD INPUT "    - dropout: {rate: .inf}\n", 5, "rate: \".inf\""},
    {HEAD INPUT "    - dropout: {rate: 1/4}\n", 5, "rate: \"1/4\""},
    {HEAD INPUT "    - dropout: {rate: 0x0p0}\n", 5, "rate: \"0x0p0\""},
    {HEAD INPUT LAYERS "  loss: mse\n", 8, "model.loss: unknown word \"mse\""},
    {HEAD INPUT LAYERS "  metrics: accuracy\n", 8,
     "model.metrics: \"accuracy\", allowed: a list of 0 to 8 entries, each accuracy"},
    {HEAD MODEL "  metrics: [accuracy, accuracy]\n" DATA TRAIN, 9, "model.metrics: accuracy is given twice"},
    {HEAD INPUT LAYERS "  loss: mean_squared_error\n  metrics: [accuracy]\n" DATA TRAIN, 9,
     "model.metrics: accuracy says nothing about mean_squared_error"},
    {HEAD INPUT "    - dense: {units: 10}\n" LOSS DATA TRAIN, 5,
     "model: layer dense: its input has shape (28, 28, 1)"},
    {HEAD INPUT "    - flatten\n    - dense: {units: 2}\n    - dense:\n        units: 10\n        "
                "activation: softmax\n" LOSS DATA TRAIN,
     7, "drop activation softmax"},
    {HEAD INPUT
     "    - flatten\n    - dense: {units: 2, name: x}\n    - dense: {units: 2, name: x}\n" LOSS DATA TRAIN,
     7, "layer x: layer 1 has that name already"},
    {HEAD INPUT "    - flatten\n" LOSS DATA TRAIN, 2, "model: the model has no parameters"},
    /* data */
    {HEAD MODEL "data: {}\n", 9, "data: missing key \"train\""},
    {HEAD MODEL "data: {train: {features: a, labels: b}}\n", 9,
     "data.train: missing key \"format\", allowed: idx, csv"},
    {HEAD MODEL "data: {train: {format: ids}}\n", 9,
     "data.train.format: unknown word \"ids\", did you mean \"idx\"? allowed: idx, csv"},
    {HEAD MODEL "data: {train: {format: idx, features: a}}\n" TRAIN, 9, "data.train: missing key \"labels\""},
    {HEAD MODEL "data: {train: {format: csv, features: a}}\n" TRAIN, 9,
     "data.train.features: not a key of this format"},
    {HEAD MODEL "data: {train: {format: csv}}\n" TRAIN, 9, "data.train: missing key \"path\""},
    {HEAD MODEL DATA
     "  validation:\n    format: idx\n    features: a\n    labels: b\n    header: true\n" TRAIN,
     15, "data.validation.header: not a key of this format"},
    {HEAD MODEL "data: {train: {format: csv, path: \"a\\tb\"}}\n" TRAIN, 9,
     "data.train.path: \"a?b\", allowed: a text of 1 to 4095 bytes without control"},
    {HEAD MODEL "data: {train: {format: csv, path: a, scale: 0}}\n" TRAIN, 9,
     "scale: \"0\", allowed: a number above 0"},
    {HEAD MODEL "data: {train: {format: csv, path: a, scale: 1/0}}\n" TRAIN, 9, "scale: \"1/0\""},
    {HEAD MODEL "data: {train: {format: csv, path: a, scale: 1/2/3}}\n" TRAIN, 9, "scale: \"1/2/3\""},
    {HEAD MODEL "data: {train: {format: csv, path: a, scale: -1/255}}\n" TRAIN, 9, "scale: \"-1/255\""},
    {HEAD MODEL "data: {train: {format: csv, path: a, scale: 1e999}}\n" TRAIN, 9, "scale: \"1e999\""},
    /* train */
    {HEAD MODEL DATA "train: {optimizer: adam}\n", 11, "train: missing key \"epochs\""},
    {HEAD MODEL DATA "train:\n  epochs: 1\n  optimizer: adam\n  steps: 1\n", 14,
     "train.steps: given beside epochs"},
    {HEAD MODEL DATA "train: {epochs: 1}\n", 11,
     "train: missing key \"optimizer\", allowed: one of sgd, adam"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: rmsprob}\n", 11,
     "train.optimizer: unknown word \"rmsprob\", did you mean \"rmsprop\"? allowed: sgd, adam, adamw"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: {adam: {momentum: 0.9}}}\n", 11,
     "train.optimizer.adam: unknown key \"momentum\", allowed: learning_rate"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: {adam: {epsilon: 0}}}\n", 11,
     "epsilon: \"0\", allowed: a number above 0 to 1"},
    {OPTIMIZER("{adamw: {beta_1: 1}}"), 13, "adamw.beta_1: \"1\", allowed: a number from 0 and less than 1"},
    {OPTIMIZER("{ftrl: {learning_rate_power: 0.5}}"), 13,
     "ftrl.learning_rate_power: \"0.5\", allowed: a number from -1 to 0"},
    {OPTIMIZER("{sgd: {clipnorm: 0}}"), 13, "sgd.clipnorm: \"0\", allowed: a number above 0 to 1e+30"},
    {OPTIMIZER("\n    sgd:\n      clipnorm: 1\n      clipvalue: 1"), 16,
     "train.optimizer.sgd.clipvalue: given beside another, allowed: one of clipnorm, clipvalue and"},
    {OPTIMIZER("\n    sgd:\n      global_clipnorm: 1\n      clipvalue: 1"), 15,
     "train.optimizer.sgd.global_clipnorm: given beside another"},
    {OPTIMIZER("{sgd: {learning_rate: -1}}"), 13,
     "train.optimizer.sgd.learning_rate: \"-1\", allowed: a number from 0 to 1e+06, or one of constant, "
     "exponential_decay"},
    {OPTIMIZER("{sgd: {learning_rate: fast}}"), 13, "sgd.learning_rate: \"fast\", allowed: a number from 0"},
    {OPTIMIZER("{sgd: {learning_rate: '1'}}"), 13, "sgd.learning_rate: \"1\", allowed: a number from 0"},
    {OPTIMIZER("{sgd: {learning_rate: }}"), 13, "sgd.learning_rate: no value, allowed: a number from 0"},
    {OPTIMIZER("{sgd: {learning_rate: {constant: -1}}}"), 13,
     "sgd.learning_rate.constant: \"-1\", allowed: a number from 0 to 1e+06"},
    {OPTIMIZER("{sgd: {learning_rate: {cosine: {}}}}"), 13,
     "sgd.learning_rate: unknown key \"cosine\", allowed: constant, exponential_decay"},
    {OPTIMIZER("{sgd: {learning_rate: cosine_decay}}"), 13,
     "sgd.learning_rate.cosine_decay: missing key \"initial_learning_rate\""},
    {OPTIMIZER("{sgd: {learning_rate: {constant: 1, cosine_decay: {}}}}"), 13,
     "sgd.learning_rate: a second key \"cosine_decay\", allowed: exactly one"},
    {OPTIMIZER("{sgd: {learning_rate: {exponential_decay: {initial_learning_rate: 1, decay_steps: 0}}}}"), 13,
     "decay_steps: \"0\", allowed: a whole number from 1 to 9007199254740992"},
    {OPTIMIZER(
         "\n    sgd:\n      learning_rate:\n        cosine_decay: {initial_learning_rate: 1, decay_steps: "
         "9,\n          warmup_steps: 7}"),
     17, "sgd.learning_rate.cosine_decay.warmup_steps: given without warmup_target"},
    {OPTIMIZER("{sgd: {learning_rate: {piecewise_constant_decay: {boundaries: [1], values: [1, 2, 3]}}}}"),
     13, "sgd.learning_rate.piecewise_constant_decay: 3 values with 1 boundaries, allowed: one value more"},
    {OPTIMIZER("{sgd: {learning_rate: {piecewise_constant_decay: {boundaries: [2, 2], values: [1, 2, 3]}}}}"),
     13, "piecewise_constant_decay: boundary 2 after 2, allowed: ascending boundaries"},
    {OPTIMIZER("{sgd: {learning_rate: {piecewise_constant_decay: {boundaries: [-1], values: [1, 2]}}}}"), 13,
     "piecewise_constant_decay.boundaries[0]: \"-1\", allowed: a whole number from 0"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: [adam]}\n", 11,
     "train.optimizer: a list, allowed: one of sgd, adam"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, mode: ssp}\n", 11,
     "train.mode: ssp without \"staleness\", allowed: a whole number of steps from 0"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, mode: async, staleness: 0}\n", 11,
     "train.staleness: given with another mode, allowed: with mode: ssp"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, staleness_damping: true}\n", 11,
     "train.staleness_damping: given with mode sync, in which no gradient is stale, allowed: with async and "
     "ssp"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, mode: async, record_hashes: true}\n", 11,
     "train.record_hashes: given with mode async or ssp, in which no two runs are alike, allowed: with sync"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: lamb, mode: async}\n", 11,
     "train.optimizer: clipnorm, global_clipnorm and lamb need the sums of all workers, allowed: with mode "
     "sync"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: {sgd: {clipnorm: 1}}, mode: ssp, staleness: 2}\n", 11,
     "train.optimizer: clipnorm, global_clipnorm and lamb need the sums of all workers, allowed: with mode "
     "sync"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, mode: ssp, staleness: 2147483648}\n", 11,
     "train.staleness: \"2147483648\", allowed: a whole number from 0 to 2147483647"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, mode: snyc}\n", 11,
     "unknown word \"snyc\", did you mean \"sync\"?"},
    {HEAD MODEL DATA "train:\n  epochs: 1\n  optimizer: adam\n  batch_size: 8\n  microbatches: 9\n", 15,
     "train.microbatches: 9, allowed: at most batch_size, which is 8"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, batch_size: 16777217}\n", 11,
     "batch_size: \"16777217\", allowed: a whole number from 1 to 16777216"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, commit_every: 0}\n", 11, "commit_every: \"0\""},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, record_hashes: 2}\n", 11, "record_hashes: \"2\""},
    {HEAD MODEL DATA "train:\n  epochs: 1\n  optimizer: adam\n  codec: top_k\n", 14,
     "train.codec: top_k for a model, allowed: all others"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, codec: {int8: {block: 48}}}\n", 11,
     "train.codec: an int8 block of 48 is not a power of two from 16 to 1024"},
    {HEAD MODEL DATA "train: {epochs: 1, optimizer: adam, codec: float17}\n", 11,
     "train.codec: unknown word \"float17\", did you mean \"float1"},
    /* cluster, output */
    {GOOD "cluster: {workers: {min: 5, max: 2}}\n", 12,
     "cluster.workers: at least 5 workers, allowed: up to the most, which is 2"},
    {GOOD "cluster:\n  workers: 9\n", 13,
     "cluster.workers: 9 workers, allowed: up to train.microbatches, which is 8"},
    {GOOD "cluster: {workers: many}\n", 12, "cluster.workers.min: \"many\", allowed: a whole number"},
    {GOOD "cluster: {workers: [1, 2]}\n", 12,
     "cluster.workers: a list, allowed: a whole number, or the keys min, max"},
    {GOOD "cluster: {servers: 0}\n", 12, "cluster.servers: \"0\""},
    {GOOD "cluster: {device: gpu}\n", 12, "cluster.device: unknown word \"gpu\", did you mean \"cpu\"?"},
    {GOOD "cluster: {worker_tries: 0}\n", 12,
     "cluster.worker_tries: \"0\", allowed: a whole number from 1 to 1000"},
    {GOOD "cluster: {server_timeout: 0}\n", 12,
     "cluster.server_timeout: \"0\", allowed: a whole number from 1 to 31536000"},
    {GOOD "cluster: {straggler_factor: -1}\n", 12,
     "cluster.straggler_factor: \"-1\", allowed: a number from 0 to 1000"},
    {GOOD "output: model.h5\n", 12, "output: \"model.h5\", allowed: the keys path"},
    {GOOD "output: {path: ''}\n", 12, "output.path: no value"},
};

START_TEST(each_mistake_gets_one_line)
{
    /* The text with the lengths of those that hold zero bytes. */
    size_t length = bad[_i].text[0] == '\xff' ? 6 : strlen(bad[_i].text);
    struct error error = {0};
    struct job *job = (struct job *)&error;
    char place[32];

    ck_assert_int_eq(job_load_text(bad[_i].text, length, "job.yaml", ".", NULL, &job, &error), CAIRN_INVALID);
    ck_assert_ptr_null(job);
    ck_assert_ptr_null(strchr(error.message, '\n'));
    snprintf(place, sizeof(place), "job.yaml:%u: ", bad[_i].line);
    ck_assert_msg(strncmp(error.message, place, strlen(place)) == 0, "not %s: %s", place, error.message);
    ck_assert_msg(strstr(error.message, bad[_i].words) != NULL, "\"%s\" is not in: %s", bad[_i].words,
                  error.message);
    ck_assert_int_eq(job_load_text(bad[_i].text, length, "job.yaml", ".", NULL, &job, NULL), CAIRN_INVALID);
}
END_TEST

START_TEST(large_files_are_refused)
{
    size_t length = 4 * 60000;
    char *text = malloc(length + 1);
    struct error error = {0};
    struct job *job;

    for (size_t i = 0; i < length; i += 4)
        memcpy(text + i, "- a\n", 5);
    ck_assert_int_eq(job_load_text(text, length, "job.yaml", ".", NULL, &job, &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "job.yaml:50000: too large, allowed: 50000 values"));
    free(text);
    ck_assert_int_eq(job_load_text("", (16 << 20) + 1, "job.yaml", ".", NULL, &job, &error), CAIRN_INVALID);
}
END_TEST

START_TEST(long_file_names_leave_room_for_the_message)
{
    struct error error = {0};
    struct job *job;
    char name[5000];

    memset(name, 'd', sizeof(name) - 1);
    strcpy(name + sizeof(name) - 6, ".yaml");
    ck_assert_int_eq(job_load_text("seed: x", 7, name, ".", NULL, &job, &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "ddd.yaml:1: seed: \"x\", allowed: a whole number"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("job");
    TCase *good = tcase_create("good"), *use = tcase_create("use"), *wrong = tcase_create("bad");

    tcase_add_test(good, defaults_are_as_documented);
    tcase_add_test(good, every_key_arrives_in_the_model);
    tcase_add_test(good, every_key_arrives_elsewhere);
    tcase_add_loop_test(good, optimizers_are_as_documented, 0, OPTIMIZERS);
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
    tcase_add_test(use, every_argument_of_an_optimizer_is_in_the_digest);
    tcase_add_loop_test(use, every_number_of_a_specification_is_in_its_arguments, 0, OPTIMIZER_COUNT);
    tcase_add_test(use, a_model_file_names_the_optimizer);
    tcase_add_test(use, modes_arrive_in_the_model);
    tcase_add_test(use, files_are_read_whole);
    tcase_add_test(use, rules_name_keys_that_are_there_once);
    tcase_add_test(use, numbers_have_bounds);
    tcase_add_loop_test(use, examples_load, 0, (int)(sizeof(examples) / sizeof(examples[0])));
    tcase_add_test(use, all_keys_are_documented);
    suite_add_tcase(suite, use);
    tcase_add_loop_test(wrong, each_mistake_gets_one_line, 0, (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(wrong, large_files_are_refused);
    tcase_add_test(wrong, long_file_names_leave_room_for_the_message);
    suite_add_tcase(suite, wrong);
    return suite;
}

CHECK_MAIN(make_suite)
