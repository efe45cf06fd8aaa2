/* A cluster of three workers, two of which can be held in the midst of a step. Test code only. */
#ifndef CAIRN_TESTS_HELD_CLUSTER_H
#define CAIRN_TESTS_HELD_CLUSTER_H

#include "held_backend.h"
#include "step_cluster.h"

#ifdef __SANITIZE_THREAD__
#define STEPS 12
#else
#define STEPS 24
#endif
#define WORKERS 3
/* Operations of a worker in a step, about: when one is held there is a pace, and there are steps to come. */
#define STEP_OPERATIONS 36

/* As it is, rounded both ways, and gradients alone; for threads the last is as the second. */
static const char *const codecs[] = {
    "",
    "  codec: bfloat16\n",
#ifndef __SANITIZE_THREAD__
    "  codec: int8\n",
#endif
};
#define CODECS (int)(sizeof(codecs) / sizeof(codecs[0]))

static inline struct cluster *open_cluster(const char *codec, const char *factor, uint32_t shards)
{
    struct cluster *cluster = malloc(sizeof(*cluster));
    char lines[128];

    ck_assert_ptr_nonnull(cluster);
    snprintf(lines, sizeof(lines), "%scluster: {straggler_factor: %s}\n", codec, factor);
    cluster_open(cluster, shards, "{adam: {learning_rate: 0.01}}", lines);
    set_steps(cluster, STEPS);
    return cluster;
}

static inline void close_cluster(struct cluster *cluster)
{
    cluster_close(cluster);
    free(cluster);
}

static inline void undisturbed(const char *codec, char hash[HASH_TEXT_BYTES])
{
    struct cluster *cluster = open_cluster(codec, "0", 1);

    start_workers(cluster, 1, 1, make_ref);
    train(cluster, 0, STEPS, "");
    expect_end(cluster, STEPS);
    memcpy(hash, cluster->heard[0].end.model_hash, HASH_TEXT_BYTES);
    close_cluster(cluster);
}

static inline uint64_t backup_microbatches(const struct cluster *cluster)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < cluster->worker_count; i++)
        count += cluster->heard[i].backup_microbatches;
    return count;
}

/* Worker 0 can be held by hold 0, worker 1 by hold 1. */
static inline void start_some_held(struct cluster *cluster, uint32_t lanes)
{
    cluster->worker_count = WORKERS;
    start_worker(cluster, 0, lanes, make_held_0);
    start_worker(cluster, 1, lanes, make_held_1);
    for (uint32_t i = 2; i < WORKERS; i++)
        start_worker(cluster, i, lanes, make_ref);
}

static inline bool has_ended(const struct cluster *cluster, uint32_t worker)
{
    const struct heard *heard = &cluster->heard[worker];

    ck_assert_msg(heard->failed == 0 && heard->not_finite == 0, "worker %u: %s", worker, heard->end.message);
    return heard->reached > 0;
}

static inline void hear_ends(struct cluster *cluster, uint32_t first)
{
    for (uint32_t i = first; i < WORKERS; i++) {
        while (!has_ended(cluster, i))
            hear(cluster);
    }
}

#endif
