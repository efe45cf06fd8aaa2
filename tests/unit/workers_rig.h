/* What tests of workers that come, go and fail share: the job wants 2 to 3 workers and has 4 microbatches. */
#ifndef CAIRN_TESTS_WORKERS_RIG_H
#define CAIRN_TESTS_WORKERS_RIG_H

#include "tiny_job.h"

static inline void run_alone(void)
{
    run_job();
    cluster_forget(&cluster);
}

static inline void join(const char *name)
{
    register_worker(&cluster, name);
    ck_assert(GOT(&cluster, name, PREPARE));
    prepared(&cluster, name, 1, 40);
}

static inline void ask_scale(uint32_t workers)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__ScaleRequest body = CAIRN__SCALE_REQUEST__INIT;

    body.job = "tiny";
    body.workers = workers;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_SCALE;
    request.scale = &body;
    ask(&cluster, "scaler", &request);
}

static inline void keep_alive(int64_t ms)
{
    static const char *const names[] = {"s1", "s2", "w1", "w2"};

    for (; ms > 0; ms -= 250) {
        for (size_t i = 0; i < 4; i++)
            heartbeat(&cluster, names[i]);
        pass(&cluster, 250);
    }
}

#endif
