/* How fast are a sparse table's rows? Rows of 16 floats, one thread, random keys in blocks:
 *
 *   memory  look-ups with a touch of the row, insertions, changes, and the memory a row takes, for tables
 * that fit. Beside them the machine's limit: the same rows at random in plain memory, read ahead, with no
 *           table around them; and for insertions, the same rows written one after the other to fresh memory.
 *   capture what a generation of many changed rows costs the shard's thread, and the writer's.
 *   cold    a table ten times its budget. Beside it what LMDB itself does with as many records of that size:
 *           random gets, and puts in sorted batches; a change of a row that is not in memory needs both.
 *
 * Figures and their limits are taken in turn, so that a noisy machine disturbs both. */
#include "arguments.h"
#include "base/clock.h"
#include "figures.h"
#include "rows.h"
#include "rows_hash.h"
#include "rows_record.h"
#include "rows_region.h"
#include "rows_sort.h"

#include <argp.h>
#include <ftw.h>
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLOATS        16u
#define ROW_BYTES     (sizeof(struct row) + FLOATS * sizeof(float))
#define KEY_BYTES     (sizeof(uint64_t) + FLOATS * sizeof(float)) /* what a row must hold: 72 */
#define BLOCK         ROWS_BLOCK_MAX
#define LOOK_UPS      (1u << 22)
#define COLD_KEYS     (1u << 18)
#define LMDB_BATCH    8192u
#define AHEAD         16u
#define TABLE_OF_ROWS 3u

struct options {
    uint64_t rows; /* 0: 1 and 50 million */
    uint64_t cold_rows;
    uint32_t repetitions;
    const char *directory, *part;
    bool json;
};

static bool has_printed;

/* One line: what was measured, in millions a second, and its limit. */
static void print_rate(const struct options *options, const char *name, uint64_t rows,
                       const struct figure *rate, const struct figure *limit)
{
    double share = figure_median(limit) > 0 ? figure_median(rate) / figure_median(limit) : 0;

    if (options->json)
        printf("%s\n  {\"name\": \"%s\", \"rows\": %llu, \"millions_a_second\": %.4g, \"least\": %.4g, "
               "\"most\": %.4g, \"limit\": %.4g, \"share\": %.3g}",
               has_printed ? "," : "", name, (unsigned long long)rows, figure_median(rate),
               figure_least(rate), figure_most(rate), figure_median(limit), share);
    else
        printf("%-16s %9llu rows  %8.3f M/s (%.3f to %.3f)   limit %8.3f M/s   share %.2f\n", name,
               (unsigned long long)rows, figure_median(rate), figure_least(rate), figure_most(rate),
               figure_median(limit), share);
    has_printed = true;
    fflush(stdout);
}

static void print_value(const struct options *options, const char *name, uint64_t rows, double value,
                        const char *unit)
{
    if (options->json)
        printf("%s\n  {\"name\": \"%s\", \"rows\": %llu, \"value\": %.5g, \"unit\": \"%s\"}",
               has_printed ? "," : "", name, (unsigned long long)rows, value, unit);
    else
        printf("%-16s %9llu rows  %8.4g %s\n", name, (unsigned long long)rows, value, unit);
    has_printed = true;
    fflush(stdout);
}

static void stop_at(const char *what, const struct error *error)
{
    fprintf(stderr, "bench_rows: %s: %s\n", what, error->message);
    exit(EXIT_FAILURE);
}

/* --- keys --- */

static uint64_t chance_state = 1;

static uint64_t chance(uint64_t below)
{
    chance_state += 0x9e3779b97f4a7c15u;
    return (uint64_t)((double)(rows_hash(chance_state) >> 11) * 0x1p-53 * (double)below);
}

static void keys_draw(uint64_t keys[BLOCK], uint64_t rows)
{
    for (uint32_t i = 0; i < BLOCK; i++)
        keys[i] = chance(rows);
}

/* Distinct ones: a block is a random part of a random order. */
static void keys_draw_distinct(uint64_t keys[BLOCK], uint64_t rows)
{
    uint64_t stripe = rows / BLOCK;

    for (uint32_t i = 0; i < BLOCK; i++)
        keys[i] = i * stripe + chance(stripe);
}

static double millions(uint64_t count, uint64_t nanoseconds)
{
    return (double)count * 1e3 / (double)(nanoseconds ? nanoseconds : 1);
}

static volatile float sink;

/* --- the table in memory --- */

static struct rows *table_new(const struct rows_options *options)
{
    struct rows *rows = NULL;
    struct error error;

    if (rows_new(options, &rows, &error) != CAIRN_OK)
        stop_at("a table", &error);
    return rows;
}

static void row_fill(struct row *row, float value)
{
    for (uint32_t i = 0; i < FLOATS; i++)
        row->floats[i] = value;
}

/* Makes the rows of keys [0, count); returns the time and the longest block. */
static uint64_t insert_all(struct rows *rows, uint64_t count, uint64_t *longest_ns)
{
    uint64_t keys[BLOCK], begin = clock_ns(), before = begin;
    struct row *made[BLOCK];
    bool is_new[BLOCK];
    struct error error;

    *longest_ns = 0;
    for (uint64_t i = 0; i < count; i += BLOCK) {
        uint32_t some = (uint32_t)(count - i < BLOCK ? count - i : BLOCK);
        uint64_t now;

        for (uint32_t j = 0; j < some; j++)
            keys[j] = i + j;
        if (rows_make(rows, keys, some, made, is_new, &error) != CAIRN_OK)
            stop_at("insertion", &error);
        for (uint32_t j = 0; j < some; j++)
            row_fill(made[j], (float)j);
        now = clock_ns();
        if (now - before > *longest_ns)
            *longest_ns = now - before;
        before = now;
    }
    return clock_ns() - begin;
}

/* Looks random keys up and adds the ends of each row; millions a second. */
static double find_some(struct rows *rows, uint64_t row_count, uint64_t count)
{
    uint64_t keys[BLOCK], time = 0;
    struct row *found[BLOCK];
    struct error error;
    float sum = 0;

    for (uint64_t i = 0; i < count; i += BLOCK) {
        keys_draw(keys, row_count);
        time -= clock_ns();
        if (rows_find(rows, keys, BLOCK, found, &error) != CAIRN_OK)
            stop_at("look-up", &error);
        for (uint32_t j = 0; j < BLOCK; j++)
            sum += found[j]->floats[0] + found[j]->floats[FLOATS - 1];
        time += clock_ns();
    }
    sink = sum;
    return millions(count, time);
}

/* Adds to all floats of rows of random keys. */
static double change_some(struct rows *rows, uint64_t row_count, uint64_t count)
{
    uint64_t keys[BLOCK], time = 0;
    struct row *made[BLOCK];
    bool is_new[BLOCK];
    struct error error;

    for (uint64_t i = 0; i < count; i += BLOCK) {
        keys_draw_distinct(keys, row_count);
        time -= clock_ns();
        if (rows_make(rows, keys, BLOCK, made, is_new, &error) != CAIRN_OK)
            stop_at("change", &error);
        for (uint32_t j = 0; j < BLOCK; j++) {
            for (uint32_t k = 0; k < FLOATS; k++)
                made[j]->floats[k] += 1;
        }
        time += clock_ns();
    }
    return millions(count, time);
}

/* --- plain memory --- */

/* Reads (or changes) random rows of plain memory, with reads ahead. */
static double plain_some(char *memory, uint64_t row_count, uint64_t count, bool changes)
{
    uint64_t keys[BLOCK], time = 0;
    float sum = 0;

    for (uint64_t i = 0; i < count; i += BLOCK) {
        keys_draw(keys, row_count);
        time -= clock_ns();
        for (uint32_t j = 0; j < BLOCK + AHEAD; j++) {
            if (j < BLOCK) {
                const char *row = memory + keys[j] * ROW_BYTES;

                __builtin_prefetch(row);
                __builtin_prefetch(row + 64);
                __builtin_prefetch(row + ROW_BYTES - 1);
            }
            if (j >= AHEAD) {
                struct row *row = (struct row *)(void *)(memory + keys[j - AHEAD] * ROW_BYTES);

                sum += row->floats[0] + row->floats[FLOATS - 1];
                for (uint32_t k = 0; changes && k < FLOATS; k++)
                    row->floats[k] += 1;
            }
        }
        time += clock_ns();
    }
    sink = sum;
    return millions(count, time);
}

/* Writes rows one after the other to fresh memory; the memory stays for plain_some. */
static char *plain_fill(uint64_t row_count, struct figure *rate)
{
    uint64_t begin = clock_ns();
    char *memory = region_map(row_count * ROW_BYTES);

    if (!memory) {
        fprintf(stderr, "bench_rows: no memory for %llu rows\n", (unsigned long long)row_count);
        exit(EXIT_FAILURE);
    }
    for (uint64_t i = 0; i < row_count; i++) {
        struct row *row = (struct row *)(void *)(memory + i * ROW_BYTES);

        row->key = i;
        row_fill(row, (float)i);
    }
    figure_add(rate, millions(row_count, clock_ns() - begin));
    return memory;
}

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long long all = 0, resident = 0;

    if (!file || fscanf(file, "%llu %llu", &all, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void measure_memory(const struct options *options, uint64_t count)
{
    struct figure inserted = {0}, plain_inserted = {0}, found = {0}, plain_found = {0}, changed = {0},
                  plain_changed = {0};
    uint64_t before = resident_bytes(), longest_ns;
    struct rows *rows = table_new(&(struct rows_options){.floats = FLOATS});
    struct rows_facts facts;
    char *memory;

    figure_add(&inserted, millions(count, insert_all(rows, count, &longest_ns)));
    rows_facts(rows, &facts);
    print_value(options, "memory a row", count, (double)(resident_bytes() - before) / (double)count,
                "bytes resident");
    print_value(options, "accounted", count, (double)facts.memory_bytes / (double)count, "bytes a row");
    print_value(options, "share of 72", count,
                (double)(resident_bytes() - before) / (double)(count * KEY_BYTES), "times");
    print_value(options, "longest block", count, (double)longest_ns / 1e6, "ms, growing");
    memory = plain_fill(count, &plain_inserted);
    print_rate(options, "insert", count, &inserted, &plain_inserted);
    for (uint32_t i = 0; i < options->repetitions; i++) {
        figure_add(&plain_found, plain_some(memory, count, LOOK_UPS, false));
        figure_add(&found, find_some(rows, count, LOOK_UPS));
        figure_add(&plain_changed, plain_some(memory, count, LOOK_UPS, true));
        figure_add(&changed, change_some(rows, count, LOOK_UPS));
    }
    print_rate(options, "find", count, &found, &plain_found);
    print_rate(options, "change", count, &changed, &plain_changed);
    region_unmap(memory, count * ROW_BYTES);
    rows_free(rows);
}

/* --- generations --- */

static struct store *store_new(const char *directory, const char *name)
{
    char path[4096];
    struct store *store = NULL;
    struct error error;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (store_open(path, (size_t)1 << 34, &store, &error) != CAIRN_OK)
        stop_at(path, &error);
    return store;
}

static double capture_write(const struct rows_capture *capture, struct store *store, uint64_t keep_step)
{
    struct store_transaction *transaction;
    uint64_t begin = clock_ns();
    struct error error;

    if (store_begin_write(store, &transaction, &error) != CAIRN_OK ||
        rows_capture_write(capture, transaction, keep_step, &error) != CAIRN_OK ||
        store_commit(transaction, &error) != CAIRN_OK)
        stop_at("writing a generation", &error);
    return (double)(clock_ns() - begin) / 1e9;
}

/* One generation; prints what it cost when it has a name. */
static void generation(const struct options *options, const char *name, struct rows *rows,
                       struct store *store, uint64_t step)
{
    struct rows_capture *capture;
    struct rows_facts facts;
    struct error error;
    uint64_t begin = clock_ns(), at_once, longest = 0, all = 0;
    bool is_whole = false;
    double write_seconds;

    if (rows_capture(rows, step, &capture, &error) != CAIRN_OK)
        stop_at("a generation", &error);
    at_once = clock_ns() - begin;
    while (!is_whole) {
        uint64_t slice = clock_ns();

        if (rows_capture_more(rows, capture, 4096, &is_whole, &error) != CAIRN_OK)
            stop_at("a generation", &error);
        slice = clock_ns() - slice;
        longest = slice > longest ? slice : longest;
        all += slice;
    }
    write_seconds = capture_write(capture, store, step - 1);
    begin = clock_ns();
    rows_captured(rows, capture, true);
    rows_facts(rows, &facts);
    if (!name)
        return;
    print_value(options, "capture at once", facts.rows, (double)at_once / 1e6, "ms");
    print_value(options, "slices, all", facts.rows, (double)all / 1e6, "ms of copying");
    print_value(options, "slice of 4096", facts.rows, (double)longest / 1e6, "ms at most");
    print_value(options, "captured", facts.rows, (double)(clock_ns() - begin) / 1e6, "ms at the end");
    print_value(options, name, facts.rows, (double)facts.rows / write_seconds / 1e6, "M rows/s, durable");
}

static void measure_capture(const struct options *options)
{
    const uint64_t count = 1000000;
    char swap[4096];
    struct store *store = store_new(options->directory, "capture");
    struct rows *rows;
    uint64_t longest, begin, bytes;
    struct error error;

    snprintf(swap, sizeof(swap), "%s/capture.swap", options->directory);
    rows = table_new(&(struct rows_options){
        .floats = FLOATS, .store = store, .swap_directory = swap, .table = TABLE_OF_ROWS});
    (void)insert_all(rows, count, &longest);
    generation(options, "first written", rows, store, 1);
    (void)insert_all(rows, count, &longest);
    generation(options, "next written", rows, store, 2);
    rows_free(rows);
    rows = table_new(&(struct rows_options){
        .floats = FLOATS, .store = store, .swap_directory = swap, .table = TABLE_OF_ROWS, .step = 2});
    begin = clock_ns();
    if (rows_warm(rows, &bytes, &error) != CAIRN_OK)
        stop_at("loading", &error);
    print_value(options, "loaded", count, (double)bytes / (double)(clock_ns() - begin), "GB/s");
    rows_free(rows);
    store_close(store);
}

/* --- cold rows, and LMDB --- */

struct lmdb {
    MDB_env *environment;
    MDB_dbi database;
};

static void check(int code)
{
    if (code != 0) {
        fprintf(stderr, "bench_rows: LMDB: %s\n", mdb_strerror(code));
        exit(EXIT_FAILURE);
    }
}

/* Puts `count` items, sorted, in one transaction. */
static void lmdb_put(struct lmdb *lmdb, const struct sort_item *items, uint32_t count)
{
    char record[RECORD_HEAD_BYTES + FLOATS * sizeof(float)] = {0};
    MDB_txn *transaction;
    MDB_cursor *cursor;

    check(mdb_txn_begin(lmdb->environment, NULL, 0, &transaction));
    check(mdb_cursor_open(transaction, lmdb->database, &cursor));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = items[i].hash;
        MDB_val key = {sizeof(hash), &hash}, value = {sizeof(record), record};

        check(mdb_cursor_put(cursor, &key, &value, 0));
    }
    mdb_cursor_close(cursor);
    check(mdb_txn_commit(transaction));
}

static void lmdb_open(struct lmdb *lmdb, const char *directory, uint64_t count)
{
    char path[4096];
    struct sort_item *items = calloc(2 * count, sizeof(*items));
    MDB_txn *transaction;

    snprintf(path, sizeof(path), "%s/lmdb", directory);
    if (!items || (mkdir(path, 0777) != 0 && errno != EEXIST)) {
        fprintf(stderr, "bench_rows: %s: no memory or directory\n", path);
        exit(EXIT_FAILURE);
    }
    check(mdb_env_create(&lmdb->environment));
    check(mdb_env_set_mapsize(lmdb->environment, (size_t)64 << 30));
    check(mdb_env_open(lmdb->environment, path, MDB_WRITEMAP | MDB_NOSYNC | MDB_NOTLS, 0666));
    check(mdb_txn_begin(lmdb->environment, NULL, 0, &transaction));
    check(mdb_dbi_open(transaction, NULL, MDB_INTEGERKEY, &lmdb->database));
    check(mdb_txn_commit(transaction));
    for (uint64_t i = 0; i < count; i++)
        items[i].hash = rows_hash(i);
    rows_sort(items, items + count, count);
    for (uint64_t i = 0; i < count; i += 1u << 17)
        lmdb_put(lmdb, items + i, (uint32_t)(count - i < 1u << 17 ? count - i : 1u << 17));
    free(items);
}

/* Random gets, a copy of each value. */
static double lmdb_get_some(struct lmdb *lmdb, uint64_t row_count, uint64_t count)
{
    char record[RECORD_HEAD_BYTES + FLOATS * sizeof(float)];
    uint64_t keys[BLOCK], time = 0;
    MDB_txn *transaction;

    for (uint64_t i = 0; i < count; i += BLOCK) {
        keys_draw(keys, row_count);
        time -= clock_ns();
        check(mdb_txn_begin(lmdb->environment, NULL, MDB_RDONLY, &transaction));
        for (uint32_t j = 0; j < BLOCK; j++) {
            uint64_t hash = rows_hash(keys[j]);
            MDB_val key = {sizeof(hash), &hash}, value;

            check(mdb_get(transaction, lmdb->database, &key, &value));
            memcpy(record, value.mv_data, sizeof(record));
            sink = (float)record[0];
        }
        mdb_txn_abort(transaction);
        time += clock_ns();
    }
    return millions(count, time);
}

/* Puts of random keys, sorted in batches. */
static double lmdb_put_some(struct lmdb *lmdb, uint64_t row_count, uint64_t count)
{
    static struct sort_item items[LMDB_BATCH], scratch[LMDB_BATCH];
    uint64_t time = 0;

    for (uint64_t i = 0; i < count; i += LMDB_BATCH) {
        for (uint32_t j = 0; j < LMDB_BATCH; j++)
            items[j].hash = rows_hash(chance(row_count));
        time -= clock_ns();
        rows_sort(items, scratch, LMDB_BATCH);
        lmdb_put(lmdb, items, LMDB_BATCH);
        time += clock_ns();
    }
    return millions(count, time);
}

static void measure_cold(const struct options *options)
{
    uint64_t count = options->cold_rows, longest;
    struct figure get = {0}, put = {0}, both = {0}, found = {0}, changed = {0};
    char swap[4096];
    struct store *store = store_new(options->directory, "cold");
    struct rows_facts facts;
    struct lmdb lmdb;
    struct rows *rows;

    snprintf(swap, sizeof(swap), "%s/cold.swap", options->directory);
    rows = table_new(&(struct rows_options){.floats = FLOATS,
                                            .budget_bytes = count * KEY_BYTES / 10,
                                            .store = store,
                                            .swap_directory = swap,
                                            .table = TABLE_OF_ROWS});
    print_value(options, "insert, cold", count, millions(count, insert_all(rows, count, &longest)), "M/s");
    generation(options, NULL, rows, store, 1);
    lmdb_open(&lmdb, options->directory, count);
    for (uint32_t i = 0; i < options->repetitions; i++) {
        figure_add(&get, lmdb_get_some(&lmdb, count, COLD_KEYS));
        figure_add(&found, find_some(rows, count, COLD_KEYS));
    }
    print_rate(options, "find, cold", count, &found, &get);
    for (uint32_t i = 0; i < options->repetitions; i++) {
        double get_rate = lmdb_get_some(&lmdb, count, COLD_KEYS);
        double put_rate = lmdb_put_some(&lmdb, count, COLD_KEYS);

        figure_add(&put, put_rate);
        figure_add(&both, 1 / (1 / get_rate + 1 / put_rate));
        figure_add(&changed, change_some(rows, count, COLD_KEYS));
    }
    print_value(options, "LMDB put", count, figure_median(&put), "M/s");
    print_rate(options, "change, cold", count, &changed, &both);
    rows_facts(rows, &facts);
    print_value(options, "resident", count, (double)facts.memory_bytes / (double)(count * KEY_BYTES),
                "of the rows' bytes");
    mdb_env_close(lmdb.environment);
    rows_free(rows);
    store_close(store);
}

/* --- the program --- */

static int remove_entry(const char *path, const struct stat *facts, int type, struct FTW *walk)
{
    (void)facts, (void)type, (void)walk;
    return remove(path);
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 'r':
        options->rows = argument_number(argument, UINT32_MAX, state);
        return 0;
    case 'c':
        options->cold_rows = argument_number(argument, UINT32_MAX, state);
        return 0;
    case 'd':
        options->directory = argument;
        return 0;
    case 'p':
        options->part = argument;
        return 0;
    case 'n':
        options->repetitions = (uint32_t)argument_number(argument, FIGURE_SAMPLES_MAX, state);
        return 0;
    case 'j':
        options->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool has_part(const struct options *options, const char *part)
{
    return !options->part || strcmp(options->part, part) == 0;
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {
        {"rows", 'r', "N", 0, "Rows in memory (1 million, then 50)", 0},
        {"cold-rows", 'c', "N", 0, "Rows of the table ten times its budget (10 million)", 0},
        {"directory", 'd', "PATH", 0, "Where to make a folder for stores (/tmp)", 0},
        {"part", 'p', "memory|capture|cold", 0, "Only this one", 0},
        {"repetitions", 'n', "N", 0, "Runs of each figure (9)", 0},
        {"json", 'j', NULL, 0, "One JSON object", 0},
        {0}};
    static const struct argp argp = {
        argp_options, parse, NULL, "Measures the rows of sparse tables, one thread.", NULL, NULL, NULL};
    struct options options = {.cold_rows = 10000000, .repetitions = 9, .directory = "/tmp"};
    char folder[4000];

    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_FAILURE;
    snprintf(folder, sizeof(folder), "%s/bench-rows-XXXXXX", options.directory);
    if (!mkdtemp(folder)) {
        perror(folder);
        return EXIT_FAILURE;
    }
    options.directory = folder;
    if (options.json)
        printf("{\"benchmark\": \"rows\", \"floats\": %u, \"results\": [", FLOATS);
    if (has_part(&options, "memory")) {
        measure_memory(&options, options.rows ? options.rows : 1000000);
        if (!options.rows)
            measure_memory(&options, 50000000);
    }
    if (has_part(&options, "capture"))
        measure_capture(&options);
    if (has_part(&options, "cold"))
        measure_cold(&options);
    if (options.json)
        printf("\n]}\n");
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
