/* Making epochs. Knows nothing of when one is due. */
#include "epoch_list.h"

#include "chains.h"
#include "cluster/placement.h"
#include "life.h"
#include "math/tree.h"
#include "throughput.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BALANCE_MS   10000 /* between two changes of spans for the sake of speed */
#define BALANCE_GAIN 0.15  /* of a step's time, for which spans change */

/* The workers of an epoch and where their spans end. 48 KiB: within what a stack has. */
struct crew_list {
    struct participant *workers[TREE_LEAVES_MAX];
    uint32_t ends[TREE_LEAVES_MAX];
    uint32_t count;
};

static void list_workers(struct job_entry *entry, struct crew_list *list)
{
    list->count = 0;
    for (size_t i = 0; i < entry->workers.count && list->count < entry->job->microbatches; i++) {
        struct participant *worker = &entry->workers.items[i];

        if (worker->prepared && !worker->reached)
            list->workers[list->count++] = worker;
    }
}

/* ---- spans */

/* The mean of the speeds that are known; 0: none is. */
static double mean_speed(const struct crew_list *list)
{
    double sum = 0;
    uint32_t known = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        sum += list->workers[i]->speed;
        known += list->workers[i]->speed > 0;
    }
    return known > 0 ? sum / known : 0;
}

static void cut_spans(const struct job_entry *entry, struct crew_list *list)
{
    uint32_t microbatches = entry->job->microbatches, begin;
    double weights[TREE_LEAVES_MAX], mean = throughput_is(entry) ? 0 : mean_speed(list);

    for (uint32_t i = 0; i < list->count; i++) {
        weights[i] = list->workers[i]->speed > 0 ? list->workers[i]->speed : mean;
        placement_span(microbatches, list->count, i, &begin, &list->ends[i]);
    }
    if (mean > 0)
        placement_spans(microbatches, weights, list->count, list->ends);
}

/* How long the slowest would take for a step with these spans, in seconds. */
static double step_time(const struct crew_list *list, const uint32_t *ends)
{
    double longest = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        double time = (ends[i] - (i > 0 ? ends[i - 1] : 0)) / list->workers[i]->speed;

        longest = time > longest ? time : longest;
    }
    return longest;
}

/* The spans that the newest epoch has; false: it is of other workers. */
static bool present_spans(const struct job_entry *entry, const struct crew_list *list, uint32_t *ends)
{
    const Cairn__EpochCommand *epoch = entry->record->epoch;

    if (epoch->n_workers != list->count)
        return false;
    for (uint32_t i = 0; i < list->count; i++) {
        if (epoch->worker_numbers[i] != list->workers[i]->number)
            return false;
        ends[i] = epoch->spans[i]->end;
    }
    return true;
}

bool epoch_is_unfair(const struct turn *turn, struct job_entry *entry)
{
    struct crew_list list;
    uint32_t ends[TREE_LEAVES_MAX];

    if (entry_status(entry)->state != JOB_STATE(RUNNING) || throughput_is(entry) ||
        turn->now.monotonic_ms - entry->spans_ms < BALANCE_MS)
        return false;
    list_workers(entry, &list);
    for (uint32_t i = 0; i < list.count; i++) {
        if (!(list.workers[i]->speed > 0))
            return false;
    }
    if (!present_spans(entry, &list, ends))
        return false;
    cut_spans(entry, &list);
    return step_time(&list, list.ends) <= (1 - BALANCE_GAIN) * step_time(&list, ends);
}

/* ---- the statement */

/* An epoch with room for so many workers; NULL: memory is out. */
static Cairn__EpochCommand *epoch_new(struct turn *turn, size_t count)
{
    Cairn__EpochCommand *epoch = malloc(sizeof(*epoch));

    if (!epoch) {
        turn->effects->failed = true;
        return NULL;
    }
    cairn__epoch_command__init(epoch);
    if (count == 0)
        return epoch;
    epoch->workers = calloc(count, sizeof(epoch->workers[0]));
    epoch->spans = calloc(count, sizeof(epoch->spans[0]));
    epoch->worker_numbers = calloc(count, sizeof(epoch->worker_numbers[0]));
    epoch->worker_steps = calloc(count, sizeof(epoch->worker_steps[0]));
    if (epoch->workers && epoch->spans && epoch->worker_numbers && epoch->worker_steps)
        return epoch;
    turn->effects->failed = true;
    message_free(epoch);
    return NULL;
}

static void name_worker(struct turn *turn, Cairn__EpochCommand *epoch, const struct participant *worker,
                        uint32_t begin, uint32_t end)
{
    size_t index = epoch->n_workers;
    Cairn__Span *span = malloc(sizeof(*span));

    if (!span) {
        turn->effects->failed = true;
        return;
    }
    cairn__span__init(span);
    span->begin = begin;
    span->end = end;
    epoch->spans[index] = span;
    epoch->worker_numbers[index] = worker->number;
    epoch->workers[index] = (char *)protobuf_c_empty_string;
    turn_set_text(turn, &epoch->workers[index], "%s", node_name(worker->node));
    epoch->n_workers = epoch->n_spans = epoch->n_worker_numbers = index + 1;
}

static void set_output(struct turn *turn, const struct job_entry *entry, Cairn__EpochCommand *epoch)
{
    char *output = job_path(entry->job, entry->job->output_path);

    if (output)
        turn_set_text(turn, &epoch->output, "%s", output);
    else
        turn->effects->failed = true;
    free(output);
}

/* Where everything is, if that has changed since workers were told to prepare. */
static void set_heads(struct turn *turn, struct job_entry *entry, Cairn__EpochCommand *epoch)
{
    const Cairn__JobRecord *record = entry->record;

    if (!record->map)
        return;
    epoch->slot_shards = chains_heads(turn, entry, true);
    if (!epoch->slot_shards)
        return;
    epoch->n_slot_shards = record->map->n_slot_shards / record->map->replicas;
    epoch->shards = calloc(record->n_shards, sizeof(epoch->shards[0]));
    for (size_t i = 0; epoch->shards && i < record->n_shards; i++) {
        epoch->shards[i] = turn_copy(turn, record->shards[i]);
        if (!epoch->shards[i])
            return;
        epoch->n_shards++;
    }
    if (!epoch->shards)
        turn->effects->failed = true;
    entry->heads_changed = false;
}

/* The next epoch of these workers becomes the record's. NULL: memory is out. */
static Cairn__EpochCommand *make(struct turn *turn, struct job_entry *entry, const struct crew_list *list)
{
    Cairn__JobRecord *record = entry->record;
    Cairn__JobStatus *status = record->status;
    Cairn__EpochCommand *epoch = epoch_new(turn, list->count);

    if (!epoch)
        return NULL;
    epoch->job = status->number;
    epoch->incarnation = status->incarnation;
    epoch->number = ++status->membership_epoch;
    epoch->first_step = entry_has_begun(entry) ? record->epoch->first_step : status->committed_step;
    epoch->final_step = entry->outcome.is_known ? entry->outcome.step : status->final_step;
    for (uint32_t i = 0; i < list->count; i++)
        name_worker(turn, epoch, list->workers[i], i > 0 ? list->ends[i - 1] : 0, list->ends[i]);
    if (throughput_is(entry)) {
        for (uint32_t i = 0; i < list->count && i < epoch->n_workers; i++)
            epoch->worker_steps[epoch->n_worker_steps++] = list->workers[i]->first_step;
    }
    if (status->output[0] == '\0' && status->output_error[0] == '\0')
        set_output(turn, entry, epoch);
    set_heads(turn, entry, epoch);
    message_free(record->epoch);
    record->epoch = epoch;
    status->workers = list->count;
    entry->is_thinner = false;
    entry->spans_ms = turn->now.monotonic_ms;
    entry->unsaved = true;
    entry->revision++;
    return epoch;
}

/* All hear the same, but that only the first one is told where to write the model. */
void epoch_tell(struct turn *turn, const struct job_entry *entry, const struct node *node)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__EpochCommand epoch = *entry->record->epoch;

    if (epoch.n_workers == 0 || strcmp(epoch.workers[0], node_name(node)) != 0)
        epoch.output = (char *)protobuf_c_empty_string;
    command.body_case = CAIRN__NODE_COMMAND__BODY_EPOCH;
    command.epoch = &epoch;
    node_command(turn, node, &command);
}

static void tell_servers(struct turn *turn, const struct job_entry *entry)
{
    for (size_t i = 0; throughput_is(entry) && i < entry->servers.count; i++)
        epoch_tell(turn, entry, entry->servers.items[i].node);
}

static void describe(struct line *line, const Cairn__EpochCommand *epoch)
{
    line_add(line, "running, membership epoch %" PRIu64 ", steps %" PRIu64 " to %" PRIu64 ", spans",
             epoch->number, epoch->first_step, epoch->final_step);
    for (size_t i = 0; i < epoch->n_workers; i++)
        line_add(line, " %s [%u, %u)", epoch->workers[i], epoch->spans[i]->begin, epoch->spans[i]->end);
}

/* Marks whom the list names, and no others. */
static void mark_named(const struct turn *turn, struct job_entry *entry, const struct crew_list *list)
{
    for (size_t i = 0; i < entry->workers.count; i++)
        entry->workers.items[i].named = false;
    for (uint32_t i = 0; i < list->count; i++) {
        struct participant *worker = list->workers[i];

        worker->named = true;
        if (worker->number > 0)
            continue;
        worker->number = ++entry->record->newest_worker;
        worker->first_step = throughput_first_step(entry);
        worker->joined_ms = turn->now.monotonic_ms;
    }
}

void epoch_begin(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobStatus *status = entry_status(entry);
    const Cairn__EpochCommand *epoch;
    struct crew_list list;
    struct line line = {.length = 0};

    entry_order_workers(entry);
    list_workers(entry, &list);
    cut_spans(entry, &list);
    mark_named(turn, entry, &list);
    epoch = make(turn, entry, &list);
    if (!epoch)
        return;
    if (status->state != JOB_STATE(STOPPING)) {
        turn_set_text(turn, &status->reason, "%s", "");
        entry_set_state(turn, entry, JOB_STATE(RUNNING));
    }
    describe(&line, epoch);
    entry_tell(turn, entry, "%s", line.text);
    tell_servers(turn, entry);
    for (uint32_t i = 0; i < list.count; i++)
        epoch_tell(turn, entry, list.workers[i]->node);
    if (status->state == JOB_STATE(STOPPING))
        life_tell_all_stop(turn, entry);
}

void epoch_close(struct turn *turn, struct job_entry *entry)
{
    const struct crew_list one = {
        .workers = {&entry->workers.items[0]}, .ends = {entry->job->microbatches}, .count = 1};
    Cairn__EpochCommand *epoch;

    mark_named(turn, entry, &one);
    epoch = make(turn, entry, &one);
    if (!epoch)
        return;
    epoch->closing = true;
    entry_tell(turn, entry, "all workers have ended, %s reads the model", node_name(one.workers[0]->node));
    tell_servers(turn, entry);
    epoch_tell(turn, entry, one.workers[0]->node);
}

void epoch_pause(struct turn *turn, struct job_entry *entry)
{
    const struct crew_list nobody = {.count = 0};

    mark_named(turn, entry, &nobody);
    if (!make(turn, entry, &nobody))
        return;
    tell_servers(turn, entry);
    for (size_t i = 0; i < entry->workers.count; i++) {
        if (entry->workers.items[i].number > 0)
            epoch_tell(turn, entry, entry->workers.items[i].node);
    }
}
