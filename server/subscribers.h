/* Who waits for what: clients by their routing identity, and lists of those that wait for a version.
 *
 * A client is known as long as somebody holds a reference to it (a place in a list, a reply on its way), so
 * that clients that come and go leave nothing behind. Everything is bounded and, once its memory is there,
 * nothing is allocated to wait or to be answered. Knows nothing of tables or sockets. One thread an object.
 */
#ifndef CAIRN_SERVER_SUBSCRIBERS_H
#define CAIRN_SERVER_SUBSCRIBERS_H

#include "base/buffer.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_NAME_MAX   255 /* bytes of a routing identity, ZeroMQ's bound */
#define SUBSCRIBERS_MAX   8192
#define SUBSCRIPTIONS_MAX (1u << 22)
/* What all that one client waits for may take: its keys, and for each wait WAIT_BYTES more. */
#define WAITING_BYTES_MAX ((size_t)32 << 20)
#define WAIT_BYTES        64

struct client {
    struct client *next; /* of the same hash, or of the free list */
    uint32_t references;
    size_t waiting_bytes; /* of what it waits for */
    uint32_t open_reply;  /* replies.c's: 1 + index of the reply that still takes chunks, 0: none */
    uint8_t length;
    uint8_t name[CLIENT_NAME_MAX];
};

/* What somebody wants to hear of a version. */
enum answer {
    ANSWER_EXISTENCE,
    ANSWER_VALUES, /* as the table's codec has them travel */
    ANSWER_EXACT   /* dense tables: as they are, float32 */
};

/* What somebody waits for. */
struct wait {
    struct client *client;
    uint64_t version;
    uint64_t request; /* the client's number for it */
    enum answer answer;
    struct buffer *keys; /* sparse tables: whose rows; NULL otherwise */
    uint64_t worker;     /* throughput modes: the client's number by the epoch; 0 otherwise */
};

struct subscription {
    struct subscription *next;
    struct wait wait;
};

/* Those who wait at one place, in order of arrival. All zero: nobody. */
struct waiting_list {
    struct subscription *first, *last;
};

struct subscribers;

/* NULL: out of memory. Owns: the caller. All lists must be empty and all clients released before the free. */
struct subscribers *subscribers_new(void);
void subscribers_free(struct subscribers *subscribers);

/* The client of a name of 1 to CLIENT_NAME_MAX bytes, with one more reference; NULL: out of memory, or
 * SUBSCRIBERS_MAX are known. Owns: the caller, until client_release. */
struct client *client_get(struct subscribers *subscribers, const void *name, size_t length);
struct client *client_ref(struct client *client);
void client_release(struct subscribers *subscribers, struct client *client);

/* Appends a wait, unless one for the same client, version, request and answer is there already (those for
 * rows are never the same when they have no number); the list takes references of its own to client and keys.
 * Errors: CAIRN_NO_MEMORY, CAIRN_FULL (SUBSCRIPTIONS_MAX wait, or the client for WAITING_BYTES_MAX). */
enum status subscribe(struct subscribers *subscribers, struct waiting_list *list,
                      const struct wait *wait) MUST_CHECK;

/* Takes the first that waits for a version <= limit out of the list into *wait; false: nobody does.
 * Owns: the caller gets the list's references: wait_release. */
bool subscriber_take(struct subscribers *subscribers, struct waiting_list *list, uint64_t limit,
                     struct wait *wait);
void wait_release(struct subscribers *subscribers, struct wait *wait);

#endif
