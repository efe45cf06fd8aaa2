/* Inside of the `cpu` backend: oneDNN's objects, made when an operation is planned, so that running one only
 * sets pointers and executes. Nothing outside this folder includes this. */
#ifndef CAIRN_WORKER_COMPUTE_CPU_H
#define CAIRN_WORKER_COMPUTE_CPU_H

#include "model/backend.h"

#include <oneapi/dnnl/dnnl.h>

struct cpu_backend {
    struct backend base;
    unsigned threads;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

/* --- errors --- */

/* Maps a status of oneDNN. CAIRN_UNSUPPORTED: no kernel of its can do that here, now or later. */
enum status cpu_check(dnnl_status_t status, struct error *error, const char *what) MUST_CHECK;

/* --- threads --- */

/* What OpenMP runs for the calling thread, it runs on so many threads: kernels are chosen for their number,
 * and with fewer would leave pieces out or wait for ever. Whatever else the environment asks for. */
void cpu_set_team(unsigned threads);

/* --- layouts --- */

/* oneDNN's view of plain samples x shape: samples first, then channels (the last dimension), then the others.
 */
dnnl_memory_desc_t cpu_plain(uint32_t samples, const struct shape *shape);

/* A matrix whose element (row, column) lies at row * row_stride + column * column_stride. */
dnnl_memory_desc_t cpu_matrix(uint64_t rows, uint64_t columns, uint64_t row_stride, uint64_t column_stride);

/* The same dimensions, with the format left to oneDNN. */
dnnl_memory_desc_t cpu_any(const dnnl_memory_desc_t *desc);

/* oneDNN's view of a layout. */
dnnl_memory_desc_t cpu_of_layout(const struct layout *layout, uint32_t samples, const struct shape *shape);

bool cpu_layout_equal(const struct layout *a, const struct layout *b);

/* The padding after an image's last row (axis 0) or column (1), such that the windows fit; pixels that no
 * window reaches are no matter. */
dnnl_dim_t cpu_padding_after(const struct op_spec *spec, int axis);

/* --- one primitive with its memory objects --- */

#define CPU_ARGUMENTS_MAX 6

struct cpu_primitive {
    dnnl_primitive_t primitive; /* NULL: nothing is to be done */
    size_t scratchpad_bytes;
    int count;
    dnnl_exec_arg_t arguments[CPU_ARGUMENTS_MAX + 1]; /* the scratchpad is the last */
    void *handles[CPU_ARGUMENTS_MAX + 1];             /* what they point to now */
};

/* What a primitive is to be. */
struct cpu_recipe {
    const_dnnl_op_desc_t desc;           /* of one of oneDNN's operations */
    bool relu;                           /* applied to the result */
    const struct cpu_primitive *forward; /* of a backward primitive: the forward one */
    int arguments[CPU_ARGUMENTS_MAX]; /* DNNL_ARG_..., in the order in which runs give the tensors; one that
                                         the primitive does not have (no bias) is passed over */
};

/* Picks a kernel. *primitive is zero before; it may be finished when this failed. */
enum status cpu_primitive_init(struct cpu_primitive *primitive, struct cpu_backend *backend,
                               const struct cpu_recipe *recipe, struct error *error) MUST_CHECK;
/* A copy from one format to another; to do nothing when they are the same. */
enum status cpu_reorder_init(struct cpu_primitive *primitive, struct cpu_backend *backend,
                             const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                             struct error *error) MUST_CHECK;
void cpu_primitive_fini(struct cpu_primitive *primitive);

/* The format of one of its arguments, DNNL_ARG_...; an empty one when it has no such argument. */
const dnnl_memory_desc_t *cpu_primitive_format(const struct cpu_primitive *primitive, int argument);

/* oneDNN's name of the kernel that was picked, such as "jit:avx512_core". */
const char *cpu_primitive_kernel(const struct cpu_primitive *primitive);

/* Runs on the tensors, in the order of the recipe's arguments. Inputs are only read. */
enum status cpu_primitive_run(struct cpu_primitive *primitive, struct cpu_backend *backend, void *scratchpad,
                              const void *const *tensors, struct error *error) MUST_CHECK;

/* --- operations --- */

/* What each operation's struct begins with. */
struct cpu_op {
    struct op base;
    dnnl_memory_desc_t input, output; /* base.input.native and output.native point here, unless plain */
};

typedef enum status cpu_plan(struct cpu_backend *backend, const struct op_spec *spec, struct op **out,
                             struct error *error);
cpu_plan cpu_plan_dense, cpu_plan_conv2d, cpu_plan_pooling2d, cpu_plan_activation, cpu_plan_dropout,
    cpu_plan_reorder;

/* A zeroed struct of `size` bytes that begins with a struct cpu_op, filled from spec; layouts are plain.
 * NULL: out of memory. */
void *cpu_op_new(size_t size, struct cpu_backend *backend, const struct op_spec *spec,
                 const struct op_ops *ops);
void cpu_op_set_input(struct cpu_op *op, const dnnl_memory_desc_t *desc);
void cpu_op_set_output(struct cpu_op *op, const dnnl_memory_desc_t *desc);
/* The operation will run this primitive (when it is one): its scratchpad is to fit at the beginning of
 * scratch, and its kernel's name is noted. */
void cpu_op_uses(struct cpu_op *op, const struct cpu_primitive *primitive);

static inline struct cpu_backend *cpu_backend_of(const struct op *op)
{
    return (struct cpu_backend *)op->backend;
}

/* --- kernels of our own (elementwise.c), for what oneDNN has no primitive for; any order of elements --- */

void cpu_relu(float *y, size_t count);
/* dy = 0 where y <= 0 */
void cpu_relu_backward(float *dy, const float *y, size_t count);
/* sums[columns] = sum of the rows of x [rows, columns], first row first */
void cpu_sum_rows(float *sums, const float *x, uint64_t rows, uint64_t columns);

#endif
