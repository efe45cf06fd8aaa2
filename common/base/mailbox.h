/* A mailbox: how threads tell one other thread what they have done, without a lock and, while it is awake,
 * without a system call.
 *
 * A letter is a `struct mail` embedded in whatever it is about; a letter may be posted again only after it
 * was taken. Posting pushes it on a lock-free stack and writes the eventfd only when the stack was empty: a
 * sleeping owner costs one wake-up however many letters there are.
 *
 * Threads: any thread posts; one thread, the owner, takes. */
#ifndef CAIRN_BASE_MAILBOX_H
#define CAIRN_BASE_MAILBOX_H

#include "base/status.h"

#include <stdatomic.h>

struct mail {
    struct mail *next;
};

struct mailbox {
    _Atomic(struct mail *) newest;
    int event; /* eventfd; -1: none */
};

/* An empty mailbox. Errors: CAIRN_IO, when there are no descriptors left; it may be finished even then. */
enum status mailbox_init(struct mailbox *mailbox, struct error *error) MUST_CHECK;
void mailbox_fini(struct mailbox *mailbox);

/* A second mailbox of the same owner: what is posted to it makes the first one's descriptor ready, so that it
 * needs no polling of its own. It may outlive the first. Errors: as mailbox_init. */
enum status mailbox_init_beside(struct mailbox *mailbox, const struct mailbox *first,
                                struct error *error) MUST_CHECK;

/* Adds a letter and wakes the owner if it may be asleep. All that the poster wrote before is visible to the
 * taker. */
void mailbox_post(struct mailbox *mailbox, struct mail *mail);

/* All letters, oldest first, linked by next; NULL: none. Owner only, never blocks. */
struct mail *mailbox_take(struct mailbox *mailbox);

/* The descriptor to poll for input. */
int mailbox_descriptor(const struct mailbox *mailbox);

/* Makes the descriptor quiet again, after poll said that there is input and before mailbox_take, also of the
 * mailboxes beside it. */
void mailbox_acknowledge(struct mailbox *mailbox);

#endif
