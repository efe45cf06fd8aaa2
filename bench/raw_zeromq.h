/* The limit that the data plane is measured against: the same bytes over ZeroMQ alone. DEALER to ROUTER, one
 * I/O thread a process, nothing done with what comes; messages go out from reused buffers without a copy
 * (zmq_msg_init_data).
 *
 * A step is step_bytes cut into messages of message_bytes, dealt to the servers in turn. Each message is
 * answered with one. A step begins when fewer than `window` are under way, as with an array of parameters;
 * there are as many arrays at both ends, as memory that is not in the cache costs everybody. */
#ifndef CAIRN_BENCH_RAW_ZEROMQ_H
#define CAIRN_BENCH_RAW_ZEROMQ_H

#include "crew.h"

#include <stddef.h>

/* What carries the payload; the other way goes a message of RAW_SMALL_BYTES. */
enum raw_pattern { RAW_PUSH, RAW_PULL, RAW_PUSH_PULL };

#define RAW_SMALL_BYTES 16

struct raw_params {
    enum raw_pattern pattern;
    size_t step_bytes, message_bytes; /* the last message of a step may be shorter */
    uint32_t window;
};

/* For crew_start; its argument is a struct raw_params. */
extern const struct crew_roles raw_roles;

#endif
