/* A shard: its pieces of the tables of any number of jobs, and the rules by which they are pushed to, pulled
 * from and made durable. The heart of the server, without sockets, threads or clocks: what comes in are
 * messages, commands and the writer's reports; what comes out are calls of shard_events.
 *
 * The rules (docs/protocol.md has them from the client's side):
 * - A message is checked as a whole before anything of it takes effect; a refusal changes nothing.
 * - Another incarnation than the live one: refused as stale.
 * - A push for the step of a chunk or sparse table is folded, once a tree node; for an older step it is
 * dropped and its subscription answered; for a later step it is malformed, since its sender cannot hold that
 * version.
 * - A pull names a version: the newest or the one before is answered, the next one waits, others are refused.
 * - A committed pull is answered from disk, also when the job is not live.
 * - In the throughput modes a push is applied at once, if its worker is in the newest epoch and has not been
 * here with that step before; what it is answered with, and to whom answers wait: shard_updates.c.
 *
 * One thread an object; the generation writer owns a generation between events.write and shard_written. */
#ifndef CAIRN_SERVER_SHARD_H
#define CAIRN_SERVER_SHARD_H

#include "assignment.h"
#include "generation.h"
#include "job_store.h"
#include "net/wire.h"
#include "replies.h"
#include "roster.h"

#include <stdbool.h>
#include <stdint.h>

enum shard_report_kind {
    SHARD_PREPARED,
    SHARD_COMMITTED,
    SHARD_REFUSED,
    SHARD_FAILED,
    SHARD_HELD,
    SHARD_EXTENDED,
    SHARD_DIVERGED,
    SHARD_MAPPED,
    SHARD_COPIED,
    SHARD_PASSED,
    SHARD_REMOVED
};

/* What a shard tells the server about a job. */
struct shard_report {
    enum shard_report_kind kind;
    uint32_t shard;
    bool holds_pieces; /* PREPARED, EXTENDED, MAPPED, COPIED: it has something to make durable: COMMITTED
                        * reports will come, of steps after `step` in the last two and in a job that was
                        * extended */
    uint64_t job, incarnation;
    uint64_t step; /* COMMITTED; REFUSED: of the commit that cannot be made; the job goes on; HELD: the newest
                    * version here; EXTENDED: at which tables were added; MAPPED: the newest version here;
                    * COPIED: the newest version that came; PASSED: of the newest generation that it has gone
                    * over while the coordinator was away */
    uint64_t after;    /* PASSED: the newest step before it that it has not gone over */
    uint32_t tables;   /* EXTENDED: how many there are now */
    struct shard_divergence {
        uint32_t table, chunk;
        struct tree_node node;
        uint64_t worker; /* that came second */
    } divergence;        /* DIVERGED: of sums of step `step` */
    uint64_t map;        /* MAPPED: the map's number; COPIED: of the one that the copy began with */
    uint32_t slot;       /* COPIED */
    uint32_t position;   /* COPIED: this shard's place among the job's shards */
    char message[512];   /* REFUSED, FAILED: one line; REMOVED: why its store is still there, else empty */
};

/* What a shard tells another one: its part of sums (exchange.h), or what goes up and down a chain (chain.h).
 */
struct shard_message {
    struct data_header header;
    const char *endpoint; /* of the other */
    struct buffer *const *payloads; /* of the header; NULL where there is no length */
};

struct shard_events {
    /* Send a reply; it is valid during the call. */
    void (*reply)(void *context, struct reply *reply);
    void (*report)(void *context, const struct shard_report *report);
    /* Write a generation; answer with shard_written. The shard keeps its ownership. */
    void (*write)(void *context, struct generation *generation);
    /* Tell another shard; the message is valid during the call. What is told comes in order, or not at all.
     */
    void (*tell)(void *context, const struct shard_message *message);
    /* No more of a job will be told. */
    void (*parted)(void *context, uint64_t job);
    void *context;
};

struct shard;

/* memory_bytes: what the sparse rows of all jobs may take here, 0: no bound; the others then live on disk.
 * Owns: the caller; owner's strings are borrowed for the shard's life. NULL: out of memory. */
struct shard *shard_new(const struct job_store_owner *owner, uint64_t memory_bytes,
                        const struct shard_events *events);
/* Nothing may be with the writer any more (its reports need not have been heard). NULL is allowed. */
void shard_free(struct shard *shard);

/* Opens or makes the shard's part of a job at version `step` (0: begins anew), in place of an older
 * incarnation; reports PREPARED or FAILED, perhaps only after a write of the older one has ended. Takes a
 * reference of its own to assignment. */
void shard_prepare(struct shard *shard, struct assignment *assignment, uint64_t incarnation, uint64_t step);

/* Holds all tables at their versions, while pushes for the next are taken; reports HELD. Unknown jobs and old
 * incarnations are ignored, here and below. */
void shard_hold(struct shard *shard, uint64_t job, uint64_t incarnation);

/* Adds the tables that a newer assignment has more to a job that is held, at version `step`; reports EXTENDED
 * or FAILED. Clients are not told before shard_go_on. Takes a reference of its own to assignment. */
void shard_extend(struct shard *shard, struct assignment *assignment, uint64_t incarnation, uint64_t step);

/* Lets a job that is held go on. */
void shard_go_on(struct shard *shard, uint64_t job, uint64_t incarnation);

/* Goes by a map of the job's slots, unless it is an older one than that which is in force: chunks leave the
 * shard, are expected from others, or have another place in their chains; reports MAPPED, and COPIED of each
 * slot that the map has copied here when it is. Takes a reference of its own to map. */
void shard_map(struct shard *shard, uint64_t job, uint64_t incarnation, struct slot_map *map);

/* Who takes part in a job of a throughput mode from now on; those who waited for others that have gone are
 * answered. An epoch that is not newer than those before is ignored, and so is any of a job of mode sync. */
void shard_begin_epoch(struct shard *shard, uint64_t job, uint64_t incarnation, const struct roster *roster);

/* Makes the version `step` durable (in throughput modes: what is there, as the generation `step`); reports
 * COMMITTED when it is. */
void shard_commit(struct shard *shard, uint64_t job, uint64_t incarnation, uint64_t step);

/* The job's generation is `step` on all shards. */
void shard_committed(struct shard *shard, uint64_t job, uint64_t incarnation, uint64_t step);

/* The generation of `step` will never be the job's, as some shard has none of it. */
void shard_forgo(struct shard *shard, uint64_t job, uint64_t incarnation, uint64_t step);

/* Whether the coordinator is away, so that nobody can tell what the job's generation is: no step of any job
 * then waits for that (commits.h). */
void shard_set_away(struct shard *shard, bool is_away);

/* Forgets the job's live state. */
void shard_release(struct shard *shard, uint64_t job, uint64_t incarnation);

/* Ends a job that was deleted: forgets its live state, if there is any, and takes its store out of reach, so
 * that it can be removed; reports REMOVED, perhaps only after a write has ended. */
void shard_remove(struct shard *shard, uint64_t job);

/* The writer's report about a generation. error: with status other than CAIRN_OK. */
void shard_written(struct shard *shard, struct generation *generation, enum status status,
                   const struct error *error);

/* Handles one message of a client or of another shard. header: unpacked and bounded by wire_data_unpack;
 * payloads: a buffer for each that has a length, which is the header's, aligned for its type and exclusively
 * the caller's; taken; NULL for the others. */
void shard_handle(struct shard *shard, const void *client, size_t client_bytes,
                  const struct data_header *header, struct buffer *const payloads[]);

/* Whether the shard itself holds a version of a chunk: it is the newest or the one before. */
bool shard_keeps(struct shard *shard, const struct reply_subject *subject, uint32_t chunk);

/* Tells a client that answers to it were dropped since it did not read; the first was about `lost`. */
void shard_tell_loss(struct shard *shard, const void *client, size_t client_bytes,
                     const struct reply_subject *lost);

/* Does a piece of what the shard has to do besides handling messages, a fraction of a millisecond; to be
 * called between messages until it returns false: there was nothing to do. */
bool shard_work(struct shard *shard);

/* Whether the shard waits for what others tell, which may have been lost on its way; shard_nudge, called from
 * time to time while it does, says again what makes them tell it. */
bool shard_waits(const struct shard *shard);
void shard_nudge(struct shard *shard);

/* Refuses a message that could not even be read. */
void shard_refuse(struct shard *shard, const void *client, size_t client_bytes, const char *message);

#endif
