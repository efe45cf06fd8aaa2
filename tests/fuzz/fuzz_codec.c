/* What codecs decode: any bytes, and what was taken encodes again without loss. The first byte picks the
 * codec, the next the number of elements; the rest is the array. */
#include "codec/codec.h"
#include "fuzz.h"

#include <string.h>

#define ELEMENTS_MAX 256

static const struct codec_spec specs[] = {
    {.type = CODEC_FLOAT32},           {.type = CODEC_FLOAT16},           {.type = CODEC_BFLOAT16},
    {.type = CODEC_INT8, .block = 16}, {.type = CODEC_INT8, .block = 64}, {.type = CODEC_TOP_K, .share = 0.1},
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    unsigned char encoded[4 * ELEMENTS_MAX + 4];
    float values[ELEMENTS_MAX], again[ELEMENTS_MAX];
    const struct codec_spec *spec;
    struct error error;
    size_t count, written;

    if (length < 2)
        return 0;
    spec = &specs[bytes[0] % (sizeof(specs) / sizeof(specs[0]))];
    count = bytes[1];
    if (codec_decode(spec, bytes + 2, length - 2, values, count, &error) != CAIRN_OK) {
        REQUIRE(error.status == CAIRN_PROTOCOL);
        return 0;
    }
    written = codec_encode(spec, values, count, encoded);
    REQUIRE(written <= codec_size_max(spec, count));
    REQUIRE(codec_decode(spec, encoded, written, again, count, &error) == CAIRN_OK);
    REQUIRE(memcmp(values, again, count * sizeof(float)) == 0);
    REQUIRE(spec->type != CODEC_TOP_K || (written == length - 2 && memcmp(encoded, bytes + 2, written) == 0));
    return 0;
}
