/* Clients that watch a job or follow its log until it has ended, or wait until a step is durable, a table
 * there, or a job where it can be found.
 *
 * A watcher gets a JobStatus at once when the job's state changes, and at most ten a second for mere
 * progress; a follower gets log entries as they come; a committer gets the status that says that its step is
 * durable, or why it will not be; so do others who wait. All hear something every few seconds even when
 * nothing happens, so that a client can tell a quiet job from a dead coordinator, and we find out which
 * clients are gone. A client has one subscription: its next request ends the one before. */
#ifndef CAIRN_COORDINATOR_SUBSCRIPTIONS_H
#define CAIRN_COORDINATOR_SUBSCRIPTIONS_H

#include "jobs.h"
#include "turn.h"

#define SUBSCRIPTIONS_MAX      4096
#define SUBSCRIPTION_PACE_MS   100  /* between two statuses for mere progress */
#define SUBSCRIPTION_REPEAT_MS 2000 /* the longest silence */

enum subscription_kind {
    SUBSCRIPTION_STATUS,
    SUBSCRIPTION_LOGS,
    SUBSCRIPTION_COMMIT,  /* until `step` is committed or the job runs no more */
    SUBSCRIPTION_TABLE,   /* until all servers have `table` or the job runs no more */
    SUBSCRIPTION_LOCATION /* until the live job can be found, or runs no more */
};

struct subscription {
    struct peer client;
    uint64_t request; /* its number: replies carry it */
    uint64_t job;
    enum subscription_kind kind;
    uint64_t step;         /* COMMIT */
    uint32_t table;        /* TABLE: its number */
    bool sent;             /* something was sent */
    int64_t sent_ms;       /* when last */
    uint64_t revision;     /* of the status that was last sent */
    Cairn__JobState state; /* of the same */
    uint64_t entry;        /* the newest log entry that was sent */
};

struct subscriptions {
    struct subscription *items;
    size_t count, capacity;
};

void subscriptions_init(struct subscriptions *subscriptions);
void subscriptions_fini(struct subscriptions *subscriptions);

/* Adds a subscription that is served from the next subscriptions_serve on. Errors: CAIRN_FULL. */
enum status subscriptions_add(struct turn *turn, struct subscriptions *subscriptions,
                              const struct subscription *subscription, struct error *error) MUST_CHECK;

/* Ends what a client has subscribed to, if anything. */
void subscriptions_drop(struct subscriptions *subscriptions, const struct peer *client);

/* Whether somebody waits for a step of a job. */
bool subscriptions_await(const struct subscriptions *subscriptions, uint64_t job, uint64_t step);

/* A step will not become durable: tells those who wait for it, and ends that. */
void subscriptions_refuse(struct turn *turn, struct subscriptions *subscriptions, uint64_t job, uint64_t step,
                          const char *why);

/* Sends what is due; subscriptions to ended jobs are served once more and end. */
void subscriptions_serve(struct turn *turn, struct subscriptions *subscriptions, const struct jobs *jobs,
                         const struct nodes *nodes);

/* When subscriptions_serve has something to do even if nothing happens (monotonic); INT64_MAX: never. */
int64_t subscriptions_deadline_ms(const struct subscriptions *subscriptions, const struct jobs *jobs,
                                  const struct nodes *nodes);

/* Replies to a client with an error. */
void reply_error(struct turn *turn, const struct peer *client, uint64_t request, const struct error *error);

/* Replies to a client with a job's status. */
void reply_status(struct turn *turn, const struct peer *client, uint64_t request,
                  const struct job_entry *entry);

#endif
