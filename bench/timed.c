/* Wraps each operation of the inner backend in one that reads the clock before and after. */
#include "timed.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

struct timed_backend {
    struct backend base;
    struct backend_ops ops;
    struct backend *inner;
    struct timed *timed;
};

struct wrapper {
    struct op base;
    struct op *inner;
    struct timed_op *timed;
};

static enum status forward(struct op *op, const struct op_run *run, struct error *error)
{
    struct wrapper *wrapper = (struct wrapper *)op;
    uint64_t begin = clock_ns();
    enum status status = wrapper->inner->ops->forward(wrapper->inner, run, error);

    wrapper->timed->forward_ns += clock_ns() - begin;
    wrapper->timed->runs++;
    return status;
}

static enum status backward(struct op *op, const struct op_run *run, struct error *error)
{
    struct wrapper *wrapper = (struct wrapper *)op;
    uint64_t begin = clock_ns();
    enum status status = wrapper->inner->ops->backward(wrapper->inner, run, error);

    wrapper->timed->backward_ns += clock_ns() - begin;
    return status;
}

static void free_op(struct op *op)
{
    op_free(((struct wrapper *)op)->inner);
    free(op);
}

static enum status plan(struct backend *backend, const struct op_spec *spec, struct op **out,
                        struct error *error)
{
    static const struct op_ops ops = {forward, backward, free_op};
    struct timed_backend *timed = (struct timed_backend *)backend;
    struct wrapper *wrapper;
    enum status status;

    *out = NULL;
    if (timed->timed->count == TIMED_OPS_MAX)
        return error_set(error, CAIRN_UNSUPPORTED, "more than %d operations", TIMED_OPS_MAX);
    wrapper = calloc(1, sizeof(*wrapper));
    if (wrapper == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for an operation");
    status = timed->inner->ops->plan(timed->inner, spec, &wrapper->inner, error);
    if (status != CAIRN_OK) {
        free(wrapper);
        return status;
    }
    wrapper->base = *wrapper->inner;
    wrapper->base.ops = &ops;
    wrapper->base.backend = backend;
    wrapper->timed = &timed->timed->ops[timed->timed->count++];
    wrapper->timed->spec = *spec;
    memcpy(wrapper->timed->kernels, wrapper->inner->kernels, sizeof(wrapper->timed->kernels));
    *out = &wrapper->base;
    return CAIRN_OK;
}

static void *allocate(struct backend *backend, size_t bytes)
{
    struct backend *inner = ((struct timed_backend *)backend)->inner;

    return inner->ops->allocate(inner, bytes);
}

static void release(struct backend *backend, void *memory)
{
    struct backend *inner = ((struct timed_backend *)backend)->inner;

    inner->ops->release(inner, memory);
}

static void free_backend(struct backend *backend)
{
    struct timed_backend *timed = (struct timed_backend *)backend;

    backend_free(timed->inner);
    free(timed);
}

enum status timed_new(struct backend *inner, struct timed *timed, struct backend **out, struct error *error)
{
    struct timed_backend *backend = calloc(1, sizeof(*backend));

    *out = NULL;
    if (backend == NULL) {
        backend_free(inner);
        return error_set(error, CAIRN_NO_MEMORY, "no memory for a backend");
    }
    backend->ops = (struct backend_ops){inner->ops->name, plan,    inner->ops->layout_equal,
                                        allocate,         release, free_backend};
    backend->base.ops = &backend->ops;
    backend->inner = inner;
    backend->timed = timed;
    *out = &backend->base;
    return CAIRN_OK;
}
