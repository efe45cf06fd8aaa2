/* Rounds of holding and extending. */
#include "growth.h"

#include "chains.h"
#include "job/job_message.h"
#include "life.h"
#include "net/wire.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a job's text with its added tables: keeps messages well within what the other end takes. */
#define TEXT_BYTES_MAX ((size_t)8 << 20)

static uint32_t own_tables(const struct job_entry *entry)
{
    return entry->job->table_count - entry->job->added_count;
}

bool growth_is_ready(const struct job_entry *entry, uint32_t number)
{
    return number < TABLE_FIRST_USER + entry->tables_ready;
}

/* ---- the record */

static enum status no_memory(struct turn *turn, struct error *error)
{
    turn->effects->failed = true;
    return error_set(error, CAIRN_NO_MEMORY, "out of memory");
}

/* Appends a table that begins nobody knows where yet. */
static bool text_append(struct turn *turn, Cairn__JobText *text, const char *table)
{
    Cairn__AddedTable **items = realloc(text->added, (text->n_added + 1) * sizeof(*items));
    Cairn__AddedTable *added = malloc(sizeof(*added));

    if (items)
        text->added = items;
    if (!items || !added) {
        free(added);
        turn->effects->failed = true;
        return false;
    }
    cairn__added_table__init(added);
    turn_set_text(turn, &added->text, "%s", table);
    added->first_version = WIRE_STEP_MAX;
    items[text->n_added++] = added;
    return true;
}

static void text_cut(Cairn__JobText *text, size_t count)
{
    while (text->n_added > count)
        message_free(text->added[--text->n_added]);
}

/* The job's text with its first tables. */
static void text_of(const struct job_entry *entry, uint32_t tables, Cairn__JobText *text)
{
    *text = *entry->record->text;
    if (entry->job && text->n_added > tables - own_tables(entry))
        text->n_added = tables - own_tables(entry);
}

void growth_text(const struct job_entry *entry, Cairn__JobText *text)
{
    text_of(entry, entry->tables_ready, text);
}

/* Forgets all tables but the first ones. */
static void narrow(struct turn *turn, struct job_entry *entry, uint32_t tables)
{
    struct job *narrower = NULL;

    if (tables == entry->job->table_count)
        return;
    text_cut(entry->record->text, tables - own_tables(entry));
    if (job_load_message(entry->record->text, &narrower, NULL) != CAIRN_OK) { /* it has been read before */
        turn->effects->failed = true;
        return;
    }
    job_free(entry->job);
    entry->job = narrower;
}

void growth_abandon(struct turn *turn, struct job_entry *entry)
{
    entry->growth = GROWTH_NONE;
    if (entry->job)
        narrow(turn, entry, entry->tables_ready);
}

void growth_take_up(struct turn *turn, struct job_entry *entry, uint32_t tables_ready)
{
    const Cairn__JobText *text = entry->record->text;
    uint32_t told = tables_ready;

    entry->tables_ready = entry_status(entry)->tables = tables_ready;
    while (told < entry->job->table_count &&
           text->added[told - own_tables(entry)]->first_version != WIRE_STEP_MAX)
        told++;
    narrow(turn, entry, told);
    if (told == tables_ready || turn->effects->failed)
        return;
    entry->growth = GROWTH_EXTENDING;
    entry->growth_tables = told;
    entry->growth_step = text->added[told - own_tables(entry) - 1]->first_version;
}

void growth_go_back(struct job_entry *entry)
{
    const Cairn__JobText *text = entry->record->text;
    uint64_t step = entry_status(entry)->committed_step;

    for (size_t i = 0; i < text->n_added; i++) {
        if (text->added[i]->first_version > step)
            text->added[i]->first_version = step;
    }
}

/* ---- rounds */

/* Tells servers where the adding of tables stands. */
static void tell(struct turn *turn, const struct job_entry *entry, const struct participants *servers)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__HoldCommand hold = CAIRN__HOLD_COMMAND__INIT;
    Cairn__ExtendCommand extend = CAIRN__EXTEND_COMMAND__INIT;
    Cairn__GoOnCommand go_on = CAIRN__GO_ON_COMMAND__INIT;
    Cairn__PrepareCommand prepare;
    Cairn__JobText text;

    hold.job = go_on.job = entry_status(entry)->number;
    hold.incarnation = go_on.incarnation = entry_status(entry)->incarnation;
    if (entry->growth == GROWTH_HOLDING) {
        command.body_case = CAIRN__NODE_COMMAND__BODY_HOLD;
        command.hold = &hold;
    } else if (entry->growth == GROWTH_EXTENDING) {
        life_describe(entry, entry->growth_step, &prepare);
        text_of(entry, entry->growth_tables, &text); /* what is asked for meanwhile makes another round */
        prepare.text = &text;
        extend.prepare = &prepare;
        command.body_case = CAIRN__NODE_COMMAND__BODY_EXTEND;
        command.extend = &extend;
    } else {
        command.body_case = CAIRN__NODE_COMMAND__BODY_GO_ON;
        command.go_on = &go_on;
    }
    participants_command(turn, servers, &command);
}

static void tell_all(struct turn *turn, struct job_entry *entry)
{
    for (size_t i = 0; i < entry->servers.count; i++)
        entry->servers.items[i].answered = false;
    tell(turn, entry, &entry->servers);
}

/* One that has answered already will hear the next command, as all do. */
void growth_repeat(struct turn *turn, const struct job_entry *entry, const struct participant *server)
{
    struct participant copy = *server;
    struct participants one = {&copy, 1};

    if (!server->answered || entry->growth == GROWTH_NONE)
        tell(turn, entry, &one);
}

static bool have_answered(const struct job_entry *entry)
{
    if (entry->awaited_count > 0)
        return false;
    for (size_t i = 0; i < entry->servers.count; i++) {
        if (!entry->servers.items[i].answered)
            return false;
    }
    return true;
}

/* Notes a server's answer; true: it was the last. */
static bool all_answered(const struct job_entry *entry, struct participant *server)
{
    server->answered = true;
    return have_answered(entry);
}

/* A step that no table of the job is before: whatever servers say, tables begin one after the other. */
static uint64_t least_step(const struct job_entry *entry)
{
    uint32_t ready = entry->tables_ready - own_tables(entry);
    uint64_t committed = entry_status(entry)->committed_step;
    uint64_t newest = ready > 0 ? entry->record->text->added[ready - 1]->first_version : 0;

    return newest > committed ? newest : committed;
}

static void hold(struct turn *turn, struct job_entry *entry)
{
    entry->growth = GROWTH_HOLDING;
    entry->growth_step = least_step(entry);
    tell_all(turn, entry);
}

static void extend(struct turn *turn, struct job_entry *entry)
{
    const Cairn__JobText *text = entry->record->text;

    entry->growth = GROWTH_EXTENDING;
    entry->growth_tables = entry->job->table_count;
    for (size_t i = entry->tables_ready - own_tables(entry); i < text->n_added; i++)
        text->added[i]->first_version = entry->growth_step;
    entry->unsaved = true; /* a coordinator that starts again must know what servers may have been told */
    tell_all(turn, entry);
}

void growth_held(struct turn *turn, struct job_entry *entry, struct participant *server, uint64_t step)
{
    if (entry->growth != GROWTH_HOLDING || server->answered)
        return;
    if (step > entry->growth_step)
        entry->growth_step = step;
    if (all_answered(entry, server))
        extend(turn, entry);
}

/* The record is stored before anybody is told. */
static void finish(struct turn *turn, struct job_entry *entry)
{
    for (uint32_t i = entry->tables_ready; i < entry->growth_tables; i++)
        entry_tell(turn, entry, "table %s added at step %" PRIu64, entry->job->tables[i].name,
                   entry->growth_step);
    entry->tables_ready = entry_status(entry)->tables = entry->growth_tables;
    entry->growth = GROWTH_NONE;
    entry->revision++;
    entry->unsaved = true;
    life_count_holders(entry, entry->growth_step);
    tell_all(turn, entry);
    growth_update(turn, entry);
}

void growth_extended(struct turn *turn, struct job_entry *entry, struct participant *server, uint32_t tables)
{
    if (entry->growth != GROWTH_EXTENDING || server->answered)
        return;
    if (tables != entry->growth_tables)
        life_fail(turn, entry, "server %s has %" PRIu32 " tables after some were added, not %" PRIu32,
                  node_name(server->node), tables, entry->growth_tables);
    else if (all_answered(entry, server))
        finish(turn, entry);
}

/* A server that had not answered is gone. */
void growth_lost(struct turn *turn, struct job_entry *entry)
{
    if (entry->growth == GROWTH_NONE || !have_answered(entry))
        return;
    if (entry->growth == GROWTH_HOLDING)
        extend(turn, entry);
    else
        finish(turn, entry);
}

/* A slot that is being copied could be there in some of its tables only, so none is while tables are added;
 * and who comes is to have all tables that there were. */
static bool servers_are_settled(const struct job_entry *entry)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        if (!entry->servers.items[i].prepared)
            return false;
    }
    return chains_are_settled(entry);
}

void growth_update(struct turn *turn, struct job_entry *entry)
{
    if (entry_is_live(entry) && entry_status(entry)->state == JOB_STATE(RUNNING) &&
        entry->awaited_count == 0 && entry->growth == GROWTH_NONE &&
        entry->tables_ready < entry->job->table_count && servers_are_settled(entry))
        hold(turn, entry);
}

/* ---- asking */

static enum status check_candidate(const struct job_entry *entry, const struct table_spec *table,
                                   struct error *error)
{
    if (table->codec.type == CODEC_TOP_K)
        return error_set(
            error, CAIRN_INVALID,
            "table %s has the codec top_k, with which tables can only be there from the beginning",
            table->name);
    if (entry->job->table_count == JOB_TABLES_MAX)
        return error_set(error, CAIRN_INVALID, "%s has %d tables already, allowed: no more",
                         entry_status(entry)->id, JOB_TABLES_MAX);
    return CAIRN_OK;
}

/* Puts a table that is not there yet into the record and the job. */
static enum status append(struct turn *turn, struct job_entry *entry, const char *text, struct error *error)
{
    Cairn__JobText *record = entry->record->text;
    size_t count = record->n_added;
    struct job *wider = NULL;
    enum status status;

    if (cairn__job_text__get_packed_size(record) + strlen(text) > TEXT_BYTES_MAX)
        return error_set(error, CAIRN_INVALID, "the job's tables are described in more than %zu bytes",
                         TEXT_BYTES_MAX);
    if (!text_append(turn, record, text))
        return no_memory(turn, error);
    status = job_load_message(record, &wider, error);
    if (status != CAIRN_OK) {
        text_cut(record, count);
        return status;
    }
    job_free(entry->job);
    entry->job = wider;
    return CAIRN_OK;
}

/* The number of the table that a candidate is, or will be. */
static enum status find_or_append(struct turn *turn, struct job_entry *entry, const struct table_spec *table,
                                  const char *text, uint32_t *number, struct error *error)
{
    enum status status;

    for (uint32_t i = 0; i < entry->job->table_count; i++) {
        if (strcmp(entry->job->tables[i].name, table->name) != 0)
            continue;
        *number = TABLE_FIRST_USER + i;
        return table_equals(&entry->job->tables[i], table)
                   ? CAIRN_OK
                   : error_set(error, CAIRN_INVALID,
                               "%s has a table %s already, which is not as this one: take another name",
                               entry_status(entry)->id, table->name);
    }
    status = check_candidate(entry, table, error);
    if (status == CAIRN_OK)
        status = append(turn, entry, text, error);
    if (status != CAIRN_OK)
        return status;
    *number = TABLE_FIRST_USER + entry->job->table_count - 1;
    growth_update(turn, entry);
    return CAIRN_OK;
}

enum status growth_ask(struct turn *turn, struct job_entry *entry, const char *text, uint32_t *number,
                       struct error *error)
{
    struct job *candidate = NULL;
    enum status status = job_load_candidate(entry->record->text, text, &candidate, error);

    if (status == CAIRN_OK)
        status = find_or_append(turn, entry, &candidate->tables[0], text, number, error);
    job_free(candidate);
    return status;
}
