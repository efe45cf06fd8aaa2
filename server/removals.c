/* The list of jobs to remove, and the thread that does it. */
#include "removals.h"

#include "base/log.h"
#include "job_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* ---- the thread */

static void remove_and_report(struct actor_self *self, const char *data_directory, uint64_t job)
{
    struct removal removal = {.job = job};
    struct error error;

    if (job_store_remove(data_directory, job, &error) != CAIRN_OK)
        snprintf(removal.problem, sizeof(removal.problem), "%s", error.message);
    if (actor_report(self, &removal, sizeof(removal), &error) != CAIRN_OK)
        log_error("report_lost", "thread=remover reason=\"%s\"", error.message);
}

/* An actor_run; argument: the data directory. */
static void remover_run(struct actor_self *self, void *argument)
{
    zmq_pollitem_t item = {actor_self_pipe(self), 0, ZMQ_POLLIN, 0};
    enum status status = CAIRN_AGAIN;
    uint64_t job;

    actor_ready(self, CAIRN_OK, NULL);
    while (status != CAIRN_CLOSED) {
        status = actor_take(self, &job, sizeof(job), NULL);
        if (status == CAIRN_OK)
            remove_and_report(self, argument, job);
        else if (status == CAIRN_AGAIN && zmq_poll(&item, 1, -1) < 0 && zmq_errno() != EINTR)
            status = CAIRN_CLOSED;
    }
}

/* ---- the list */

enum status removals_init(struct removals *removals, void *zmq_context, const char *data_directory,
                          struct error *error)
{
    memset(removals, 0, sizeof(*removals));
    return actor_start(zmq_context, "remover", remover_run, (void *)data_directory, &removals->thread, error);
}

void removals_fini(struct removals *removals)
{
    actor_stop(removals->thread);
    free(removals->jobs);
    memset(removals, 0, sizeof(*removals));
}

bool removals_include(const struct removals *removals, uint64_t job)
{
    for (size_t i = 0; i < removals->count; i++) {
        if (removals->jobs[i] == job)
            return true;
    }
    return false;
}

bool removals_is_first(const struct removals *removals, uint64_t job)
{
    return removals->count > 0 && removals->jobs[0] == job;
}

void removals_add(struct removals *removals, uint64_t job)
{
    uint64_t *jobs = NULL;

    if (!removals_include(removals, job))
        jobs = realloc(removals->jobs, (removals->count + 1) * sizeof(*jobs));
    if (!jobs)
        return;
    removals->jobs = jobs;
    removals->jobs[removals->count++] = job;
}

enum status removals_begin(struct removals *removals, struct error *error)
{
    return actor_tell(removals->thread, &removals->jobs[0], sizeof(removals->jobs[0]), error);
}

bool removals_hear(struct removals *removals, struct removal *removal)
{
    return actor_hear(removals->thread, removal, sizeof(*removal), NULL) == CAIRN_OK;
}

void removals_next(struct removals *removals)
{
    removals->count--;
    memmove(removals->jobs, removals->jobs + 1, removals->count * sizeof(removals->jobs[0]));
}
