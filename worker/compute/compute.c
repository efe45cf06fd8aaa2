/* Host memory. */
#include "compute/compute.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CACHE_LINE 64u
#define HUGE_PAGE  ((size_t)2 << 20)

void *host_allocate(size_t bytes)
{
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
    size_t rounded = bytes == 0 ? alignment : (bytes + alignment - 1) / alignment * alignment;
    void *memory;

    if (rounded < bytes)
        return NULL;
    memory = aligned_alloc(alignment, rounded);
    if (memory == NULL)
        return NULL;
    if (alignment == HUGE_PAGE)
        (void)madvise(memory, rounded, MADV_HUGEPAGE); /* a hint: fewer page faults and TLB misses */
    memset(memory, 0, rounded);
    return memory;
}

void *host_ops_allocate(struct backend *backend, size_t bytes)
{
    (void)backend;
    return host_allocate(bytes);
}

void host_ops_release(struct backend *backend, void *memory)
{
    (void)backend;
    free(memory);
}
