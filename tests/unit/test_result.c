/* The JSON line with which commands end, and tables for people. */
#include "result.h"
#include "table.h"

#include "check_main.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static Cairn__Metric loss = CAIRN__METRIC__INIT, accuracy = CAIRN__METRIC__INIT;
static Cairn__Metric *metrics[] = {&loss, &accuracy};

static Cairn__JobStatus completed(void)
{
    Cairn__JobStatus status = CAIRN__JOB_STATUS__INIT;

    loss.name = (char *)"loss";
    loss.value = 0.03125;
    accuracy.name = (char *)"accuracy";
    accuracy.value = 0.99070000000000003;
    status.id = (char *)"digits-1";
    status.name = (char *)"digits";
    status.number = 1;
    status.state = CAIRN__JOB_STATE__JOB_STATE_COMPLETED;
    status.step = status.final_step = status.committed_step = 250;
    status.epoch = status.epochs = 5;
    status.workers = 3;
    status.servers = 2;
    status.samples_per_second = 1234.5;
    status.validation = metrics;
    status.n_validation = 2;
    status.validation_step = 200;
    status.model_hash = (char *)"abc";
    status.output = (char *)"/tmp/digits.h5";
    status.started_ms = 10000;
    status.finished_ms = 12500;
    return status;
}

static void assert_dumps(json_t *object, const char *expected)
{
    char *text;

    ck_assert_ptr_nonnull(object);
    text = json_dumps(object, 0);
    ck_assert_str_eq(text, expected);
    free(text);
    json_decref(object);
}

START_TEST(a_completed_job)
{
    Cairn__JobStatus status = completed();

    assert_dumps(
        result_json(&status, 99999),
        "{\"status\": \"completed\", \"job\": \"digits-1\", \"name\": \"digits\", \"model_hash\": \"abc\", "
        "\"steps\": 250, \"epochs\": 5, \"workers\": 3, \"servers\": 2, \"seconds\": 2.5, "
        "\"samples_per_second\": 1234.5, \"metrics\": {\"loss\": 0.03125, \"accuracy\": "
        "0.99070000000000003}, \"training\": {}, \"output\": \"/tmp/digits.h5\", \"committed_step\": 250, "
        "\"time\": {\"compute\": 0.0, \"communication\": 0.0, \"waiting\": 0.0}}");
    ck_assert(result_is_success(&status));
    status.output_error = (char *)"no space";
    ck_assert(!result_is_success(&status));
}
END_TEST

START_TEST(a_job_with_tables_ends_well_when_it_is_stopped)
{
    Cairn__JobStatus status = completed();
    json_t *object;

    status.tables = 3;
    status.state = CAIRN__JOB_STATE__JOB_STATE_STOPPED;
    ck_assert(result_is_success(&status));
    object = result_status_json(&status, 99999);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "tables")), 3);
    json_decref(object);
    status.state = CAIRN__JOB_STATE__JOB_STATE_FAILED;
    ck_assert(!result_is_success(&status));
}
END_TEST

START_TEST(a_failed_job)
{
    Cairn__JobStatus status = completed();
    json_t *object;

    status.state = CAIRN__JOB_STATE__JOB_STATE_FAILED;
    status.reason = (char *)"worker two is gone";
    status.model_hash = (char *)"";
    loss.value = NAN;
    object = result_json(&status, 99999);
    ck_assert_str_eq(json_string_value(json_object_get(object, "status")), "failed");
    ck_assert_str_eq(json_string_value(json_object_get(object, "reason")), "worker two is gone");
    ck_assert(json_is_null(json_object_get(object, "model_hash")));
    ck_assert(json_is_null(json_object_get(json_object_get(object, "metrics"), "loss")));
    json_decref(object);
    ck_assert(!result_is_success(&status));
}
END_TEST

START_TEST(a_run_that_failed_without_the_coordinator)
{
    Cairn__JobStatus status = completed();
    json_t *object = result_json_failed(NULL, "cannot start", 5);

    ck_assert_str_eq(json_string_value(json_object_get(object, "status")), "failed");
    ck_assert_str_eq(json_string_value(json_object_get(object, "reason")), "cannot start");
    ck_assert(json_is_null(json_object_get(object, "job")));
    json_decref(object);
    status.state = CAIRN__JOB_STATE__JOB_STATE_RUNNING;
    object = result_json_failed(&status, "a child died", 5);
    ck_assert_str_eq(json_string_value(json_object_get(object, "status")), "failed");
    ck_assert_str_eq(json_string_value(json_object_get(object, "job")), "digits-1");
    json_decref(object);
}
END_TEST

START_TEST(a_status_has_more)
{
    Cairn__JobStatus status = completed();
    json_t *object = result_status_json(&status, 99999);

    ck_assert_int_eq(json_integer_value(json_object_get(object, "step")), 250);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "final_step")), 250);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "validation_step")), 200);
    ck_assert_str_eq(json_string_value(json_object_get(object, "status")), "completed");
    ck_assert(json_is_object(json_object_get(object, "time")));
    json_decref(object);
}
END_TEST

START_TEST(a_waiting_job)
{
    Cairn__JobStatus status = completed();
    char *excluded[] = {(char *)"w1", (char *)"w\xe9"}, *leaving[] = {(char *)"s1"}, text[32];
    json_t *object;

    status.state = CAIRN__JOB_STATE__JOB_STATE_WAITING;
    status.state_ms = 20000;
    status.workers_target = 4;
    status.divergences = 2;
    status.backup_microbatches = 7;
    status.n_excluded = 2;
    status.excluded = excluded;
    status.n_leaving = 1;
    status.leaving = leaving;
    ck_assert(result_state_seconds(&status, 21500) == 1.5);
    ck_assert(result_state_seconds(&status, 19000) == 0.0); /* a clock that was set back */
    object = result_status_json(&status, 21500);
    ck_assert_str_eq(json_string_value(json_object_get(object, "status")), "waiting");
    ck_assert_int_eq(json_integer_value(json_object_get(object, "state_ms")), 20000);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "workers_target")), 4);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "divergences")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "backup_microbatches")), 7);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(object, "excluded"), 1)), "w?");
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(object, "leaving"), 0)), "s1");
    json_decref(object);
    result_workers_text(&status, " of ", text, sizeof(text));
    ck_assert_str_eq(text, "3 of 4");
    status.workers = 4;
    result_workers_text(&status, "/", text, sizeof(text));
    ck_assert_str_eq(text, "4");
    status.state_ms = 0; /* an older coordinator's */
    ck_assert(result_state_seconds(&status, 21500) == 0.0);
}
END_TEST

START_TEST(seconds)
{
    Cairn__JobStatus status = completed();

    ck_assert(result_seconds(&status, 0) == 2.5);
    status.finished_ms = 0;
    ck_assert(result_seconds(&status, 11000) == 1.0);
    ck_assert(result_seconds(&status, 9000) == 0.0); /* a clock that was set back */
    status.started_ms = 0;
    ck_assert(result_seconds(&status, 11000) == 0.0);
}
END_TEST

START_TEST(foreign_texts)
{
    assert_dumps(json_pack("[o]", result_text("caf\xc3\xa9")), "[\"caf\xc3\xa9\"]");
    assert_dumps(json_pack("[o]", result_text("caf\xe9 \"x\"")), "[\"caf? \\\"x\\\"\"]");
}
END_TEST

START_TEST(states_have_names)
{
    for (int state = CAIRN__JOB_STATE__JOB_STATE_PENDING; state <= CAIRN__JOB_STATE__JOB_STATE_WAITING;
         state++)
        ck_assert_str_ne(job_state_name((Cairn__JobState)state), "unknown");
    ck_assert_str_eq(job_state_name((Cairn__JobState)77), "unknown");
    ck_assert(job_state_has_ended(CAIRN__JOB_STATE__JOB_STATE_STOPPED));
    ck_assert(!job_state_has_ended(CAIRN__JOB_STATE__JOB_STATE_COMMITTING));
}
END_TEST

START_TEST(metrics_as_text_are_cut)
{
    Cairn__JobStatus status = completed();
    char text[64];

    result_metrics_text(status.validation, 2, text, sizeof(text));
    ck_assert_str_eq(text, "loss 0.0312  accuracy 0.9907");
    result_metrics_text(status.validation, 2, text, 8);
    ck_assert_str_eq(text, "loss 0.");
    status.validation[0]->value = -(double)NAN; /* whose sign says nothing */
    result_metrics_text(status.validation, 1, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, " nan"));
    result_metrics_text(NULL, 0, text, sizeof(text));
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(tables_line_up)
{
    static const char *const headings[] = {"NAME", "STATE"};
    struct table table;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    table_init(&table, 2, headings);
    table_add(&table, "%s", "digits-1");
    table_add(&table, "%d", 7);
    table_add(&table, "x");
    table_add(&table, "%s", "");
    table_add(&table, "half a row");
    ck_assert(table_print(&table, file));
    fclose(file);
    ck_assert_str_eq(text, "NAME      STATE\ndigits-1  7\nx         \n");
    free(text);
    table_fini(&table);
}
END_TEST

START_TEST(what_is_committed_is_done)
{
    Cairn__JobStatus status = completed();
    json_t *object;

    status.step = 74;
    status.committed_step = 100;
    ck_assert_uint_eq(result_steps_done(&status), 100);
    object = result_status_json(&status, 0);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "step")), 100);
    ck_assert_int_eq(json_integer_value(json_object_get(object, "steps")), 100);
    json_decref(object);
    status.step = 101;
    ck_assert_uint_eq(result_steps_done(&status), 101);
}
END_TEST

START_TEST(moments_are_local_time)
{
    char text[RESULT_MOMENT_BYTES];

    setenv("TZ", "UTC-2", 1);
    tzset();
    result_moment_text(1795862405999, text);
    ck_assert_str_eq(text, "2026-11-28 12:40:05");
    result_moment_text(0, text);
    ck_assert_str_eq(text, "-");
}
END_TEST

static Suite *result_suite(void)
{
    Suite *suite = suite_create("result");
    TCase *cases = tcase_create("result");

    tcase_add_test(cases, a_completed_job);
    tcase_add_test(cases, a_job_with_tables_ends_well_when_it_is_stopped);
    tcase_add_test(cases, a_failed_job);
    tcase_add_test(cases, a_run_that_failed_without_the_coordinator);
    tcase_add_test(cases, a_status_has_more);
    tcase_add_test(cases, a_waiting_job);
    tcase_add_test(cases, seconds);
    tcase_add_test(cases, foreign_texts);
    tcase_add_test(cases, states_have_names);
    tcase_add_test(cases, metrics_as_text_are_cut);
    tcase_add_test(cases, tables_line_up);
    tcase_add_test(cases, what_is_committed_is_done);
    tcase_add_test(cases, moments_are_local_time);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(result_suite)
