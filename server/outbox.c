/* Tickets and what is out by them.
 *
 * A ticket is held by its outbox's list, in order of sending, and by ZeroMQ; it is freed by whoever lets go
 * last. What other threads touch is atomic: the counts, and the mark of a ticket that is back. Tickets that
 * are back leave the list when the shard's thread next looks, from the front: ZeroMQ sends a client's
 * messages in order, so those behind one that is out are out as well, but for a moment. */
#include "outbox.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUCKETS     1024
#define SWEEP_FIRST 256 /* clients there are when empty outboxes are looked for */

/* What rings when a client has drained; lives as long as anything that may ring it. */
struct bell {
    atomic_uint references;
    int descriptor;
};

struct ticket {
    struct buffer buffer; /* what ZeroMQ holds */
    struct buffer *part;
    struct outbox *outbox;
    struct ticket *next;
    struct outbox_note note;
    atomic_uint holders; /* the list, ZeroMQ */
    atomic_bool is_back;
};

struct outbox {
    struct outbox *next; /* of the same bucket */
    struct bell *bell;
    struct ticket *first, *last;
    struct reply_subject lost; /* the first, when has_lost */
    size_t limit_bytes;
    atomic_uint holders; /* the outboxes, each ticket that ZeroMQ holds */
    atomic_size_t messages, bytes;
    atomic_bool has_lost;
    uint8_t length;
    uint8_t name[CLIENT_NAME_MAX];
};

struct outboxes {
    struct outbox *buckets[BUCKETS];
    struct bell *bell;
    size_t limit_bytes;
    uint32_t count, sweep_at;
};

/* ---- what outlives the outboxes */

static void bell_drop(struct bell *bell)
{
    if (atomic_fetch_sub(&bell->references, 1) != 1)
        return;
    close(bell->descriptor);
    free(bell);
}

static void bell_ring(struct bell *bell)
{
    const uint64_t one = 1;

    /* The counter cannot be full, and a bell that rings already is as good. */
    if (write(bell->descriptor, &one, sizeof(one)) < 0)
        return;
}

static void outbox_drop(struct outbox *outbox)
{
    if (atomic_fetch_sub(&outbox->holders, 1) != 1)
        return;
    bell_drop(outbox->bell);
    free(outbox);
}

static void ticket_drop(struct ticket *ticket)
{
    if (atomic_fetch_sub(&ticket->holders, 1) == 1)
        free(ticket);
}

/* ZeroMQ is done with the message; on any thread. */
static void ticket_release(struct buffer *buffer)
{
    struct ticket *ticket = buffer->owner;
    struct outbox *outbox = ticket->outbox;

    buffer_unref(ticket->part);
    atomic_fetch_sub(&outbox->bytes, ticket->note.bytes);
    atomic_store(&ticket->is_back, true);
    ticket_drop(ticket); /* not to be read from here on */
    if (atomic_fetch_sub(&outbox->messages, 1) == 1 && atomic_load(&outbox->has_lost))
        bell_ring(outbox->bell);
    outbox_drop(outbox);
}

/* ---- life */

enum status outboxes_new(size_t limit_bytes, struct outboxes **out, struct error *error)
{
    struct outboxes *outboxes = calloc(1, sizeof(*outboxes));
    struct bell *bell = calloc(1, sizeof(*bell));
    int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), code = errno;

    if (outboxes && bell && descriptor >= 0) {
        atomic_init(&bell->references, 1);
        bell->descriptor = descriptor;
        outboxes->bell = bell;
        outboxes->limit_bytes = limit_bytes;
        outboxes->sweep_at = SWEEP_FIRST;
        *out = outboxes;
        return CAIRN_OK;
    }
    free(outboxes);
    free(bell);
    if (descriptor < 0)
        return error_system(error, code, "cannot make a descriptor");
    close(descriptor);
    return error_set(error, CAIRN_NO_MEMORY, "out of memory for outboxes");
}

/* Forgets a client; tickets that are out find their own way. */
static void outbox_forget(struct outbox *outbox)
{
    while (outbox->first) {
        struct ticket *ticket = outbox->first;

        outbox->first = ticket->next;
        ticket_drop(ticket);
    }
    outbox_drop(outbox);
}

void outboxes_free(struct outboxes *outboxes)
{
    if (!outboxes)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (outboxes->buckets[i]) {
            struct outbox *outbox = outboxes->buckets[i];

            outboxes->buckets[i] = outbox->next;
            outbox_forget(outbox);
        }
    }
    bell_drop(outboxes->bell);
    free(outboxes);
}

int outboxes_descriptor(const struct outboxes *outboxes)
{
    return outboxes->bell->descriptor;
}

/* ---- finding */

/* FNV-1a, 32 bits (Fowler, Noll, Vo). */
static uint32_t bucket_of(const void *name, size_t length)
{
    const uint8_t *bytes = name;
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return (hash ^ (hash >> 16)) % BUCKETS;
}

static bool is_idle(const struct outbox *outbox)
{
    return atomic_load(&outbox->messages) == 0 && !atomic_load(&outbox->has_lost);
}

/* Forgets all clients whose queue is empty: those that are gone are among them. */
static void sweep(struct outboxes *outboxes)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct outbox **link = &outboxes->buckets[i];

        while (*link) {
            struct outbox *outbox = *link;

            if (!is_idle(outbox)) {
                link = &outbox->next;
                continue;
            }
            *link = outbox->next;
            outbox_forget(outbox);
            outboxes->count--;
        }
    }
    outboxes->sweep_at = 2 * outboxes->count > SWEEP_FIRST ? 2 * outboxes->count : SWEEP_FIRST;
}

static struct outbox *outbox_new(struct outboxes *outboxes, const void *name, size_t length)
{
    struct outbox *outbox = calloc(1, sizeof(*outbox));

    if (!outbox)
        return NULL;
    atomic_init(&outbox->holders, 1);
    outbox->limit_bytes = outboxes->limit_bytes;
    outbox->bell = outboxes->bell;
    atomic_fetch_add(&outbox->bell->references, 1);
    outbox->length = (uint8_t)length;
    memcpy(outbox->name, name, length);
    return outbox;
}

struct outbox *outbox_of(struct outboxes *outboxes, const void *name, size_t length)
{
    struct outbox **bucket = &outboxes->buckets[bucket_of(name, length)], *outbox;

    BUG_IF(length == 0 || length > CLIENT_NAME_MAX);
    for (outbox = *bucket; outbox; outbox = outbox->next) {
        if (outbox->length == length && memcmp(outbox->name, name, length) == 0)
            return outbox;
    }
    if (outboxes->count >= outboxes->sweep_at)
        sweep(outboxes);
    outbox = outbox_new(outboxes, name, length);
    if (!outbox)
        return NULL;
    outbox->next = *bucket;
    *bucket = outbox;
    outboxes->count++;
    return outbox;
}

/* ---- the queue */

bool outbox_oldest(struct outbox *outbox, struct outbox_note *note)
{
    while (outbox->first && atomic_load(&outbox->first->is_back)) {
        struct ticket *ticket = outbox->first;

        outbox->first = ticket->next;
        if (!outbox->first)
            outbox->last = NULL;
        ticket_drop(ticket);
    }
    if (!outbox->first)
        return false;
    *note = outbox->first->note;
    return true;
}

bool outbox_takes(struct outbox *outbox, size_t bytes, bool oldest_is_needed)
{
    if (atomic_load(&outbox->has_lost) || atomic_load(&outbox->messages) >= OUTBOX_MESSAGES_MAX)
        return false;
    return oldest_is_needed || atomic_load(&outbox->bytes) + bytes <= outbox->limit_bytes;
}

struct buffer *outbox_ticket(struct outbox *outbox, const struct outbox_note *note, struct buffer *part)
{
    struct ticket *ticket = malloc(sizeof(*ticket));

    if (!ticket)
        return NULL;
    buffer_wrap(&ticket->buffer, part->data, part->length_bytes, ticket_release, ticket);
    ticket->part = buffer_ref(part);
    ticket->outbox = outbox;
    ticket->next = NULL;
    ticket->note = *note;
    atomic_init(&ticket->holders, 2);
    atomic_init(&ticket->is_back, false);
    atomic_fetch_add(&outbox->holders, 1);
    atomic_fetch_add(&outbox->messages, 1);
    atomic_fetch_add(&outbox->bytes, note->bytes);
    if (outbox->last)
        outbox->last->next = ticket;
    else
        outbox->first = ticket;
    outbox->last = ticket;
    return &ticket->buffer;
}

bool outbox_lose(struct outbox *outbox, const struct reply_subject *subject)
{
    if (atomic_load(&outbox->has_lost))
        return false;
    outbox->lost = *subject;
    atomic_store(&outbox->has_lost, true);
    /* The last ticket may have come back before it could see that. */
    if (atomic_load(&outbox->messages) == 0)
        bell_ring(outbox->bell);
    return true;
}

const void *outboxes_drained(struct outboxes *outboxes, size_t *length, struct reply_subject *lost)
{
    uint64_t rung;

    /* Before looking: who drains later rings again. */
    if (read(outboxes->bell->descriptor, &rung, sizeof(rung)) < 0 && errno != EAGAIN)
        return NULL;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct outbox *outbox = outboxes->buckets[i]; outbox; outbox = outbox->next) {
            if (!atomic_load(&outbox->has_lost) || atomic_load(&outbox->messages) > 0)
                continue;
            atomic_store(&outbox->has_lost, false);
            *length = outbox->length;
            *lost = outbox->lost;
            return outbox->name;
        }
    }
    return NULL;
}

size_t outbox_messages(struct outbox *outbox)
{
    return atomic_load(&outbox->messages);
}

size_t outbox_bytes(struct outbox *outbox)
{
    return atomic_load(&outbox->bytes);
}
