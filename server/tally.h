/* What the server's shards have reported about each job, put together: a server is prepared (or held, or
 * extended, or goes by a map) when all its shards are, has a generation when all its shards that hold weights
 * have it, and refuses a commit when all of them do. What stands of that can be told again. Pure; the main
 * thread. */
#ifndef CAIRN_SERVER_TALLY_H
#define CAIRN_SERVER_TALLY_H

#include "shard.h"

#include <stdint.h>

enum tally_outcome {
    TALLY_WAITS,     /* nothing to tell yet, or no more */
    TALLY_PREPARED,  /* tell Prepared */
    TALLY_COMMITTED, /* tell Committed of the report's step */
    TALLY_REFUSED,   /* tell CommitRefused of the report's step with its message */
    TALLY_SPLIT,     /* some shards made the report's step, and others will not: these forgo it; tell
                        CommitRefused */
    TALLY_FAILED,    /* tell Failed with the report's message */
    TALLY_HELD,      /* tell Held with the step of tally_newest */
    TALLY_EXTENDED,  /* tell Extended with the report's tables */
    TALLY_DIVERGED,  /* tell Divergence as the report says */
    TALLY_MAPPED,    /* tell Mapped with the report's map */
    TALLY_COPIED,    /* tell Copied with the report's slot and position, and the step of tally_counts_from */
    TALLY_PASSED     /* tell PassedOver with the report's steps */
};

struct tallies;

/* For a server with so many shard threads. NULL: out of memory. Owns: the caller. */
struct tallies *tallies_new(uint32_t threads);
void tallies_free(struct tallies *tallies);

/* A job is being prepared on so many of the threads, at its committed step, instead of any older incarnation.
 * Errors: CAIRN_NO_MEMORY. */
enum status tally_begin(struct tallies *tallies, uint64_t job, uint64_t incarnation, uint64_t step,
                        uint32_t shards) MUST_CHECK;

/* The generation of `step` is the job's: all shards of all servers hold it. */
void tally_confirm(struct tallies *tallies, uint64_t job, uint64_t incarnation, uint64_t step);

/* Takes a report in. Reports of another incarnation or a forgotten job change nothing. */
enum tally_outcome tally_report(struct tallies *tallies, const struct shard_report *report);

/* Whether all shards have a generation that was not whole when the last of them made it, since others that had
 * none of it have given up their pieces; *step: tell Committed of that. To be asked after each MAPPED report. */
bool tally_is_whole(struct tallies *tallies, uint64_t job, uint64_t *step);

/* From which step on what was copied to a job's shard counts, which is in generations of later ones than
 * `step`: in none that was decided without it, be it told, forgone or the job's. */
uint64_t tally_counts_from(struct tallies *tallies, uint64_t job, uint64_t step);

/* A command to hold, or to extend, goes to all shards of a job, each of which answers it, also one that was
 * said before: all have done so when none owes an answer. */
void tally_hold(struct tallies *tallies, uint64_t job, uint64_t incarnation);
void tally_extend(struct tallies *tallies, uint64_t job, uint64_t incarnation);

/* The newest version that any shard of a job was at when it was held last. */
uint64_t tally_newest(struct tallies *tallies, uint64_t job);

/* Whether a shard's newest generation can never be the job's, *step: which, since another shard of this
 * server has gone over it, or has a later one, or since it was forgone before it was made; told once. It was
 * then never told as Committed, unless it was forgone since. */
bool tally_takes_back(struct tallies *tallies, uint64_t job, uint32_t shard, uint64_t *step);

/* The generation of `step` can never be the job's, since another server has none of it: nor can one of a shard
 * that makes it, or an older one, only now. */
void tally_forgo(struct tallies *tallies, uint64_t job, uint64_t incarnation, uint64_t step);

/* What stands of the reports of a job. */
struct tally_standing {
    uint64_t job, incarnation;
    bool is_prepared;
    uint64_t durable_step; /* the newest generation that all its shards hold; 0: none */
    uint64_t passed_after, passed_step; /* those after the first, up to the second, some shard has gone over;
                                         * 0: none */
};

/* Calls visit for each job that has not failed. */
void tally_visit(const struct tallies *tallies,
                 void (*visit)(void *context, const struct tally_standing *standing), void *context);

/* Forgets a job unless it is of a newer incarnation. */
void tally_end(struct tallies *tallies, uint64_t job, uint64_t incarnation);

#endif
