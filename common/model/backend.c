/* What is the same for every backend. */
#include "model/backend.h"

struct layout layout_plain(uint32_t samples, const struct shape *shape)
{
    return (struct layout){NULL, (size_t)samples * shape_elements(shape) * sizeof(float)};
}

void op_free(struct op *op)
{
    if (op != NULL)
        op->ops->free(op);
}

void backend_free(struct backend *backend)
{
    if (backend != NULL)
        backend->ops->free(backend);
}
