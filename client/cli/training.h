/* One training with all its processes as children: starts them, hands the job over, watches it, stops it when
 * the user asks. What it says goes through progress.h; how the end is told is the caller's.
 *
 * One loop: everything that can happen (an answer, a child's end, Ctrl-C, the coordinator's endpoint) wakes
 * the same poll. Main thread. */
#ifndef CAIRN_CLI_TRAINING_H
#define CAIRN_CLI_TRAINING_H

#include "base/status.h"
#include "job.pb-c.h"
#include "job_file.h"
#include "progress.h"
#include "run_folder.h"
#include "supervisor.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

struct requester;

struct training_params {
    const struct job_file *file; /* its overrides: the servers and workers that are to be started */
    uint32_t servers, workers;
    uint32_t threads_per_worker; /* 0: as the job file says */
    bool over_tcp;               /* else ipc */
    bool resume;
    bool keep_logs;
};

struct training {
    struct training_params params;
    struct run_folder *folder; /* borrowed */
    struct progress *progress; /* borrowed */
    struct supervisor supervisor;
    sigset_t old_mask;
    int signals;    /* a signalfd */
    int interrupts; /* SIGINT, SIGTERM and SIGHUP that came */
    void *zmq_context;
    struct requester *requester;
    char coordinator[512];    /* endpoint */
    Cairn__ClientReply *last; /* the newest status, NULL before the job was handed over */
};

/* Blocks signals; call before any thread is started. training_fini is right also after a failure.
 * Owns: folder and progress are borrowed; params is copied, its file borrowed. */
enum status training_init(struct training *training, const struct training_params *params,
                          struct run_folder *folder, struct progress *progress,
                          struct error *error) MUST_CHECK;

/* Ends the children (in order, unless the user pressed Ctrl-C twice) and puts the signal mask back. */
void training_fini(struct training *training);

/* From the first process to the job's end: training->last is its last status then, completed, stopped or
 * failed. Errors: CAIRN_EXISTS when an unfinished run is in the folder and resume was not asked for;
 * CAIRN_NOT_FOUND when there is nothing to resume; CAIRN_CLOSED when a child ended by itself again and again;
 * CAIRN_AGAIN when the user interrupted (training->interrupts) before there was a job or a second time; what
 * the coordinator refused. The message is one line for the user. */
enum status training_run(struct training *training, struct error *error) MUST_CHECK;

/* Waits until item is ready, and meanwhile takes signals and tends the children (for training_children.h).
 * Errors: CAIRN_TIMEOUT after deadline_ms on clock_ms() (-1: never); CAIRN_AGAIN when the user interrupted;
 * CAIRN_STALE when the coordinator was started again: what was asked of it may be lost; CAIRN_CLOSED when a
 * child was given up. */
enum status training_wait(struct training *training, zmq_pollitem_t item, int64_t deadline_ms,
                          struct error *error) MUST_CHECK;

/* The newest status; NULL before the job was handed over. */
const Cairn__JobStatus *training_status(const struct training *training);

#endif
