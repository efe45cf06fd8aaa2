/* The table of jobs and what can be said of one job by itself. */
#include "jobs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void jobs_init(struct jobs *jobs)
{
    memset(jobs, 0, sizeof(*jobs));
}

static void participants_free(struct participants *participants)
{
    free(participants->items);
    participants->items = NULL;
    participants->count = 0;
}

static void entry_free(struct job_entry *entry)
{
    message_free(entry->record);
    job_free(entry->job);
    participants_free(&entry->servers);
    participants_free(&entry->workers);
    free(entry);
}

void jobs_fini(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++)
        entry_free(jobs->items[i]);
    free(jobs->items);
    jobs_init(jobs);
}

static bool jobs_reserve(struct jobs *jobs)
{
    size_t capacity = jobs->capacity ? jobs->capacity * 2 : 16;
    struct job_entry **items;

    if (jobs->count < jobs->capacity)
        return true;
    items = realloc(jobs->items, capacity * sizeof(*items));
    if (!items)
        return false;
    jobs->items = items;
    jobs->capacity = capacity;
    return true;
}

struct job_entry *jobs_add(struct turn *turn, struct jobs *jobs, Cairn__JobRecord *record, struct job *job)
{
    struct job_entry *entry = calloc(1, sizeof(*entry));

    if (!entry || !jobs_reserve(jobs)) {
        turn->effects->failed = true;
        message_free(record);
        job_free(job);
        free(entry);
        return NULL;
    }
    entry->record = record;
    entry->revision = 1;
    if (job)
        entry_set_job(turn, entry, job);
    jobs->items[jobs->count++] = entry;
    return entry;
}

uint64_t jobs_next_number(const struct jobs *jobs)
{
    return jobs->count == 0 ? 1 : entry_status(jobs->items[jobs->count - 1])->number + 1;
}

struct job_entry *jobs_find(const struct jobs *jobs, uint64_t number)
{
    size_t begin = 0, end = jobs->count;

    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        struct job_entry *entry = jobs->items[middle];

        if (entry_status(entry)->number == number)
            return entry;
        if (entry_status(entry)->number < number)
            begin = middle + 1;
        else
            end = middle;
    }
    return NULL;
}

struct job_entry *jobs_newest(const struct jobs *jobs, const char *name)
{
    for (size_t i = jobs->count; i-- > 0;) {
        if (strcmp(entry_status(jobs->items[i])->name, name) == 0)
            return jobs->items[i];
    }
    return NULL;
}

static struct job_entry *find_id(const struct jobs *jobs, const char *id)
{
    for (size_t i = 0; i < jobs->count; i++) {
        if (strcmp(entry_status(jobs->items[i])->id, id) == 0)
            return jobs->items[i];
    }
    return NULL;
}

static struct job_entry *find_number(const struct jobs *jobs, const char *text)
{
    if (text[0] == '\0' || strlen(text) > 19 || strspn(text, "0123456789") != strlen(text))
        return NULL;
    return jobs_find(jobs, strtoull(text, NULL, 10));
}

static size_t count_named(const struct jobs *jobs, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < jobs->count; i++)
        count += strcmp(entry_status(jobs->items[i])->name, name) == 0;
    return count;
}

enum status jobs_lookup(const struct jobs *jobs, const char *text, struct job_entry **out,
                        struct error *error)
{
    struct job_entry *entry = find_id(jobs, text);

    if (!entry)
        entry = find_number(jobs, text);
    if (!entry) {
        entry = jobs_newest(jobs, text);
        if (entry && count_named(jobs, text) > 1)
            return error_set(error, CAIRN_INVALID,
                             "%zu jobs have the name %.64s: give an id, such as %s (the newest)",
                             count_named(jobs, text), text, entry_status(entry)->id);
    }
    if (!entry)
        return error_set(error, CAIRN_NOT_FOUND, "there is no job %.128s", text);
    *out = entry;
    return CAIRN_OK;
}

void jobs_save(struct turn *turn, struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        if (jobs->items[i]->unsaved)
            effects_record(turn->effects, jobs->items[i]->record);
        jobs->items[i]->unsaved = false;
    }
}

bool entry_is_active(const struct job_entry *entry)
{
    Cairn__JobState state = entry_status(entry)->state;

    return state >= JOB_STATE(PREPARING) && state <= JOB_STATE(COMMITTING);
}

bool entry_has_ended(const struct job_entry *entry)
{
    return entry_status(entry)->state >= JOB_STATE(COMPLETED);
}

void entry_set_state(struct job_entry *entry, Cairn__JobState state)
{
    entry_status(entry)->state = state;
    entry->revision++;
    entry->unsaved = true;
}

void entry_set_job(struct turn *turn, struct job_entry *entry, struct job *job)
{
    Cairn__JobStatus *status = entry_status(entry);

    job_free(entry->job);
    entry->job = job;
    status->epochs = job->epochs;
    status->microbatches = job->microbatches;
    status->tables = entry->tables_ready = job->table_count;
    turn_set_text(turn, &status->name, "%s", job->name);
    turn_set_text(turn, &status->id, "%s-%" PRIu64, job->name, status->number);
}

static struct participant *find_participant(struct participants *participants, const struct node *node)
{
    for (size_t i = 0; i < participants->count; i++) {
        if (participants->items[i].node == node)
            return &participants->items[i];
    }
    return NULL;
}

struct participant *entry_participant(struct job_entry *entry, const struct node *node)
{
    return find_participant(node_is_worker(node) ? &entry->workers : &entry->servers, node);
}

void entry_drop(struct job_entry *entry, const struct node *node)
{
    struct participants *participants = node_is_worker(node) ? &entry->workers : &entry->servers;
    struct participant *participant = find_participant(participants, node);
    size_t after;

    if (!participant)
        return;
    after = participants->count - (size_t)(participant - participants->items) - 1;
    memmove(participant, participant + 1, after * sizeof(*participant));
    participants->count--;
}

void entry_log(struct turn *turn, struct job_entry *entry, const char *level, const char *source,
               const char *text)
{
    Cairn__LogEntry line = CAIRN__LOG_ENTRY__INIT;

    line.number = ++entry->newest_entry;
    line.time_ms = turn->now.unix_ms;
    line.level = (char *)level;
    line.source = (char *)source;
    line.text = (char *)text;
    effects_entry(turn->effects, entry_status(entry)->number, &line);
}

void entry_tell(struct turn *turn, struct job_entry *entry, const char *format, ...)
{
    char text[LINE_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    entry_log(turn, entry, "info", "coordinator", text);
    turn_note(turn, LOG_LEVEL_INFO, "job", "job=%s text=\"%s\"", entry_status(entry)->id, text);
}
