/* A fake cluster of the test's own, and a job in it that two servers of two shards and two workers take from
 * its submit to its end. Test code only. */
#ifndef CAIRN_TESTS_TINY_JOB_H
#define CAIRN_TESTS_TINY_JOB_H

#include "fake_cluster.h"

#include <check.h>

#define TINY_TEXT       FAKE_JOB_TEXT("tiny", "steps: 10")
#define TINY_HASH       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define TINY_OTHER_HASH "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct cluster cluster;

static inline void set_up(void)
{
    cluster_init(&cluster);
}

static inline void tear_down(void)
{
    cluster_fini(&cluster);
}

/* A job with two servers of two shards and two workers, all told to prepare. */
static inline void submit_text_with_nodes(const char *text)
{
    register_server(&cluster, "s1");
    register_server(&cluster, "s2");
    register_worker(&cluster, "w1");
    register_worker(&cluster, "w2");
    send_submit(&cluster, text, false, 0);
    message_free(take_reply(&cluster, "submitter"));
}

static inline void submit_with_nodes(void)
{
    submit_text_with_nodes(TINY_TEXT);
}

static inline void prepare_all(uint64_t incarnation)
{
    prepared(&cluster, "s1", incarnation, 0);
    prepared(&cluster, "s2", incarnation, 0);
    prepared(&cluster, "w1", incarnation, 40);
    prepared(&cluster, "w2", incarnation, 40);
}

static inline void run_job(void)
{
    submit_with_nodes();
    prepare_all(1);
    EXPECT_STATE(&cluster, RUNNING, "");
}

static inline void commit_step(uint64_t incarnation, uint64_t step)
{
    committed(&cluster, "s1", incarnation, step);
    committed(&cluster, "s2", incarnation, step);
}

/* A run that was stopped at step 6, and is durable up to there. */
static inline void stop_job_at_6(void)
{
    run_job();
    commit_step(1, 4);
    ASK_STOP(&cluster, "stopper", "tiny");
    reached(&cluster, "w1", 1, 6, TINY_HASH);
    reached(&cluster, "w2", 1, 6, TINY_HASH);
    commit_step(1, 6);
    EXPECT_STATE(&cluster, STOPPED, "stopped at step 6 as asked");
    cluster_forget(&cluster);
}

/* Owns: the caller, the reply. */
static inline Cairn__ClientReply *ask_drain(const char *node)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__DrainRequest body = CAIRN__DRAIN_REQUEST__INIT;

    body.node = (char *)node;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_DRAIN;
    request.drain = &body;
    ask(&cluster, "drainer", &request);
    return take_reply(&cluster, "drainer");
}

/* A case of its own in the suite, each test with a fresh cluster. */
static inline void add_tests(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
    TCase *group = tcase_create(name);

    tcase_add_checked_fixture(group, set_up, tear_down);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(group, tests[i]);
    suite_add_tcase(suite, group);
}
#define ADD(suite, name, tests) add_tests(suite, name, tests, sizeof(tests) / sizeof(tests[0]))

#endif
