/* The list of optimizers: one row each. */
#include "optimizers/optimizer.h"

static const struct optimizer *const optimizers[] = {&optimizer_sgd, &optimizer_adam};

const struct optimizer *optimizer_find(enum optimizer_type type)
{
    for (size_t i = 0; i < sizeof(optimizers) / sizeof(optimizers[0]); i++) {
        if (optimizers[i]->type == type)
            return optimizers[i];
    }
    return NULL;
}
