/* Counting failures. Knows nothing of which workers there are. */
#include "trials.h"

#include "life.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS     3   /* times worker_tries: failures in a row that fail the job */
#define REASON_MAX 159 /* bytes of a reason that are kept */

/* The pause after a worker's first failure, and the longest one. */
#define PAUSE_MS     400
#define PAUSE_MAX_MS 10000

static Cairn__Trial *find(const Cairn__Trials *trials, const char *worker)
{
    for (size_t i = 0; trials && i < trials->n_workers; i++) {
        if (strcmp(trials->workers[i]->worker, worker) == 0)
            return trials->workers[i];
    }
    return NULL;
}

/* The record's trials, made if there are none. NULL: memory is out. */
static Cairn__Trials *trials_of(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobRecord *record = entry->record;

    if (record->trials)
        return record->trials;
    record->trials = malloc(sizeof(*record->trials));
    if (record->trials)
        cairn__trials__init(record->trials);
    else
        turn->effects->failed = true;
    return record->trials;
}

/* NULL: memory is out. */
static Cairn__Trial *add(struct turn *turn, Cairn__Trials *trials, const char *worker)
{
    Cairn__Trial **items = realloc(trials->workers, (trials->n_workers + 1) * sizeof(*items));
    Cairn__Trial *trial = malloc(sizeof(*trial));

    if (items)
        trials->workers = items;
    if (!items || !trial) {
        free(trial);
        turn->effects->failed = true;
        return NULL;
    }
    cairn__trial__init(trial);
    turn_set_text(turn, &trial->worker, "%s", worker);
    items[trials->n_workers++] = trial;
    return trial;
}

/* NULL: memory is out. */
static Cairn__Trial *find_or_add(struct turn *turn, struct job_entry *entry, const char *worker)
{
    Cairn__Trials *trials = trials_of(turn, entry);
    Cairn__Trial *trial = find(trials, worker);

    return trial || !trials ? trial : add(turn, trials, worker);
}

static void set_reason(struct turn *turn, Cairn__Trial *trial, const char *reason)
{
    turn_set_text(turn, &trial->reason, "%.*s", REASON_MAX, reason);
}

bool trials_exclude_it(const struct job_entry *entry, const char *worker)
{
    const Cairn__JobStatus *status = entry_status(entry);

    for (size_t i = 0; i < status->n_excluded; i++) {
        if (strcmp(status->excluded[i], worker) == 0)
            return true;
    }
    return false;
}

static void add_excluded(struct turn *turn, Cairn__JobStatus *status, const char *worker)
{
    char **items = realloc(status->excluded, (status->n_excluded + 1) * sizeof(*items));
    char *copy = strdup(worker);

    if (items)
        status->excluded = items;
    if (!items || !copy) {
        free(copy);
        turn->effects->failed = true;
        return;
    }
    items[status->n_excluded++] = copy;
}

void trials_exclude(struct turn *turn, struct job_entry *entry, const char *worker, const char *reason)
{
    Cairn__Trial *trial = find_or_add(turn, entry, worker);
    struct line line = {.length = 0};

    if (!trial || trials_exclude_it(entry, worker))
        return;
    set_reason(turn, trial, reason);
    add_excluded(turn, entry_status(entry), worker);
    entry->unsaved = true;
    entry->revision++;
    line_add(&line, "worker %s gets no more of this job: %s", worker, reason);
    entry_log(turn, entry, "error", "coordinator", line.text);
    turn_note(turn, LOG_LEVEL_WARN, "job", "job=%s text=\"%s\"", entry_status(entry)->id, line.text);
}

int64_t trials_pause_ms(const struct job_entry *entry, const char *worker)
{
    const Cairn__Trial *trial = find(entry->record->trials, worker);
    int64_t pause_ms = PAUSE_MS;

    for (uint32_t i = 1; trial && i < trial->failures && pause_ms < PAUSE_MAX_MS; i++)
        pause_ms *= 2;
    return pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS;
}

/* Reasons of which one is the other but for what is not kept. */
static bool same_reason(const Cairn__Trial *trial, const char *reason)
{
    return strncmp(trial->reason, reason, REASON_MAX) == 0;
}

/* Whether all recent failures had this reason. */
static bool are_alike(const Cairn__Trials *trials, const char *reason)
{
    if (trials->in_a_row > 0 && !trials->are_alike)
        return false;
    for (size_t i = 0; i < trials->n_workers; i++) {
        if (trials->workers[i]->is_recent && !same_reason(trials->workers[i], reason))
            return false;
    }
    return true;
}

void trials_note(struct turn *turn, struct job_entry *entry, const char *worker, const char *reason)
{
    Cairn__Trial *trial = find_or_add(turn, entry, worker);
    Cairn__Trials *trials = entry->record->trials;
    uint32_t tries = entry->job->worker_tries;

    if (!trial)
        return;
    entry_log(turn, entry, "warn", worker, reason);
    trials->are_alike = are_alike(trials, reason);
    trials->in_a_row++;
    set_reason(turn, trial, reason);
    trial->is_recent = true;
    trial->failures++;
    entry->has_new_failure = true;
    entry->unsaved = true;
    if (trials->in_a_row >= ROUNDS * tries)
        life_fail(turn, entry, "%s: %s", worker, reason);
    else if (trial->failures >= tries)
        trials_exclude(turn, entry, worker, reason);
}

void trials_progress(struct job_entry *entry)
{
    Cairn__Trials *trials = entry->record->trials;

    if (!trials || trials->in_a_row == 0)
        return;
    trials->in_a_row = 0;
    for (size_t i = 0; i < trials->n_workers; i++)
        trials->workers[i]->is_recent = false;
    entry->unsaved = true;
}

bool trials_give_up(struct turn *turn, struct job_entry *entry)
{
    const Cairn__Trials *trials = entry->record->trials;

    if (!trials || trials->in_a_row < entry->job->worker_tries || !trials->are_alike)
        return false;
    for (size_t i = trials->n_workers; i-- > 0;) {
        const Cairn__Trial *trial = trials->workers[i];

        if (!trial->is_recent)
            continue;
        life_fail(turn, entry, "%s: %s", trial->worker, trial->reason);
        return true;
    }
    return false;
}

void trials_explain(const struct job_entry *entry, struct line *line)
{
    const Cairn__JobStatus *status = entry_status(entry);

    for (size_t i = 0; i < status->n_excluded; i++) {
        const Cairn__Trial *trial = find(entry->record->trials, status->excluded[i]);

        line_add(line, "; %s is excluded%s%s%s", status->excluded[i], trial ? " (" : "",
                 trial ? trial->reason : "", trial ? ")" : "");
    }
}

void trials_forget(struct job_entry *entry)
{
    Cairn__JobStatus *status = entry_status(entry);

    while (status->n_excluded > 0)
        free(status->excluded[--status->n_excluded]);
    free(status->excluded);
    status->excluded = NULL;
    message_free(entry->record->trials);
    entry->record->trials = NULL;
}
