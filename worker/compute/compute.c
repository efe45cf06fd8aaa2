/* Which backend serves which device, and host memory. */
#include "compute/compute.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CACHE_LINE 64u
#define HUGE_PAGE  ((size_t)2 << 20)

enum status backend_open(enum device device, unsigned threads, struct backend **out, struct error *error)
{
    if (device == DEVICE_AUTO || device == DEVICE_CPU)
        return backend_cpu_new(threads, out, error);
    return error_set(error, CAIRN_UNSUPPORTED,
                     "this build of the worker has no cuda device: use device: cpu");
}

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
