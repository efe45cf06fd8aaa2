/* Reference-counted buffers: how payloads travel from a receive through sums to sends without copies.
 *
 * A buffer is a run of bytes with a count of owners. When the last owner lets go, `release` gives it back to
 * where it came from: a pool, a received ZeroMQ frame, the heap. A pool keeps buffers of one size for reuse,
 * so that a step in steady state maps no fresh pages.
 *
 * Threads: references may be taken and dropped by any thread (sends end on ZeroMQ's threads); a pool is
 * taken from by one thread at a time, its owner. Bytes are written only while the writer holds the only
 * reference. */
#ifndef CAIRN_BASE_BUFFER_H
#define CAIRN_BASE_BUFFER_H

#include "base/status.h"

#include <stdatomic.h>
#include <stddef.h>

/* Every buffer's bytes start on such a boundary, unless a received frame's do not (buffer_wrap). */
#define BUFFER_ALIGNMENT 64

struct buffer {
    void *data;
    size_t length_bytes;   /* bytes in use */
    size_t capacity_bytes; /* bytes there are */
    atomic_uint references;
    void (*release)(struct buffer *buffer); /* called once, by whoever drops the last reference */
    void *owner;                            /* release's own: the pool, the frame */
    struct buffer *next;                    /* the pool's own: free list */
};

struct buffer_pool;

/* A pool of buffers of capacity_bytes each. Owns: the caller, until buffer_pool_free. NULL: out of memory. */
struct buffer_pool *buffer_pool_new(size_t capacity_bytes);

/* Lets go of the pool. Buffers still held live on; the pool's memory goes with the last of them. NULL is
 * allowed. */
void buffer_pool_free(struct buffer_pool *pool);

/* A buffer with one reference, length_bytes == capacity_bytes, contents undefined; NULL: out of memory.
 * Thread: the pool's owner only. */
struct buffer *buffer_pool_get(struct buffer_pool *pool);

/* Gives the memory of buffers that nobody holds back to the system, and of so many more when they come back;
 * they cost page faults when they are next got. For when there will be fewer of them. Thread: the pool's
 * owner only. */
void buffer_pool_trim(struct buffer_pool *pool, unsigned int surplus);

/* A buffer with one reference from the heap; NULL: out of memory. */
struct buffer *buffer_new(size_t capacity_bytes);

/* Prepares a caller's structure (embedded in something larger) as a buffer with one reference over foreign
 * bytes; release(buffer) is called when the last reference goes. */
void buffer_wrap(struct buffer *buffer, void *data, size_t length_bytes, void (*release)(struct buffer *),
                 void *owner);

/* One more reference; returns buffer. */
struct buffer *buffer_ref(struct buffer *buffer);

/* One reference fewer; NULL is allowed. The bytes may be gone afterwards. */
void buffer_unref(struct buffer *buffer);

/* Whether the caller's reference is the only one, so that it may write. */
int buffer_is_exclusive(struct buffer *buffer);

#endif
