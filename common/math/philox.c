/* Philox4x32-10 and what is drawn from it. Knows nothing of what the numbers are for. */
#include "math/philox.h"

#include "base/kernel.h"
#include "math/mix.h"

/* Bijective in the use for a given seed, and in the seed for a given use: no two share a key. */
struct philox philox_for(uint64_t seed, enum philox_use use)
{
    uint64_t key = mix64((seed ^ mix64((uint64_t)use + MIX64_STEP)) + MIX64_STEP);

    return (struct philox){{(uint32_t)key, (uint32_t)(key >> 32)}};
}

static void philox_round(uint32_t x[4], const uint32_t key[2])
{
    uint64_t product_0 = (uint64_t)0xd2511f53u * x[0];
    uint64_t product_1 = (uint64_t)0xcd9e8d57u * x[2];

    x[0] = (uint32_t)(product_1 >> 32) ^ x[1] ^ key[0];
    x[1] = (uint32_t)product_1;
    x[2] = (uint32_t)(product_0 >> 32) ^ x[3] ^ key[1];
    x[3] = (uint32_t)product_0;
}

void philox_words(struct philox philox, const uint32_t counter[4], uint32_t words[4])
{
    uint32_t x[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t key[2] = {philox.key[0], philox.key[1]};

    for (int round = 0; round < 10; round++) {
        philox_round(x, key);
        key[0] += 0x9e3779b9u; /* the key schedule is a Weyl sequence */
        key[1] += 0xbb67ae85u;
    }
    for (int i = 0; i < 4; i++)
        words[i] = x[i];
}

#define LANES (PHILOX_WORDS_WIDE / 4)

/* The rounds of philox_words with the counters side by side. */
KERNEL void philox_words_wide(struct philox philox, const uint32_t counter[4],
                              uint32_t words[PHILOX_WORDS_WIDE])
{
    uint32_t x0[LANES], x1[LANES], x2[LANES], x3[LANES], key_0 = philox.key[0], key_1 = philox.key[1];

    for (uint32_t i = 0; i < LANES; i++) {
        x0[i] = counter[0] + i;
        x1[i] = counter[1];
        x2[i] = counter[2];
        x3[i] = counter[3];
    }
    for (int round = 0; round < 10; round++) {
        KERNEL_LOOP
        for (int i = 0; i < LANES; i++) {
            uint64_t product_0 = (uint64_t)0xd2511f53u * x0[i], product_1 = (uint64_t)0xcd9e8d57u * x2[i];

            x0[i] = (uint32_t)(product_1 >> 32) ^ x1[i] ^ key_0;
            x1[i] = (uint32_t)product_1;
            x2[i] = (uint32_t)(product_0 >> 32) ^ x3[i] ^ key_1;
            x3[i] = (uint32_t)product_0;
        }
        key_0 += 0x9e3779b9u;
        key_1 += 0xbb67ae85u;
    }
    for (int i = 0; i < LANES; i++) {
        words[4 * i] = x0[i];
        words[4 * i + 1] = x1[i];
        words[4 * i + 2] = x2[i];
        words[4 * i + 3] = x3[i];
    }
}

/* A number in [0, bound). The remainder's bias is below bound / 2^64, far under what any draw could show. */
static uint64_t draw_below(struct philox philox, uint64_t stream, uint64_t position, uint64_t bound)
{
    uint32_t counter[4] = {(uint32_t)position, (uint32_t)(position >> 32), (uint32_t)stream,
                           (uint32_t)(stream >> 32)};
    uint32_t words[4];

    philox_words(philox, counter, words);
    return ((uint64_t)words[0] << 32 | words[1]) % bound;
}

void philox_permutation(struct philox philox, uint64_t stream, uint64_t *order, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        order[i] = i;
    for (uint64_t i = count; i > 1; i--) {
        uint64_t last = i - 1, other = draw_below(philox, stream, last, i), kept = order[last];

        order[last] = order[other];
        order[other] = kept;
    }
}
