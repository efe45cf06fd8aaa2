/* Which servers hold a job's state, or will: those that its record names once something is committed, which
 * no others can replace; before that the first ones by name. One that is away is waited for: for the job's
 * server_timeout, or for some seconds where others have all that it has. */
#ifndef CAIRN_COORDINATOR_SERVER_CHOICE_H
#define CAIRN_COORDINATOR_SERVER_CHOICE_H

#include "jobs.h"
#include "nodes.h"

struct server_choice {
    struct node **servers; /* owned, in the order of shards */
    size_t count;
    struct line missing; /* which ones the job waits for; empty: all are there */
};

/* Chooses servers for a job that is not live. false: there are none for it, as the job has failed (they came
 * back in another shape, or have too many shards) or memory is out. Owns: server_choice_fini, in any case. */
bool server_choice_init(struct turn *turn, struct job_entry *entry, const struct nodes *nodes,
                        struct server_choice *choice);
void server_choice_fini(struct server_choice *choice);

/* When a job that waits for servers fails, or does without them (monotonic); INT64_MAX: never. */
int64_t server_wait_deadline_ms(const struct job_entry *entry);

/* Jobs that have waited for long enough for servers that hold their state do without them or, where they
 * cannot, fail. As retake_tick: after a pause of ours a registration may be behind any message. */
void server_wait_tick(struct turn *turn, struct jobs *jobs, const struct nodes *nodes);

/* A server is there, perhaps under other endpoints, which the record gets. */
void shards_found(struct turn *turn, Cairn__JobRecord *record, const struct node *server);

/* The shards [first, *next) of a record are those of one server: returns its name. first < n_shards. */
const char *recorded_server(const Cairn__JobRecord *record, size_t first, size_t *next);

/* Whether a job that has not ended, or can be resumed, has its state on a server. */
bool server_is_needed(const struct job_entry *entry, const struct node *server);

#endif
