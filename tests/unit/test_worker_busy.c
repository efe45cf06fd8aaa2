/* A worker whose step thread does not hear: it is in the midst of opening its data, for as long as a test
 * says. What the coordinator and the user say is heard all the same. */
#include "base/clock.h"
#include "check_main.h"
#include "opened_job.h"
#include "worker_stage.h"

#include <errno.h>

static sem_t entered, gate; /* the step thread is in there; it may go on */
static struct fixture fixture;
static struct stage stage;

/* In the place of opened_job_open: see CMakeLists.txt. */
enum status __real_opened_job_open(struct opened_job *opened, const Cairn__JobText *text,
                                   struct error *error);
enum status __wrap_opened_job_open(struct opened_job *opened, const Cairn__JobText *text,
                                   struct error *error);

static void pass(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        BUG_IF(errno != EINTR);
}

enum status __wrap_opened_job_open(struct opened_job *opened, const Cairn__JobText *text, struct error *error)
{
    sem_post(&entered);
    pass(&gate);
    return __real_opened_job_open(opened, text, error);
}

/* A worker that is in the midst of incarnation 1. */
static void begin(int64_t drain_patience_ms)
{
    ck_assert_int_eq(sem_init(&entered, 0, 0), 0);
    ck_assert_int_eq(sem_init(&gate, 0, 0), 0);
    fixture_make(&fixture, "sgd", "");
    stage_open_with(&stage, drain_patience_ms);
    welcome(&stage, NULL);
    prepare(&stage, &fixture, 1);
    pass(&entered);
}

static void expect(Cairn__NodeMessage__BodyCase message)
{
    ck_assert_int_eq(played_hear(&stage.played), message);
}

/* The worker has left, while its step thread is where it was; which then ends, as the process would. */
static void end_stuck(void)
{
    expect(CAIRN__NODE_MESSAGE__BODY_LEAVE);
    pass(&stage.left);
    ck_assert(!stage.is_free);
    sem_post(&gate);
    stage_await(&stage);
    ck_assert_int_eq(stage.status, CAIRN_OK);
    fixture_remove(&fixture);
}

START_TEST(a_second_signal_does_not_wait_for_it)
{
    begin(0);
    signal_worker(&stage);
    expect(CAIRN__NODE_MESSAGE__BODY_DRAIN);
    signal_worker(&stage);
    end_stuck();
}
END_TEST

START_TEST(signals_are_heard_while_a_job_is_released)
{
    begin(0);
    played_release(&stage.played, JOB, 1);
    signal_worker(&stage);
    expect(CAIRN__NODE_MESSAGE__BODY_DRAIN);
    signal_worker(&stage);
    end_stuck();
}
END_TEST

START_TEST(a_drain_ends_while_a_job_is_released)
{
    begin(DRAIN_PATIENCE_MS);
    signal_worker(&stage);
    expect(CAIRN__NODE_MESSAGE__BODY_DRAIN);
    played_release(&stage.played, JOB, 1);
    end_stuck();
}
END_TEST

/* Membership goes on meanwhile, and what is said is done in order. */
START_TEST(commands_wait_while_a_job_is_released)
{
    begin(0);
    played_release(&stage.played, JOB, 1);
    prepare(&stage, &fixture, 2);
    played_release(&stage.played, JOB, 2);
    prepare(&stage, &fixture, 3);
    for (int i = 0; i < 3; i++)
        await_heartbeat(&stage);
    sem_post(&gate);
    pass(&entered); /* incarnation 2 */
    sem_post(&gate);
    pass(&entered);
    sem_post(&gate);
    expect(CAIRN__NODE_MESSAGE__BODY_PREPARED);
    ck_assert_uint_eq(stage.played.message->prepared->incarnation, 3);
    signal_worker(&stage);
    expect(CAIRN__NODE_MESSAGE__BODY_DRAIN);
    signal_worker(&stage);
    pass(&stage.left);
    ck_assert(stage.is_free);
    stage_await(&stage);
    ck_assert_int_eq(stage.status, CAIRN_OK);
    fixture_remove(&fixture);
}
END_TEST

/* A job in place of another, as its newer incarnation is. */
START_TEST(a_job_is_replaced_when_its_thread_has_ended)
{
    begin(0);
    prepare(&stage, &fixture, 2);
    await_heartbeat(&stage);
    sem_post(&gate);
    pass(&entered);
    signal_worker(&stage);
    hear_drain(&stage);
    signal_worker(&stage);
    end_stuck();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("worker_busy");
    TCase *tests = tcase_create("worker_busy");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_second_signal_does_not_wait_for_it);
    tcase_add_test(tests, signals_are_heard_while_a_job_is_released);
    tcase_add_test(tests, a_drain_ends_while_a_job_is_released);
    tcase_add_test(tests, commands_wait_while_a_job_is_released);
    tcase_add_test(tests, a_job_is_replaced_when_its_thread_has_ended);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
