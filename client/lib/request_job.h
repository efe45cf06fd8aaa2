/* The requests about one job that programs make: submit, wait until it runs, find it, scale it, add tables,
 * commit, stop. Each waits for its answer. Replies are the caller's:
 * cairn__client_reply__free_unpacked(reply, NULL). One thread a requester. Errors of all: those of
 * requester_expect; what the coordinator refuses is CAIRN_INVALID with its line. */
#ifndef CAIRN_LIB_REQUEST_JOB_H
#define CAIRN_LIB_REQUEST_JOB_H

#include "request.h"

/* Hands a job in; (*reply)->job is its status. resume: goes on with the newest job of this name. */
enum status request_submit(struct requester *requester, const Cairn__JobText *text, bool resume,
                           Cairn__ClientReply **reply, struct error *error) MUST_CHECK;

/* Hands a job with tables in, unless the newest job of its name has not ended: then that one is meant. resume:
 * one that has ended goes on. So programs that start at once make one job. */
enum status request_join(struct requester *requester, const Cairn__JobText *text, bool resume,
                         Cairn__ClientReply **reply, struct error *error) MUST_CHECK;

/* A job's status; a job is named by its id, its number, or a name that only one under way has, or only one at
 * all. */
enum status request_status(struct requester *requester, const char *job, Cairn__ClientReply **reply,
                           struct error *error) MUST_CHECK;

/* The id of a job, for who asks more than once: a name may mean another job, or none, when this one has
 * ended.
 */
#define REQUEST_ID_BYTES 128
enum status request_id(struct requester *requester, const char *job, char id[REQUEST_ID_BYTES],
                       struct error *error) MUST_CHECK;

/* Asks a job to stop; (*reply)->job may be still on its way there. */
enum status request_stop(struct requester *requester, const char *job, Cairn__ClientReply **reply,
                         struct error *error) MUST_CHECK;

/* Asks that a job that has not ended have so many workers and servers, 0: as many as now; (*reply)->job is its
 * status, which may be on its way there. */
enum status request_scale(struct requester *requester, const char *job, uint32_t workers, uint32_t servers,
                          Cairn__ClientReply **reply, struct error *error) MUST_CHECK;

/* Waits until a job runs; (*reply)->job is its status. timeout_ms: of the whole wait; -1: for ever.
 * Errors: CAIRN_CLOSED when it has ended instead; CAIRN_TIMEOUT with what it waits for. */
enum status request_running(struct requester *requester, const char *job, int timeout_ms,
                            Cairn__ClientReply **reply, struct error *error) MUST_CHECK;

/* Who is shown a job's statuses while it is waited for; borrows them. */
struct request_viewer {
    void (*show)(void *context, const Cairn__JobStatus *status);
    void *context;
};

/* Waits until a job has ended; (*reply)->job is its last status. The viewer (NULL: nobody) is shown all. */
enum status request_ended(struct requester *requester, const char *job, const struct request_viewer *viewer,
                          Cairn__ClientReply **reply, struct error *error) MUST_CHECK;

/* Where the committed model of a job is; (*reply)->location. */
enum status request_locate(struct requester *requester, const char *job, Cairn__ClientReply **reply,
                           struct error *error) MUST_CHECK;

/* Waits until a live job can be pushed to and pulled from; (*reply)->location says where. Errors: as above;
 * CAIRN_INVALID: it runs no more. */
enum status request_locate_live(struct requester *requester, const char *job, int timeout_ms,
                                Cairn__ClientReply **reply, struct error *error) MUST_CHECK;

/* The same in two parts, for who does not wait: the second looks whether it can. CAIRN_TIMEOUT: not yet. */
enum status request_locate_live_begin(struct requester *requester, const char *job,
                                      struct error *error) MUST_CHECK;
enum status request_locate_live_end(struct requester *requester, Cairn__ClientReply **reply,
                                    struct error *error) MUST_CHECK;

/* Adds a table to a running job with tables and waits until all its servers have it. text: what the job
 * file's list of tables would have. *number: the table's, also when one like it was there already. Errors: as
 * above; after CAIRN_TIMEOUT it may be added nevertheless, and may be asked for again. */
enum status request_table(struct requester *requester, const char *job, const char *text, int timeout_ms,
                          uint32_t *number, struct error *error) MUST_CHECK;

/* Makes version `step` of all tables of a running job durable, and waits until it is. All tables must be at
 * that version, and nobody may push for `step` before the answer. *committed_step: what is durable now, at
 * least `step`. Errors: as above; after CAIRN_TIMEOUT it may become durable nevertheless. */
enum status request_commit(struct requester *requester, const char *job, uint64_t step, int timeout_ms,
                           uint64_t *committed_step, struct error *error) MUST_CHECK;

#endif
