/* The backends of this program, and what they share. Knows nothing of steps, lanes or messages. */
#ifndef CAIRN_WORKER_COMPUTE_H
#define CAIRN_WORKER_COMPUTE_H

#include "base/status.h"
#include "model/backend.h"

#include <stddef.h>

/* Plain loops over plain layouts: slow, and what the other backends are measured against.
 * Owns: the caller (backend_free). Thread: any one thread at a time. */
enum status backend_ref_new(struct backend **out, struct error *error) MUST_CHECK;

/* oneDNN on the calling machine's processor. threads: what one operation runs on, part of the function that
 * is computed: sums' bits change with it. Each operation sets what OpenMP does for the thread that calls it.
 * Owns: the caller (backend_free). Thread: any one thread at a time. Errors: CAIRN_INVALID also when the
 * environment limits OpenMP to fewer. */
enum status backend_cpu_new(unsigned threads, struct backend **out, struct error *error) MUST_CHECK;

/* --- for backends whose memory is the host's --- */

/* Zeroed, 64-byte aligned, in huge pages when it is large; NULL: out of memory. free() gives it back. */
void *host_allocate(size_t bytes);

/* The same as a backend's operations. */
void *host_ops_allocate(struct backend *backend, size_t bytes);
void host_ops_release(struct backend *backend, void *memory);

/* An OP_LOSS on host memory in plain C; backend is only recorded. Errors: CAIRN_NO_MEMORY. */
enum status loss_op_new(struct backend *backend, const struct op_spec *spec, struct op **out,
                        struct error *error) MUST_CHECK;

#endif
