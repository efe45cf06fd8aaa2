/* Control messages: the first byte chooses one of the four, the rest are its bytes. What was taken must be
 * taken again after it is packed. */
#include "net/wire.h"
#include "fuzz.h"

#include <stddef.h>

static enum status unpack(unsigned which, const uint8_t *bytes, size_t length, ProtobufCMessage **out)
{
    struct error error;

    switch (which) {
    case 0:
        return wire_node_message_unpack(bytes, length, (Cairn__NodeMessage **)out, &error);
    case 1:
        return wire_node_command_unpack(bytes, length, (Cairn__NodeCommand **)out, &error);
    case 2:
        return wire_client_request_unpack(bytes, length, (Cairn__ClientRequest **)out, &error);
    default:
        return wire_client_reply_unpack(bytes, length, (Cairn__ClientReply **)out, &error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    ProtobufCMessage *message = NULL, *again = NULL;
    unsigned which = length > 0 ? bytes[0] % 4 : 0;
    size_t packed_length;
    uint8_t *packed;

    if (length == 0 || unpack(which, bytes + 1, length - 1, &message) != CAIRN_OK)
        return 0;
    packed_length = protobuf_c_message_get_packed_size(message);
    packed = malloc(packed_length + 1);
    if (!packed)
        abort();
    protobuf_c_message_pack(message, packed);
    if (unpack(which, packed, packed_length, &again) != CAIRN_OK)
        abort();
    free(packed);
    protobuf_c_message_free_unpacked(message, NULL);
    protobuf_c_message_free_unpacked(again, NULL);
    return 0;
}
