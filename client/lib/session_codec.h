/* How a session's tables travel in their codecs: what is encoded, and the residuals of error feedback.
 * Internal to the session, whose thread calls it.
 *
 * The session rounds a microbatch's gradients, and nothing else: sums over several have to be formed in the
 * codec's numbers (codec.h). Who has done so, as a worker's lanes do, says that they are rounded; of others
 * each microbatch is pushed by itself. A microbatch that has no gradients is no rounding's matter.
 *
 * Residuals (top_k) are kept a microbatch and chunk, in memory that is taken when the first is pushed, and
 * each is for one step: the one after that in which it was made. All are zero after a step that sends all
 * (codec_sends_all), so that only there may another session take a microbatch over. */
#ifndef CAIRN_LIB_SESSION_CODEC_H
#define CAIRN_LIB_SESSION_CODEC_H

#include "base/buffer.h"
#include "base/status.h"
#include "codec/codec.h"
#include "net/wire.h"

#include <stdbool.h>
#include <stdint.h>

/* What earlier steps of a microbatch did not send. */
struct residual {
    float *values;       /* [elements of the table]; NULL: nothing was pushed yet */
    uint64_t *next_step; /* [chunk_count]: the step that a chunk's residual is for */
};

/* A table's codec in a session. All zero: float32. */
struct session_codec {
    struct codec_spec spec;
    uint64_t seed;     /* of the job */
    uint32_t number;   /* of the table */
    uint64_t elements; /* dense: as the layout says */
    uint32_t chunk_elements, chunk_count;
    struct buffer_pool *pool;   /* dense: of a chunk's bytes */
    struct residual *residuals; /* top_k: [residual_count], by microbatch */
    uint32_t residual_count;
};

/* Prepares the pool of a dense table (elements > 0) whose other members but residuals are set.
 * Errors: CAIRN_NO_MEMORY. */
enum status session_codec_open(struct session_codec *codec) MUST_CHECK;
void session_codec_close(struct session_codec *codec);

static inline bool session_codec_is_lossy(const struct session_codec *codec)
{
    return codec->spec.type != CODEC_FLOAT32;
}

/* In which types the gradients of a step travel, and values. */
enum data_type session_codec_gradient_type(const struct session_codec *codec, uint64_t step);
enum data_type session_codec_value_type(const struct session_codec *codec);

/* Whether a push may be sent: of a dense table for chunks [first_chunk, first_chunk + chunk_count), else of
 * none. has_values: there is something to add. Errors: CAIRN_INVALID with a line. */
struct session_codec_push {
    uint64_t step;
    struct tree_node node;
    bool has_values;
    bool is_rounded; /* as in session_push */
    uint32_t first_chunk, chunk_count;
};
enum status session_codec_check(const struct session_codec *codec, const struct session_codec_push *push,
                                struct error *error) MUST_CHECK;

/* The bytes that a checked push of a dense table sends for a chunk. values: the chunk's gradients, borrowed;
 * NULL: there are none. Owns: the caller; *bytes NULL: there is nothing to send. Errors: CAIRN_NO_MEMORY. */
enum status session_codec_encode(struct session_codec *codec, const struct session_codec_push *push,
                                 uint32_t chunk, const float *values, struct buffer **bytes) MUST_CHECK;

/* Encodes the gradients of rows of a checked push, each by itself. rows: [count, dimension]; bytes: as many
 * times codec_size_max. */
void session_codec_encode_rows(const struct session_codec *codec, const struct session_codec_push *push,
                               const uint64_t *keys, uint32_t count, const float *rows, uint32_t dimension,
                               unsigned char *bytes);

/* Decodes values of a codec that carries them, of which there are exactly enough bytes. */
void session_codec_decode(const struct session_codec *codec, const void *bytes, float *values, size_t count);

#endif
