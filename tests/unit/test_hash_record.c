/* A worker's record of hashes: its lines, what it goes on with, and that it never stands in a training's way.
 */
#include "base/log.h"
#include "hash_record.h"
#include "model/formats/hashes.h"
#include "worker_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>

static struct fixture fixture;
static struct job *job;
static float *weights;
static struct hashes hashes;

static void set_up(void)
{
    log_init(LOG_LEVEL_ERROR, "test");
    fixture_make(&fixture, "adam", "  record_hashes: true\noutput: {path: model.h5}\n");
    job = fixture_job(&fixture);
    weights = calloc(job->graph->floats, sizeof(*weights));
    ck_assert_ptr_nonnull(weights);
}

static void tear_down(void)
{
    hashes_fini(&hashes);
    free(weights);
    job_free(job);
    fixture_remove(&fixture);
}

static char *path_of(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/model.h5.hashes/%s", fixture.folder, name);
    return path;
}

static size_t read_file(const char *name, char text[1 << 16])
{
    FILE *file = fopen(path_of(name), "rb");
    size_t length;

    ck_assert_msg(file != NULL, "%s is not there", path_of(name));
    length = fread(text, 1, 1 << 16, file);
    fclose(file);
    return length;
}

static void read_record(const char *name)
{
    char text[1 << 16];
    size_t length = read_file(name, text);
    struct error error = {.message = ""};

    hashes_fini(&hashes);
    ck_assert_msg(hashes_parse(text, length, name, &hashes, &error) == CAIRN_OK, "%s", error.message);
}

static void append(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "ab");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

/* A worker's life of some versions. */
static void record(const char *job_id, const char *worker, uint64_t first, uint64_t end)
{
    struct hash_record *one = hash_record_open(job, job_id, worker);

    ck_assert_ptr_nonnull(one);
    for (uint64_t version = first; version < end; version++) {
        weights[0] = (float)version;
        hash_record_step(one, weights, version, false);
    }
    hash_record_close(one);
}

START_TEST(a_line_a_version)
{
    record("small-1", "worker-0", 0, 3);
    read_record("worker-0.txt");
    ck_assert_str_eq(hashes.origin.job, "small-1");
    ck_assert_str_eq(hashes.origin.worker, "worker-0");
    ck_assert_uint_eq(hashes.origin.seed, 3);
    ck_assert_uint_eq(hashes.tensor_count, job->graph->parameter_count);
    ck_assert_str_eq(hashes.tensors[0], "conv2d/kernel");
    ck_assert_uint_eq(hashes.line_count, 3);
    ck_assert_uint_eq(hashes.lines[2].step, 2);
    ck_assert(!hashes.lines[2].is_copy);
    ck_assert_int_ge(hashes.lines[2].time_ms, hashes.lines[0].time_ms);
    ck_assert_uint_ne(hashes.lines[0].sums[0], hashes.lines[1].sums[0]);
    ck_assert_uint_eq(hashes.lines[0].sums[1], hashes.lines[1].sums[1]);
}
END_TEST

/* One bit anywhere in a tensor shows, in that tensor alone. */
START_TEST(every_float_counts)
{
    struct hash_record *one = hash_record_open(job, "small-1", "w");

    hash_record_step(one, weights, 0, false);
    for (uint32_t i = 0; i < job->graph->parameter_count; i++) {
        const struct graph_parameter *parameter = &job->graph->parameters[i];

        weights[parameter->offset + parameter->elements - 1] = -0.0f;
        hash_record_step(one, weights, 1 + i, true);
        weights[parameter->offset + parameter->elements - 1] = 0.0f;
    }
    hash_record_close(one);
    read_record("w.txt");
    for (uint32_t i = 0; i < hashes.tensor_count; i++) {
        ck_assert(hashes.lines[1 + i].is_copy);
        for (uint32_t j = 0; j < hashes.tensor_count; j++)
            ck_assert_int_eq(hashes.lines[1 + i].sums[j] != hashes.lines[0].sums[j], i == j);
    }
}
END_TEST

START_TEST(a_worker_that_comes_back_goes_on)
{
    record("small-1", "w", 0, 3);
    append("w.txt", "3 exact 123 00112");
    record("small-1", "w", 2, 5);
    read_record("w.txt");
    ck_assert_uint_eq(hashes.line_count, 6);
    ck_assert_uint_eq(hashes.lines[3].step, 2);
    ck_assert_uint_eq(hashes.lines[3].sums[0], hashes.lines[2].sums[0]);
    ck_assert_uint_eq(hashes.lines[5].step, 4);
}
END_TEST

START_TEST(another_jobs_record_is_begun_anew)
{
    record("small-1", "w", 0, 3);
    record("small-2", "w", 0, 1);
    read_record("w.txt");
    ck_assert_str_eq(hashes.origin.job, "small-2");
    ck_assert_uint_eq(hashes.line_count, 1);
}
END_TEST

START_TEST(names_that_would_be_paths)
{
    record("small-1", "../a b", 0, 1);
    read_record("_._a_b.txt");
    ck_assert_str_eq(hashes.origin.worker, "../a b");
}
END_TEST

/* What goes wrong is a warning: there is no record, and nothing else. */
START_TEST(a_record_that_cannot_be_kept)
{
    FILE *file;
    char path[128];

    snprintf(path, sizeof(path), "%s/model.h5.hashes", fixture.folder);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fclose(file);
    ck_assert_ptr_null(hash_record_open(job, "small-1", "w"));
    hash_record_step(NULL, weights, 0, false);
    hash_record_close(NULL);
}
END_TEST

START_TEST(a_full_disk)
{
    struct hash_record *one;

    ck_assert_int_eq(mkdir(path_of(""), 0777), 0);
    ck_assert_int_eq(symlink("/dev/full", path_of("w.txt")), 0);
    one = hash_record_open(job, "small-1", "w");
    ck_assert_ptr_null(one);
}
END_TEST

START_TEST(jobs_that_do_not_ask_for_it)
{
    job->record_hashes = false;
    ck_assert_ptr_null(hash_record_open(job, "small-1", "w"));
    ck_assert_int_ne(access(path_of(""), F_OK), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("hash_record");
    TCase *cases = tcase_create("hash_record");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, a_line_a_version);
    tcase_add_test(cases, every_float_counts);
    tcase_add_test(cases, a_worker_that_comes_back_goes_on);
    tcase_add_test(cases, another_jobs_record_is_begun_anew);
    tcase_add_test(cases, names_that_would_be_paths);
    tcase_add_test(cases, a_record_that_cannot_be_kept);
    tcase_add_test(cases, a_full_disk);
    tcase_add_test(cases, jobs_that_do_not_ask_for_it);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(make_suite)
