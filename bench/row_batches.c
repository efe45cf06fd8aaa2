/* One array of keys, seen as batches of the size that is asked for. */
#include "row_batches.h"

#include <stdlib.h>

/* SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

enum status row_batches_init(struct row_batches *batches, uint64_t bound, struct error *error)
{
    *batches = (struct row_batches){.keys = malloc(ROW_BATCHES_KEYS * sizeof(batches->keys[0]))};
    if (!batches->keys)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for keys");
    for (uint64_t i = 0; i < ROW_BATCHES_KEYS; i++)
        batches->keys[i] = (mix(i) >> 32) * bound >> 32;
    return CAIRN_OK;
}

static void keep(struct buffer *buffer)
{
    (void)buffer;
}

struct buffer *row_batches_next(struct row_batches *batches, uint32_t batch)
{
    if (batch != batches->batch) {
        /* The old buffers stay: somebody may hold one still. */
        batches->count = ROW_BATCHES_KEYS / batch;
        batches->buffers = calloc(batches->count, sizeof(batches->buffers[0]));
        batches->batch = batch;
        batches->next = 0;
        for (uint32_t i = 0; batches->buffers && i < batches->count; i++)
            buffer_wrap(&batches->buffers[i], batches->keys + (size_t)i * batch, batch * sizeof(uint64_t),
                        keep, NULL);
    }
    if (!batches->buffers)
        return NULL;
    batches->next = batches->next + 1 < batches->count ? batches->next + 1 : 0;
    return &batches->buffers[batches->next];
}
