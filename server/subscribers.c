/* Clients and waiting lists. Lists are short (one entry a worker) and are searched from the front. */
#include "subscribers.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024

struct subscribers {
    struct client *buckets[BUCKETS];
    struct client *free_clients;
    struct subscription *free_subscriptions;
    uint32_t client_count, subscription_count; /* in use */
};

struct subscribers *subscribers_new(void)
{
    return calloc(1, sizeof(struct subscribers));
}

void subscribers_free(struct subscribers *subscribers)
{
    if (!subscribers)
        return;
    BUG_IF(subscribers->client_count != 0 || subscribers->subscription_count != 0);
    while (subscribers->free_clients) {
        struct client *client = subscribers->free_clients;

        subscribers->free_clients = client->next;
        free(client);
    }
    while (subscribers->free_subscriptions) {
        struct subscription *subscription = subscribers->free_subscriptions;

        subscribers->free_subscriptions = subscription->next;
        free(subscription);
    }
    free(subscribers);
}

/* FNV-1a, 32 bits (Fowler, Noll, Vo). */
static struct client **bucket_of(struct subscribers *subscribers, const void *name, size_t length)
{
    const uint8_t *bytes = name;
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return &subscribers->buckets[(hash ^ (hash >> 16)) % BUCKETS];
}

static struct client *client_new(struct subscribers *subscribers)
{
    struct client *client = subscribers->free_clients;

    if (subscribers->client_count == SUBSCRIBERS_MAX)
        return NULL;
    if (client)
        subscribers->free_clients = client->next;
    else
        client = malloc(sizeof(*client));
    if (client)
        subscribers->client_count++;
    return client;
}

struct client *client_get(struct subscribers *subscribers, const void *name, size_t length)
{
    struct client **bucket = bucket_of(subscribers, name, length), *client;

    BUG_IF(length == 0 || length > CLIENT_NAME_MAX);
    for (client = *bucket; client; client = client->next) {
        if (client->length == length && memcmp(client->name, name, length) == 0)
            return client_ref(client);
    }
    client = client_new(subscribers);
    if (!client)
        return NULL;
    client->references = 1;
    client->waiting_bytes = 0;
    client->open_reply = 0;
    client->length = (uint8_t)length;
    memcpy(client->name, name, length);
    client->next = *bucket;
    *bucket = client;
    return client;
}

struct client *client_ref(struct client *client)
{
    client->references++;
    return client;
}

void client_release(struct subscribers *subscribers, struct client *client)
{
    struct client **link;

    if (--client->references > 0)
        return;
    link = bucket_of(subscribers, client->name, client->length);
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    client->next = subscribers->free_clients;
    subscribers->free_clients = client;
    subscribers->client_count--;
}

static bool is_same(const struct wait *a, const struct wait *b)
{
    return a->client == b->client && a->version == b->version && a->request == b->request &&
           a->answer == b->answer && (a->keys ? b->keys && a->request != 0 : !b->keys);
}

static size_t wait_bytes(const struct wait *wait)
{
    return WAIT_BYTES + (wait->keys ? wait->keys->length_bytes : 0);
}

enum status subscribe(struct subscribers *subscribers, struct waiting_list *list, const struct wait *wait)
{
    struct subscription *subscription;

    for (subscription = list->first; subscription; subscription = subscription->next) {
        if (is_same(&subscription->wait, wait))
            return CAIRN_OK;
    }
    if (subscribers->subscription_count == SUBSCRIPTIONS_MAX ||
        wait_bytes(wait) > WAITING_BYTES_MAX - wait->client->waiting_bytes)
        return CAIRN_FULL;
    subscription = subscribers->free_subscriptions;
    if (subscription)
        subscribers->free_subscriptions = subscription->next;
    else if (!(subscription = malloc(sizeof(*subscription))))
        return CAIRN_NO_MEMORY;
    *subscription = (struct subscription){NULL, *wait};
    client_ref(wait->client);
    wait->client->waiting_bytes += wait_bytes(wait);
    if (wait->keys)
        buffer_ref(wait->keys);
    if (list->last)
        list->last->next = subscription;
    else
        list->first = subscription;
    list->last = subscription;
    subscribers->subscription_count++;
    return CAIRN_OK;
}

bool subscriber_take(struct subscribers *subscribers, struct waiting_list *list, uint64_t limit,
                     struct wait *wait)
{
    struct subscription *before = NULL, *subscription = list->first;

    while (subscription && subscription->wait.version > limit) {
        before = subscription;
        subscription = subscription->next;
    }
    if (!subscription)
        return false;
    if (before)
        before->next = subscription->next;
    else
        list->first = subscription->next;
    if (list->last == subscription)
        list->last = before;
    *wait = subscription->wait;
    wait->client->waiting_bytes -= wait_bytes(wait);
    subscription->next = subscribers->free_subscriptions;
    subscribers->free_subscriptions = subscription;
    subscribers->subscription_count--;
    return true;
}

void wait_release(struct subscribers *subscribers, struct wait *wait)
{
    client_release(subscribers, wait->client);
    buffer_unref(wait->keys);
}
