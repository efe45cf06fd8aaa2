/* Who is in an epoch, as shards need to know it in the throughput modes: the workers' numbers, and the steps
 * that those begin at whom nobody knows yet. Sent by pointer from the main thread to each shard, a copy each.
 */
#ifndef CAIRN_SERVER_ROSTER_H
#define CAIRN_SERVER_ROSTER_H

#include "clocks.h"
#include "control.pb-c.h"

struct roster {
    uint64_t number; /* the epoch's */
    uint32_t count;
    struct clock_start workers[];
};

/* The workers that an epoch gives microbatches to; the others push nothing, so nobody is to wait for them.
 * NULL: out of memory. Owns: the caller, free(). */
struct roster *roster_of(const Cairn__EpochCommand *epoch);
/* Another one that says the same. The same holds of it. */
struct roster *roster_copy(const struct roster *roster);

#endif
