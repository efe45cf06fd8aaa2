/* What must be true before the first step. Knows nothing of spans. */
#include "begin.h"

#include "life.h"
#include "net/wire.h"
#include "trials.h"

#include <inttypes.h>

static bool sees_the_data(const struct job_entry *entry, const struct participant *worker)
{
    return worker->training_samples == entry->record->training_samples &&
           worker->validation_samples == entry->record->validation_samples;
}

bool begin_admits(struct turn *turn, struct job_entry *entry, const struct participant *worker)
{
    const Cairn__JobRecord *record = entry->record;
    struct line reason = {.length = 0};
    struct node *node = worker->node;

    if (sees_the_data(entry, worker))
        return true;
    line_add(&reason,
             "it sees %" PRIu64 " training and %" PRIu64 " validation samples, and the job has %" PRIu64
             " and %" PRIu64,
             worker->training_samples, worker->validation_samples, record->training_samples,
             record->validation_samples);
    trials_exclude(turn, entry, node_name(node), reason.text);
    life_release_worker(turn, entry, node);
    return false;
}

/* Whether workers that see other data can be told from those that see the job's: its state is made of some,
 * and somebody sees it. One of the others is taken out. */
static bool exclude_one(struct turn *turn, struct job_entry *entry)
{
    const struct participants *workers = &entry->workers;
    size_t right = 0;

    for (size_t i = 0; i < workers->count; i++)
        right += workers->items[i].prepared && sees_the_data(entry, &workers->items[i]);
    if (entry_status(entry)->committed_step == 0 || right == 0)
        return false;
    for (size_t i = 0; i < workers->count; i++) {
        if (workers->items[i].prepared && !begin_admits(turn, entry, &workers->items[i]))
            return true;
    }
    return false;
}

static const struct participant *first_prepared(const struct job_entry *entry)
{
    size_t i = 0;

    while (!entry->workers.items[i].prepared)
        i++;
    return &entry->workers.items[i];
}

/* Whether all workers see the same; else the job fails. */
static bool agree(struct turn *turn, struct job_entry *entry, const struct participant *first)
{
    for (size_t i = 0; i < entry->workers.count; i++) {
        const struct participant *other = &entry->workers.items[i];

        if (!other->prepared || (other->training_samples == first->training_samples &&
                                 other->validation_samples == first->validation_samples))
            continue;
        life_fail(turn, entry,
                  "workers disagree about the data: %s sees %" PRIu64 " training and %" PRIu64
                  " validation samples, %s %" PRIu64 " and %" PRIu64,
                  node_name(first->node), first->training_samples, first->validation_samples,
                  node_name(other->node), other->training_samples, other->validation_samples);
        return false;
    }
    return true;
}

static bool check_samples(struct turn *turn, struct job_entry *entry, const struct participant *first)
{
    const Cairn__JobRecord *record = entry->record;

    if (!agree(turn, entry, first))
        return false;
    if (first->training_samples == 0) {
        life_fail(turn, entry, "the training data has no samples");
        return false;
    }
    if (record->status->committed_step > 0 && record->training_samples != first->training_samples) {
        life_fail(turn, entry,
                  "the training data has changed: it had %" PRIu64
                  " samples when the job began, and has %" PRIu64 " now",
                  record->training_samples, first->training_samples);
        return false;
    }
    return true;
}

/* What is known of the training's length once the data is. */
static bool set_length(struct turn *turn, struct job_entry *entry, const struct participant *first)
{
    Cairn__JobStatus *status = entry_status(entry);
    uint64_t samples = first->training_samples;
    uint64_t steps_per_epoch = job_steps_per_epoch(entry->job, samples);
    uint64_t final_step = job_final_step(entry->job, samples);

    if (samples > WIRE_SAMPLES_MAX || final_step > WIRE_STEP_MAX) {
        life_fail(turn, entry, "%" PRIu64 " samples in %" PRIu64 " steps are more than can be trained on",
                  samples, final_step);
        return false;
    }
    if (final_step == 0 || final_step < status->committed_step) {
        life_fail(turn, entry,
                  "the job has trained %" PRIu64 " steps already, more than the %" PRIu64
                  " that its file asks for",
                  status->committed_step, final_step);
        return false;
    }
    entry->record->training_samples = samples;
    entry->record->validation_samples = first->validation_samples;
    status->final_step = final_step;
    if (entry->job->epochs == 0)
        status->epochs = (uint32_t)((final_step + steps_per_epoch - 1) / steps_per_epoch);
    life_set_step(entry, status->committed_step);
    return true;
}

bool begin_is_sound(struct turn *turn, struct job_entry *entry)
{
    const struct participant *first;

    if (exclude_one(turn, entry))
        return false;
    first = first_prepared(entry);
    return check_samples(turn, entry, first) && set_length(turn, entry, first);
}

/* Nobody is told: clients ask where the tables are. */
void begin_tables(struct turn *turn, struct job_entry *entry)
{
    life_set_step(entry, entry_status(entry)->committed_step);
    turn_set_text(turn, &entry_status(entry)->reason, "%s", "");
    entry_set_state(turn, entry, JOB_STATE(RUNNING));
    entry_tell(turn, entry, "running from step %" PRIu64 ": clients can connect", entry_status(entry)->step);
}
