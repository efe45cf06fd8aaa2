/* Messages to the coordinator. */
#include "telling.h"

#include "base/clock.h"
#include "base/log.h"
#include "control.pb-c.h"

#include <inttypes.h>
#include <stdio.h>

static void tell(struct member *member, Cairn__NodeMessage *message)
{
    struct error error;

    if (member_send(member, message, &error) != CAIRN_OK)
        log_warn("message_lost", "to=coordinator reason=\"%s\"", error.message);
}

void telling_prepared(struct member *member, uint64_t job, uint64_t incarnation)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Prepared body = CAIRN__PREPARED__INIT;

    log_info("job_prepared", "job=%" PRIu64 " incarnation=%" PRIu64, job, incarnation);
    body.job = job;
    body.incarnation = incarnation;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_PREPARED;
    message.prepared = &body;
    tell(member, &message);
}

void telling_committed(struct member *member, uint64_t job, uint64_t incarnation, uint64_t step)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Committed body = CAIRN__COMMITTED__INIT;

    log_debug("generation_written", "job=%" PRIu64 " step=%" PRIu64, job, step);
    body.job = job;
    body.incarnation = incarnation;
    body.step = step;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_COMMITTED;
    message.committed = &body;
    tell(member, &message);
}

void telling_passed(struct member *member, uint64_t job, uint64_t incarnation, uint64_t after, uint64_t step)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__PassedOver body = CAIRN__PASSED_OVER__INIT;

    body.job = job;
    body.incarnation = incarnation;
    body.after = after;
    body.step = step;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_PASSED_OVER;
    message.passed_over = &body;
    tell(member, &message);
}

void telling_failed(struct member *member, uint64_t job, uint64_t incarnation, const char *reason)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Failed body = CAIRN__FAILED__INIT;

    log_error("job_failed", "job=%" PRIu64 " incarnation=%" PRIu64 " reason=\"%s\"", job, incarnation,
              reason);
    body.job = job;
    body.incarnation = incarnation;
    body.message = (char *)reason;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_FAILED;
    message.failed = &body;
    tell(member, &message);
    member_disengage(member, job, incarnation);
}

void telling_refused(struct member *member, const struct shard_report *report)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__CommitRefused body = CAIRN__COMMIT_REFUSED__INIT;

    log_warn("commit_refused", "job=%" PRIu64 " step=%" PRIu64 " reason=\"%s\"", report->job, report->step,
             report->message);
    body.job = report->job;
    body.incarnation = report->incarnation;
    body.step = report->step;
    body.message = (char *)report->message;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_COMMIT_REFUSED;
    message.commit_refused = &body;
    tell(member, &message);
}

void telling_held(struct member *member, const struct shard_report *report, uint64_t newest)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Held body = CAIRN__HELD__INIT;

    body.job = report->job;
    body.incarnation = report->incarnation;
    body.step = newest;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_HELD;
    message.held = &body;
    tell(member, &message);
}

void telling_extended(struct member *member, const struct shard_report *report)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Extended body = CAIRN__EXTENDED__INIT;

    log_info("job_extended", "job=%" PRIu64 " tables=%" PRIu32 " step=%" PRIu64, report->job, report->tables,
             report->step);
    body.job = report->job;
    body.incarnation = report->incarnation;
    body.tables = report->tables;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_EXTENDED;
    message.extended = &body;
    tell(member, &message);
}

void telling_divergence(struct member *member, const struct shard_report *report,
                        struct divergences *divergences)
{
    const struct shard_divergence *divergence = &report->divergence;
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Divergence body = CAIRN__DIVERGENCE__INIT;
    uint64_t untold;

    if (!divergences_count(divergences, clock_ms(), &untold))
        return;
    log_warn("sums_differ",
             "job=%" PRIu64 " step=%" PRIu64 " table=%" PRIu32 " chunk=%" PRIu32 " node=[%" PRIu32
             ", %" PRIu32 ") worker=%" PRIu64 " not_told_before=%" PRIu64,
             report->job, report->step, divergence->table, divergence->chunk, divergence->node.begin,
             divergence->node.end, divergence->worker, untold);
    body.job = report->job;
    body.incarnation = report->incarnation;
    body.step = report->step;
    body.table = divergence->table;
    body.chunk = divergence->chunk;
    body.node_begin = divergence->node.begin;
    body.node_end = divergence->node.end;
    body.worker = divergence->worker;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_DIVERGENCE;
    message.divergence = &body;
    tell(member, &message);
}

void telling_mapped(struct member *member, const struct shard_report *report)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Mapped body = CAIRN__MAPPED__INIT;

    log_info("job_mapped", "job=%" PRIu64 " map=%" PRIu64, report->job, report->map);
    body.job = report->job;
    body.incarnation = report->incarnation;
    body.number = report->map;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_MAPPED;
    message.mapped = &body;
    tell(member, &message);
}

void telling_copied(struct member *member, const struct shard_report *report, uint64_t step)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Copied body = CAIRN__COPIED__INIT;

    body.job = report->job;
    body.incarnation = report->incarnation;
    body.slot = report->slot;
    body.shard = report->position;
    body.step = step;
    body.number = report->map;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_COPIED;
    message.copied = &body;
    tell(member, &message);
}

void telling_removed(struct member *member, uint64_t job)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Removed body = CAIRN__REMOVED__INIT;

    log_info("job_removed", "job=%" PRIu64, job);
    body.job = job;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_REMOVED;
    message.removed = &body;
    tell(member, &message);
}

void telling_split(struct member *member, const struct shard_report *report)
{
    struct shard_report refused = *report;

    snprintf(refused.message, sizeof(refused.message),
             "some of its shards made step %" PRIu64 " durable, which others stood before or behind",
             report->step);
    telling_refused(member, &refused);
}
