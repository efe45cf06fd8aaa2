/* A plain backend whose operations can be held: the thread that comes to one stands still until it is let go,
 * as if its machine did. Test code only. */
#ifndef CAIRN_TESTS_HELD_BACKEND_H
#define CAIRN_TESTS_HELD_BACKEND_H

#include "compute/compute.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define HOLDS_MAX 2

/* Workers that are held together. */
struct hold {
    uint64_t operations; /* that were begun */
    uint64_t hold_at;    /* when there were so many, whoever comes is held; UINT64_MAX: nobody is */
    uint32_t held;       /* threads that stand still */
};

static struct hold holds[HOLDS_MAX] = {{.hold_at = UINT64_MAX}, {.hold_at = UINT64_MAX}};
static pthread_mutex_t hold_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t hold_changed = PTHREAD_COND_INITIALIZER;

static const struct backend_ops *held_plain;
static struct backend_ops held_backends[HOLDS_MAX];
static const struct op_ops *held_plain_ops[OP_KIND_COUNT];
static struct op_ops held_ops[HOLDS_MAX][OP_KIND_COUNT];

static inline void hold_here(uint32_t index)
{
    struct hold *hold = &holds[index];

    pthread_mutex_lock(&hold_mutex);
    hold->operations++;
    while (hold->operations > hold->hold_at) {
        hold->held++;
        pthread_cond_broadcast(&hold_changed);
        pthread_cond_wait(&hold_changed, &hold_mutex);
        hold->held--;
    }
    pthread_mutex_unlock(&hold_mutex);
}

/* Holds whoever begins an operation when `more` were begun. */
static inline void hold_after(uint32_t index, uint64_t more)
{
    pthread_mutex_lock(&hold_mutex);
    holds[index].hold_at = holds[index].operations + more;
    pthread_mutex_unlock(&hold_mutex);
}

static inline void hold_let_go(uint32_t index)
{
    pthread_mutex_lock(&hold_mutex);
    holds[index].hold_at = UINT64_MAX;
    pthread_cond_broadcast(&hold_changed);
    pthread_mutex_unlock(&hold_mutex);
}

static inline bool hold_holds(uint32_t index)
{
    bool holds_somebody;

    pthread_mutex_lock(&hold_mutex);
    holds_somebody = holds[index].held > 0;
    pthread_mutex_unlock(&hold_mutex);
    return holds_somebody;
}

/* Once a kind, as others may be using it then. */
static inline void hold_ops(struct op_ops *ops, const struct op_ops *plain, enum op_kind kind,
                            enum status (*forward)(struct op *, const struct op_run *, struct error *),
                            enum status (*backward)(struct op *, const struct op_run *, struct error *))
{
    if (!held_plain_ops[kind])
        held_plain_ops[kind] = plain;
    *ops = *plain;
    ops->forward = forward;
    ops->backward = backward;
}

#define HELD_FUNCTIONS(index)                                                                                \
    static enum status held_forward_##index(struct op *op, const struct op_run *run, struct error *error)    \
    {                                                                                                        \
        hold_here(index);                                                                                    \
        return held_plain_ops[op->spec.kind]->forward(op, run, error);                                       \
    }                                                                                                        \
    static enum status held_backward_##index(struct op *op, const struct op_run *run, struct error *error)   \
    {                                                                                                        \
        hold_here(index);                                                                                    \
        return held_plain_ops[op->spec.kind]->backward(op, run, error);                                      \
    }                                                                                                        \
    static enum status held_plan_##index(struct backend *backend, const struct op_spec *spec,                \
                                         struct op **out, struct error *error)                               \
    {                                                                                                        \
        enum status status = held_plain->plan(backend, spec, out, error);                                    \
        struct op_ops *ops = &held_ops[index][spec->kind];                                                   \
                                                                                                             \
        if (status != CAIRN_OK)                                                                              \
            return status;                                                                                   \
        pthread_mutex_lock(&hold_mutex);                                                                     \
        if (!ops->forward)                                                                                   \
            hold_ops(ops, (*out)->ops, spec->kind, held_forward_##index, held_backward_##index);             \
        ck_assert(held_plain_ops[spec->kind] == (*out)->ops);                                                \
        (*out)->ops = ops;                                                                                   \
        pthread_mutex_unlock(&hold_mutex);                                                                   \
        return CAIRN_OK;                                                                                     \
    }                                                                                                        \
    static enum status make_held_##index(unsigned threads, struct backend **out, struct error *error)        \
    {                                                                                                        \
        enum status status = backend_ref_new(out, error);                                                    \
                                                                                                             \
        (void)threads;                                                                                       \
        if (status != CAIRN_OK)                                                                              \
            return status;                                                                                   \
        pthread_mutex_lock(&hold_mutex);                                                                     \
        if (!held_backends[index].plan) {                                                                    \
            if (!held_plain)                                                                                 \
                held_plain = (*out)->ops;                                                                    \
            held_backends[index] = *held_plain;                                                              \
            held_backends[index].plan = held_plan_##index;                                                   \
        }                                                                                                    \
        (*out)->ops = &held_backends[index];                                                                 \
        pthread_mutex_unlock(&hold_mutex);                                                                   \
        return CAIRN_OK;                                                                                     \
    }

HELD_FUNCTIONS(0)
HELD_FUNCTIONS(1)

#endif
