/* The elements of greatest magnitude of an array, and arrays of mostly zeros on the wire: how many elements
 * are not zero, their indices, ascending, then their values; or, where that would be longer, the mark
 * UINT32_MAX and all values. Internal to codec/. Pure; any thread.
 *
 * A magnitude is a float's bits without the sign: ordered as the numbers are, NaNs above infinity, so that a
 * NaN is always sent. Zeros are not (and -0 becomes 0). Source: S. Stich, J.-B. Cordonnier, M. Jaggi,
 * "Sparsified SGD with memory", NeurIPS 2018. */
#ifndef CAIRN_CODEC_TOP_K_H
#define CAIRN_CODEC_TOP_K_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Which elements are kept: magnitudes above `magnitude`, and those equal to it up to the index last_tie. */
struct top_k_cut {
    uint32_t magnitude; /* at least 1 */
    uint32_t last_tie;
    size_t kept; /* how many these are */
};

/* The most bytes that an array of count elements needs: the mark and all values. */
size_t top_k_size_max(size_t count);

/* How many elements a share of count is: at least one if there is any, at most all. */
size_t top_k_count(double share, size_t count);

/* The cut that keeps the `kept` (> 0) greatest elements, of equal ones those of lower index; fewer if the
 * others are zero. */
struct top_k_cut top_k_find(const float *values, size_t count, size_t kept);

/* The cut that keeps all that is not zero. */
struct top_k_cut top_k_nonzero(const float *values, size_t count);

/* Splits values[count] in what the cut keeps and the rest, with zeros in the others' places. kept and rest
 * may be NULL, and either may be `values`. */
void top_k_split(struct top_k_cut cut, const float *values, size_t count, float *kept, float *rest);

/* Packs what the cut keeps; returns the bytes written. */
size_t top_k_pack(struct top_k_cut cut, const float *values, size_t count, unsigned char *bytes);

/* Errors: CAIRN_PROTOCOL for bytes that no array of count elements packs to; values are half filled then. */
enum status top_k_unpack(const unsigned char *bytes, size_t length, float *values, size_t count,
                         struct error *error) MUST_CHECK;

#endif
