/* Wire codecs: how an array of float32 travels between a client and a shard, a choice a table.
 *
 * Problem: Cairn promises the same model for any number of workers (docs/design.md, "Codecs"). A codec that
 * is applied to what a worker happens to push breaks it: who has two microbatches pushes their sum, and
 * rounding a sum is not the sum of roundings.
 *
 * Design: a codec is a kind of number with one rounding, and the reduction tree adds in these numbers. Let R
 * be the rounding. A leaf's value is R(gradient), an inner node's R(left + right), whoever computes it. A
 * node's value is then a function of its leaves, and since every number of the codec encodes without loss, it
 * may be sent at any height of the tree: decode(encode(R(x))) = R(x). For top-k, R drops elements at the leaf
 * only; inner nodes are plain float32 sums, packed without loss.
 *
 * What R may use besides the values must be a function of the node as well:
 *  - nothing (CODEC_NEAREST);
 *  - chance from Philox, keyed by seed, table, step, node and element (CODEC_STOCHASTIC): unbiased, so that
 *    small elements do not vanish for ever, and without state: workers may come, go and die at any step;
 *  - a residual of the leaf, what earlier steps failed to send (error feedback). It is kept a microbatch, not
 *    a worker, and it is lost with the worker. So work may change hands, and a training may be resumed, only
 *    at steps at which all residuals are zero: a step in which the whole table travels as CODEC_FLOAT32 sends
 *    values and residuals in full and leaves zeros.
 *
 * Encoded arrays must be cut alike on any cluster: a chunk of a dense table or one row of a sparse one, never
 * "all rows of this message", for elements of a block or of a top-k share one scale or one threshold.
 * (float16 and bfloat16 to nearest are elementwise: all rows encoded at once are the same bytes.)
 *
 * Bits do not depend on the machine or on vector widths. Encoded numbers are little-endian, at any alignment.
 * A spec has passed codec_spec_check; an array has fewer than 2^31 elements. Pure functions, no allocation;
 * any thread. Knows nothing of messages, tables or sockets. */
#ifndef CAIRN_CODEC_CODEC_H
#define CAIRN_CODEC_CODEC_H

#include "base/status.h"
#include "math/philox.h"
#include "math/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are part of the wire contract and of records. Never renumber. */
enum codec_type {
    CODEC_FLOAT32 = 0,  /* as it is */
    CODEC_FLOAT16 = 1,  /* IEEE 754 binary16: 11 bits from 2^-14 to 65504, infinity beyond */
    CODEC_BFLOAT16 = 2, /* the upper half of a float32: 8 bits, float32's range */
    CODEC_INT8 = 3,     /* -127..127 times a power of two, one a block */
    CODEC_TOP_K = 4,    /* a share of the elements, those of greatest magnitude; dense tables only */
    CODEC_COUNT
};

enum codec_rounding {
    CODEC_NEAREST,   /* ties to even */
    CODEC_STOCHASTIC /* up with the probability of the fraction */
};

#define CODEC_BLOCK_MIN     16
#define CODEC_BLOCK_MAX     1024
#define CODEC_BLOCK_DEFAULT 64

/* In the job file `codec: float16`, or with arguments `codec: {int8: {block: 64, rounding: stochastic}}`. All
 * zero is float32. */
struct codec_spec {
    enum codec_type type;
    enum codec_rounding rounding; /* float16, bfloat16 (nearest), int8 (stochastic) */
    uint32_t block;    /* int8: elements a scale, a power of two in [CODEC_BLOCK_MIN, CODEC_BLOCK_MAX] */
    double share;      /* top_k: of an array's elements, in (0, 1]; default 0.01 */
    uint64_t boundary; /* top_k: a step in so many sends all, as float32; 0: none does */
};

/* The defaults of a type's arguments. */
struct codec_spec codec_spec_default(enum codec_type type);

/* "float32", "float16", "bfloat16", "int8", "top_k"; NULL for other numbers. */
const char *codec_name(enum codec_type type);

/* Whether a table's values travel in it as well, as nearest copies: float16 and bfloat16. With other codecs
 * they travel as float32. */
bool codec_carries_values(enum codec_type type);

/* Whether a step's gradients travel as float32 at every node of the tree: those steps of top_k that make a
 * version divisible by `boundary`. They leave no residuals. */
bool codec_sends_all(const struct codec_spec *spec, uint64_t step);

/* Whether the arguments are allowed. Errors: CAIRN_INVALID with what is allowed. */
enum status codec_spec_check(const struct codec_spec *spec, struct error *error) MUST_CHECK;

/* A codec at one node of one step's tree, and the array there that is being rounded. */
struct codec_node {
    const struct codec_spec *spec; /* borrowed */
    struct philox philox;
    uint64_t array; /* dense: the chunk's number; sparse: the row's key. Set by the caller for each array */
};

/* The codec at `node` of table `table` in step `step`; array 0. */
struct codec_node codec_node_for(const struct codec_spec *spec, uint64_t seed, uint32_t table, uint64_t step,
                                 struct tree_node node);

/* Rounds at a leaf, in place: values = R(values), or with residual[count], not NULL,
 *     sum = values + residual;  values = R(sum);  residual = sum - values
 * Where values become NaN or infinite the residual is 0: a fault is sent once and not remembered. (A sum of
 * two float32 and the difference are rounded to float32.) Source: F. Seide et al., "1-bit stochastic gradient
 * descent", Interspeech 2014; S. P. Karimireddy et al., "Error feedback fixes SignSGD and other gradient
 * compression schemes", ICML 2019. Of stochastic rounding: D. Alistarh et al., "QSGD", NeurIPS 2017. */
void codec_round(const struct codec_node *node, float *values, float *residual, size_t count);

/* Adds at an inner node: left = R(left + right); float32 and top_k: left += right. The arrays do not overlap.
 */
void codec_fold(const struct codec_node *node, float *left, const float *right, size_t count);

/* Bytes that an array of count elements needs at most; exact for all codecs but top_k. */
size_t codec_size_max(const struct codec_spec *spec, size_t count);

/* Encodes values that were rounded or folded: without loss. Others are rounded to nearest (top_k: all but -0
 * is kept). Returns the bytes written, at most codec_size_max. */
size_t codec_encode(const struct codec_spec *spec, const float *values, size_t count, unsigned char *bytes);

/* codec_round and codec_encode in one pass over memory; the values stay as they are. residual may be NULL.
 * Returns the bytes written, at most codec_size_max. (They decode to the same values as
 * the bytes of those two; a block of int8 may have another scale.) */
size_t codec_encode_leaf(const struct codec_node *node, const float *values, float *residual, size_t count,
                         unsigned char *bytes);

/* Decodes to exactly count values, from outside bytes. Only what an encoder writes is taken, and any NaN.
 * Errors: CAIRN_PROTOCOL with a line; some values are set then. */
enum status codec_decode(const struct codec_spec *spec, const unsigned char *bytes, size_t length,
                         float *values, size_t count, struct error *error) MUST_CHECK;

#endif
