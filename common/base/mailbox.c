/* A stack that many push and one empties whole: with no pop of single letters there is no ABA problem. A
 * letter that is pushed between acknowledge and take is taken and leaves the descriptor ready: one idle turn
 * of the owner's loop, never a lost letter. */
#include "base/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum status mailbox_init(struct mailbox *mailbox, struct error *error)
{
    atomic_init(&mailbox->newest, NULL);
    mailbox->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return mailbox->event < 0 ? error_system(error, errno, "eventfd") : CAIRN_OK;
}

enum status mailbox_init_beside(struct mailbox *mailbox, const struct mailbox *first, struct error *error)
{
    atomic_init(&mailbox->newest, NULL);
    mailbox->event = fcntl(first->event, F_DUPFD_CLOEXEC, 0);
    return mailbox->event < 0 ? error_system(error, errno, "eventfd") : CAIRN_OK;
}

void mailbox_fini(struct mailbox *mailbox)
{
    if (mailbox->event >= 0)
        close(mailbox->event);
    mailbox->event = -1;
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
    struct mail *head = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
    uint64_t one = 1;

    do
        mail->next = head;
    while (!atomic_compare_exchange_weak_explicit(&mailbox->newest, &head, mail, memory_order_release,
                                                  memory_order_relaxed));
    if (head == NULL && write(mailbox->event, &one, sizeof(one)) != (ssize_t)sizeof(one))
        BUG_IF(errno != EAGAIN); /* EAGAIN: the counter is full, so the owner will wake */
}

struct mail *mailbox_take(struct mailbox *mailbox)
{
    struct mail *newest, *oldest = NULL;

    if (atomic_load_explicit(&mailbox->newest, memory_order_relaxed) == NULL)
        return NULL;
    newest = atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acquire);
    while (newest) {
        struct mail *before = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = before;
    }
    return oldest;
}

int mailbox_descriptor(const struct mailbox *mailbox)
{
    return mailbox->event;
}

void mailbox_acknowledge(struct mailbox *mailbox)
{
    uint64_t count;

    while (read(mailbox->event, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}
