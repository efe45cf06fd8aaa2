/* Job texts that programs describe: they load as what was said, and no text breaks out of its place. */
#include "check_main.h"
#include "job/job.h"
#include "job_text.h"

#include <stdlib.h>
#include <string.h>

static struct job_text *begun(void)
{
    struct job_text *text = job_text_new("tables");

    ck_assert_ptr_nonnull(text);
    return text;
}

static struct job *loaded(struct job_text *text)
{
    static const struct job_overrides none;
    struct error error = {.message = ""};
    struct job *job = NULL;
    char *written = NULL;

    ck_assert_msg(job_text_write(text, &written, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_msg(job_load_text(written, strlen(written), JOB_TEXT_FILE, "/", &none, &job, &error) ==
                      CAIRN_OK,
                  "%s in:\n%s", error.message, written);
    free(written);
    job_text_free(text);
    return job;
}

/* A table by itself is what a job's list of tables has. */
START_TEST(a_table_is_written_by_itself)
{
    static const char job_text[] =
        "name: x\ntables: [dense: {name: own, size: 3}]\ntrain: {optimizer: sgd}\n";
    struct job_added_table added = {.first_version = 0};
    const struct job_overrides overrides = {.added = &added, .added_count = 1};
    struct error error = {.message = ""};
    struct job *job = NULL;
    char *written = NULL;

    ck_assert_int_eq(
        job_text_write_table("one: two", 0, 4, "{admit_after: 3, initializer: zeros}", &written, &error),
        CAIRN_OK);
    added.text = written;
    ck_assert_int_eq(job_load_text(job_text, strlen(job_text), JOB_TEXT_FILE, "/", &overrides, &job, &error),
                     CAIRN_INVALID); /* the name stays a name */
    ck_assert_msg(strstr(error.message, "one: two") != NULL, "%s", error.message);
    free(written);
    ck_assert_int_eq(
        job_text_write_table("one", 0, 4, "{admit_after: 3, initializer: zeros}", &written, &error),
        CAIRN_OK);
    added.text = written;
    ck_assert_msg(job_load_text(job_text, strlen(job_text), JOB_TEXT_FILE, "/", &overrides, &job, &error) ==
                      CAIRN_OK,
                  "%s", error.message);
    ck_assert_uint_eq(job->table_count, 2);
    ck_assert_str_eq(job->tables[1].name, "one");
    ck_assert_uint_eq(job->tables[1].dimension, 4);
    ck_assert_uint_eq(job->tables[1].admit_after, 3);
    job_free(job);
    free(written);
    ck_assert_int_eq(job_text_write_table("one", 4, 0, "[list]", &written, &error), CAIRN_INVALID);
    ck_assert_int_eq(job_text_write_table("one", 4, 0, "{a: ", &written, &error), CAIRN_INVALID);
}
END_TEST

START_TEST(all_that_was_said_is_there)
{
    struct job_text *text = begun();
    struct job *job;

    ck_assert_int_eq(job_text_set(text, "seed", "18446744073709551615"), CAIRN_OK);
    ck_assert_int_eq(job_text_set(text, "train", "microbatches: 6\noptimizer:\n  adam: {beta_1: 0.5}\n"),
                     CAIRN_OK);
    ck_assert_int_eq(job_text_set(text, "cluster", "{servers: 2}"), CAIRN_OK);
    ck_assert_int_eq(job_text_add_table(text, "one", 1024, 0, NULL), CAIRN_OK);
    ck_assert_int_eq(
        job_text_add_table(text, "two", 0, 16,
                           "{initializer: {random_uniform: {minval: -1, maxval: 1e0}}, admit_after: 3}"),
        CAIRN_OK);
    ck_assert_int_eq(job_text_add_table(text, "three", 0, 4, "# nothing but words\n"), CAIRN_OK);
    job = loaded(text);
    ck_assert_str_eq(job->name, "tables");
    ck_assert_uint_eq(job->seed, UINT64_MAX);
    ck_assert_uint_eq(job->microbatches, 6);
    ck_assert_uint_eq(job->servers, 2);
    ck_assert_uint_eq(job->table_count, 3);
    ck_assert_str_eq(job->tables[0].name, "one");
    ck_assert_uint_eq(job->tables[0].size, 1024);
    ck_assert_int_eq(job->tables[0].optimizer.type, OPTIMIZER_ADAM);
    ck_assert_int_eq(job->tables[1].kind, TABLE_KIND_SPARSE);
    ck_assert_uint_eq(job->tables[1].dimension, 16);
    ck_assert_uint_eq(job->tables[1].admit_after, 3);
    ck_assert_uint_eq(job->tables[2].dimension, 4);
    job_free(job);
}
END_TEST

START_TEST(names_are_texts)
{
    static const struct job_overrides none;
    struct job_text *text = job_text_new("a: {b}\n- \"c");
    struct error error = {.message = ""};
    struct job *job = NULL;
    char *written = NULL;

    ck_assert_int_eq(job_text_add_table(text, "1, size: 9}", 1, 0, "{optimizer: sgd}"), CAIRN_OK);
    ck_assert_int_eq(job_text_write(text, &written, &error), CAIRN_OK);
    ck_assert_int_eq(job_load_text(written, strlen(written), JOB_TEXT_FILE, "/", &none, &job, &error),
                     CAIRN_INVALID);
    ck_assert_msg(strstr(error.message, "name") != NULL, "%s", error.message);
    free(written);
    job_text_free(text);
}
END_TEST

/* What a table's arguments may not be, and what is said of them. */
static const struct {
    const char *yaml, *message;
} bad[] = {
    {"{a: b", "line"},
    {"{a: b}}", "line 1"},
    {"a: b\n c: [", "line"},
    {"[1, 2]", "a mapping of arguments"},
    {"word", "a mapping of arguments"},
    {"*anchor", "a mapping of arguments"},
    {"{a: b}\n---\n{c: d}", "second document"},
    {"\x01", "line 1"},
};

START_TEST(texts_stay_in_their_place)
{
    struct job_text *text = begun();
    struct error error = {.message = ""};
    char *written = NULL;

    ck_assert_int_eq(job_text_add_table(text, "one", 1, 0, bad[_i].yaml), CAIRN_OK);
    ck_assert_int_eq(job_text_write(text, &written, &error), CAIRN_INVALID);
    ck_assert_msg(strstr(error.message, bad[_i].message) && strstr(error.message, "one"), "%s",
                  error.message);
    ck_assert_ptr_null(written);
    job_text_free(text);
}
END_TEST

START_TEST(a_key_needs_a_value)
{
    struct job_text *text = begun();
    struct error error = {.message = ""};
    char *written = NULL;

    ck_assert_int_eq(job_text_set(text, "seed", ""), CAIRN_OK);
    ck_assert_int_eq(job_text_write(text, &written, &error), CAIRN_INVALID);
    ck_assert_msg(strstr(error.message, "seed") != NULL, "%s", error.message);
    job_text_free(text);
    job_text_free(NULL);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("job_text");
    TCase *all = tcase_create("all");

    tcase_add_test(all, a_table_is_written_by_itself);
    tcase_add_test(all, all_that_was_said_is_there);
    tcase_add_test(all, names_are_texts);
    tcase_add_loop_test(all, texts_stay_in_their_place, 0, (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(all, a_key_needs_a_value);
    suite_add_tcase(suite, all);
    return suite;
}

CHECK_MAIN(make_suite)
