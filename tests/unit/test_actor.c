/* Actors: ready reports, messages either way, stopping in every state. */
#include "check_main.h"
#include "sockets.h"

#include "net/actor.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

struct question {
    int number;
    const int *pointed; /* written by the asker before it asks */
};

struct answer {
    int doubled;
};

/* Answers questions until it is told to stop. */
static void doubling(struct actor_self *self, void *argument)
{
    atomic_int *stopped = argument;
    struct question question;

    actor_ready(self, CAIRN_OK, NULL);
    for (;;) {
        enum status status;

        has_input(actor_self_pipe(self), -1);
        status = actor_take(self, &question, sizeof(question), NULL);
        if (status == CAIRN_AGAIN)
            continue;
        if (status != CAIRN_OK)
            break;
        struct answer answer = {*question.pointed * 2};
        ck_assert_int_eq(actor_report(self, &answer, sizeof(answer), NULL), CAIRN_OK);
    }
    atomic_store(stopped, 1);
}

START_TEST(an_actor_answers_and_stops)
{
    void *context = zmq_ctx_new();
    atomic_int stopped = 0;
    struct actor *actor;
    struct error error;
    struct answer answer;
    int values[3] = {0, 0, 0};

    ck_assert_int_eq(actor_start(context, "doubling", doubling, &stopped, &actor, &error), CAIRN_OK);
    ck_assert_int_eq(actor_hear(actor, &answer, sizeof(answer), &error), CAIRN_AGAIN);
    for (int i = 0; i < 3; i++) {
        values[i] = 21 + i;
        struct question question = {i, &values[i]};
        ck_assert_int_eq(actor_tell(actor, &question, sizeof(question), &error), CAIRN_OK);
    }
    for (int i = 0; i < 3; i++) {
        ck_assert(has_input(actor_pipe(actor), PATIENCE_MS));
        ck_assert_int_eq(actor_hear(actor, &answer, sizeof(answer), &error), CAIRN_OK);
        ck_assert_int_eq(answer.doubled, 2 * (21 + i));
    }
    actor_stop(actor);
    ck_assert_int_eq(atomic_load(&stopped), 1);
    zmq_ctx_term(context);
}
END_TEST

/* Says a last word when it is told to stop. */
static void polite(struct actor_self *self, void *argument)
{
    const struct answer farewell = {9};

    (void)argument;
    actor_ready(self, CAIRN_OK, NULL);
    has_input(actor_self_pipe(self), -1);
    ck_assert_int_eq(actor_take(self, &(struct question){0}, sizeof(struct question), NULL), CAIRN_CLOSED);
    ck_assert_int_eq(actor_report(self, &farewell, sizeof(farewell), NULL), CAIRN_OK);
}

START_TEST(a_closed_actors_last_words_are_heard)
{
    void *context = zmq_ctx_new();
    struct actor *actor;
    struct error error;
    struct answer answer;

    ck_assert_int_eq(actor_start(context, "polite", polite, NULL, &actor, &error), CAIRN_OK);
    actor_close(actor);
    actor_close(actor);
    ck_assert(has_input(actor_pipe(actor), PATIENCE_MS));
    ck_assert_int_eq(actor_hear(actor, &answer, sizeof(answer), &error), CAIRN_OK);
    ck_assert_int_eq(answer.doubled, 9);
    actor_stop(actor);
    zmq_ctx_term(context);
}
END_TEST

static void failing(struct actor_self *self, void *argument)
{
    struct error error;

    (void)argument;
    actor_ready(self, error_set(&error, CAIRN_FULL, "the disk is full"), &error);
}

static void failing_without_words(struct actor_self *self, void *argument)
{
    (void)argument;
    actor_ready(self, CAIRN_CORRUPT, NULL);
}

START_TEST(a_start_fails_with_the_threads_reason)
{
    void *context = zmq_ctx_new();
    struct actor *actor = NULL;
    struct error error;

    ck_assert_int_eq(actor_start(context, "failing", failing, NULL, &actor, &error), CAIRN_FULL);
    ck_assert_str_eq(error.message, "the disk is full");
    ck_assert_ptr_null(actor);
    ck_assert_int_eq(actor_start(context, "failing", failing_without_words, NULL, &actor, &error),
                     CAIRN_CORRUPT);
    ck_assert_str_eq(error.message, status_text(CAIRN_CORRUPT));
    ck_assert_int_eq(actor_start(context, "failing", failing, NULL, &actor, NULL), CAIRN_FULL);
    zmq_ctx_term(context); /* returns: nothing was left open */
}
END_TEST

/* Reports once and returns by itself. */
static void brief(struct actor_self *self, void *argument)
{
    struct answer answer = {7};

    (void)argument;
    actor_ready(self, CAIRN_OK, NULL);
    ck_assert_int_eq(actor_report(self, &answer, sizeof(answer), NULL), CAIRN_OK);
}

START_TEST(an_actor_may_return_by_itself)
{
    void *context = zmq_ctx_new();
    struct actor *actor;
    struct error error;
    struct answer answer;

    ck_assert_int_eq(actor_start(context, "brief", brief, NULL, &actor, &error), CAIRN_OK);
    ck_assert(has_input(actor_pipe(actor), PATIENCE_MS));
    ck_assert_int_eq(actor_hear(actor, &answer, sizeof(answer), &error), CAIRN_OK);
    ck_assert_int_eq(answer.doubled, 7);
    actor_stop(actor);
    zmq_ctx_term(context);
}
END_TEST

START_TEST(a_closed_context_stops_an_actor)
{
    void *context = zmq_ctx_new();
    atomic_int stopped = 0;
    struct actor *actor;
    struct error error;
    struct answer answer;
    struct question question = {0, NULL};

    ck_assert_int_eq(actor_start(context, "doubling", doubling, &stopped, &actor, &error), CAIRN_OK);
    zmq_ctx_shutdown(context);
    ck_assert_int_eq(actor_hear(actor, &answer, sizeof(answer), &error), CAIRN_CLOSED);
    ck_assert_int_eq(actor_tell(actor, &question, sizeof(question), &error), CAIRN_CLOSED);
    actor_stop(actor);
    ck_assert_int_eq(atomic_load(&stopped), 1);
    zmq_ctx_term(context);
}
END_TEST

static void masked(struct actor_self *self, void *argument)
{
    char name[16];
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    pthread_getname_np(pthread_self(), name, sizeof(name));
    *(int *)argument = sigismember(&mask, SIGTERM) && sigismember(&mask, SIGINT) &&
                       strcmp(name, "a-name-that-is-") == 0 && actor_self_context(self) != NULL;
    actor_ready(self, CAIRN_OK, NULL);
}

START_TEST(a_thread_has_its_name_and_no_signals)
{
    void *context = zmq_ctx_new();
    struct actor *actor;
    sigset_t mask;
    int seen = 0;

    ck_assert_int_eq(actor_start(context, "a-name-that-is-too-long", masked, &seen, &actor, NULL), CAIRN_OK);
    actor_stop(actor);
    ck_assert_int_eq(seen, 1);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
    actor_stop(NULL);
    zmq_ctx_term(context);
}
END_TEST

START_TEST(actors_may_follow_each_other_closely)
{
    void *context = zmq_ctx_new();
    struct error error = {.message = ""};

    for (int i = 0; i < 200; i++) {
        struct actor *actor;

        ck_assert_msg(actor_start(context, "brief", brief, NULL, &actor, &error) == CAIRN_OK, "%s",
                      error.message);
        actor_stop(actor);
    }
    zmq_ctx_term(context);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("actor");
    TCase *tests = tcase_create("actor");

    tcase_add_test(tests, an_actor_answers_and_stops);
    tcase_add_test(tests, a_closed_actors_last_words_are_heard);
    tcase_add_test(tests, a_start_fails_with_the_threads_reason);
    tcase_add_test(tests, an_actor_may_return_by_itself);
    tcase_add_test(tests, actors_may_follow_each_other_closely);
    tcase_add_test(tests, a_closed_context_stops_an_actor);
    tcase_add_test(tests, a_thread_has_its_name_and_no_signals);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
