#include "cores.h"

#include <sched.h>

/* Machines with more cores than a cpu_set_t has are asked for as 1: the user then says --threads. */
uint32_t core_count(void)
{
    cpu_set_t cores;
    int count;

    if (sched_getaffinity(0, sizeof(cores), &cores) != 0)
        return 1;
    count = CPU_COUNT(&cores);
    return count > 0 ? (uint32_t)count : 1;
}
