/* Counting failures. Knows nothing of which workers there are. */
#include "trials.h"

#include "life.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 3 /* times worker_tries: failures in a row that fail the job */

static struct trial *find(const struct trials *trials, const char *worker)
{
    for (size_t i = 0; i < trials->count; i++) {
        if (strcmp(trials->items[i].worker, worker) == 0)
            return &trials->items[i];
    }
    return NULL;
}

/* NULL: memory is out. */
static struct trial *find_or_add(struct turn *turn, struct trials *trials, const char *worker)
{
    struct trial *trial = find(trials, worker), *items;

    if (trial)
        return trial;
    items = realloc(trials->items, (trials->count + 1) * sizeof(*items));
    if (!items) {
        turn->effects->failed = true;
        return NULL;
    }
    trials->items = items;
    trial = &items[trials->count++];
    memset(trial, 0, sizeof(*trial));
    snprintf(trial->worker, sizeof(trial->worker), "%s", worker);
    return trial;
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
    struct trial *trial = find_or_add(turn, &entry->trials, worker);
    struct line line = {.length = 0};

    if (!trial || trials_exclude_it(entry, worker))
        return;
    snprintf(trial->reason, sizeof(trial->reason), "%s", reason);
    add_excluded(turn, entry_status(entry), worker);
    entry->unsaved = true;
    entry->revision++;
    line_add(&line, "worker %s gets no more of this job: %s", worker, reason);
    entry_log(turn, entry, "error", "coordinator", line.text);
    turn_note(turn, LOG_LEVEL_WARN, "job", "job=%s text=\"%s\"", entry_status(entry)->id, line.text);
}

/* Reasons of which one is the other but for what did not fit. */
static bool same_reason(const struct trial *trial, const char *reason)
{
    return strncmp(trial->reason, reason, sizeof(trial->reason) - 1) == 0;
}

/* Whether all recent failures had this reason. */
static bool are_alike(const struct trials *trials, const char *reason)
{
    if (trials->in_a_row > 0 && !trials->are_alike)
        return false;
    for (size_t i = 0; i < trials->count; i++) {
        if (trials->items[i].is_recent && !same_reason(&trials->items[i], reason))
            return false;
    }
    return true;
}

void trials_note(struct turn *turn, struct job_entry *entry, const char *worker, const char *reason)
{
    struct trials *trials = &entry->trials;
    struct trial *trial = find_or_add(turn, trials, worker);
    uint32_t tries = entry->job->worker_tries;

    if (!trial)
        return;
    entry_log(turn, entry, "warn", worker, reason);
    trials->are_alike = are_alike(trials, reason);
    trials->in_a_row++;
    snprintf(trial->reason, sizeof(trial->reason), "%s", reason);
    trial->is_recent = true;
    trial->failures++;
    if (trials->in_a_row >= ROUNDS * tries)
        life_fail(turn, entry, "%s: %s", worker, reason);
    else if (trial->failures >= tries)
        trials_exclude(turn, entry, worker, reason);
}

void trials_progress(struct job_entry *entry)
{
    entry->trials.in_a_row = 0;
    for (size_t i = 0; i < entry->trials.count; i++)
        entry->trials.items[i].is_recent = false;
}

bool trials_give_up(struct turn *turn, struct job_entry *entry)
{
    const struct trials *trials = &entry->trials;

    if (trials->in_a_row < entry->job->worker_tries || !trials->are_alike)
        return false;
    for (size_t i = trials->count; i-- > 0;) {
        if (!trials->items[i].is_recent)
            continue;
        life_fail(turn, entry, "%s: %s", trials->items[i].worker, trials->items[i].reason);
        return true;
    }
    return false;
}

void trials_explain(const struct job_entry *entry, struct line *line)
{
    const Cairn__JobStatus *status = entry_status(entry);

    for (size_t i = 0; i < status->n_excluded; i++) {
        const struct trial *trial = find(&entry->trials, status->excluded[i]);

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
    free(entry->trials.items);
    memset(&entry->trials, 0, sizeof(entry->trials));
}
