/* The data plane's header: any bytes, and what was taken packs to the same bytes ever after. */
#include "net/wire.h"
#include "fuzz.h"

#include <stddef.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    unsigned char packed[WIRE_HEADER_MAX], again[WIRE_HEADER_MAX];
    struct data_header header;
    struct error error;
    size_t packed_length;

    if (wire_data_unpack(bytes, length, &header, &error) != CAIRN_OK)
        return 0;
    packed_length = wire_data_pack(&header, packed);
    if (packed_length > WIRE_HEADER_MAX ||
        wire_data_unpack(packed, packed_length, &header, &error) != CAIRN_OK ||
        wire_data_pack(&header, again) != packed_length || memcmp(packed, again, packed_length) != 0)
        abort();
    return 0;
}
