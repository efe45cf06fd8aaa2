/* What a server tells the coordinator of its work on jobs, each as a line of its own log as well. What cannot
 * be sent is lost, with a line in the log: standing reports are told again when the coordinator welcomes the
 * node.
 *
 * Knows nothing of how shards came to it. The main thread. */
#ifndef CAIRN_SERVER_TELLING_H
#define CAIRN_SERVER_TELLING_H

#include "cluster/member.h"
#include "divergences.h"
#include "shard.h"

#include <stdint.h>

/* All shards hold the job, at the step that it was prepared for. */
void telling_prepared(struct member *member, uint64_t job, uint64_t incarnation);

/* The generation of a step is durable in all shards. */
void telling_committed(struct member *member, uint64_t job, uint64_t incarnation, uint64_t step);

/* Generations of steps after `after`, up to `step`, were gone over while the coordinator was away. */
void telling_passed(struct member *member, uint64_t job, uint64_t incarnation, uint64_t after, uint64_t step);

/* What failed here is no work of this node's any more: a coordinator that did not hear of it learns so from
 * what the node says it is engaged in. */
void telling_failed(struct member *member, uint64_t job, uint64_t incarnation, const char *reason);

/* Tells CommitRefused of a generation that some shards made and others could not. */
void telling_split(struct member *member, const struct shard_report *report);

/* A commit that was asked for cannot be made. */
void telling_refused(struct member *member, const struct shard_report *report);

/* All shards hold their tables; the newest version that one of them is at. */
void telling_held(struct member *member, const struct shard_report *report, uint64_t newest);

/* Tables were added in all shards. */
void telling_extended(struct member *member, const struct shard_report *report);

/* Sums came twice and differed. A few a second are told: who computes otherwise does so in every sum. */
void telling_divergence(struct member *member, const struct shard_report *report,
                        struct divergences *divergences);

/* All shards go by a map; one has all of a slot that was copied to it, in generations after `step`. */
void telling_mapped(struct member *member, const struct shard_report *report);
void telling_copied(struct member *member, const struct shard_report *report, uint64_t step);

/* Nothing of a job is left here. */
void telling_removed(struct member *member, uint64_t job);

#endif
