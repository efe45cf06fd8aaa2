/* Bad job files: the one line that each gets. */
#include "check_main.h"
#include "good_job.h"

#include <stdlib.h>

#define OPTIMIZER(text) HEAD MODEL DATA "train:\n  epochs: 1\n  optimizer: " text "\n"

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
    Suite *suite = suite_create("job_mistakes");
    TCase *wrong = tcase_create("bad");

    tcase_add_loop_test(wrong, each_mistake_gets_one_line, 0, (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(wrong, large_files_are_refused);
    tcase_add_test(wrong, long_file_names_leave_room_for_the_message);
    suite_add_tcase(suite, wrong);
    return suite;
}

CHECK_MAIN(make_suite)
