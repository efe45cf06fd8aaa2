/* Philox4x32-10 (math/philox.h), many counters side by side, so that compilers make vectors of them. Counter
 * (16 * g + lane, 0, array) gives eight elements their numbers: 128 * g + 32 * word + 2 * lane the lower half
 * of each of its four words, the element after it the upper half. */
#include "codec/chance.h"

#include "base/kernel.h"

#include <string.h>

#define LANES  16 /* counters a group */
#define GROUPS 8  /* drawn at a time */

struct words {
    uint32_t word[4][GROUPS * LANES];
};

KERNEL static void chance_words(struct philox philox, uint64_t array, uint32_t counter, uint32_t count,
                                struct words *words)
{
    KERNEL_LOOP
    for (uint32_t i = 0; i < count; i++) {
        uint32_t x_0 = counter + i, x_1 = 0, x_2 = (uint32_t)array, x_3 = (uint32_t)(array >> 32);
        uint32_t key_0 = philox.key[0], key_1 = philox.key[1];

        for (int round = 0; round < 10; round++) {
            uint64_t product_0 = (uint64_t)0xd2511f53u * x_0;
            uint64_t product_1 = (uint64_t)0xcd9e8d57u * x_2;

            x_0 = (uint32_t)(product_1 >> 32) ^ x_1 ^ key_0;
            x_1 = (uint32_t)product_1;
            x_2 = (uint32_t)(product_0 >> 32) ^ x_3 ^ key_1;
            x_3 = (uint32_t)product_0;
            key_0 += 0x9e3779b9u;
            key_1 += 0xbb67ae85u;
        }
        words->word[0][i] = x_0;
        words->word[1][i] = x_1;
        words->word[2][i] = x_2;
        words->word[3][i] = x_3;
    }
}

/* Group after group the lanes of word 0, of word 1 and so on. */
static void put_groups(const struct words *words, uint32_t groups, uint16_t *chance)
{
    for (uint32_t group = 0; group < groups; group++) {
        for (int word = 0; word < 4; word++) {
            memcpy(chance, &words->word[word][group * LANES], LANES * sizeof(uint32_t));
            chance += 2 * LANES;
        }
    }
}

void chance_draw(struct philox philox, uint64_t array, size_t begin, size_t count, uint16_t *chance)
{
    uint32_t first = (uint32_t)(begin / CHANCE_GROUP),
             end = first + (uint32_t)((count + CHANCE_GROUP - 1) / CHANCE_GROUP);
    struct words words;

    while (first < end) {
        uint32_t groups = end - first < GROUPS ? end - first : GROUPS;

        chance_words(philox, array, first * LANES, groups * LANES, &words);
        put_groups(&words, groups, chance);
        chance += groups * CHANCE_GROUP;
        first += groups;
    }
}
