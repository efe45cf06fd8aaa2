/* Reference-counted buffers and pools of them. Knows nothing of what the bytes mean.
 *
 * A pool's free list is a lock-free stack: any thread pushes, only the pool's owner pops. With a single
 * popper a node cannot leave and come back between the popper's read and its exchange, so the ABA problem
 * does not arise and a plain compare-and-swap is enough. */
#include "base/buffer.h"

#include <stdlib.h>

struct buffer_pool {
    size_t capacity_bytes;
    _Atomic(struct buffer *) free_list;
    atomic_uint holders; /* one for the owner, one a buffer out */
};

static void *data_allocate(size_t bytes)
{
    size_t rounded = (bytes + BUFFER_ALIGNMENT - 1) / BUFFER_ALIGNMENT * BUFFER_ALIGNMENT;

    if (rounded < bytes) /* past the end of all numbers */
        return NULL;
    return aligned_alloc(BUFFER_ALIGNMENT, rounded ? rounded : BUFFER_ALIGNMENT);
}

static void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    free(buffer);
}

static void pool_drop(struct buffer_pool *pool)
{
    struct buffer *buffer;

    if (atomic_fetch_sub(&pool->holders, 1) != 1)
        return;
    buffer = atomic_load(&pool->free_list);
    while (buffer) {
        struct buffer *next = buffer->next;

        buffer_free(buffer);
        buffer = next;
    }
    free(pool);
}

static void pool_release(struct buffer *buffer)
{
    struct buffer_pool *pool = buffer->owner;
    struct buffer *head = atomic_load(&pool->free_list);

    do
        buffer->next = head;
    while (!atomic_compare_exchange_weak(&pool->free_list, &head, buffer));
    pool_drop(pool);
}

struct buffer_pool *buffer_pool_new(size_t capacity_bytes)
{
    struct buffer_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return NULL;
    pool->capacity_bytes = capacity_bytes;
    atomic_init(&pool->holders, 1);
    return pool;
}

void buffer_pool_free(struct buffer_pool *pool)
{
    if (pool)
        pool_drop(pool);
}

static struct buffer *pool_pop(struct buffer_pool *pool)
{
    struct buffer *head = atomic_load(&pool->free_list);

    while (head && !atomic_compare_exchange_weak(&pool->free_list, &head, head->next))
        ;
    return head;
}

struct buffer *buffer_pool_get(struct buffer_pool *pool)
{
    struct buffer *buffer = pool_pop(pool);

    if (!buffer) {
        buffer = buffer_new(pool->capacity_bytes);
        if (!buffer)
            return NULL;
        buffer->release = pool_release;
        buffer->owner = pool;
    }
    atomic_fetch_add(&pool->holders, 1);
    buffer->length_bytes = pool->capacity_bytes;
    atomic_store(&buffer->references, 1);
    return buffer;
}

struct buffer *buffer_new(size_t capacity_bytes)
{
    struct buffer *buffer = calloc(1, sizeof(*buffer));
    void *data;

    if (!buffer)
        return NULL;
    data = data_allocate(capacity_bytes);
    if (!data) {
        free(buffer);
        return NULL;
    }
    buffer_wrap(buffer, data, capacity_bytes, buffer_free, NULL);
    return buffer;
}

void buffer_wrap(struct buffer *buffer, void *data, size_t length_bytes, void (*release)(struct buffer *),
                 void *owner)
{
    buffer->data = data;
    buffer->length_bytes = length_bytes;
    buffer->capacity_bytes = length_bytes;
    atomic_init(&buffer->references, 1);
    buffer->release = release;
    buffer->owner = owner;
    buffer->next = NULL;
}

struct buffer *buffer_ref(struct buffer *buffer)
{
    atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
    return buffer;
}

void buffer_unref(struct buffer *buffer)
{
    if (buffer && atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) == 1)
        buffer->release(buffer);
}

int buffer_is_exclusive(struct buffer *buffer)
{
    return atomic_load_explicit(&buffer->references, memory_order_acquire) == 1;
}
