/* A worker's main loop on a thread of its own, and the coordinator that the test plays to it. Test code only.
 */
#ifndef CAIRN_TESTS_WORKER_STAGE_H
#define CAIRN_TESTS_WORKER_STAGE_H

#include "cluster/placement.h"
#include "played_coordinator.h"
#include "worker.h"
#include "worker_fixture.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <zmq.h>

#define JOB               4
#define DRAIN_PATIENCE_MS 300 /* where that is the subject */

struct stage {
    void *context;
    struct played played;
    char endpoint[ENDPOINT_BYTES];
    struct worker_options options;
    int64_t drain_patience_ms; /* 0: as ever */
    int ends;                  /* an eventfd */
    pthread_t thread;
    sem_t left;   /* posted when the worker has left the cluster */
    bool is_free; /* then: of its job, so that it can be freed at once */
    enum status status;
    struct error error;
};

static inline void *run_worker(void *argument)
{
    struct stage *stage = argument;
    struct worker *worker = NULL;

    stage->status = worker_new(stage->context, &stage->options, &worker, &stage->error);
    if (stage->status == CAIRN_OK && stage->drain_patience_ms > 0)
        worker_limit_drain(worker, stage->drain_patience_ms);
    if (stage->status == CAIRN_OK)
        stage->status = worker_run(worker, stage->ends, &stage->error);
    stage->is_free = !worker || worker_leave(worker);
    sem_post(&stage->left);
    worker_free(worker);
    return NULL;
}

static inline void stage_open_with(struct stage *stage, int64_t drain_patience_ms)
{
    memset(stage, 0, sizeof(*stage));
    stage->drain_patience_ms = drain_patience_ms;
    stage->context = zmq_ctx_new();
    played_init(&stage->played, bound_socket(stage->context, ZMQ_ROUTER, stage->endpoint));
    stage->ends = eventfd(0, EFD_CLOEXEC);
    ck_assert_int_eq(sem_init(&stage->left, 0, 0), 0);
    stage->options = (struct worker_options){.coordinator = stage->endpoint, .threads = 3};
    ck_assert_int_eq(pthread_create(&stage->thread, NULL, run_worker, stage), 0);
}

static inline void stage_open(struct stage *stage)
{
    stage_open_with(stage, 0);
}

/* Waits for the worker to end by itself. */
static inline void stage_await(struct stage *stage)
{
    pthread_join(stage->thread, NULL);
    played_fini(&stage->played);
    zmq_ctx_term(stage->context);
    sem_destroy(&stage->left);
    close(stage->ends);
}

static inline void signal_worker(struct stage *stage)
{
    uint64_t one = 1;

    ck_assert_int_eq(write(stage->ends, &one, sizeof(one)), sizeof(one));
}

/* Waits until the worker asks to go. */
static inline void hear_drain(struct stage *stage)
{
    while (played_hear(&stage->played) != CAIRN__NODE_MESSAGE__BODY_DRAIN)
        ck_assert_int_ne(stage->played.message->body_case, CAIRN__NODE_MESSAGE__BODY_LEAVE);
}

static inline void dismiss(struct stage *stage)
{
    Cairn__NodeCommand message = CAIRN__NODE_COMMAND__INIT;
    Cairn__DismissCommand body = CAIRN__DISMISS_COMMAND__INIT;

    message.body_case = CAIRN__NODE_COMMAND__BODY_DISMISS;
    message.dismiss = &body;
    played_say(&stage->played, &message);
}

/* Ends the worker as two signals do, the second of which is not waited upon. */
static inline void stage_close(struct stage *stage)
{
    signal_worker(stage);
    hear_drain(stage);
    signal_worker(stage);
    stage_await(stage);
}

/* A welcomed worker soon tells that it lives: it has taken the welcome then. */
static inline void await_heartbeat(struct stage *stage)
{
    do {
        played_forget(&stage->played);
        ck_assert(has_input(stage->played.router, PLAYED_PATIENCE_MS));
        ck_assert_int_eq(frames_receive(stage->played.router, &stage->played.in, NULL), CAIRN_OK);
        played_unpack(&stage->played);
    } while (stage->played.message->body_case != CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
}

static inline void welcome(struct stage *stage, char name[128])
{
    const Cairn__Registration *registration;

    ck_assert_int_eq(played_hear(&stage->played), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    registration = stage->played.message->registration;
    ck_assert_int_eq(registration->kind, CAIRN__NODE_KIND__NODE_KIND_WORKER);
    ck_assert_uint_eq(registration->lanes, 3);
    ck_assert_uint_eq(registration->process, (uint32_t)getpid());
    ck_assert_int_eq(strncmp(registration->name, "worker-", 7), 0);
    if (name)
        snprintf(name, 128, "%s", registration->name);
    played_welcome(&stage->played, 60000, 20);
    await_heartbeat(stage);
}

static inline void prepare(struct stage *stage, const struct fixture *fixture, uint64_t incarnation)
{
    static uint32_t slot_shards[PLACEMENT_SLOTS_MIN];
    Cairn__NodeCommand message = CAIRN__NODE_COMMAND__INIT;
    Cairn__PrepareCommand body = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText text = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shard = CAIRN__SHARD__INIT, *shards[] = {&shard};

    text.text = (char *)fixture->text;
    text.file_name = "job.yaml";
    text.base_directory = (char *)fixture->folder;
    shard.server = "server";
    shard.endpoint = "tcp://127.0.0.1:9"; /* nobody is there, and nobody needs to be */
    body.job = JOB;
    body.job_id = "small-4";
    body.incarnation = incarnation;
    body.text = &text;
    body.n_shards = 1;
    body.shards = shards;
    body.n_slot_shards = PLACEMENT_SLOTS_MIN;
    body.slot_shards = slot_shards;
    message.body_case = CAIRN__NODE_COMMAND__BODY_PREPARE;
    message.prepare = &body;
    played_say(&stage->played, &message);
}

#endif
