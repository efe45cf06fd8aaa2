/* Collected answers: an array that keeps its memory. */
#include "replies.h"

#include <stdio.h>
#include <stdlib.h>

struct replies {
    struct subscribers *subscribers;
    struct reply *items;
    size_t count, capacity, taken; /* items [taken, count) wait; item taken - 1 is the caller's */
};

struct replies *replies_new(struct subscribers *subscribers)
{
    struct replies *replies = calloc(1, sizeof(*replies));

    if (replies)
        replies->subscribers = subscribers;
    return replies;
}

static void reply_close(struct replies *replies, struct reply *reply)
{
    for (uint32_t i = 0; i < reply->header.payload_count; i++)
        buffer_unref(reply->payloads[i]);
    reply->header.payload_count = 0;
    if (reply->client) {
        reply->client->open_reply = 0;
        client_release(replies->subscribers, reply->client);
    }
    reply->client = NULL;
}

void replies_free(struct replies *replies)
{
    if (!replies)
        return;
    while (replies_next(replies))
        ;
    free(replies->items);
    free(replies);
}

/* A new reply at the end. */
static struct reply *reply_append(struct replies *replies, const struct reply_subject *subject,
                                  struct client *client, enum data_kind kind)
{
    struct reply *reply;

    if (replies->count == replies->capacity) {
        size_t capacity = replies->capacity ? 2 * replies->capacity : 16;
        struct reply *items = realloc(replies->items, capacity * sizeof(*items));

        if (!items)
            return NULL;
        replies->items = items;
        replies->capacity = capacity;
    }
    reply = &replies->items[replies->count++];
    reply->client = client_ref(client);
    reply->header.kind = kind;
    reply->header.job = subject->job;
    reply->header.incarnation = subject->incarnation;
    reply->header.table = subject->table;
    reply->header.step = subject->version;
    reply->header.request = subject->request;
    reply->header.tables = 0;
    reply->header.payload_count = 0;
    reply->payload_bytes = 0;
    return reply;
}

/* The client's reply that takes chunks of this subject still, or NULL. */
static struct reply *reply_open(struct replies *replies, const struct reply_subject *subject,
                                const struct client *client, enum data_kind kind)
{
    struct reply *reply;

    if (client->open_reply == 0)
        return NULL;
    reply = &replies->items[client->open_reply - 1];
    if (reply->header.payload_count == WIRE_PAYLOADS_MAX || reply->payload_bytes >= WIRE_GATHER_BYTES ||
        reply->header.kind != kind || reply->header.job != subject->job ||
        reply->header.incarnation != subject->incarnation || reply->header.table != subject->table ||
        reply->header.step != subject->version || reply->header.request != subject->request)
        return NULL;
    return reply;
}

enum status replies_values(struct replies *replies, const struct reply_subject *subject,
                           struct client *client, uint32_t chunk, enum data_type type, struct buffer *values)
{
    enum data_kind kind = values ? DATA_VALUES : DATA_APPLIED;
    struct reply *reply = reply_open(replies, subject, client, kind);
    uint32_t index;

    if (!reply) {
        reply = reply_append(replies, subject, client, kind);
        if (!reply)
            return CAIRN_NO_MEMORY;
        client->open_reply = (uint32_t)replies->count;
    }
    index = reply->header.payload_count++;
    reply->header.payloads[index] = (struct data_payload){chunk, type, values ? values->length_bytes : 0};
    reply->payloads[index] = values ? buffer_ref(values) : NULL;
    reply->payload_bytes += reply->header.payloads[index].length_bytes;
    return CAIRN_OK;
}

enum status replies_answer(struct replies *replies, const struct reply_subject *subject,
                           struct client *client, enum data_kind kind, uint32_t count,
                           const enum data_type types[], struct buffer *const payloads[])
{
    struct reply *reply = reply_append(replies, subject, client, kind);

    if (!reply)
        return CAIRN_NO_MEMORY;
    BUG_IF(count > WIRE_PAYLOADS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = payloads[i] ? payloads[i]->length_bytes : 0;

        reply->header.payloads[i] = (struct data_payload){i, types[i], bytes};
        reply->payloads[i] = payloads[i] ? buffer_ref(payloads[i]) : NULL;
        reply->payload_bytes += bytes;
    }
    reply->header.payload_count = count;
    return CAIRN_OK;
}

enum status replies_refuse(struct replies *replies, const struct reply_subject *subject,
                           struct client *client, enum data_refused reason, const char *message)
{
    struct reply *reply = reply_append(replies, subject, client, DATA_REFUSED);

    if (!reply)
        return CAIRN_NO_MEMORY;
    reply->header.refused = reason;
    snprintf(reply->header.message, sizeof(reply->header.message), "%s", message);
    return CAIRN_OK;
}

struct reply *replies_next(struct replies *replies)
{
    if (replies->taken > 0)
        reply_close(replies, &replies->items[replies->taken - 1]);
    if (replies->taken == replies->count) {
        replies->taken = replies->count = 0;
        return NULL;
    }
    /* Nobody adds to what is being taken: indices of open replies end here. */
    replies->items[replies->taken].client->open_reply = 0;
    return &replies->items[replies->taken++];
}
