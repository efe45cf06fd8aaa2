/* A backend around another one that measures how long each operation takes: nothing else changes. One thread
 * an object, as any backend. */
#ifndef CAIRN_BENCH_TIMED_H
#define CAIRN_BENCH_TIMED_H

#include "model/backend.h"

#include <stdint.h>

#define TIMED_OPS_MAX 128

struct timed_op {
    struct op_spec spec;
    char kernels[sizeof(((struct op *)0)->kernels)];
    uint64_t runs, forward_ns, backward_ns;
};

struct timed {
    uint32_t count;
    struct timed_op ops[TIMED_OPS_MAX]; /* in the order in which they were planned */
};

/* Takes *inner. timed is borrowed for the backend's life. */
enum status timed_new(struct backend *inner, struct timed *timed, struct backend **out,
                      struct error *error) MUST_CHECK;

#endif
