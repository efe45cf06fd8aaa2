/* Control messages: packed, and unpacked again as the other side does. Test code only. */
#ifndef CAIRN_TESTS_CONTROL_MESSAGES_H
#define CAIRN_TESTS_CONTROL_MESSAGES_H

#include "net/wire.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

typedef enum status unpack_function(const unsigned char *bytes, size_t length, struct error *error);

static inline enum status client_request(const unsigned char *bytes, size_t length, struct error *error)
{
    Cairn__ClientRequest *request = NULL;
    enum status status = wire_client_request_unpack(bytes, length, &request, error);

    cairn__client_request__free_unpacked(request, NULL);
    return status;
}

static inline enum status client_reply(const unsigned char *bytes, size_t length, struct error *error)
{
    Cairn__ClientReply *reply = NULL;
    enum status status = wire_client_reply_unpack(bytes, length, &reply, error);

    cairn__client_reply__free_unpacked(reply, NULL);
    return status;
}

/* Packs message and unpacks it; what: NULL when it must pass, else a piece of the complaint. */
static inline void check_verdict(unpack_function *unpack, const void *message, const char *what)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    unsigned char *bytes = malloc(length + 1);
    struct error error = {.message = ""};
    enum status status;

    ck_assert_ptr_nonnull(bytes);
    protobuf_c_message_pack(message, bytes);
    status = unpack(bytes, length, &error);
    free(bytes);
    if (!what) {
        ck_assert_msg(status == CAIRN_OK, "%s", error.message);
        return;
    }
    ck_assert_int_eq(status, CAIRN_PROTOCOL);
    ck_assert_msg(strstr(error.message, what) != NULL, "\"%s\" does not say \"%s\"", error.message, what);
}

/* A PrepareCommand with two shards and four slots. */
struct preparation {
    Cairn__PrepareCommand body;
    Cairn__JobText text;
    Cairn__Shard shards[2];
    Cairn__Shard *pointers[2];
    uint32_t slots[4];
};

static inline void preparation_init(struct preparation *preparation)
{
    cairn__prepare_command__init(&preparation->body);
    cairn__job_text__init(&preparation->text);
    preparation->text.text = (char *)"name: x\n\tmodel: y\r\n";
    for (int i = 0; i < 2; i++) {
        cairn__shard__init(&preparation->shards[i]);
        preparation->shards[i].server = (char *)"server-1";
        preparation->shards[i].endpoint = (char *)"tcp://a:1";
        preparation->pointers[i] = &preparation->shards[i];
    }
    for (uint32_t i = 0; i < 4; i++)
        preparation->slots[i] = i % 2;
    preparation->body.job_id = (char *)"x-1";
    preparation->body.text = &preparation->text;
    preparation->body.n_shards = 2;
    preparation->body.shards = preparation->pointers;
    preparation->body.n_slot_shards = 4;
    preparation->body.slot_shards = preparation->slots;
}

#endif
