/* The codecs' bits are part of every model that is trained with them: pinned, and the same for any width of
 * vectors. Linked with the library as it is shipped, and with it built for one width after another
 * (CMakeLists.txt; NEEDS is what such a build needs of the processor). */
#include "codec/codec.h"

#include "base/hash.h"
#include "check_main.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#define ELEMENTS 3001
#define STEPS    3

static const struct pinned {
    struct codec_spec spec;
    const char *hash; /* of the bytes, the values and the residuals */
} pins[] = {
    {{.type = CODEC_FLOAT32}, "d152e3af8ab5326232841f3f5981a8fb7ef4a0c65920bba3babba752a2c76277"},
    {{.type = CODEC_FLOAT16}, "c1702ed58a4e3e7f08834ae766d1f2b9413704e87781090a5dc071ddf1cdce13"},
    {{.type = CODEC_FLOAT16, .rounding = CODEC_STOCHASTIC},
     "28901e74715c9f50cbabb3fd364395c7dfd71340d7dd4922fa33d96b087fc3e2"},
    {{.type = CODEC_BFLOAT16}, "0ebf37adf294ddf8bb076cc7ef231801855be2c65faf84c2bbfc9e9abb30439f"},
    {{.type = CODEC_BFLOAT16, .rounding = CODEC_STOCHASTIC},
     "7470d029b8b3f83dd13ba4b6e8911f334bcd50326b4753769d39c27ab863f20c"},
    {{.type = CODEC_INT8, .block = 64}, "fa919c69b80e33c5175742ed940978b347c5002777f0f3a269ea84260963e129"},
    {{.type = CODEC_INT8, .block = 16, .rounding = CODEC_STOCHASTIC},
     "622b22a5eacfb350ff335f89f1eb87cda7fe3bcdc37b8d8ceb4479e2fafa9a4c"},
    {{.type = CODEC_TOP_K, .share = 0.02},
     "a38e1092fb3cb23134ac86bf47921791a4322853ffe91190bde9e834f8c7f491"},
};
#define PINS ((int)(sizeof(pins) / sizeof(pins[0])))

/* Numbers of all magnitudes, with some faults and zeros. */
static void fill(float *values, uint32_t seed)
{
    static const float special[] = {0.0f,      -0.0f,    NAN,      INFINITY,  FLT_MAX,
                                    0x1p-149f, 65519.0f, 65520.0f, 0x1.8p-25f};
    struct philox philox = philox_for(seed, PHILOX_SYNTHETIC_DATA);

    for (uint32_t i = 0; i < ELEMENTS; i++) {
        uint32_t counter[4] = {i, 0, 0, 0}, words[4];

        philox_words(philox, counter, words);
        values[i] = (philox_unit_float(words[0]) - 0.5f) * ldexpf(1, (int)(words[1] % 60) - 40);
    }
    for (uint32_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
        values[(i * 331 + seed * 64) % ELEMENTS] = special[i];
}

/* Leaves of some steps with error feedback, what a shard makes of their bytes, and a fold of that. */
static void take_in_step(const struct codec_spec *spec, uint64_t step, float *residual, struct hash *hash)
{
    struct codec_node leaf = codec_node_for(spec, 5, 1, step, (struct tree_node){3, 4});
    struct codec_node inner = codec_node_for(spec, 5, 1, step, (struct tree_node){2, 4});
    unsigned char bytes[4 * ELEMENTS + 4];
    float values[ELEMENTS], decoded[ELEMENTS];
    size_t length;

    fill(values, (uint32_t)step);
    length = codec_encode_leaf(&leaf, values, residual, ELEMENTS, bytes);
    ck_assert_int_eq(codec_decode(spec, bytes, length, decoded, ELEMENTS, NULL), CAIRN_OK);
    hash_update(hash, bytes, length);
    hash_update(hash, decoded, sizeof(decoded));
    hash_update(hash, residual, sizeof(decoded));
    fill(values, (uint32_t)step + 100);
    codec_round(&leaf, values, NULL, ELEMENTS);
    codec_fold(&inner, decoded, values, ELEMENTS);
    hash_update(hash, decoded, sizeof(decoded));
    hash_update(hash, bytes, codec_encode(spec, decoded, ELEMENTS, bytes));
}

START_TEST(bits_never_change)
{
    float residual[ELEMENTS] = {0};
    char text[HASH_TEXT_BYTES];
    struct hash hash;

    hash_init(&hash);
    for (uint64_t step = 0; step < STEPS; step++)
        take_in_step(&pins[_i].spec, step, residual, &hash);
    hash_text(&hash, text);
    ck_assert_str_eq(text, pins[_i].hash);
}
END_TEST

static bool width_is_there(void)
{
#ifdef NEEDS
    return __builtin_cpu_supports(NEEDS);
#else
    return true;
#endif
}

static Suite *bits_suite(void)
{
    Suite *suite = suite_create("codec_bits");
    TCase *cases = tcase_create("codec_bits");

    tcase_add_loop_test(cases, bits_never_change, 0, PINS);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN_IF(width_is_there, bits_suite)
