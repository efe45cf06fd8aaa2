/* cairn tables: shows what the tables of a running job hold. */
#include "attach.h"
#include "command.h"
#include "commands.h"
#include "progress.h"
#include "result.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>

struct tables_settings {
    const char *job, *coordinator;
    int64_t json;
};

static const struct setting rows[] = {
    SETTING_ROW_JOB(struct tables_settings),
    SETTING_ROW_COORDINATOR(struct tables_settings),
    SETTING_ROW_JSON(struct tables_settings),
};

static const struct settings_table table = {
    "cairn tables", "Shows what the tables of a running job hold: rows, memory, how often rows were there.",
    rows, sizeof(rows) / sizeof(rows[0])};

/* The share of looked up keys that were in memory, in percent; -1: none were looked up. */
static double hit_percent(const struct cairn_statistics *statistics)
{
    uint64_t all = statistics->hits + statistics->misses;

    return all > 0 ? 100.0 * (double)statistics->hits / (double)all : -1;
}

static void add_count(struct table *list, uint64_t number)
{
    char text[32];

    progress_count(number, text, sizeof(text));
    table_add(list, "%s", text);
}

static void add_megabytes(struct table *list, uint64_t bytes)
{
    table_add(list, "%.1f MB", (double)bytes / 1e6);
}

static void add_row(struct table *list, const cairn_table *one, const struct cairn_statistics *statistics)
{
    bool is_sparse = cairn_table_dimension(one) > 0;
    double percent = hit_percent(statistics);

    table_add(list, "%s", cairn_table_name(one));
    table_add(list, "%s", is_sparse ? "sparse" : "dense");
    table_add(list, "%" PRIu64, statistics->version);
    if (!is_sparse) {
        for (int i = 0; i < 3; i++)
            table_add(list, "-");
    } else {
        add_count(list, statistics->rows);
        add_count(list, statistics->resident_rows);
        add_count(list, statistics->candidates);
    }
    add_megabytes(list, statistics->memory_bytes);
    if (!is_sparse || percent < 0)
        table_add(list, "-");
    else
        table_add(list, "%.1f %%", percent);
    add_count(list, statistics->evictions);
    add_megabytes(list, statistics->swap_bytes);
}

static json_t *table_json(const cairn_table *one, const struct cairn_statistics *statistics)
{
    return json_pack("{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
                     result_text(cairn_table_name(one)), "kind",
                     cairn_table_dimension(one) > 0 ? "sparse" : "dense", "version",
                     (json_int_t)statistics->version, "rows", (json_int_t)statistics->rows, "resident_rows",
                     (json_int_t)statistics->resident_rows, "candidates", (json_int_t)statistics->candidates,
                     "hits", (json_int_t)statistics->hits, "misses", (json_int_t)statistics->misses,
                     "evictions", (json_int_t)statistics->evictions, "memory_bytes",
                     (json_int_t)statistics->memory_bytes, "swap_bytes", (json_int_t)statistics->swap_bytes);
}

/* Asks for all tables, into the table for people or, when that is NULL, the list. */
static enum status ask_all(cairn *connection, struct table *list, json_t *objects, struct error *error)
{
    struct cairn_statistics statistics;
    cairn_table *one;

    for (uint32_t i = 0; (one = cairn_table_at(connection, i)); i++) {
        enum status status =
            attach_status(connection, cairn_statistics(one, &statistics, ATTACH_PATIENCE_MS), error);

        if (status != CAIRN_OK)
            return status;
        if (list)
            add_row(list, one, &statistics);
        else if (json_array_append_new(objects, table_json(one, &statistics)) != 0)
            return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    }
    return CAIRN_OK;
}

static enum status print_table(cairn *connection, struct error *error)
{
    static const char *const headings[] = {"TABLE",      "KIND",   "VERSION",  "ROWS",      "IN MEMORY",
                                           "CANDIDATES", "MEMORY", "HIT RATE", "EVICTIONS", "SWAP"};
    struct table list;
    enum status status;

    table_init(&list, sizeof(headings) / sizeof(headings[0]), headings);
    status = ask_all(connection, &list, NULL, error);
    if (status == CAIRN_OK && !table_print(&list, stdout))
        status = error_set(error, CAIRN_IO, "the table was not printed");
    table_fini(&list);
    return status;
}

static enum status print_json(cairn *connection, struct error *error)
{
    json_t *objects = json_array();
    enum status status;

    if (!objects)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    status = ask_all(connection, NULL, objects, error);
    if (status != CAIRN_OK) {
        json_decref(objects);
        return status;
    }
    if (!command_print_json(
            json_pack("{s:o, s:o}", "job", result_text(cairn_job_id(connection)), "tables", objects)))
        return error_set(error, CAIRN_IO, "the result was not printed");
    return CAIRN_OK;
}

int command_tables(int argc, char **argv)
{
    struct tables_settings settings;
    cairn *connection = NULL;
    struct error error;
    enum status status;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    status = attach_reader(settings.coordinator, settings.job, &connection, &error);
    if (status == CAIRN_OK)
        status = settings.json ? print_json(connection, &error) : print_table(connection, &error);
    cairn_close(connection);
    return status == CAIRN_OK ? EXIT_DONE : command_fail(table.program, EXIT_FAILED, &error);
}
