/* Job files with tables: what good ones become, how their tables lie, and the one line of each bad one. */
#include "check_main.h"
#include "job/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD   "name: tables\n"
#define USERS  "  - sparse: {name: users, dimension: 16}\n"
#define COMMON "  - dense: {name: common, size: 1000}\n"
#define TRAIN  "train: {optimizer: adam}\n"
#define GOOD   HEAD "tables:\n" USERS COMMON TRAIN

static struct job *load(const char *text)
{
    struct error error = {0};
    struct job *job;
    enum status status = job_load_text(text, strlen(text), "job.yaml", "/base", NULL, &job, &error);

    ck_assert_msg(status == CAIRN_OK, "%s", error.message);
    return job;
}

START_TEST(defaults_are_as_documented)
{
    struct job *job = load(GOOD);
    const struct table_spec *users = &job->tables[0], *common = &job->tables[1];

    ck_assert(job_has_tables(job));
    ck_assert_uint_eq(job->table_count, 2);
    ck_assert_str_eq(users->name, "users");
    ck_assert_int_eq(users->kind, TABLE_KIND_SPARSE);
    ck_assert_uint_eq(users->dimension, 16);
    ck_assert_uint_eq(users->size, 0);
    ck_assert_int_eq(users->initializer.type, INITIALIZER_RANDOM_UNIFORM);
    ck_assert_double_eq(users->initializer.minval, -0.05);
    ck_assert_double_eq(users->initializer.maxval, 0.05);
    ck_assert_int_eq(users->optimizer.type, OPTIMIZER_ADAM);
    ck_assert_double_eq(users->optimizer.learning_rate, 0.001);
    ck_assert_int_eq(users->codec.type, CODEC_FLOAT32);
    ck_assert_uint_eq(users->admit_after, 0);
    ck_assert_uint_eq(users->expire_after, 0);
    ck_assert_str_eq(common->name, "common");
    ck_assert_int_eq(common->kind, TABLE_KIND_DENSE);
    ck_assert_uint_eq(common->size, 1000);
    ck_assert_uint_eq(common->dimension, 0);
    ck_assert_int_eq(common->initializer.type, INITIALIZER_ZEROS);
    ck_assert_uint_eq(job->microbatches, 1);
    ck_assert_uint_eq(job->commit_every, 100);
    ck_assert_uint_eq(job->servers, 1);
    ck_assert_uint_eq(job->server_timeout, 600);
    job_free(job);
}
END_TEST

START_TEST(a_tables_job_has_no_training)
{
    struct job *job = load(GOOD);

    ck_assert_ptr_null(job->graph);
    ck_assert_ptr_null(job->model.layers);
    ck_assert_ptr_null(job->training.features);
    ck_assert_ptr_null(job->output_path);
    ck_assert_uint_eq(job->epochs, 0);
    ck_assert_uint_eq(job->steps, 0);
    ck_assert_uint_eq(job->batch_size, 0);
    ck_assert_uint_eq(job->workers_min, 0);
    ck_assert_uint_eq(job->workers_max, 0);
    job_free(job);
}
END_TEST

static const char everything[] =
    "name: all\n"
    "seed: 7\n"
    "tables:\n"
    "  - dense: {name: a, size: 1099511627776, initializer: {truncated_normal: {mean: 1, stddev: 2e-1}}}\n"
    "  - dense: {name: b, size: 1, initializer: {random_normal: {stddev: 0.5}}, optimizer: sgd}\n"
    "  - sparse:\n"
    "      name: c\n"
    "      dimension: 65536\n"
    "      initializer:\n"
    "        random_uniform: {minval: -1, maxval: 3}\n"
    "      optimizer: {sgd: {momentum: 0.5}}\n"
    "      admit_after: 2147483647\n"
    "      expire_after: 9007199254740992\n"
    "  - sparse: {name: d, dimension: 1, initializer: glorot_normal}\n"
    "train: {optimizer: adam, microbatches: 16, commit_every: 3, mode: sync}\n"
    "cluster: {servers: 3}\n";

START_TEST(every_key_arrives)
{
    struct job *job = load(everything);
    const struct table_spec *tables = job->tables;

    ck_assert_uint_eq(job->table_count, 4);
    ck_assert_uint_eq(tables[0].size, UINT64_C(1) << 40);
    ck_assert_int_eq(tables[0].initializer.type, INITIALIZER_TRUNCATED_NORMAL);
    ck_assert_double_eq(tables[0].initializer.mean, 1);
    ck_assert_double_eq(tables[0].initializer.stddev, 0.2);
    ck_assert_int_eq(tables[0].optimizer.type, OPTIMIZER_ADAM);
    ck_assert_int_eq(tables[1].initializer.type, INITIALIZER_RANDOM_NORMAL);
    ck_assert_double_eq(tables[1].initializer.mean, 0);
    ck_assert_double_eq(tables[1].initializer.stddev, 0.5);
    ck_assert_int_eq(tables[1].optimizer.type, OPTIMIZER_SGD);
    ck_assert_double_eq(tables[1].optimizer.learning_rate, 0.01);
    ck_assert_uint_eq(tables[2].dimension, 65536);
    ck_assert_double_eq(tables[2].initializer.minval, -1);
    ck_assert_double_eq(tables[2].initializer.maxval, 3);
    ck_assert_double_eq(tables[2].optimizer.momentum, 0.5);
    ck_assert_uint_eq(tables[2].admit_after, INT32_MAX);
    ck_assert_uint_eq(tables[2].expire_after, UINT64_C(1) << 53);
    ck_assert_int_eq(tables[3].initializer.type, INITIALIZER_GLOROT_NORMAL);
    ck_assert_uint_eq(job->microbatches, 16);
    ck_assert_uint_eq(job->commit_every, 3);
    ck_assert_uint_eq(job->servers, 3);
    job_free(job);
}
END_TEST

START_TEST(codecs_have_the_codecs_defaults)
{
    for (int type = 0; type < CODEC_COUNT; type++) {
        const struct codec_spec expected = codec_spec_default((enum codec_type)type);
        const struct codec_spec *codec;
        char text[200];
        struct job *job;

        snprintf(text, sizeof(text), HEAD "tables: [dense: {name: a, size: 1, codec: %s}]\n" TRAIN,
                 codec_name((enum codec_type)type));
        job = load(text);
        codec = &job->tables[0].codec;
        ck_assert_int_eq(codec->type, expected.type);
        ck_assert_int_eq(codec->rounding, expected.rounding);
        ck_assert_uint_eq(codec->block, expected.block);
        ck_assert_double_eq(codec->share, expected.share);
        job_free(job);
    }
}
END_TEST

START_TEST(arguments_of_codecs_arrive)
{
    struct job *job = load(
        HEAD "tables:\n  - sparse: {name: a, dimension: 1, codec: {int8: {block: 128, rounding: nearest}}}\n"
             "  - dense: {name: b, size: 1, codec: {top_k: {share: 1}}}\n"
             "  - dense: {name: c, size: 1, codec: {bfloat16: {rounding: stochastic}}}\n" TRAIN);

    ck_assert_int_eq(job->tables[0].codec.type, CODEC_INT8);
    ck_assert_uint_eq(job->tables[0].codec.block, 128);
    ck_assert_int_eq(job->tables[0].codec.rounding, CODEC_NEAREST);
    ck_assert_double_eq(job->tables[1].codec.share, 1);
    ck_assert_int_eq(job->tables[2].codec.rounding, CODEC_STOCHASTIC);
    job_free(job);
}
END_TEST

START_TEST(train_may_be_left_out)
{
    struct job *job = load(HEAD "tables: [{dense: {name: a, size: 3, optimizer: sgd}}]\n");

    ck_assert_int_eq(job->tables[0].optimizer.type, OPTIMIZER_SGD);
    ck_assert_uint_eq(job->microbatches, 1);
    ck_assert_uint_eq(job->commit_every, 100);
    job_free(job);
}
END_TEST

START_TEST(tables_are_found_by_their_numbers)
{
    struct job *job = load(GOOD);

    for (uint32_t number = 0; number < TABLE_FIRST_USER; number++)
        ck_assert_ptr_null(job_table(job, number));
    ck_assert_ptr_eq(job_table(job, TABLE_FIRST_USER), &job->tables[0]);
    ck_assert_ptr_eq(job_table(job, TABLE_FIRST_USER + 1), &job->tables[1]);
    ck_assert_ptr_null(job_table(job, TABLE_FIRST_USER + 2));
    ck_assert_ptr_null(job_table(job, UINT32_MAX));
    job_free(job);
}
END_TEST

START_TEST(chunks_cover_a_dense_table)
{
    const uint64_t sizes[] = {1, 16383, 16384, 16385, 64 * 16384 + 1, 100000000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct table_spec table = {.kind = TABLE_KIND_DENSE, .size = sizes[i]};
        uint32_t count = table_chunk_count(&table);
        uint64_t begin, end, reached = 0;

        for (uint32_t chunk = 0; chunk < count; chunk++) {
            table_chunk(&table, chunk, &begin, &end);
            ck_assert_uint_eq(begin, reached);
            ck_assert_uint_gt(end, begin);
            if (chunk + 1 < count)
                ck_assert_uint_eq(end - begin, table_chunk_floats(&table));
            reached = end;
        }
        ck_assert_uint_eq(reached, sizes[i]);
    }
}
END_TEST

START_TEST(slots_are_as_many_as_the_largest_table_has_chunks)
{
    struct job *small = load(GOOD), *large = load(everything);

    ck_assert_uint_eq(table_chunk_count(&small->tables[0]), 0); /* sparse */
    ck_assert_uint_eq(job_slot_count(small), PLACEMENT_SLOTS_MIN);
    ck_assert_uint_eq(job_slot_count(large), 1u << 22);
    job_free(small);
    job_free(large);
}
END_TEST

START_TEST(state_is_counted_with_its_optimizer)
{
    static const struct {
        const char *optimizer;
        uint64_t slots;
    } cases[] = {{"sgd", 0},      {"{sgd: {momentum: 0.5}}", 1},
                 {"adam", 2},     {"{adam: {amsgrad: true}}", 3},
                 {"adamw", 2},    {"adagrad", 1},
                 {"rmsprop", 1},  {"{rmsprop: {momentum: 0.5, centered: true}}", 3},
                 {"adadelta", 2}, {"nadam", 2},
                 {"lion", 1},     {"ftrl", 2}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200];
        struct job *job;

        snprintf(text, sizeof(text),
                 HEAD "tables: [sparse: {name: a, dimension: 16}, dense: {name: b, size: 100}]\n"
                      "train: {optimizer: %s}\n",
                 cases[i].optimizer);
        job = load(text);
        ck_assert_uint_eq(optimizer_spec_slot_count(&job->tables[0].optimizer), cases[i].slots);
        ck_assert_uint_eq(table_state_bytes(&job->tables[0]), 8 + 64 * (1 + cases[i].slots));
        ck_assert_uint_eq(table_state_bytes(&job->tables[1]), 400 * (1 + cases[i].slots));
        job_free(job);
    }
}
END_TEST

static uint32_t count_slots_with_state(const char *text)
{
    struct job *job = load(text);
    uint32_t count = 0;

    for (uint32_t slot = 0; slot < job_slot_count(job); slot++)
        count += job_slot_has_state(job, slot);
    job_free(job);
    return count;
}

START_TEST(slots_have_the_state_of_all_tables)
{
    struct job *job = load(HEAD "tables: [dense: {name: a, size: 1}, dense: {name: b, size: 1}]\n" TRAIN);

    ck_assert(job_slot_has_state(job, placement_slot(TABLE_FIRST_USER, 0, PLACEMENT_SLOTS_MIN)));
    ck_assert(job_slot_has_state(job, placement_slot(TABLE_FIRST_USER + 1, 0, PLACEMENT_SLOTS_MIN)));
    ck_assert(!job_slot_has_state(job, 0));
    job_free(job);
    ck_assert_uint_eq(count_slots_with_state(HEAD "tables: [dense: {name: a, size: 40000}]\n" TRAIN), 3);
    ck_assert_uint_eq(count_slots_with_state(GOOD), PLACEMENT_SLOTS_MIN); /* rows are everywhere */
    ck_assert_uint_eq(
        count_slots_with_state("name: model\nmodel: {input_shape: [40000], layers: [dense: {units: 2}], loss: "
                               "mean_squared_error}\ndata: {train: {format: csv, path: b}}\n"
                               "train: {steps: 1, optimizer: sgd}\n"),
        4);
}
END_TEST

/* ---- the digest */

static const struct {
    const char *text;
    bool same; /* digest as GOOD's */
} digests[] = {
    {"seed: 0\n" HEAD "tables:\n"
     "  - sparse: {dimension: 16, name: users, initializer: {random_uniform: {maxval: 5e-2}}, admit_after: "
     "0}\n"
     "  - dense: {name: common, size: 1000, optimizer: {adam: {beta_1: 0.90}}}\n"
     "train: {optimizer: adam, microbatches: 1, commit_every: 7}\ncluster: {servers: 9}\n",
     true},
    {GOOD "seed: 1\n", false},
    {HEAD "tables:\n" COMMON USERS TRAIN, false},
    {HEAD "tables:\n" USERS TRAIN, false},
    {HEAD "tables:\n" USERS "  - dense: {name: common, size: 1001}\n" TRAIN, false},
    {HEAD "tables:\n" USERS "  - dense: {name: other, size: 1000}\n" TRAIN, false},
    {HEAD "tables:\n" USERS "  - dense: {name: common, size: 1000, initializer: ones}\n" TRAIN, false},
    {HEAD "tables:\n" USERS "  - dense: {name: common, size: 1000, optimizer: sgd}\n" TRAIN, false},
    {HEAD "tables:\n  - sparse: {name: users, dimension: 17}\n" COMMON TRAIN, false},
    {HEAD "tables:\n  - sparse: {name: users, dimension: 16, admit_after: 1}\n" COMMON TRAIN, false},
    {HEAD "tables:\n  - sparse: {name: users, dimension: 16, expire_after: 1}\n" COMMON TRAIN, false},
    {HEAD
     "tables:\n  - sparse: {name: users, dimension: 16, initializer: {random_uniform: {minval: 0}}}\n" COMMON
         TRAIN,
     false},
    {HEAD "tables:\n" USERS COMMON "train: {optimizer: adam, microbatches: 2}\n", false},
    {HEAD "tables:\n" USERS "  - dense: {name: common, size: 1000, codec: float16}\n" TRAIN, false},
};

START_TEST(digest_is_of_what_the_state_depends_on)
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

/* ---- bad files */

#define ONE(arguments) HEAD "tables:\n  - " arguments "\n" TRAIN

static const struct {
    const char *text;
    unsigned line;
    const char *words; /* in the message after "job.yaml:LINE: " */
} bad[] = {
    /* model or tables */
    {HEAD TRAIN, 1, "missing key \"model\" (or \"tables\"), allowed: the keys input_shape"},
    {GOOD "model: {input_shape: [3], layers: [dense: {units: 1}], loss: mean_squared_error}\n", 6,
     "model: given beside tables, allowed: one of the two"},
    {GOOD "data: {train: {format: csv, path: b}}\n", 6, "data: a job with tables reads no data"},
    {GOOD "output: {path: x}\n", 6, "output: a job with tables writes no model file"},
    {HEAD "tables:\n" USERS "train:\n  optimizer: sgd\n  epochs: 1\n", 6,
     "train.epochs: a job with tables runs until it is stopped"},
    {HEAD "tables:\n" USERS "train: {optimizer: sgd, steps: 1}\n", 4, "train.steps: a job with tables runs"},
    {HEAD "tables:\n" USERS "train: {optimizer: sgd, batch_size: 32}\n", 4,
     "train.batch_size: a job with tables counts the samples that pushes name"},
    {HEAD "tables:\n" USERS "train: {optimizer: sgd, record_hashes: true}\n", 4,
     "train.record_hashes: a job with tables has no workers"},
    {HEAD "tables:\n" USERS "train: {optimizer: sgd, threads_per_microbatch: 1}\n", 4,
     "train.threads_per_microbatch: a job with tables has no workers"},
    {HEAD "tables:\n" USERS "train: {optimizer: sgd, terminate_on_nan: true}\n", 4,
     "train.terminate_on_nan: a job with tables computes no loss"},
    {GOOD "cluster: {servers: 1, workers: 1}\n", 6, "cluster.workers: a job with tables has no workers"},
    {GOOD "cluster: {threads_per_worker: 1}\n", 6, "cluster.threads_per_worker: a job with tables"},
    {GOOD "cluster: {worker_tries: 1}\n", 6, "cluster.worker_tries: a job with tables has no workers"},
    {GOOD "cluster: {straggler_factor: 2}\n", 6,
     "cluster.straggler_factor: a job with tables has no workers"},
    {GOOD "cluster:\n  device: auto\n", 7, "cluster.device: a job with tables has no workers"},
    {GOOD "cluster: {servers: 2, replicas: 3}\n", 6,
     "cluster.replicas: 3 replicas, allowed: up to cluster.servers, which is 2, as each is on another"},
    /* the list */
    {HEAD "tables: []\n" TRAIN, 2, "tables: a list of 0, allowed: a list of 1 to 256 entries"},
    {HEAD "tables:\n" TRAIN, 2, "tables: no value, allowed: a list of 1 to 256 entries"},
    {ONE("users"), 3, "tables[0]: unknown word \"users\", allowed: dense, sparse"},
    {ONE("spares: {name: a}"), 3, "tables[0]: unknown key \"spares\", did you mean \"sparse\"?"},
    {ONE("sparse"), 3, "tables[0].sparse: missing key \"name\""},
    {ONE("{dense: {name: a, size: 1}, sparse: {name: b, dimension: 1}}"), 3,
     "tables[0]: a second key \"sparse\", allowed: exactly one"},
    {HEAD "tables:\n" USERS COMMON "  - dense:\n      size: 1\n      name: users\n" TRAIN, 7,
     "tables[2].dense.name: a second table named users, allowed: each name once"},
    /* arguments */
    {ONE("dense: {name: a b, size: 1}"), 3,
     "tables[0].dense.name: \"a b\", allowed: a text of 1 to 63 bytes"},
    {ONE("dense: {name: a}"), 3, "tables[0].dense: missing key \"size\", allowed: a whole number from 1 to"},
    {ONE("dense: {name: a, size: 0}"), 3, "size: \"0\", allowed: a whole number from 1 to 1099511627776"},
    {ONE("dense: {name: a, size: 1099511627777}"), 3, "size: \"1099511627777\""},
    {ONE("dense: {name: a, size: 1, dimension: 2}"), 3, "tables[0].dense: unknown key \"dimension\""},
    {ONE("dense: {name: a, size: 1, expire_after: 2}"), 3, "tables[0].dense: unknown key \"expire_after\""},
    {ONE("sparse: {name: a, dimension: 65537}"), 3, "\"65537\", allowed: a whole number from 1 to 65536"},
    {ONE("sparse: {name: a, dimension: 1, size: 2}"), 3, "tables[0].sparse: unknown key \"size\""},
    {ONE("sparse: {name: a, dimension: 1, admit_after: -1}"), 3, "admit_after: \"-1\""},
    {ONE("sparse: {name: a, dimension: 1, initializer: he_normal}"), 3,
     "tables[0].sparse.initializer: unknown word \"he_normal\", allowed: zeros, ones"},
    {ONE("sparse: {name: a, dimension: 1, initializer: {zeros: {mean: 1}}}"), 3,
     "initializer.zeros: unknown key \"mean\""},
    {ONE("sparse: {name: a, dimension: 1, initializer: {random_normal: {stddev: -1}}}"), 3,
     "stddev: \"-1\", allowed: a number from 0 to 1e+06"},
    {ONE("sparse:\n      name: a\n      dimension: 1\n      initializer: {random_uniform: {minval: 0.06}}"),
     6, "tables[0].sparse.initializer.random_uniform: minval 0.06, allowed: at most maxval, which is 0.05"},
    {ONE("dense: {name: a, size: 1, codec: float64}"), 3,
     "tables[0].dense.codec: unknown word \"float64\", did you mean"},
    {ONE("dense: {name: a, size: 1, codec: {int8: {block: 100}}}"), 3,
     "tables[0].dense.codec: an int8 block of 100 is not a power of two from 16 to 1024"},
    {ONE("dense: {name: a, size: 1, codec: {int8: {block: 8}}}"), 3, "block: \"8\", allowed: a whole number"},
    {ONE("dense: {name: a, size: 1, codec: {float16: {rounding: up}}}"), 3,
     "rounding: unknown word \"up\", allowed: nearest, stochastic"},
    {ONE("dense: {name: a, size: 1, codec: {top_k: {share: 0}}}"), 3,
     "share: \"0\", allowed: a number above 0"},
    {ONE("sparse: {name: a, dimension: 1, codec: top_k}"), 3,
     "tables[0].sparse.codec: top_k for a sparse table, allowed: all others"},
    {HEAD "tables:\n" USERS, 3,
     "tables[0].sparse: missing key \"optimizer\", allowed: one here, or train.optimizer for all tables"},
    {HEAD "tables:\n  - sparse: {name: a, dimension: 1, optimizer: {sgd: {clipnorm: 1, clipvalue: 1}}}\n", 3,
     "tables[0].sparse.optimizer.sgd.clipvalue: given beside another"},
    {HEAD "tables:\n  - sparse: {name: a, dimension: 1, optimizer: lamb}\n", 3,
     "tables[0].sparse.optimizer: lamb for the sparse table a, allowed: optimizers that can update"},
    {HEAD "tables:\n" USERS "train: {optimizer: sgd, codec: int8}\n", 4,
     "train.codec: a job with tables has a codec a table"},
    {HEAD "tables:\n" USERS "train: {optimizer: sgd, mode: async}\n", 4,
     "train.mode: async and ssp are for trainings of models, allowed: sync with tables"},
    {HEAD "tables:\n" USERS "train: {optimizer: sgd, staleness: 1}\n", 4,
     "train.staleness: a job with tables has mode sync"},
    {HEAD "tables:\n" USERS "train: {optimizer: lamb}\n", 4, "train.optimizer: lamb for the sparse table"},
    {HEAD "tables:\n  - dense: {name: a, size: 1, optimizer: sgd}\n" USERS "train:\n", 4,
     "tables[1].sparse: missing key \"optimizer\""},
};

START_TEST(each_mistake_gets_one_line)
{
    const char *text = bad[_i].text;
    struct error error = {0};
    struct job *job;
    char place[32];

    ck_assert_int_eq(job_load_text(text, strlen(text), "job.yaml", ".", NULL, &job, &error), CAIRN_INVALID);
    ck_assert_ptr_null(job);
    ck_assert_ptr_null(strchr(error.message, '\n'));
    snprintf(place, sizeof(place), "job.yaml:%u: ", bad[_i].line);
    ck_assert_msg(strncmp(error.message, place, strlen(place)) == 0, "not %s: %s", place, error.message);
    ck_assert_msg(strstr(error.message, bad[_i].words) != NULL, "\"%s\" is not in: %s", bad[_i].words,
                  error.message);
}
END_TEST

START_TEST(the_command_line_overrides_the_servers_only)
{
    struct job_overrides overrides = {.servers = 4};
    struct error error = {0};
    struct job *job;

    ck_assert_int_eq(job_load_text(GOOD, strlen(GOOD), "job.yaml", NULL, &overrides, &job, &error), CAIRN_OK);
    ck_assert_uint_eq(job->servers, 4);
    job_free(job);
    overrides.workers_max = 2;
    ck_assert_int_eq(job_load_text(GOOD, strlen(GOOD), "job.yaml", NULL, &overrides, &job, &error),
                     CAIRN_INVALID);
    ck_assert_str_eq(error.message, "job.yaml:2: tables: a job with tables has no workers: drop --workers");
}
END_TEST

/* ---- tables that were added */

static enum status load_added(const struct job_overrides *overrides, struct job **job, struct error *error)
{
    return job_load_text(GOOD, strlen(GOOD), "job.yaml", "/base", overrides, job, error);
}

START_TEST(added_tables_come_after_the_files_own)
{
    static const struct job_added_table added[] = {
        {"sparse: {name: late, dimension: 4, admit_after: 3}\n", 7},
        {"{dense: {name: \"later\", size: 20000000}}", 9}};
    const struct job_overrides overrides = {.servers = 3, .added = added, .added_count = 2};
    struct job *job, *plain = load(GOOD);
    char hashes[2][HASH_TEXT_BYTES];
    struct error error = {0};

    ck_assert_msg(load_added(&overrides, &job, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_uint_eq(job->table_count, 4);
    ck_assert_uint_eq(job->added_count, 2);
    ck_assert_uint_eq(job->servers, 3);
    ck_assert_str_eq(job->tables[1].name, "common");
    ck_assert_uint_eq(job->tables[1].first_version, 0);
    ck_assert_str_eq(job->tables[2].name, "late");
    ck_assert_uint_eq(job->tables[2].admit_after, 3);
    ck_assert_uint_eq(job->tables[2].first_version, 7);
    ck_assert_int_eq(job->tables[2].optimizer.type, OPTIMIZER_ADAM); /* train's */
    ck_assert_str_eq(job->tables[3].name, "later");
    ck_assert_uint_eq(job->tables[3].first_version, 9);
    job_digest(job, hashes[0]);
    job_digest(plain, hashes[1]);
    ck_assert_str_eq(hashes[0], hashes[1]);
    ck_assert_uint_gt(table_chunk_count(&job->tables[3]), 50);
    ck_assert_uint_eq(job_slot_count(job), job_slot_count(plain));
    job_free(job);
    job_free(plain);
}
END_TEST

/* Large tables may have more chunks than the job has slots. */
START_TEST(added_chunks_go_round_the_slots)
{
    static const struct job_added_table added = {"dense: {name: huge, size: 1099511627776}", 1};
    const struct job_overrides overrides = {.added = &added, .added_count = 1};
    struct job *job;
    uint32_t slots;

    ck_assert_int_eq(load_added(&overrides, &job, NULL), CAIRN_OK);
    slots = job_slot_count(job);
    ck_assert_uint_gt(table_chunk_count(&job->tables[2]), slots);
    for (uint32_t chunk = 0; chunk < 2 * slots; chunk += 17)
        ck_assert_uint_eq(placement_slot(5, chunk + slots, slots), placement_slot(5, chunk, slots));
    for (uint32_t slot = 0; slot < slots; slot++)
        ck_assert(job_slot_has_state(job, slot));
    job_free(job);
}
END_TEST

START_TEST(one_table_can_be_looked_at_alone)
{
    static const struct job_added_table one = {"dense: {name: common, size: 1000}", 0},
                                        other = {"dense: {name: common, size: 1001}", 0};
    const struct job_overrides alike = {.added = &one, .added_count = 1, .only_added = true},
                               unlike = {.added = &other, .added_count = 1, .only_added = true};
    struct job *job, *candidate;

    job = load(GOOD);
    ck_assert_int_eq(load_added(&alike, &candidate, NULL), CAIRN_OK);
    ck_assert_uint_eq(candidate->table_count, 1);
    ck_assert(table_equals(&candidate->tables[0], &job->tables[1]));
    ck_assert(!table_equals(&candidate->tables[0], &job->tables[0]));
    job_free(candidate);
    ck_assert_int_eq(load_added(&unlike, &candidate, NULL), CAIRN_OK);
    ck_assert(!table_equals(&candidate->tables[0], &job->tables[1]));
    job_free(candidate);
    job_free(job);
}
END_TEST

static const struct {
    const char *text, *message;
} bad_additions[] = {
    {"dense: {name: common, size: 5}", "a second table named common"},
    {"dense: {name: x, size: 0}", "size"},
    {"dense: {name: x, size: 5}\nsparse: {name: y, dimension: 3}", "one"},
    {"- dense: {name: x, size: 5}", "allowed"},
    {"dense: {name: x, size: 5", "not valid YAML"},
    {"", "empty"},
    {"dense: {name: x, size: 5}\n---\ndense: {name: y, size: 5}", "second YAML document"},
    {"text", "allowed"},
};

START_TEST(bad_additions_are_refused)
{
    const struct job_added_table added = {bad_additions[_i].text, 1};
    const struct job_overrides overrides = {.added = &added, .added_count = 1};
    struct error error = {0};
    struct job *job;

    ck_assert_int_eq(load_added(&overrides, &job, &error), CAIRN_INVALID);
    ck_assert_msg(strstr(error.message, bad_additions[_i].message) != NULL, "%s", error.message);
}
END_TEST

START_TEST(added_tables_begin_one_after_the_other)
{
    static const struct job_added_table added[] = {{"dense: {name: x, size: 5}", 4},
                                                   {"dense: {name: y, size: 5}", 3}};
    const struct job_overrides overrides = {.added = added, .added_count = 2};
    struct error error = {0};
    struct job *job;

    ck_assert_int_eq(load_added(&overrides, &job, &error), CAIRN_INVALID);
    ck_assert_msg(strstr(error.message, "table y begins before") != NULL, "%s", error.message);
}
END_TEST

START_TEST(nothing_is_added_to_a_model)
{
    static const struct job_added_table added = {"dense: {name: x, size: 5}", 1};
    const struct job_overrides overrides = {.added = &added, .added_count = 1};
    static const char text[] = "name: x\nmodel: {}\n";
    struct error error = {0};
    struct job *job;

    ck_assert_int_eq(job_load_text(text, strlen(text), "job.yaml", "/", &overrides, &job, &error),
                     CAIRN_INVALID);
    ck_assert_msg(strstr(error.message, "no list of tables") != NULL, "%s", error.message);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("job_tables");
    TCase *good = tcase_create("good"), *wrong = tcase_create("bad");

    tcase_add_test(good, defaults_are_as_documented);
    tcase_add_test(good, a_tables_job_has_no_training);
    tcase_add_test(good, every_key_arrives);
    tcase_add_test(good, codecs_have_the_codecs_defaults);
    tcase_add_test(good, arguments_of_codecs_arrive);
    tcase_add_test(good, train_may_be_left_out);
    tcase_add_test(good, tables_are_found_by_their_numbers);
    tcase_add_test(good, chunks_cover_a_dense_table);
    tcase_add_test(good, slots_are_as_many_as_the_largest_table_has_chunks);
    tcase_add_test(good, state_is_counted_with_its_optimizer);
    tcase_add_test(good, slots_have_the_state_of_all_tables);
    tcase_add_loop_test(good, digest_is_of_what_the_state_depends_on, 0,
                        (int)(sizeof(digests) / sizeof(digests[0])));
    tcase_add_test(good, added_tables_come_after_the_files_own);
    tcase_add_test(good, added_chunks_go_round_the_slots);
    tcase_add_test(good, one_table_can_be_looked_at_alone);
    suite_add_tcase(suite, good);
    tcase_add_loop_test(wrong, each_mistake_gets_one_line, 0, (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_loop_test(wrong, bad_additions_are_refused, 0,
                        (int)(sizeof(bad_additions) / sizeof(bad_additions[0])));
    tcase_add_test(wrong, added_tables_begin_one_after_the_other);
    tcase_add_test(wrong, nothing_is_added_to_a_model);
    tcase_add_test(wrong, the_command_line_overrides_the_servers_only);
    suite_add_tcase(suite, wrong);
    return suite;
}

CHECK_MAIN(make_suite)
