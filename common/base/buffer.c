/* Reference-counted buffers and pools of them. Knows nothing of what the bytes mean.
 *
 * A pool's free list is a lock-free stack: any thread pushes, only the pool's owner pops. With a single
 * popper a node cannot leave and come back between the popper's read and its exchange, so the ABA problem
 * does not arise and a plain compare-and-swap is enough.
 *
 * Large arrays are read and written once a step, from end to end, and each 4 KiB page costs a miss of the
 * processor's address cache (TLB): so what is large lies in 2 MiB pages. A pool's buffers, which may be
 * smaller than such a page, are cut from blocks of several.
 *
 * Blocks are mapped by themselves. The allocator takes them for pieces of a heap once one like them was
 * freed, and a heap goes back to the system from its end only: the memory of a job's tables that was closed
 * stayed with the process. */
#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE    ((size_t)2 << 20)
#define BLOCK_LEAST  (HUGE_PAGE / 4) /* smaller buffers of a pool are allocated one by one */
#define BLOCK_WANTED 4               /* buffers, and what else fits into whole pages */

/* What a pool has allocated at once. */
struct block {
    struct block *next;
    void *data;
    size_t mapped_bytes; /* 0: from the heap */
    struct buffer buffers[];
};

struct buffer_pool {
    size_t capacity_bytes;
    struct block *blocks; /* the owner's, until it goes */
    _Atomic(struct buffer *) free_list;
    atomic_uint surplus; /* of the buffers that are out, those whose memory is not kept when they come back */
    atomic_uint holders; /* one for the owner, one a buffer out */
};

/* bytes, up to a multiple of `unit`; less than bytes: past the end of all numbers. */
static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static void *data_allocate(size_t bytes)
{
    size_t rounded = round_up(bytes, BUFFER_ALIGNMENT);
    void *data;

    if (rounded < bytes)
        return NULL;
    if (rounded < HUGE_PAGE)
        return aligned_alloc(BUFFER_ALIGNMENT, rounded ? rounded : BUFFER_ALIGNMENT);
    /* Not aligned_alloc, which may ask for whole multiples of the alignment. */
    if (posix_memalign(&data, HUGE_PAGE, rounded) != 0)
        return NULL;
    (void)madvise(data, rounded / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* small pages serve too */
    return data;
}

static void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    free(buffer);
}

/* Whole large pages, next to those of before where there is room; NULL: out of memory. */
static void *pages_map(size_t bytes)
{
    char *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (pages != MAP_FAILED && (uintptr_t)pages % HUGE_PAGE != 0) {
        (void)munmap(pages, bytes);
        pages = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        before = pages != MAP_FAILED ? (size_t)(HUGE_PAGE - (uintptr_t)pages % HUGE_PAGE) % HUGE_PAGE : 0;
        if (before > 0)
            (void)munmap(pages, before);
        if (pages != MAP_FAILED) {
            pages += before;
            (void)munmap(pages + bytes, HUGE_PAGE - before);
        }
    }
    if (pages == MAP_FAILED)
        return NULL;
    (void)madvise(pages, bytes, MADV_HUGEPAGE); /* small pages serve too */
    return pages;
}

static void block_free(struct block *block)
{
    if (block->mapped_bytes > 0)
        (void)munmap(block->data, block->mapped_bytes);
    else
        free(block->data);
    free(block);
}

static void pool_drop(struct buffer_pool *pool)
{
    if (atomic_fetch_sub(&pool->holders, 1) != 1)
        return;
    while (pool->blocks) {
        struct block *block = pool->blocks;

        pool->blocks = block->next;
        block_free(block);
    }
    free(pool);
}

static void pool_push(struct buffer_pool *pool, struct buffer *buffer)
{
    struct buffer *head = atomic_load(&pool->free_list);

    do
        buffer->next = head;
    while (!atomic_compare_exchange_weak(&pool->free_list, &head, buffer));
}

/* The whole pages of a buffer, and no byte of others'. */
static void pages_drop(const struct buffer *buffer)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), data = (uintptr_t)buffer->data;
    uintptr_t begin = (data + page - 1) / page * page, end = (data + buffer->capacity_bytes) / page * page;

    if (begin < end)
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED); /* what stays only takes memory */
}

static bool surplus_take(struct buffer_pool *pool)
{
    unsigned int surplus = atomic_load(&pool->surplus);

    while (surplus > 0 && !atomic_compare_exchange_weak(&pool->surplus, &surplus, surplus - 1))
        ;
    return surplus > 0;
}

static void pool_release(struct buffer *buffer)
{
    struct buffer_pool *pool = buffer->owner;

    if (surplus_take(pool)) {
        pages_drop(buffer);
        buffer->length_bytes = 0;
    }
    pool_push(pool, buffer);
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

/* How many buffers are allocated at once, and of how many bytes their block is. */
static size_t block_buffers(size_t capacity_bytes, size_t *block_bytes)
{
    size_t stride = round_up(capacity_bytes, BUFFER_ALIGNMENT);

    *block_bytes = capacity_bytes;
    if (capacity_bytes < BLOCK_LEAST || capacity_bytes > SIZE_MAX / 2 / BLOCK_WANTED)
        return 1;
    *block_bytes = round_up(BLOCK_WANTED * stride, HUGE_PAGE);
    return *block_bytes / stride;
}

/* One more block's buffers to the free list; false: out of memory. */
static bool pool_grow(struct buffer_pool *pool)
{
    size_t bytes, count = block_buffers(pool->capacity_bytes, &bytes);
    size_t stride = round_up(pool->capacity_bytes, BUFFER_ALIGNMENT);
    struct block *block = calloc(1, sizeof(*block) + count * sizeof(block->buffers[0]));

    if (!block)
        return false;
    block->mapped_bytes = bytes >= HUGE_PAGE && bytes % HUGE_PAGE == 0 ? bytes : 0;
    block->data = block->mapped_bytes > 0 ? pages_map(bytes) : data_allocate(bytes);
    if (!block->data) {
        free(block);
        return false;
    }
    block->next = pool->blocks;
    pool->blocks = block;
    while (count-- > 0) {
        struct buffer *buffer = &block->buffers[count];

        buffer_wrap(buffer, (char *)block->data + count * stride, pool->capacity_bytes, pool_release, pool);
        pool_push(pool, buffer);
    }
    return true;
}

struct buffer *buffer_pool_get(struct buffer_pool *pool)
{
    struct buffer *buffer = pool_pop(pool);

    if (!buffer) {
        if (!pool_grow(pool))
            return NULL;
        buffer = pool_pop(pool); /* others only push */
    }
    atomic_fetch_add(&pool->holders, 1);
    buffer->length_bytes = pool->capacity_bytes;
    atomic_store(&buffer->references, 1);
    return buffer;
}

/* Those that were trimmed before are told by their length, which is set when they are got. */
void buffer_pool_trim(struct buffer_pool *pool, unsigned int surplus)
{
    struct buffer *buffer = atomic_exchange(&pool->free_list, NULL);

    atomic_fetch_add(&pool->surplus, surplus);
    while (buffer) {
        struct buffer *next = buffer->next;

        if (buffer->length_bytes > 0)
            pages_drop(buffer);
        buffer->length_bytes = 0;
        pool_push(pool, buffer);
        buffer = next;
    }
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
