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
    entry_await_nobody(entry);
    free(entry);
}

void jobs_fini(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++)
        entry_free(jobs->items[i]);
    free(jobs->items);
    deleted_fini(&jobs->deleted);
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

void jobs_delete(struct turn *turn, struct jobs *jobs, struct job_entry *entry, Cairn__DeletedJob *left)
{
    uint64_t number = entry_status(entry)->number;
    size_t i = 0;

    turn_note(turn, LOG_LEVEL_INFO, "job_deleted", "job=%s", entry_status(entry)->id);
    deleted_add(turn, &jobs->deleted, left, jobs_next_number(jobs) - 1);
    effects_erase(turn->effects, number);
    while (jobs->items[i] != entry)
        i++;
    memmove(&jobs->items[i], &jobs->items[i + 1], (jobs->count - i - 1) * sizeof(jobs->items[0]));
    jobs->count--;
    entry_free(entry);
}

uint64_t jobs_last_number(const struct jobs *jobs)
{
    return jobs->count == 0 ? 0 : entry_status(jobs->items[jobs->count - 1])->number;
}

uint64_t jobs_next_number(const struct jobs *jobs)
{
    uint64_t last = jobs_last_number(jobs), deleted = jobs->deleted.newest_number;

    return (last > deleted ? last : deleted) + 1;
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

/* The job that a name means: the one that has not ended, else the only one. */
static enum status find_named(const struct jobs *jobs, const char *name, struct job_entry **out,
                              struct error *error)
{
    struct job_entry *open = NULL, *newest = NULL;
    size_t named_count = 0, open_count = 0;

    for (size_t i = 0; i < jobs->count; i++) {
        if (strcmp(entry_status(jobs->items[i])->name, name) != 0)
            continue;
        newest = jobs->items[i];
        named_count++;
        if (!entry_has_ended(newest)) {
            open = newest;
            open_count++;
        }
    }
    *out = open_count == 1 ? open : newest;
    if (open_count == 1 || named_count < 2)
        return CAIRN_OK;
    return error_set(error, CAIRN_INVALID,
                     "%zu jobs %s the name %.64s%s: give an id, such as %s (the newest)",
                     open_count > 0 ? open_count : named_count, open_count > 0 ? "under way have" : "have",
                     name, open_count > 0 ? "" : ", and all have ended", entry_status(newest)->id);
}

enum status jobs_lookup(const struct jobs *jobs, const char *text, struct job_entry **out,
                        struct error *error)
{
    struct job_entry *entry = find_id(jobs, text);
    enum status status = CAIRN_OK;

    if (!entry)
        entry = find_number(jobs, text);
    if (!entry)
        status = find_named(jobs, text, &entry, error);
    if (status != CAIRN_OK)
        return status;
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

bool entry_is_live(const struct job_entry *entry)
{
    return entry->servers.count > 0 || entry->awaited_count > 0;
}

bool entry_has_ended(const struct job_entry *entry)
{
    Cairn__JobState state = entry_status(entry)->state;

    return state == JOB_STATE(COMPLETED) || state == JOB_STATE(STOPPED) || state == JOB_STATE(FAILED);
}

bool entry_has_begun(const struct job_entry *entry)
{
    const Cairn__EpochCommand *epoch = entry->record->epoch;

    return epoch && epoch->incarnation == entry_status(entry)->incarnation;
}

uint32_t entry_target(const struct job_entry *entry)
{
    return entry->record->workers_target > 0 ? entry->record->workers_target : entry->job->workers_max;
}

uint32_t entry_servers_target(const struct job_entry *entry)
{
    return entry->record->servers_target > 0 ? entry->record->servers_target : entry->job->servers;
}

bool entry_server_stays(const struct job_entry *entry, const struct participant *server)
{
    uint32_t before = 0;

    if (server->node->draining)
        return false;
    for (const struct participant *other = entry->servers.items; other != server; other++)
        before += !other->node->draining;
    return before < entry_servers_target(entry);
}

uint32_t entry_minimum(const struct job_entry *entry)
{
    uint32_t target = entry_target(entry);

    return entry->job->workers_min < target ? entry->job->workers_min : target;
}

enum status entry_check_running(const struct job_entry *entry, struct error *error)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (status->state == JOB_STATE(RUNNING))
        return CAIRN_OK;
    return error_set(error, CAIRN_INVALID, "%s does not run%s%s", status->id, status->reason[0] ? ": " : "",
                     status->reason);
}

void entry_set_state(struct turn *turn, struct job_entry *entry, Cairn__JobState state)
{
    Cairn__JobStatus *status = entry_status(entry);

    if (status->state != state)
        status->state_ms = turn->now.unix_ms;
    status->state = state;
    entry->revision++;
    entry->unsaved = true;
}

void entry_wait(struct turn *turn, struct job_entry *entry, const char *what)
{
    Cairn__JobStatus *status = entry_status(entry);
    struct line reason = {.length = 0};

    line_add(&reason, "waits for %s", what);
    if (status->state != JOB_STATE(WAITING))
        entry_set_state(turn, entry, JOB_STATE(WAITING));
    if (strcmp(status->reason, reason.text) == 0)
        return;
    turn_set_text(turn, &status->reason, "%s", reason.text);
    entry_tell(turn, entry, "%s", reason.text);
    entry->revision++;
}

void entry_set_job(struct turn *turn, struct job_entry *entry, struct job *job)
{
    Cairn__JobStatus *status = entry_status(entry);

    job_free(entry->job);
    entry->job = job;
    status->epochs = job->epochs;
    status->microbatches = job->microbatches;
    status->tables = entry->tables_ready = job->table_count;
    status->workers_target = job_has_tables(job) ? 0 : entry_target(entry);
    status->servers_target = entry_servers_target(entry);
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

/* Where a worker of a number belongs; 0: at the end. */
static size_t place_of(const struct participants *participants, uint64_t number)
{
    size_t place = participants->count;

    while (number > 0 && place > 0 &&
           (participants->items[place - 1].number == 0 || participants->items[place - 1].number > number))
        place--;
    return place;
}

/* The first of a server's shards in the record. */
static size_t first_shard_of(const Cairn__JobRecord *record, const struct node *server)
{
    size_t shard = 0;

    while (shard < record->n_shards && strcmp(record->shards[shard]->server, node_name(server)) != 0)
        shard++;
    return shard;
}

/* Where a server belongs. */
static size_t place_of_server(const struct job_entry *entry, const struct node *server)
{
    size_t place = entry->servers.count, shard = first_shard_of(entry->record, server);

    while (place > 0 && first_shard_of(entry->record, entry->servers.items[place - 1].node) > shard)
        place--;
    return place;
}

struct participant *entry_add(struct turn *turn, struct job_entry *entry, struct node *node, uint64_t number)
{
    struct participants *participants = node_is_worker(node) ? &entry->workers : &entry->servers;
    size_t place = node_is_worker(node) ? place_of(participants, number) : place_of_server(entry, node);
    struct participant *items =
        realloc(participants->items, (participants->count + 1) * sizeof(participants->items[0]));

    if (!items) {
        turn->effects->failed = true;
        return NULL;
    }
    participants->items = items;
    memmove(&items[place + 1], &items[place], (participants->count - place) * sizeof(items[0]));
    participants->count++;
    memset(&items[place], 0, sizeof(items[place]));
    items[place].node = node;
    items[place].number = number;
    items[place].joined_ms = turn->now.monotonic_ms;
    if (node_is_worker(node))
        node->job = entry;
    entry_status(entry)->servers = (uint32_t)entry->servers.count;
    return &items[place];
}

void entry_order_workers(struct job_entry *entry)
{
    struct participant *items = entry->workers.items, moved;

    for (size_t i = 1; i < entry->workers.count; i++) {
        size_t place = i;

        if (items[i].number == 0)
            continue;
        while (place > 0 && items[place - 1].number == 0)
            place--;
        moved = items[i];
        memmove(&items[place + 1], &items[place], (i - place) * sizeof(items[0]));
        items[place] = moved;
    }
}

void entry_drop(struct job_entry *entry, struct node *node)
{
    struct participants *participants = node_is_worker(node) ? &entry->workers : &entry->servers;
    struct participant *participant = find_participant(participants, node);
    size_t after;

    if (!participant)
        return;
    if (participant->named && !participant->reached)
        entry->is_thinner = true;
    after = participants->count - (size_t)(participant - participants->items) - 1;
    memmove(participant, participant + 1, after * sizeof(*participant));
    participants->count--;
    node->job = NULL;
    entry_status(entry)->servers = (uint32_t)entry->servers.count;
}

void entry_await(struct turn *turn, struct job_entry *entry, const char *name, bool is_worker)
{
    struct awaited *items = realloc(entry->awaited, (entry->awaited_count + 1) * sizeof(*items));
    char *copy = strdup(name);

    if (items)
        entry->awaited = items;
    if (!items || !copy) {
        free(copy);
        turn->effects->failed = true;
        return;
    }
    items[entry->awaited_count++] = (struct awaited){copy, is_worker};
}

bool entry_await_no_more(struct job_entry *entry, const char *name, bool is_worker)
{
    for (size_t i = 0; i < entry->awaited_count; i++) {
        if (entry->awaited[i].is_worker != is_worker || strcmp(entry->awaited[i].name, name) != 0)
            continue;
        free(entry->awaited[i].name);
        entry->awaited[i] = entry->awaited[--entry->awaited_count];
        return true;
    }
    return false;
}

void entry_await_nobody(struct job_entry *entry)
{
    while (entry->awaited_count > 0)
        free(entry->awaited[--entry->awaited_count].name);
    free(entry->awaited);
    entry->awaited = NULL;
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

static void say(struct turn *turn, struct job_entry *entry, enum log_level level, const char *format,
                va_list args)
{
    char text[LINE_BYTES];

    vsnprintf(text, sizeof(text), format, args);
    entry_log(turn, entry, log_level_words[level], "coordinator", text);
    turn_note(turn, level, "job", "job=%s text=\"%s\"", entry_status(entry)->id, text);
}

void entry_tell(struct turn *turn, struct job_entry *entry, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(turn, entry, LOG_LEVEL_INFO, format, args);
    va_end(args);
}

void entry_warn(struct turn *turn, struct job_entry *entry, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(turn, entry, LOG_LEVEL_WARN, format, args);
    va_end(args);
}
