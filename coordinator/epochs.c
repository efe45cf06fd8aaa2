/* The rules of epochs. How one is made and sent: epoch_list.h. */
#include "epochs.h"

#include "begin.h"
#include "chains.h"
#include "epoch_list.h"
#include "life.h"
#include "throughput.h"
#include "trials.h"

#include <inttypes.h>
#include <string.h>

/* How long the first epoch waits for workers that it could do without. */
#define PATIENCE_MS 10000
/* So many nodes of a kind are awaited by name, and more by their number. */
#define NAMES_MAX 3

static bool is_unready(const struct participant *participant)
{
    return !participant->prepared && !participant->is_newcomer;
}

static size_t count_unready(const struct participants *participants)
{
    size_t count = 0;

    for (size_t i = 0; i < participants->count; i++)
        count += is_unready(&participants->items[i]);
    return count;
}

static size_t count_prepared(const struct participants *participants)
{
    size_t count = 0;

    for (size_t i = 0; i < participants->count; i++)
        count += participants->items[i].prepared;
    return count;
}

void epochs_prepared(struct turn *turn, struct job_entry *entry, struct participant *participant,
                     const Cairn__Prepared *prepared)
{
    if (participant->prepared) { /* taken back as such; the map may have come before it could go by it */
        if (!node_is_worker(participant->node) && entry->record->map &&
            participant->mapped < entry->record->map->number)
            chains_tell(turn, entry, participant->node);
        return;
    }
    participant->training_samples = prepared->training_samples;
    participant->validation_samples = prepared->validation_samples;
    if (node_is_worker(participant->node) && entry_has_begun(entry) &&
        !begin_admits(turn, entry, participant))
        return;
    participant->prepared = true;
    if (participant->is_newcomer)
        chains_tell(turn, entry, participant->node);
    if (participant->is_newcomer && throughput_is(entry) && entry_has_begun(entry))
        epoch_tell(turn, entry, participant->node);
}

/* ---- the end */

/* A worker that has not reached the end and can go on to it. */
static bool is_on_its_way(const struct participant *worker)
{
    return worker->prepared && !worker->reached;
}

static size_t count_on_their_way(const struct job_entry *entry)
{
    size_t count = 0;

    for (size_t i = 0; i < entry->workers.count; i++)
        count += is_on_its_way(&entry->workers.items[i]);
    return count;
}

/* Whether nobody need write the model any more: it is told what became of it, or the training was stopped
 * before its end, and then none is written. */
static bool output_is_settled(const struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);

    return status->output[0] != '\0' || status->output_error[0] != '\0' ||
           (entry->outcome.is_known && entry->outcome.step < status->final_step);
}

static bool has_unprepared(const struct job_entry *entry)
{
    return count_prepared(&entry->workers) < entry->workers.count;
}

struct epochs_need epochs_need(const struct job_entry *entry)
{
    if (!entry->outcome.is_known)
        return (struct epochs_need){entry_minimum(entry), entry_target(entry)};
    if (output_is_settled(entry) || count_on_their_way(entry) > 0 ||
        (throughput_is(entry) && entry->workers.count > 0))
        return (struct epochs_need){0, 0};
    return (struct epochs_need){1, 1};
}

void epochs_recycle(struct turn *turn, struct job_entry *entry)
{
    if (!entry->outcome.is_known || entry->outcome.is_recycled || throughput_is(entry) ||
        entry->workers.count == 0 || entry->awaited_count > 0 ||
        entry_status(entry)->state == JOB_STATE(COMMITTING) || output_is_settled(entry) ||
        count_on_their_way(entry) > 0 || has_unprepared(entry))
        return;
    entry->outcome.is_recycled = true;
    while (entry->workers.count > 0)
        life_release_worker(turn, entry, entry->workers.items[entry->workers.count - 1].node);
}

/* Those that have not reached the end are named in the newest epoch, and all whom it names are there. */
static bool end_is_in_sight(const struct job_entry *entry)
{
    for (size_t i = 0; i < entry->workers.count; i++) {
        if (is_on_its_way(&entry->workers.items[i]) && !entry->workers.items[i].named)
            return false;
    }
    return !entry->is_thinner;
}

/* Nobody will write the model: nobody is left to, or those who were taken anew for it have not. */
static bool is_given_up(const struct job_entry *entry)
{
    if (entry->workers.count == 0)
        return entry_status(entry)->state == JOB_STATE(STOPPING);
    return entry->outcome.is_recycled && !has_unprepared(entry);
}

static void go_to_the_end(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobStatus *status = entry_status(entry);

    if (count_on_their_way(entry) > 0) {
        if (!end_is_in_sight(entry) || chains_want_epoch(entry))
            epoch_begin(turn, entry);
        return;
    }
    if (throughput_is(entry) && !has_unprepared(entry) && throughput_end(turn, entry))
        return;
    if (output_is_settled(entry)) {
        life_commit(turn, entry);
    } else if (is_given_up(entry)) {
        turn_set_text(turn, &status->output_error, "%s",
                      "no model file was written: the worker that was to do it did not, or was lost");
        life_commit(turn, entry);
    } else if (entry->workers.count == 0) {
        entry_wait(turn, entry, "1 more worker, to write the model");
    }
}

/* ---- too few, enough, other ones */

static void pause_with(struct turn *turn, struct job_entry *entry, const char *missing)
{
    if (entry_has_begun(entry) && entry->record->epoch->n_workers > 0)
        epoch_pause(turn, entry);
    if (entry_status(entry)->state != JOB_STATE(STOPPING))
        entry_wait(turn, entry, missing);
}

void epochs_explain_lack(const struct job_entry *entry, uint32_t there, struct line *line)
{
    uint32_t least = entry_minimum(entry);

    if (there >= least)
        return;
    line_add(line, "%s%" PRIu32 " more worker%s", line->length ? ", " : "", least - there,
             least - there > 1 ? "s" : "");
    if (there > 0)
        line_add(line, " (%" PRIu32 " of %" PRIu32 " %s there)", there, least, there > 1 ? "are" : "is");
    trials_explain(entry, line);
}

static void lack(struct turn *turn, struct job_entry *entry)
{
    struct line line = {.length = 0};

    if (entry_status(entry)->state == JOB_STATE(STOPPING)) {
        life_end_stop(turn, entry, "too few workers were left to end the step in hand");
        return;
    }
    epochs_explain_lack(entry, (uint32_t)entry->workers.count, &line);
    pause_with(turn, entry, line.text);
}

static void add_unready(struct line *line, const struct participants *participants, const char *kind)
{
    const char *between = line->length > 0 ? " and " : "";
    size_t count = count_unready(participants);

    if (count > NAMES_MAX) {
        line_add(line, "%s%zu %ss", between, count, kind);
        return;
    }
    for (size_t i = 0; i < participants->count; i++) {
        if (!is_unready(&participants->items[i]))
            continue;
        if (between[0] != ',')
            line_add(line, "%s%s%s ", between, kind, count > 1 ? "s" : "");
        else
            line_add(line, "%s", between);
        line_add(line, "%s", node_name(participants->items[i].node));
        between = ", ";
    }
}

/* Who has yet to load the job's state and data. */
static struct line list_unready(const struct job_entry *entry)
{
    struct line line = {.length = 0};

    add_unready(&line, &entry->servers, "server");
    add_unready(&line, &entry->workers, "worker");
    line_add(&line, " to load state and data");
    return line;
}

/* Enough workers are there, but they load data. */
static void expect(struct turn *turn, struct job_entry *entry)
{
    struct line line = list_unready(entry);

    if (entry_has_begun(entry))
        pause_with(turn, entry, line.text);
    else if (entry_status(entry)->state != JOB_STATE(PREPARING))
        entry_set_state(turn, entry, JOB_STATE(PREPARING));
}

static bool membership_changed(const struct job_entry *entry)
{
    for (size_t i = 0; i < entry->workers.count; i++) {
        if (entry->workers.items[i].prepared && !entry->workers.items[i].named)
            return true;
    }
    return entry->is_thinner;
}

/* Every worker of the newest epoch has met a loss that is not finite, and none of them where. */
static bool nobody_knows_where(const struct job_entry *entry)
{
    size_t named = 0;

    for (size_t i = 0; i < entry->workers.count; i++) {
        named += entry->workers.items[i].named;
        if (entry->workers.items[i].named && !entry->workers.items[i].not_finite)
            return false;
    }
    return named > 0;
}

/* Whether the first epoch is worth waiting for more workers: those that have long been preparing join later.
 */
static bool is_worth_waiting(const struct turn *turn, const struct job_entry *entry)
{
    for (size_t i = 0; i < entry->workers.count; i++) {
        if (!entry->workers.items[i].prepared &&
            turn->now.monotonic_ms - entry->workers.items[i].joined_ms < PATIENCE_MS)
            return true;
    }
    return false;
}

static void train(struct turn *turn, struct job_entry *entry)
{
    size_t prepared = count_prepared(&entry->workers);

    if (entry->workers.count < entry_minimum(entry))
        lack(turn, entry);
    else if (prepared < entry_minimum(entry) || (!entry_has_begun(entry) && is_worth_waiting(turn, entry)))
        expect(turn, entry);
    else if (!entry_has_begun(entry) && !begin_is_sound(turn, entry))
        epochs_update(turn, entry); /* it has failed, or has a worker less */
    else if (!entry_has_begun(entry) || membership_changed(entry) || chains_want_epoch(entry) ||
             epoch_is_unfair(turn, entry))
        epoch_begin(turn, entry);
    else if (nobody_knows_where(entry))
        life_fail(turn, entry, "loss is not finite at step %" PRIu64, entry->not_finite_step);
}

static void update(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobState state = entry_status(entry)->state;

    if (!entry_is_live(entry) || entry->awaited_count > 0 || turn->effects->failed ||
        state == JOB_STATE(COMMITTING) || count_unready(&entry->servers) > 0)
        return;
    if (entry_has_tables(entry)) {
        if (state == JOB_STATE(PREPARING))
            begin_tables(turn, entry);
    } else if (entry->outcome.is_known) {
        go_to_the_end(turn, entry);
    } else {
        train(turn, entry);
    }
}

/* Clients are told of those who are ready one by one; the log was told of all. */
static void explain_preparation(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobStatus *status = entry_status(entry);
    struct line unready = list_unready(entry), reason = {.length = 0};

    line_add(&reason, "waits for %s", unready.text);
    if (strcmp(status->reason, reason.text) == 0)
        return;
    turn_set_text(turn, &status->reason, "%s", reason.text);
    entry->revision++;
}

void epochs_update(struct turn *turn, struct job_entry *entry)
{
    update(turn, entry);
    if (entry_status(entry)->state == JOB_STATE(PREPARING))
        explain_preparation(turn, entry);
}

void epochs_repeat(struct turn *turn, const struct job_entry *entry, const struct participant *worker)
{
    if (!worker->named)
        return;
    epoch_tell(turn, entry, worker->node);
    if (entry_status(entry)->state == JOB_STATE(STOPPING))
        life_tell_stop(turn, entry, worker->node);
}
