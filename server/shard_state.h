/* What the files of the shard share: its state. Nobody else includes this. */
#ifndef CAIRN_SERVER_SHARD_STATE_H
#define CAIRN_SERVER_SHARD_STATE_H

#include "commits.h"
#include "shard.h"
#include "sum_table.h"

/* A PrepareCommand that waits until the writer has let go of the job's older incarnation. */
struct successor {
    struct assignment *assignment; /* NULL: there is none */
    uint64_t incarnation, step;
};

/* The shard's part of one live job. */
struct shard_job {
    struct shard_job *next;
    struct assignment *assignment;
    uint64_t incarnation;
    struct store *store;
    struct dense_table *weights;         /* perhaps of no chunk */
    struct sum_table *sums[TABLE_COUNT]; /* NULL: not on this shard, or no sum table */
    struct commits commits;
    bool failed;  /* reported */
    bool retired; /* released or replaced: only its last write is waited for */
    struct successor successor;
};

struct shard {
    struct job_store_owner owner;
    struct shard_events events;
    struct subscribers *subscribers;
    struct replies *replies;
    struct shard_job *jobs;
    /* The store of a job that is not live, kept open for the next committed pull. NULL: none. */
    struct store *archive;
    uint64_t archive_job;
};

/* A live job, NULL when there is none of that number. */
struct shard_job *shard_find(struct shard *shard, uint64_t job);

/* Moves a chunk whose sum is whole to its next version, unless a generation holds it back, and answers those
 * who wait for it. */
void shard_advance(struct shard *shard, struct shard_job *job, struct dense_chunk *chunk);

/* Reports the job as failed, once. */
void shard_fail(struct shard *shard, struct shard_job *job, const struct error *error);

/* Gives what has become due to the writer and sends the collected replies: the end of every entry point. */
void shard_flush(struct shard *shard);

/* The store to answer committed pulls of a job from, live or not. Owns: the shard. */
enum status shard_store(struct shard *shard, uint64_t job, struct store **store,
                        struct error *error) MUST_CHECK;

/* What replies about a job's table are about. */
struct reply_subject shard_subject(const struct shard_job *job, uint32_t table, uint64_t version);

#endif
