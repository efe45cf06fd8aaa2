/* XXH3 from xxHash's header, so that no library of it is needed where Cairn runs. */
#include "base/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t checksum_add(uint64_t sum, const void *bytes, size_t length)
{
    return XXH3_64bits_withSeed(bytes, length, sum);
}
