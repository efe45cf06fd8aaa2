/* One array of keys, seen as batches of the size that is asked for. */
#include "row_batches.h"

#include "math/mix.h"

#include <stdlib.h>

enum status row_batches_init(struct row_batches *batches, uint64_t bound, bool ascend, struct error *error)
{
    *batches = (struct row_batches){
        .bound = bound, .ascend = ascend, .keys = malloc(ROW_BATCHES_KEYS * sizeof(batches->keys[0]))};
    return batches->keys ? CAIRN_OK : error_set(error, CAIRN_NO_MEMORY, "out of memory for keys");
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

/* Sorts keys; doubles give way to their neighbours. */
static void ascend(uint64_t *keys, uint32_t count, uint64_t bound)
{
    qsort(keys, count, sizeof(*keys), compare);
    for (uint32_t i = 1; i < count; i++)
        keys[i] = keys[i] > keys[i - 1] ? keys[i] : keys[i - 1] + 1;
    for (uint32_t i = count; i-- > 0 && keys[i] >= bound - (count - 1 - i);)
        keys[i] = bound - (count - i);
}

/* The same keys again and again, whatever they were sorted to before. */
static void keys_fill(struct row_batches *batches)
{
    for (uint64_t i = 0; i < ROW_BATCHES_KEYS; i++)
        batches->keys[i] = (mix64(i + MIX64_STEP) >> 32) * batches->bound >> 32;
    for (uint32_t i = 0; i < batches->count && batches->ascend; i++)
        ascend(batches->keys + (size_t)i * batches->batch, batches->batch, batches->bound);
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
        keys_fill(batches);
        for (uint32_t i = 0; batches->buffers && i < batches->count; i++)
            buffer_wrap(&batches->buffers[i], batches->keys + (size_t)i * batch, batch * sizeof(uint64_t),
                        keep, NULL);
    }
    if (!batches->buffers)
        return NULL;
    batches->next = batches->next + 1 < batches->count ? batches->next + 1 : 0;
    return &batches->buffers[batches->next];
}
