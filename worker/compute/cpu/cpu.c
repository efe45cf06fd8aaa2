/* The backend `cpu` itself: which operation is planned where, and oneDNN's engine. */
#include "compute/cpu/cpu.h"

#include "compute/compute.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status cpu_check(dnnl_status_t status, struct error *error, const char *what)
{
    switch (status) {
    case dnnl_success:
        return CAIRN_OK;
    case dnnl_out_of_memory:
        return error_set(error, CAIRN_NO_MEMORY, "oneDNN: no memory to %s", what);
    case dnnl_unimplemented:
        return error_set(error, CAIRN_UNSUPPORTED, "oneDNN has no way to %s on this machine", what);
    default:
        return error_set(error, CAIRN_IO, "oneDNN cannot %s (its status %d)", what, (int)status);
    }
}

void cpu_set_team(unsigned threads)
{
    omp_set_dynamic(0);           /* which makes fewer on a busy machine */
    omp_set_max_active_levels(1); /* 0 makes one */
    omp_set_num_threads((int)threads);
}

/* A limit is all that cannot be set. */
static enum status team_check(unsigned threads, struct error *error)
{
    if (threads < 1 || threads > 1024)
        return error_set(error, CAIRN_INVALID, "%u threads, allowed: 1 to 1024", threads);
    if (omp_get_thread_limit() < (int)threads)
        return error_set(error, CAIRN_INVALID,
                         "an operation is to run on %u threads, and OMP_THREAD_LIMIT allows %d", threads,
                         omp_get_thread_limit());
    return CAIRN_OK;
}

void *cpu_op_new(size_t size, struct cpu_backend *backend, const struct op_spec *spec,
                 const struct op_ops *ops)
{
    struct cpu_op *op = calloc(1, size);

    if (op == NULL)
        return NULL;
    op->base.ops = ops;
    op->base.backend = &backend->base;
    op->base.spec = *spec;
    op->base.input = layout_plain(spec->samples, &spec->input);
    op->base.output = layout_plain(spec->samples, &spec->output);
    return op;
}

/* The layout that a format is; *place keeps the format when the layout is not plain. */
static struct layout layout_of(const dnnl_memory_desc_t *desc, uint32_t samples, const struct shape *shape,
                               dnnl_memory_desc_t *place)
{
    struct layout plain = layout_plain(samples, shape), given;
    dnnl_memory_desc_t plain_desc = cpu_plain(samples, shape);
    struct layout described = {&plain_desc, plain.bytes};

    *place = *desc;
    given = (struct layout){place, dnnl_memory_desc_get_size(desc)};
    return cpu_layout_equal(&given, &described) ? plain : given;
}

void cpu_op_set_input(struct cpu_op *op, const dnnl_memory_desc_t *desc)
{
    op->base.input = layout_of(desc, op->base.spec.samples, &op->base.spec.input, &op->input);
}

void cpu_op_set_output(struct cpu_op *op, const dnnl_memory_desc_t *desc)
{
    op->base.output = layout_of(desc, op->base.spec.samples, &op->base.spec.output, &op->output);
}

void cpu_op_uses(struct cpu_op *op, const struct cpu_primitive *primitive)
{
    size_t used = strlen(op->base.kernels), scratchpad = (primitive->scratchpad_bytes + 63) / 64 * 64;

    if (primitive->primitive == NULL)
        return;
    if (scratchpad > op->base.scratch_bytes)
        op->base.scratch_bytes = scratchpad;
    snprintf(op->base.kernels + used, sizeof(op->base.kernels) - used, "%s%s", used > 0 ? " " : "",
             cpu_primitive_kernel(primitive));
}

static enum status plan(struct backend *backend, const struct op_spec *spec, struct op **out,
                        struct error *error)
{
    static cpu_plan *const plans[OP_KIND_COUNT] = {
        [OP_DENSE] = cpu_plan_dense,
        [OP_CONV2D] = cpu_plan_conv2d,
        [OP_MAX_POOLING2D] = cpu_plan_pooling2d,
        [OP_AVERAGE_POOLING2D] = cpu_plan_pooling2d,
        [OP_ACTIVATION] = cpu_plan_activation,
        [OP_DROPOUT] = cpu_plan_dropout,
        [OP_REORDER] = cpu_plan_reorder,
    };
    struct cpu_backend *cpu = (struct cpu_backend *)backend;

    *out = NULL;
    BUG_IF((unsigned)spec->kind >= OP_KIND_COUNT);
    cpu_set_team(cpu->threads);
    if (spec->kind == OP_LOSS)
        return loss_op_new(backend, spec, out, error);
    return plans[spec->kind](cpu, spec, out, error);
}

static void free_backend(struct backend *backend)
{
    struct cpu_backend *cpu = (struct cpu_backend *)backend;

    if (cpu->stream != NULL)
        (void)dnnl_stream_destroy(cpu->stream);
    if (cpu->engine != NULL)
        (void)dnnl_engine_destroy(cpu->engine);
    free(cpu);
}

enum status backend_cpu_new(unsigned threads, struct backend **out, struct error *error)
{
    static const struct backend_ops ops = {
        "cpu", plan, cpu_layout_equal, host_ops_allocate, host_ops_release, free_backend};
    struct cpu_backend *cpu;
    enum status status = team_check(threads, error);

    *out = NULL;
    if (status != CAIRN_OK)
        return status;
    cpu = calloc(1, sizeof(*cpu));
    if (cpu == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for a backend");
    cpu->base.ops = &ops;
    cpu->threads = threads;
    status = cpu_check(dnnl_engine_create(&cpu->engine, dnnl_cpu, 0), error, "make an engine");
    if (status == CAIRN_OK)
        status = cpu_check(dnnl_stream_create(&cpu->stream, cpu->engine, dnnl_stream_default_flags), error,
                           "make a stream");
    if (status != CAIRN_OK) {
        free_backend(&cpu->base);
        return status;
    }
    *out = &cpu->base;
    return CAIRN_OK;
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_THREAD_SANITIZER
#endif
#elif defined(__SANITIZE_THREAD__)
#define WITH_THREAD_SANITIZER
#endif

#ifdef WITH_THREAD_SANITIZER
/* ThreadSanitizer does not see the locks inside of the two libraries, which are not built with it. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:libdnnl.so\nrace:libgomp.so\n";
}
#endif
