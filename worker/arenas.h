/* Gradient arenas: buffers of the model's whole address space, into which lanes compute and fold gradients
 * and from which they are sent in place.
 *
 * An arena is used again when its user has given it back AND ZeroMQ has let go of the bytes it was told to
 * send (the buffer's count of references). There are only as many arenas as were ever in use at once: they
 * are made when none is free, and never unmade before arenas_free, so that no step maps fresh pages.
 *
 * Invariant: the floats of no parameter (the gaps of model/graph.h) are zero in every arena, for ever.
 * Threads: any thread takes and gives; the list is only ever added to, without locks. */
#ifndef CAIRN_WORKER_ARENAS_H
#define CAIRN_WORKER_ARENAS_H

#include "base/buffer.h"
#include "base/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
    struct buffer *buffer; /* [floats] float32 */
    float *floats;         /* its bytes */
    atomic_bool taken;
    struct arena *next; /* made before this one */
};

struct arenas;

/* No arenas yet, of `floats` floats each. Owns: the caller. NULL: out of memory. */
struct arenas *arenas_new(uint64_t floats);

/* Lets go of all; bytes that ZeroMQ still holds live until it is done. Nobody may hold one. NULL is allowed.
 */
void arenas_free(struct arenas *arenas);

/* An arena that nobody else writes or sends; NULL: out of memory. Owns: the taker, until arenas_give. */
struct arena *arenas_take(struct arenas *arenas);

/* Gives an arena back; it is used again when its buffer's other references are gone. NULL is allowed. */
void arenas_give(struct arena *arena);

/* How many there are: a measure of memory. */
size_t arenas_count(const struct arenas *arenas);

#endif
