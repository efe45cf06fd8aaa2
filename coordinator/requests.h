/* Clients' requests: submit and resume, questions about jobs and nodes, stop, watch, logs, locate, commit,
 * tables to be added, workers to be more or fewer, nodes to be drained, jobs to be deleted. */
#ifndef CAIRN_COORDINATOR_REQUESTS_H
#define CAIRN_COORDINATOR_REQUESTS_H

#include "jobs.h"
#include "nodes.h"
#include "subscriptions.h"
#include "turn.h"

/* All that a request may look at or change. */
struct desk {
    struct jobs *jobs;
    struct nodes *nodes;
    struct subscriptions *subscriptions;
};

/* Answers a request: now, or, for the subscribing ones, in the next subscriptions_serve too. Whatever is
 * wrong with it becomes an ErrorReply. */
void request_answer(struct turn *turn, const struct desk *desk, const struct peer *client,
                    const Cairn__ClientRequest *request);

/* A new job from a checked text, or the one that goes on (submit.c).
 * Errors: CAIRN_INVALID with one line for the person who submitted. */
enum status submit_new(struct turn *turn, struct jobs *jobs, const Cairn__JobText *text,
                       struct job_entry **out, struct error *error) MUST_CHECK;
enum status submit_resume(struct turn *turn, struct jobs *jobs, const Cairn__JobText *text,
                          struct job_entry **out, struct error *error) MUST_CHECK;

/* The newest job of the text's name if it has not ended, or, with resume, goes on; else a new one. So
 * programs that start at once make one job. Errors: as above; also when the job that is there has other
 * tables. */
enum status submit_join(struct turn *turn, struct jobs *jobs, const Cairn__JobText *text, bool resume,
                        struct job_entry **out, struct error *error) MUST_CHECK;

#endif
