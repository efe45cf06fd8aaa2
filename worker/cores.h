/* How many cores this process may use. Any thread. */
#ifndef CAIRN_WORKER_CORES_H
#define CAIRN_WORKER_CORES_H

#include <stdint.h>

/* At least 1; respects the process's affinity (taskset, cgroup cpusets). */
uint32_t core_count(void);

#endif
