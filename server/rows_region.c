/* Memory straight from the system.
 *
 * A table that is looked up at random misses the processor's address cache (TLB) as often as its data cache:
 * 2 MiB pages make the first cost go away. They need ranges that begin at a multiple of their size, so more
 * is mapped and the ends are given back. Small pieces come from the heap. */
#include "rows_region.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define REGION_HEAP_MAX ((size_t)64 << 10) /* below it the heap serves */
#define PAGE_BYTES      ((size_t)4096)
#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define CACHE_LINE      ((size_t)64)

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static void *heap_allocate(size_t bytes)
{
    size_t rounded = round_up(bytes, CACHE_LINE);
    void *memory = aligned_alloc(CACHE_LINE, rounded);

    if (memory)
        memset(memory, 0, rounded);
    return memory;
}

static void *system_map(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* Maps a huge page too much and gives back what lies before and behind the aligned range. */
static void *huge_map(size_t bytes)
{
    size_t length = round_up(bytes, PAGE_BYTES);
    char *wide = system_map(length + HUGE_PAGE_BYTES);
    size_t before;

    if (!wide)
        return NULL;
    before = round_up((uintptr_t)wide, HUGE_PAGE_BYTES) - (uintptr_t)wide;
    if (before > 0)
        (void)munmap(wide, before);
    if (before < HUGE_PAGE_BYTES)
        (void)munmap(wide + before + length, HUGE_PAGE_BYTES - before);
    (void)madvise(wide + before, length, MADV_HUGEPAGE); /* small pages serve too */
    return wide + before;
}

void *region_map(size_t bytes)
{
    if (bytes < REGION_HEAP_MAX)
        return heap_allocate(bytes);
    return bytes < HUGE_PAGE_BYTES ? system_map(bytes) : huge_map(bytes);
}

void region_forget(void *region, size_t bytes, size_t from)
{
    size_t first = round_up(from, PAGE_BYTES);

    if (bytes >= REGION_HEAP_MAX && first < bytes) /* a refusal costs memory, nothing else */
        (void)madvise((char *)region + first, round_up(bytes, PAGE_BYTES) - first, MADV_DONTNEED);
}

void region_unmap(void *region, size_t bytes)
{
    if (!region)
        return;
    if (bytes < REGION_HEAP_MAX)
        free(region);
    else
        (void)munmap(region, bytes < HUGE_PAGE_BYTES ? bytes : round_up(bytes, PAGE_BYTES));
}
