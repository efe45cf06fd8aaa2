/* Losses. Knows nothing of how they are noticed. */
#include "interrupt.h"

#include "chains.h"
#include "growth.h"
#include "life.h"
#include "throughput.h"
#include "trials.h"

#include <inttypes.h>

static void lose_worker(struct turn *turn, struct job_entry *entry, struct node *node, const char *why)
{
    const struct participant *worker = entry_participant(entry, node);
    bool has_done = worker->reached || entry_status(entry)->state == JOB_STATE(COMMITTING);

    entry_tell(turn, entry, "worker %s %s%s", node_name(node), why,
               has_done ? " after it had done its part" : "");
    entry_drop(entry, node);
}

void interrupt_server(struct turn *turn, struct job_entry *entry, const char *server, const char *why)
{
    struct line line = {.length = 0};

    line_add(&line, "server %s %s", server, why);
    if (chains_lose(turn, entry, server)) {
        entry_tell(turn, entry, "%s: the job goes on without it", line.text);
        growth_lost(turn, entry);
        return;
    }
    if (life_is_stopping(entry)) {
        life_end_stop(turn, entry, line.text);
        return;
    }
    life_go_back(turn, entry);
    entry_warn(turn, entry, "%s: going back to step %" PRIu64 " as incarnation %" PRIu64, line.text,
               entry_status(entry)->committed_step, entry_status(entry)->incarnation);
}

bool interrupt_costs_steps(struct job_entry *entry, const struct node *node)
{
    return !node_is_worker(node) && entry_participant(entry, node) &&
           entry_status(entry)->state != JOB_STATE(PREPARING) && !chains_can_lose(entry, node_name(node));
}

void interrupt_lost(struct turn *turn, struct job_entry *entry, struct node *node, const char *why)
{
    struct line name = {.length = 0};

    if (node_is_worker(node)) {
        lose_worker(turn, entry, node, why);
        return;
    }
    line_add(&name, "%s", node_name(node));
    entry_drop(entry, node); /* it hears nothing of this: it is gone */
    interrupt_server(turn, entry, name.text, why);
}

/* Whether a worker has nothing left to do that could fail the job. In the throughput modes the model is read
 * by one of those that have reached the end. */
static bool has_done_all(const struct job_entry *entry, const struct participant *worker)
{
    return entry_status(entry)->state == JOB_STATE(COMMITTING) || (worker->reached && !throughput_is(entry));
}

void interrupt_failed(struct turn *turn, struct job_entry *entry, struct node *worker, const char *reason)
{
    struct line name = {.length = 0}, why = {.length = 0};

    line_add(&name, "%s", node_name(worker));
    line_add(&why, "%s", reason);
    if (has_done_all(entry, entry_participant(entry, worker))) {
        entry_log(turn, entry, "warn", name.text, why.text);
        return;
    }
    life_release_worker(turn, entry, worker);
    trials_note(turn, entry, name.text, why.text);
    worker->failed_job = entry_status(entry)->number;
    worker->rest_until_ms = turn->now.monotonic_ms + trials_pause_ms(entry, name.text);
}
