/* oneDNN's primitives: made with memory objects in advance and a scratchpad that the caller gives, so that a
 * run allocates nothing. */
#include "compute/cpu/cpu.h"

static enum status make_attributes(bool relu, dnnl_primitive_attr_t *out, struct error *error)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t post_ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);

    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && relu) {
        status = dnnl_post_ops_create(&post_ops);
        if (status == dnnl_success)
            status = dnnl_post_ops_append_eltwise(post_ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
        if (status == dnnl_success)
            status = dnnl_primitive_attr_set_post_ops(attributes, post_ops);
        if (post_ops != NULL)
            (void)dnnl_post_ops_destroy(post_ops);
    }
    if (status != dnnl_success && attributes != NULL) {
        (void)dnnl_primitive_attr_destroy(attributes);
        attributes = NULL;
    }
    *out = attributes;
    return cpu_check(status, error, "make attributes");
}

static const_dnnl_primitive_desc_t desc_of(const struct cpu_primitive *primitive)
{
    const_dnnl_primitive_desc_t desc = NULL;

    if (primitive != NULL && dnnl_primitive_get_primitive_desc(primitive->primitive, &desc) != dnnl_success)
        BUG("a primitive has no description");
    return desc;
}

const dnnl_memory_desc_t *cpu_primitive_format(const struct cpu_primitive *primitive, int argument)
{
    static const dnnl_memory_desc_t none;
    dnnl_query_t query = argument == DNNL_ARG_SCRATCHPAD ? dnnl_query_scratchpad_md : dnnl_query_exec_arg_md;
    int index = argument == DNNL_ARG_SCRATCHPAD ? 0 : argument;
    const dnnl_memory_desc_t *format = dnnl_primitive_desc_query_md(desc_of(primitive), query, index);

    return format != NULL ? format : &none;
}

const char *cpu_primitive_kernel(const struct cpu_primitive *primitive)
{
    const char *name = NULL;

    if (dnnl_primitive_desc_query(desc_of(primitive), dnnl_query_impl_info_str, 0, &name) != dnnl_success)
        return "";
    return name;
}

/* The next argument's memory object; none for an argument that the primitive does not have, which oneDNN
 * passes over. */
static enum status bind(struct cpu_primitive *primitive, struct cpu_backend *backend, int argument,
                        struct error *error)
{
    const dnnl_memory_desc_t *format = cpu_primitive_format(primitive, argument);
    dnnl_exec_arg_t *place = &primitive->arguments[primitive->count++];

    place->arg = argument;
    if (dnnl_memory_desc_get_size(format) == 0)
        return CAIRN_OK;
    return cpu_check(dnnl_memory_create(&place->memory, format, backend->engine, DNNL_MEMORY_NONE), error,
                     "make a memory object");
}

/* The primitive and its arguments, the scratchpad behind them. */
static enum status make(struct cpu_primitive *primitive, struct cpu_backend *backend,
                        const_dnnl_primitive_desc_t desc, const int *arguments, struct error *error)
{
    enum status status =
        cpu_check(dnnl_primitive_create(&primitive->primitive, desc), error, "make a primitive");

    for (int i = 0; i < CPU_ARGUMENTS_MAX && arguments[i] != 0 && status == CAIRN_OK; i++)
        status = bind(primitive, backend, arguments[i], error);
    if (status == CAIRN_OK)
        status = bind(primitive, backend, DNNL_ARG_SCRATCHPAD, error);
    if (status == CAIRN_OK)
        primitive->scratchpad_bytes =
            dnnl_memory_desc_get_size(cpu_primitive_format(primitive, DNNL_ARG_SCRATCHPAD));
    return status;
}

enum status cpu_primitive_init(struct cpu_primitive *primitive, struct cpu_backend *backend,
                               const struct cpu_recipe *recipe, struct error *error)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t desc = NULL;
    enum status status = make_attributes(recipe->relu, &attributes, error);

    if (status != CAIRN_OK)
        return status;
    status = cpu_check(dnnl_primitive_desc_create(&desc, recipe->desc, attributes, backend->engine,
                                                  desc_of(recipe->forward)),
                       error, "find a kernel");
    if (status == CAIRN_OK) {
        status = make(primitive, backend, desc, recipe->arguments, error);
        (void)dnnl_primitive_desc_destroy(desc);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    return status;
}

enum status cpu_reorder_init(struct cpu_primitive *primitive, struct cpu_backend *backend,
                             const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                             struct error *error)
{
    static const int arguments[CPU_ARGUMENTS_MAX] = {DNNL_ARG_FROM, DNNL_ARG_TO};
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t desc = NULL;
    enum status status;

    if (dnnl_memory_desc_equal(from, to))
        return CAIRN_OK;
    status = make_attributes(false, &attributes, error);
    if (status != CAIRN_OK)
        return status;
    status = cpu_check(
        dnnl_reorder_primitive_desc_create(&desc, from, backend->engine, to, backend->engine, attributes),
        error, "find a reorder");
    if (status == CAIRN_OK) {
        status = make(primitive, backend, desc, arguments, error);
        (void)dnnl_primitive_desc_destroy(desc);
    }
    (void)dnnl_primitive_attr_destroy(attributes);
    return status;
}

void cpu_primitive_fini(struct cpu_primitive *primitive)
{
    for (int i = 0; i < primitive->count; i++) {
        if (primitive->arguments[i].memory != NULL)
            (void)dnnl_memory_destroy(primitive->arguments[i].memory);
    }
    if (primitive->primitive != NULL)
        (void)dnnl_primitive_destroy(primitive->primitive);
    *primitive = (struct cpu_primitive){0};
}

static dnnl_status_t point(struct cpu_primitive *primitive, int argument, const void *tensor)
{
    dnnl_memory_t memory = primitive->arguments[argument].memory;

    /* setting a handle also clears the padding behind it, so only when it is a new one */
    if (memory == NULL || primitive->handles[argument] == tensor)
        return dnnl_success;
    primitive->handles[argument] = (void *)tensor;
    return dnnl_memory_set_data_handle(memory, (void *)tensor);
}

enum status cpu_primitive_run(struct cpu_primitive *primitive, struct cpu_backend *backend, void *scratchpad,
                              const void *const *tensors, struct error *error)
{
    int last = primitive->count - 1;
    dnnl_status_t status = dnnl_success;

    if (primitive->primitive == NULL)
        return CAIRN_OK;
    for (int i = 0; i < last && status == dnnl_success; i++)
        status = point(primitive, i, tensors[i]);
    if (status == dnnl_success)
        status = point(primitive, last, scratchpad);
    cpu_set_team(backend->threads); /* the caller may be another thread than at the last run */
    if (status == dnnl_success)
        status = dnnl_primitive_execute(primitive->primitive, backend->stream, primitive->count,
                                        primitive->arguments);
    return cpu_check(status, error, "run a primitive");
}
