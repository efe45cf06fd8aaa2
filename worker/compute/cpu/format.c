/* Between Cairn's shapes and layouts and oneDNN's memory descriptions. oneDNN orders the dimensions of an
 * image samples, channels, height, width whatever the memory's order; strides tell that. */
#include "compute/cpu/cpu.h"

#include <string.h>

dnnl_memory_desc_t cpu_plain(uint32_t samples, const struct shape *shape)
{
    uint32_t last = shape->rank - 1;
    dnnl_dims_t dims, strides;
    dnnl_dim_t stride = 1;
    dnnl_memory_desc_t desc;

    dims[0] = samples;
    dims[1] = shape->dim[last];
    strides[1] = 1;
    stride = shape->dim[last];
    for (uint32_t i = last; i-- > 0;) {
        dims[2 + i] = shape->dim[i];
        strides[2 + i] = stride;
        stride *= shape->dim[i];
    }
    strides[0] = stride;
    if (dnnl_memory_desc_init_by_strides(&desc, (int)shape->rank + 1, dims, dnnl_f32, strides) !=
        dnnl_success)
        BUG("a plain tensor has no description");
    return desc;
}

dnnl_memory_desc_t cpu_matrix(uint64_t rows, uint64_t columns, uint64_t row_stride, uint64_t column_stride)
{
    dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    dnnl_dims_t strides = {(dnnl_dim_t)row_stride, (dnnl_dim_t)column_stride};
    dnnl_memory_desc_t desc;

    if (dnnl_memory_desc_init_by_strides(&desc, 2, dims, dnnl_f32, strides) != dnnl_success)
        BUG("a matrix has no description");
    return desc;
}

dnnl_memory_desc_t cpu_any(const dnnl_memory_desc_t *desc)
{
    dnnl_memory_desc_t any;

    if (dnnl_memory_desc_init_by_tag(&any, desc->ndims, desc->dims, dnnl_f32, dnnl_format_tag_any) !=
        dnnl_success)
        BUG("a tensor has no open description");
    return any;
}

dnnl_memory_desc_t cpu_of_layout(const struct layout *layout, uint32_t samples, const struct shape *shape)
{
    return layout->native != NULL ? *(const dnnl_memory_desc_t *)layout->native : cpu_plain(samples, shape);
}

/* Whether two formats put every element at the same place. Strides of dimensions of one element do not count:
 * with one channel, "channels first" and "channels last" are the same bytes. */
static bool same_place(const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b)
{
    const dnnl_blocking_desc_t *x = &a->format_desc.blocking, *y = &b->format_desc.blocking;

    if (dnnl_memory_desc_equal(a, b))
        return true;
    if (a->format_kind != dnnl_blocked || b->format_kind != dnnl_blocked || a->ndims != b->ndims ||
        x->inner_nblks != 0 || y->inner_nblks != 0 || a->offset0 != 0 || b->offset0 != 0)
        return false;
    for (int i = 0; i < a->ndims; i++) {
        if (a->dims[i] != b->dims[i] || a->padded_dims[i] != a->dims[i] || b->padded_dims[i] != b->dims[i] ||
            (a->dims[i] > 1 && x->strides[i] != y->strides[i]))
            return false;
    }
    return true;
}

bool cpu_layout_equal(const struct layout *a, const struct layout *b)
{
    if (a->native == NULL || b->native == NULL)
        return a->native == b->native; /* a plain one is never given natively: cpu_op_set_input */
    return same_place(a->native, b->native);
}

dnnl_dim_t cpu_padding_after(const struct op_spec *spec, int axis)
{
    dnnl_dim_t covered =
        (dnnl_dim_t)(spec->output.dim[axis] - 1) * spec->strides[axis] + spec->kernel_size[axis];
    dnnl_dim_t after = covered - spec->input.dim[axis] - (axis == 0 ? spec->pad_top : spec->pad_left);

    return after > 0 ? after : 0;
}
