/* Zeroed memory in large pieces, straight from the system: for what is touched at random and too large for
 * small pages. Any thread. */
#ifndef CAIRN_SERVER_ROWS_REGION_H
#define CAIRN_SERVER_ROWS_REGION_H

#include <stddef.h>

/* Zeroed memory, aligned for a cache line; pieces of 2 MiB or more lie on huge pages where the system has
 * them. Pages take memory when they are touched. NULL: out of memory. Owns: the caller. */
void *region_map(size_t bytes);

/* Gives the memory of the pages that lie wholly in [from, bytes) back; what is read there later is zero or as
 * it was. bytes as given to region_map. */
void region_forget(void *region, size_t bytes, size_t from);

/* bytes as given to region_map. NULL is allowed. */
void region_unmap(void *region, size_t bytes);

#endif
