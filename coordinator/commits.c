/* Generations of a job's servers. */
#include "commits.h"

#include "chains.h"
#include "interrupt.h"
#include "life.h"
#include "net/wire.h"
#include "throughput.h"

#include <inttypes.h>

/* Whether a server holds nothing that a generation of a step would have. */
static bool is_empty_at(const struct participant *server, uint64_t step)
{
    return server->committed_step == UINT64_MAX || server->empty_until >= step;
}

bool commits_are_given_up(const struct job_entry *entry, uint64_t step)
{
    return step_range_has(entry->given_up, step);
}

/* With what lies between these and others that were given up: that costs at most a commit. */
static void give_up(struct job_entry *entry, uint64_t after, uint64_t step)
{
    step_range_add(&entry->given_up, (struct step_range){after, step}, entry_status(entry)->committed_step);
}

/* The newest generation that any server holds, and that may be the job's if it is to; 0: there is none. */
static uint64_t newest_generation(const struct job_entry *entry, bool may_be_the_jobs)
{
    uint64_t step = 0;

    for (size_t i = 0; i < entry->servers.count; i++) {
        uint64_t held = entry->servers.items[i].committed_step;

        if (held != UINT64_MAX && held > step && !(may_be_the_jobs && commits_are_given_up(entry, held)))
            step = held;
    }
    return step;
}

static bool all_hold(const struct job_entry *entry, uint64_t step)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        const struct participant *server = &entry->servers.items[i];

        if (server->committed_step != step && !is_empty_at(server, step))
            return false;
    }
    return true;
}

/* A server need not keep its generation, told once. */
static void tell_abandon(struct turn *turn, const struct job_entry *entry, struct participant *server)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__AbandonCommand body = CAIRN__ABANDON_COMMAND__INIT;

    body.job = entry_status(entry)->number;
    body.incarnation = entry_status(entry)->incarnation;
    body.step = server->held_step;
    command.body_case = CAIRN__NODE_COMMAND__BODY_ABANDON;
    command.abandon = &body;
    server->abandoned_step = server->held_step;
    node_command(turn, server->node, &command);
}

/* Whether a server waits to hear what becomes of its generation, and has not been told. */
static bool is_waiting(const struct job_entry *entry, const struct participant *server)
{
    return server->held_step > entry_status(entry)->committed_step &&
           server->held_step != server->abandoned_step;
}

/* What a server made, and has nothing of any more, as its slots have gone to others: it would make no other
 * one while it waits for that to be the job's. */
static void abandon_empty(struct turn *turn, struct job_entry *entry)
{
    for (size_t i = 0; entry->record->map && i < entry->servers.count; i++) {
        struct participant *server = &entry->servers.items[i];

        if (is_waiting(entry, server) && is_empty_at(server, server->held_step))
            tell_abandon(turn, entry, server);
    }
}

/* Whoever waits to hear of a generation that is given up need not. */
static void abandon_given_up(struct turn *turn, struct job_entry *entry)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        struct participant *server = &entry->servers.items[i];

        if (is_waiting(entry, server) && commits_are_given_up(entry, server->held_step))
            tell_abandon(turn, entry, server);
    }
}

/* Another server has gone over the generation that one waits to hear of, and has a later one. */
static void give_up_older(struct job_entry *entry)
{
    uint64_t newest = newest_generation(entry, false);

    for (size_t i = 0; i < entry->servers.count; i++) {
        const struct participant *server = &entry->servers.items[i];

        if (is_waiting(entry, server) && !is_empty_at(server, newest) && server->held_step < newest)
            give_up(entry, server->held_step - 1, server->held_step);
    }
}

static void commit_generation(struct turn *turn, struct job_entry *entry, uint64_t step)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__CommittedCommand body = CAIRN__COMMITTED_COMMAND__INIT;

    entry_status(entry)->committed_step = step;
    chains_committed(turn, entry);
    if (entry_has_tables(entry)) /* all that is known of how far clients have come */
        life_set_step(entry, step);
    entry->revision++;
    entry->unsaved = true;
    body.job = entry_status(entry)->number;
    body.incarnation = entry_status(entry)->incarnation;
    body.step = step;
    command.body_case = CAIRN__NODE_COMMAND__BODY_COMMITTED;
    command.committed = &body;
    participants_command(turn, &entry->servers, &command);
    entry_tell(turn, entry, "committed step %" PRIu64, step);
}

/* Tables have no last step. */
static uint64_t last_step(const struct job_entry *entry)
{
    return entry_has_tables(entry) ? WIRE_STEP_MAX : entry_status(entry)->final_step;
}

/* Whether one server has a generation that another will never have, as they stood at different versions when
 * it was asked for: then nobody is to wait for it. */
static bool give_up_if_split(struct turn *turn, struct job_entry *entry, uint64_t step)
{
    const struct participant *has = NULL, *refused = NULL;

    for (size_t i = 0; i < entry->servers.count; i++) {
        const struct participant *server = &entry->servers.items[i];

        if (server->committed_step == step)
            has = server;
        else if (server->refused_step == step && server->committed_step < step)
            refused = server;
    }
    if (!has || !refused || commits_are_given_up(entry, step))
        return false;
    entry_tell(turn, entry, "step %" PRIu64 " is not committed: %s could, but %s stood at another", step,
               node_name(has->node), node_name(refused->node));
    give_up(entry, step - 1, step);
    return true;
}

/* When no server has a generation, and each has said so, a later one of the same step is another. */
static void forget_if_refused_by_all(struct job_entry *entry, uint64_t step)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        const struct participant *server = &entry->servers.items[i];

        if (server->committed_step != UINT64_MAX && step > server->empty_until &&
            server->refused_step != step)
            return;
    }
    for (size_t i = 0; i < entry->servers.count; i++)
        entry->servers.items[i].refused_step = 0;
}

void commits_refused(struct turn *turn, struct job_entry *entry, struct participant *server,
                     const Cairn__CommitRefused *refused)
{
    if (!entry_has_tables(entry)) {
        life_fail(turn, entry, "%s: %s", node_name(server->node), refused->message);
        return;
    }
    entry_log(turn, entry, "warn", node_name(server->node), refused->message);
    if (refused->step > server->refused_step)
        server->refused_step = refused->step;
    if (give_up_if_split(turn, entry, refused->step))
        commits_update(turn, entry);
    else
        forget_if_refused_by_all(entry, refused->step);
}

void commits_made(struct turn *turn, struct job_entry *entry, struct participant *server, uint64_t step)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (status->state == JOB_STATE(PREPARING) || step > last_step(entry))
        return;
    if (step > server->held_step)
        server->held_step = step;
    if (step <= server->committed_step)
        return;
    server->committed_step = step;
    (void)give_up_if_split(turn, entry, step);
    commits_update(turn, entry);
}

void commits_passed(struct turn *turn, struct job_entry *entry, uint64_t after, uint64_t step)
{
    give_up(entry, after, step);
    commits_update(turn, entry);
}

/* The job's last step cannot be made durable as it is. */
static bool is_end_given_up(const struct job_entry *entry)
{
    return entry_status(entry)->state == JOB_STATE(COMMITTING) &&
           commits_are_given_up(entry, entry_status(entry)->step);
}

static void lose_end(struct turn *turn, struct job_entry *entry)
{
    uint64_t step = entry_status(entry)->step;

    life_go_back(turn, entry);
    entry_warn(turn, entry, "a part of step %" PRIu64 " was lost before it was durable: going back", step);
}

/* Whether the newest generation is the job's from now on. What will never be is given up. */
static bool is_the_jobs(struct job_entry *entry, uint64_t newest)
{
    if (newest <= entry_status(entry)->committed_step)
        return false;
    if (!all_hold(entry, newest)) {
        give_up_older(entry);
        return false;
    }
    if (chains_hold(entry, newest))
        return true;
    /* Nobody that lives has all of it: who had a part of it has died since it was copied from him. */
    give_up(entry, newest - 1, newest);
    throughput_give_up(entry, newest);
    return false;
}

void commits_update(struct turn *turn, struct job_entry *entry)
{
    uint64_t newest = newest_generation(entry, true);
    bool is_whole;

    if (entry->awaited_count > 0)
        return;
    abandon_empty(turn, entry);
    is_whole = is_the_jobs(entry, newest);
    if (is_end_given_up(entry)) {
        lose_end(turn, entry);
        return;
    }
    abandon_given_up(turn, entry);
    if (!is_whole)
        return;
    commit_generation(turn, entry, newest);
    life_finish_if_durable(turn, entry);
}
