/* What is said of a training's progress. */
#include "progress.h"

#include "check_main.h"

#include <string.h>

static Cairn__Metric loss = CAIRN__METRIC__INIT, accuracy = CAIRN__METRIC__INIT;
static Cairn__Metric validation_loss = CAIRN__METRIC__INIT;
static Cairn__Metric *training_metrics[] = {&loss, &accuracy};
static Cairn__Metric *validation_metrics[] = {&validation_loss};

/* A job of 5 epochs of 100 steps, in the middle of the second. */
static Cairn__JobStatus running(void)
{
    Cairn__JobStatus status = CAIRN__JOB_STATUS__INIT;

    loss.name = (char *)"loss";
    loss.value = 0.12345;
    accuracy.name = (char *)"accuracy";
    accuracy.value = 0.9612;
    validation_loss.name = (char *)"loss";
    validation_loss.value = 0.2;
    status.state = CAIRN__JOB_STATE__JOB_STATE_RUNNING;
    status.epochs = 5;
    status.epoch = 1;
    status.step = 150;
    status.final_step = 500;
    status.steps_per_epoch = 100;
    status.samples_per_second = 8312.4;
    status.metrics = training_metrics;
    status.n_metrics = 2;
    status.started_ms = 1000;
    return status;
}

static void assert_duration(double seconds, const char *expected)
{
    char text[32];

    progress_duration(seconds, text, sizeof(text));
    ck_assert_str_eq(text, expected);
}

START_TEST(durations)
{
    assert_duration(0, "0:00");
    assert_duration(6.6, "0:07");
    assert_duration(59.7, "1:00");
    assert_duration(754, "12:34");
    assert_duration(3723, "1:02:03");
    assert_duration(-5, "0:00");
    assert_duration(1e300, "0:00");
}
END_TEST

static void assert_count(uint64_t number, const char *expected)
{
    char text[32];

    progress_count(number, text, sizeof(text));
    ck_assert_str_eq(text, expected);
}

START_TEST(counts)
{
    assert_count(0, "0");
    assert_count(999, "999");
    assert_count(1000, "1,000");
    assert_count(1234567, "1,234,567");
    assert_count(UINT64_MAX, "18,446,744,073,709,551,615");
}
END_TEST

START_TEST(time_left)
{
    Cairn__JobStatus status = running();

    status.samples_per_second = 700;
    ck_assert(progress_seconds_left(&status, 20) == 10.0);
    status.samples_per_second = 0;
    ck_assert(progress_seconds_left(&status, 20) < 0);
    status.samples_per_second = 700;
    status.final_step = 0;
    ck_assert(progress_seconds_left(&status, 20) < 0);
    status.final_step = 100; /* fewer than were done */
    ck_assert(progress_seconds_left(&status, 20) < 0);
}
END_TEST

START_TEST(the_live_line)
{
    Cairn__JobStatus status = running();
    char line[PROGRESS_LINE_BYTES];

    progress_live_line(&status, 20, 200, line);
    ck_assert_str_eq(line, "epoch 2/5 [==========>         ] step 50/100  loss 0.1235  accuracy 0.9612  "
                           "8,312 samples/s  0:01 left");
    status.epoch = 5; /* the end, before it is durable */
    status.step = 500;
    progress_live_line(&status, 20, 200, line);
    ck_assert_int_eq(strncmp(line, "epoch 5/5 [====================] step 100/100", 45), 0);
    status.epoch = 4; /* the training's steps end within its last epoch */
    status.step = 410;
    status.final_step = 420;
    progress_live_line(&status, 20, 200, line);
    ck_assert_int_eq(strncmp(line, "epoch 5/5 [==========>         ] step 10/20  loss", 49), 0);
}
END_TEST

START_TEST(a_narrow_terminal)
{
    Cairn__JobStatus status = running();
    char line[PROGRESS_LINE_BYTES];

    progress_live_line(&status, 20, 95, line);
    ck_assert_str_eq(
        line, "epoch 2/5 [=====>    ] step 50/100  loss 0.1235  accuracy 0.9612  8,312 samples/s  0:01 left");
    progress_live_line(&status, 20, 85, line);
    ck_assert_str_eq(line,
                     "epoch 2/5 [=====>    ] step 50/100  loss 0.1235  accuracy 0.9612  8,312/s  0:01 left");
    progress_live_line(&status, 20, 79, line);
    ck_assert_str_eq(line, "epoch 2/5 step 50/100  loss 0.1235  accuracy 0.9612  8,312/s  0:01 left");
    progress_live_line(&status, 20, 9, line);
    ck_assert_str_eq(line, "epoch 2/5");
}
END_TEST

START_TEST(the_live_line_without_epochs)
{
    Cairn__JobStatus status = running();
    char line[PROGRESS_LINE_BYTES];

    status.epochs = 0; /* before the data was counted */
    status.steps_per_epoch = 0;
    status.n_metrics = 0;
    status.samples_per_second = 0;
    progress_live_line(&status, 20, 200, line);
    ck_assert_str_eq(line, "[======>             ] step 150/500");
    status.final_step = 0;
    progress_live_line(&status, 20, 200, line);
    ck_assert_str_eq(line, "");
}
END_TEST

START_TEST(the_live_line_of_other_states)
{
    Cairn__JobStatus status = running();
    char line[PROGRESS_LINE_BYTES];

    status.state = CAIRN__JOB_STATE__JOB_STATE_PENDING;
    status.reason = (char *)"needs 1 more worker";
    progress_live_line(&status, 20, 200, line);
    ck_assert_str_eq(line, "needs 1 more worker");
    status.state = CAIRN__JOB_STATE__JOB_STATE_WAITING;
    progress_live_line(&status, 20, 200, line);
    ck_assert_str_eq(line, "step 150: needs 1 more worker");
    status.state = CAIRN__JOB_STATE__JOB_STATE_PREPARING;
    progress_live_line(&status, 20, 200, line);
    ck_assert_str_eq(line, "preparing: the nodes load state and data");
    status.state = CAIRN__JOB_STATE__JOB_STATE_STOPPING;
    progress_live_line(&status, 20, 200, line);
    ck_assert_str_eq(line, "stopping after the step in hand (150)");
    status.state = CAIRN__JOB_STATE__JOB_STATE_COMMITTING;
    progress_live_line(&status, 20, 200, line);
    ck_assert_str_eq(line, "making step 150 durable");
}
END_TEST

START_TEST(an_epoch_waits_for_its_validation)
{
    Cairn__JobStatus status = running();
    struct progress_epochs epochs;
    char line[PROGRESS_LINE_BYTES];

    status.validation = validation_metrics;
    status.n_validation = 1;
    status.validation_step = 100;
    progress_epochs_init(&epochs, true, &status);
    ck_assert(!progress_epochs_next(&epochs, &status, 3000, line)); /* epoch 1 was over before we came */
    status.epoch = 2;
    status.step = 200;
    ck_assert(!progress_epochs_next(&epochs, &status, 3000, line));
    loss.value = 9; /* must not matter: the epoch's metrics were kept */
    status.step = 203;
    ck_assert(!progress_epochs_next(&epochs, &status, 3000, line));
    status.validation_step = 200;
    ck_assert(progress_epochs_next(&epochs, &status, 8000, line));
    ck_assert_str_eq(line, "epoch 2/5  step 200  loss 0.1235  accuracy 0.9612  validation: loss 0.2000  "
                           "(0:07, 8,312 samples/s)");
    ck_assert(!progress_epochs_next(&epochs, &status, 8000, line));
    status.step = 250;
    ck_assert(!progress_epochs_next(&epochs, &status, 8000, line));
}
END_TEST

START_TEST(an_epoch_without_validation_is_told_at_once)
{
    Cairn__JobStatus status = running();
    struct progress_epochs epochs;
    char line[PROGRESS_LINE_BYTES];

    status.samples_per_second = 0;
    progress_epochs_init(&epochs, false, &status);
    status.epoch = 2;
    status.step = 200;
    ck_assert(progress_epochs_next(&epochs, &status, 3000, line));
    ck_assert_str_eq(line, "epoch 2/5  step 200  loss 0.1235  accuracy 0.9612  (0:02)");
    ck_assert(!progress_epochs_next(&epochs, &status, 3000, line));
}
END_TEST

/* A job that ends before the epoch's validation came: the line has none. */
START_TEST(an_end_before_the_validation)
{
    Cairn__JobStatus status = running();
    struct progress_epochs epochs;
    char line[PROGRESS_LINE_BYTES];

    status.validation = validation_metrics;
    status.n_validation = 1;
    status.validation_step = 100;
    status.samples_per_second = 0;
    progress_epochs_init(&epochs, true, &status);
    status.epoch = 2;
    status.step = 200;
    ck_assert(!progress_epochs_next(&epochs, &status, 3000, line));
    status.state = CAIRN__JOB_STATE__JOB_STATE_STOPPED;
    ck_assert(progress_epochs_next(&epochs, &status, 3000, line));
    ck_assert_str_eq(line, "epoch 2/5  step 200  loss 0.1235  accuracy 0.9612  (0:02)");
}
END_TEST

/* One status may bring the end of an epoch after the next; metrics of a part of an epoch are nobody's. */
START_TEST(statuses_may_skip)
{
    Cairn__JobStatus status = running();
    struct progress_epochs epochs;
    char line[PROGRESS_LINE_BYTES];

    status.epoch = 0;
    status.step = 0;
    progress_epochs_init(&epochs, true, &status);
    status.epoch = 1;
    status.step = 100;
    ck_assert(!progress_epochs_next(&epochs, &status, 3000, line));
    status.validation = validation_metrics;
    status.n_validation = 1;
    status.validation_step = 200;
    status.epoch = 3;
    status.step = 310;
    ck_assert(progress_epochs_next(&epochs, &status, 3000, line));
    ck_assert_str_eq(line, "epoch 1/5  step 100  loss 0.1235  accuracy 0.9612  (0:02, 8,312 samples/s)");
    ck_assert(!progress_epochs_next(&epochs, &status, 3000, line));
    status.step = 311;
    status.validation_step = 300;
    ck_assert(progress_epochs_next(&epochs, &status, 3000, line));
    ck_assert_str_eq(line, "epoch 3/5  step 300  validation: loss 0.2000  (0:02, 8,312 samples/s)");
}
END_TEST

START_TEST(a_pause_is_told_once_and_its_end)
{
    Cairn__JobStatus status = running();
    struct progress_pause pause = {.waits = false};
    char line[PROGRESS_LINE_BYTES];

    ck_assert(!progress_pause_next(&pause, &status, line));
    status.state = CAIRN__JOB_STATE__JOB_STATE_WAITING;
    status.state_ms = 5000;
    status.reason = (char *)"waits for server s1, which holds its state";
    ck_assert(progress_pause_next(&pause, &status, line));
    ck_assert_str_eq(line, "step 150: waits for server s1, which holds its state");
    ck_assert(!progress_pause_next(&pause, &status, line));
    status.state = CAIRN__JOB_STATE__JOB_STATE_PREPARING;
    ck_assert(!progress_pause_next(&pause, &status, line));
    status.state = CAIRN__JOB_STATE__JOB_STATE_RUNNING;
    status.state_ms = 12000;
    status.step = 100;
    ck_assert(progress_pause_next(&pause, &status, line));
    ck_assert_str_eq(line, "goes on from step 100 after 0:07");
    ck_assert(!progress_pause_next(&pause, &status, line));
}
END_TEST

static Suite *progress_suite(void)
{
    Suite *suite = suite_create("progress");
    TCase *cases = tcase_create("progress");

    tcase_add_test(cases, durations);
    tcase_add_test(cases, counts);
    tcase_add_test(cases, time_left);
    tcase_add_test(cases, the_live_line);
    tcase_add_test(cases, a_narrow_terminal);
    tcase_add_test(cases, the_live_line_without_epochs);
    tcase_add_test(cases, the_live_line_of_other_states);
    tcase_add_test(cases, an_epoch_waits_for_its_validation);
    tcase_add_test(cases, an_epoch_without_validation_is_told_at_once);
    tcase_add_test(cases, an_end_before_the_validation);
    tcase_add_test(cases, statuses_may_skip);
    tcase_add_test(cases, a_pause_is_told_once_and_its_end);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(progress_suite)
