/* Philox as vectors: 16 counters side by side, one word of each a vector. Compilers make poor code of its
 * wide products, so AVX-512 has a version by hand, five times as fast as the plain one. */
#include "compute/cpu/dropout_kernels.h"

#include "compute/cpu/vector.h"

/* The constants of Philox4x32-10: see math/philox.c. */
#define ROUNDS       10
#define MULTIPLIER_0 0xd2511f53u
#define MULTIPLIER_1 0xcd9e8d57u
#define WEYL_0       0x9e3779b9u
#define WEYL_1       0xbb67ae85u

/* --- for any machine --- */

static inline __attribute__((always_inline)) void draw_words(const struct dropout_stream *stream,
                                                             uint32_t first, uint32_t x[4][DROPOUT_COUNTERS])
{
    uint32_t key_0 = stream->philox.key[0], key_1 = stream->philox.key[1];

    for (uint32_t i = 0; i < DROPOUT_COUNTERS; i++) {
        x[0][i] = first + i;
        x[1][i] = stream->counter[1];
        x[2][i] = stream->counter[2];
        x[3][i] = stream->counter[3];
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < DROPOUT_COUNTERS; i++) {
            uint64_t product_0 = (uint64_t)MULTIPLIER_0 * x[0][i];
            uint64_t product_1 = (uint64_t)MULTIPLIER_1 * x[2][i];

            x[0][i] = (uint32_t)(product_1 >> 32) ^ x[1][i] ^ key_0;
            x[1][i] = (uint32_t)product_1;
            x[2][i] = (uint32_t)(product_0 >> 32) ^ x[3][i] ^ key_1;
            x[3][i] = (uint32_t)product_0;
        }
        key_0 += WEYL_0;
        key_1 += WEYL_1;
    }
}

VECTORED static void draw_plain(const struct dropout_stream *stream, uint32_t threshold, uint64_t *kept,
                                uint64_t blocks)
{
    for (uint64_t block = 0; block < blocks; block++) {
        uint32_t x[4][DROPOUT_COUNTERS];
        uint64_t bits = 0;

        draw_words(stream, (uint32_t)(block * DROPOUT_COUNTERS), x);
        for (uint32_t i = 0; i < DROPOUT_BLOCK; i++)
            bits |= (uint64_t)(x[i / DROPOUT_COUNTERS][i % DROPOUT_COUNTERS] >= threshold) << i;
        kept[block] = bits;
    }
}

VECTORED static void apply_plain(float *restrict y, const float *restrict x, const uint64_t *restrict kept,
                                 float scale, uint64_t elements)
{
    for (uint64_t begin = 0; begin < elements; begin += DROPOUT_BLOCK) {
        uint64_t bits = kept[begin / DROPOUT_BLOCK];
        uint64_t count = elements - begin < DROPOUT_BLOCK ? elements - begin : DROPOUT_BLOCK;

        for (uint64_t i = 0; i < count; i++) {
            float scaled =
                x[begin + i] * scale; /* for all: what stands under a condition is not vectorised */

            y[begin + i] = bits >> i & 1 ? scaled : 0;
        }
    }
}

const struct dropout_kernels *dropout_kernels_plain(void)
{
    static const struct dropout_kernels plain = {draw_plain, apply_plain};

    return &plain;
}

/* --- AVX-512: 64-bit lanes, whose upper halves hold garbage that no step looks at --- */

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f")))

struct half {
    __m512i x[4]; /* one word each of 8 counters */
};

AVX512 static inline void round_avx512(struct half *half, __m512i key_0, __m512i key_1)
{
    enum { XOR_OF_THREE = 0x96 };
    __m512i product_0 = _mm512_mul_epu32(half->x[0], _mm512_set1_epi64(MULTIPLIER_0));
    __m512i product_1 = _mm512_mul_epu32(half->x[2], _mm512_set1_epi64(MULTIPLIER_1));

    half->x[0] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(product_1, 32), half->x[1], key_0, XOR_OF_THREE);
    half->x[1] = product_1;
    half->x[2] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(product_0, 32), half->x[3], key_1, XOR_OF_THREE);
    half->x[3] = product_0;
}

AVX512 static inline struct half begin_avx512(const struct dropout_stream *stream, uint32_t first)
{
    const __m512i steps = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);

    return (struct half){{_mm512_add_epi64(_mm512_set1_epi64(first), steps),
                          _mm512_set1_epi64(stream->counter[1]), _mm512_set1_epi64(stream->counter[2]),
                          _mm512_set1_epi64(stream->counter[3])}};
}

AVX512 static inline uint64_t kept_avx512(__m512i words, __m512i threshold_high)
{
    return _mm512_cmpge_epu64_mask(_mm512_slli_epi64(words, 32), threshold_high);
}

AVX512 static void draw_avx512(const struct dropout_stream *stream, uint32_t threshold, uint64_t *kept,
                               uint64_t blocks)
{
    const __m512i threshold_high = _mm512_set1_epi64((int64_t)((uint64_t)threshold << 32));

    for (uint64_t block = 0; block < blocks; block++) {
        uint32_t key_0 = stream->philox.key[0], key_1 = stream->philox.key[1];
        uint32_t first = (uint32_t)(block * DROPOUT_COUNTERS);
        struct half low = begin_avx512(stream, first),
                    high = begin_avx512(stream, first + DROPOUT_COUNTERS / 2);
        uint64_t bits = 0;

        for (int round = 0; round < ROUNDS; round++) {
            round_avx512(&low, _mm512_set1_epi64(key_0), _mm512_set1_epi64(key_1));
            round_avx512(&high, _mm512_set1_epi64(key_0), _mm512_set1_epi64(key_1));
            key_0 += WEYL_0;
            key_1 += WEYL_1;
        }
        for (int word = 0; word < 4; word++)
            bits |=
                (kept_avx512(low.x[word], threshold_high) | kept_avx512(high.x[word], threshold_high) << 8)
                << (16 * word);
        kept[block] = bits;
    }
}

AVX512 static void apply_avx512(float *y, const float *x, const uint64_t *kept, float scale,
                                uint64_t elements)
{
    const __m512 scales = _mm512_set1_ps(scale);
    uint64_t whole = elements / 16 * 16;

    for (uint64_t i = 0; i < elements; i += 16) {
        __mmask16 bits = (__mmask16)(kept[i / DROPOUT_BLOCK] >> i % DROPOUT_BLOCK);
        __mmask16 present = i < whole ? 0xffff : (__mmask16)((1u << (elements - whole)) - 1);

        _mm512_mask_storeu_ps(y + i, present,
                              _mm512_maskz_mul_ps(bits, _mm512_maskz_loadu_ps(present, x + i), scales));
    }
}

const struct dropout_kernels *dropout_kernels_best(void)
{
    static const struct dropout_kernels avx512 = {draw_avx512, apply_avx512};

    return __builtin_cpu_supports("avx512f") ? &avx512 : dropout_kernels_plain();
}

#else

const struct dropout_kernels *dropout_kernels_best(void)
{
    return dropout_kernels_plain();
}

#endif
