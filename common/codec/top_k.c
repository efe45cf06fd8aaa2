/* The cut is found by bisecting the magnitudes' bits: at most 31 passes that count, each at the speed of
 * memory, which is faster than histograms of a radix selection, and usually fewer. */
#include "codec/top_k.h"

#include "base/kernel.h"
#include "codec/format.h"

#define DENSE   UINT32_MAX
#define STRIDE  32    /* elements that are looked at before any is picked */
#define COUNTED 65536 /* elements that a 32-bit counter counts at a time */

size_t top_k_size_max(size_t count)
{
    return sizeof(uint32_t) + count * sizeof(float);
}

size_t top_k_count(double share, size_t count)
{
    size_t kept = (size_t)(share * (double)count);

    if (kept > count)
        return count;
    return kept == 0 && count > 0 ? 1 : kept;
}

static inline uint32_t magnitude_of(float value)
{
    return float_bits(value) & FLOAT_MAGNITUDE;
}

/* Whether one of the next elements, at most STRIDE, has the magnitude or a greater one. */
static inline uint32_t any_reaches(const float *values, size_t count, uint32_t magnitude)
{
    uint32_t any = 0;

    if (count < STRIDE)
        return 1;
    for (size_t i = 0; i < STRIDE; i++)
        any |= (int32_t)magnitude_of(values[i]) >= (int32_t)magnitude;
    return any;
}

static inline size_t stride_end(size_t begin, size_t count)
{
    return count - begin < STRIDE ? count : begin + STRIDE;
}

/* How many elements have the magnitude or a greater one. */
KERNEL static size_t top_k_reaching(const float *values, size_t count, uint32_t magnitude)
{
    size_t reaching = 0;

    for (size_t begin = 0; begin < count; begin += COUNTED) {
        size_t end = count - begin < COUNTED ? count : begin + COUNTED;
        uint32_t found = 0;

        for (size_t i = begin; i < end; i++)
            found += (int32_t)magnitude_of(values[i]) >= (int32_t)magnitude; /* AVX2 compares signed ones */
        reaching += found;
    }
    return reaching;
}

/* The index of the ties-th element of a magnitude. */
KERNEL static uint32_t top_k_index_of_tie(const float *values, size_t count, uint32_t magnitude, size_t ties)
{
    for (size_t begin = 0; begin < count; begin += STRIDE) {
        if (!any_reaches(values + begin, count - begin, magnitude))
            continue;
        for (size_t i = begin; i < stride_end(begin, count); i++) {
            if (magnitude_of(values[i]) == magnitude && --ties == 0)
                return (uint32_t)i;
        }
    }
    BUG("fewer ties than were counted");
}

struct top_k_cut top_k_find(const float *values, size_t count, size_t kept)
{
    uint32_t low = 0, high = FLOAT_MAGNITUDE; /* top_k_reaching(low) > kept > top_k_reaching(high + 1) */
    size_t above = 0;                         /* top_k_reaching(high + 1) */

    if (kept >= count)
        return top_k_nonzero(values, count);
    while (low < high) {
        uint32_t middle = high - (high - low) / 2;
        size_t reaching = top_k_reaching(values, count, middle);

        if (reaching == kept)
            return (struct top_k_cut){middle, UINT32_MAX, kept};
        if (reaching > kept) {
            low = middle;
        } else {
            high = middle - 1;
            above = reaching;
        }
    }
    if (low == 0)
        return top_k_nonzero(values, count);
    return (struct top_k_cut){low, top_k_index_of_tie(values, count, low, kept - above), kept};
}

struct top_k_cut top_k_nonzero(const float *values, size_t count)
{
    return (struct top_k_cut){1, UINT32_MAX, top_k_reaching(values, count, 1)};
}

static inline bool is_kept(struct top_k_cut cut, float value, uint32_t index)
{
    uint32_t magnitude = magnitude_of(value);

    return magnitude > cut.magnitude || (magnitude == cut.magnitude && index <= cut.last_tie);
}

KERNEL static void top_k_split_kept(struct top_k_cut cut, const float *values, size_t count, float *kept)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++)
        kept[i] = is_kept(cut, values[i], (uint32_t)i) ? values[i] : 0.0f;
}

KERNEL static void top_k_split_rest(struct top_k_cut cut, const float *values, size_t count, float *rest)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++)
        rest[i] = is_kept(cut, values[i], (uint32_t)i) ? 0.0f : values[i];
}

void top_k_split(struct top_k_cut cut, const float *values, size_t count, float *kept, float *rest)
{
    if (kept != values) {
        if (kept != NULL)
            top_k_split_kept(cut, values, count, kept);
        if (rest != NULL)
            top_k_split_rest(cut, values, count, rest);
        return;
    }
    if (rest != NULL)
        top_k_split_rest(cut, values, count, rest);
    top_k_split_kept(cut, values, count, kept);
}

/* indices and kept have room for cut.kept. */
KERNEL static void top_k_gather(struct top_k_cut cut, const float *values, size_t count,
                                unsigned char *indices, unsigned char *kept)
{
    for (size_t begin = 0; begin < count; begin += STRIDE) {
        if (!any_reaches(values + begin, count - begin, cut.magnitude))
            continue;
        for (size_t i = begin; i < stride_end(begin, count); i++) {
            uint32_t index = (uint32_t)i;

            if (!is_kept(cut, values[i], index))
                continue;
            memcpy(indices, &index, sizeof(index));
            memcpy(kept, &values[i], sizeof(float));
            indices += sizeof(index);
            kept += sizeof(float);
        }
    }
}

static bool is_sparse(size_t kept, size_t count)
{
    return kept <= count / 2;
}

size_t top_k_pack(struct top_k_cut cut, const float *values, size_t count, unsigned char *bytes)
{
    bool sparse = is_sparse(cut.kept, count);
    uint32_t mark = sparse ? (uint32_t)cut.kept : DENSE;
    unsigned char *body = bytes + sizeof(mark);

    memcpy(bytes, &mark, sizeof(mark));
    if (sparse) {
        top_k_gather(cut, values, count, body, body + cut.kept * sizeof(uint32_t));
        return sizeof(mark) + cut.kept * (sizeof(uint32_t) + sizeof(float));
    }
    for (size_t i = 0; i < count; i++) {
        float value = is_kept(cut, values[i], (uint32_t)i) ? values[i] : 0.0f;

        memcpy(body + i * sizeof(value), &value, sizeof(value));
    }
    return top_k_size_max(count);
}

static enum status scatter(const unsigned char *indices, size_t kept, float *values, size_t count,
                           struct error *error)
{
    const unsigned char *packed = indices + kept * sizeof(uint32_t);
    size_t least = 0;

    memset(values, 0, count * sizeof(float));
    for (size_t i = 0; i < kept; i++) {
        uint32_t index;

        memcpy(&index, indices + i * sizeof(index), sizeof(index));
        if (index < least || index >= count)
            return error_set(error, CAIRN_PROTOCOL, "top_k: index %u is not in [%zu, %zu)", index, least,
                             count);
        memcpy(&values[index], packed + i * sizeof(float), sizeof(float));
        if (magnitude_of(values[index]) == 0)
            return error_set(error, CAIRN_PROTOCOL, "top_k: element %u was sent as a zero", index);
        least = (size_t)index + 1;
    }
    return CAIRN_OK;
}

/* All values, which no packing has when it could be sparse, nor when there is a -0. */
static enum status copy_dense(const unsigned char *packed, float *values, size_t count, struct error *error)
{
    size_t kept = 0;

    memcpy(values, packed, count * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        if (float_bits(values[i]) == ~FLOAT_MAGNITUDE)
            return error_set(error, CAIRN_PROTOCOL, "top_k: element %zu is -0", i);
        kept += magnitude_of(values[i]) != 0;
    }
    if (is_sparse(kept, count))
        return error_set(error, CAIRN_PROTOCOL, "top_k: all of %zu elements for %zu", count, kept);
    return CAIRN_OK;
}

enum status top_k_unpack(const unsigned char *bytes, size_t length, float *values, size_t count,
                         struct error *error)
{
    uint32_t mark;

    if (length < sizeof(mark))
        return error_set(error, CAIRN_PROTOCOL, "top_k: %zu bytes are no array", length);
    memcpy(&mark, bytes, sizeof(mark));
    if (mark == DENSE && length == top_k_size_max(count))
        return copy_dense(bytes + sizeof(mark), values, count, error);
    if (mark == DENSE || !is_sparse(mark, count) ||
        length != sizeof(mark) + (size_t)mark * (sizeof(uint32_t) + sizeof(float)))
        return error_set(error, CAIRN_PROTOCOL, "top_k: %zu bytes are not %u of %zu elements", length, mark,
                         count);
    return scatter(bytes + sizeof(mark), mark, values, count, error);
}
