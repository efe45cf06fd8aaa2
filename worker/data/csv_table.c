/* csv_table.h: libcsv finds the cells; here they become numbers and rows.
 *
 * Text goes to libcsv line by line, so that the number of the line is known inside its callbacks. A row's
 * cells are collected as doubles first, because without a header the number of columns, and with it the place
 * of the target, is known only at the end of the first row. libcsv's callbacks cannot fail, so the first
 * failure is kept in `status` and everything after it is ignored. */
#include "data/csv_table.h"

#include "base/nearest.h"
#include "data/input.h"

#include <csv.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (256u * 1024u)
#define SHOWN_BYTES 40 /* of a foreign cell in a message */

struct csv_load {
    struct csv_parser parser;
    const char *file_name;
    const struct csv_options *options;
    struct csv_table *table;
    uint64_t line;
    bool names_pending; /* the next row is the header */
    uint32_t columns;   /* 0: not known yet */
    uint32_t first_target;
    char **names;  /* [columns] when there is a header */
    double *cells; /* the row in hand */
    uint32_t cell_count, cell_capacity;
    uint64_t row_capacity;
    enum status status;
    struct error *error;
};

#define FAIL(load, ...)                                                                                      \
    do {                                                                                                     \
        (load)->status = error_set((load)->error, CAIRN_INVALID, __VA_ARGS__);                               \
        error_prefix((load)->error, (load)->status, "%s:%llu", (load)->file_name,                            \
                     (unsigned long long)(load)->line);                                                      \
    } while (0)

static void fail_memory(struct csv_load *load)
{
    load->status = error_set(load->error, CAIRN_NO_MEMORY, "%s: out of memory", load->file_name);
}

/* Foreign text made fit for one line of a message. */
static const char *shown(const char *text, char buffer[SHOWN_BYTES + 4])
{
    size_t length = strnlen(text, SHOWN_BYTES + 1);
    bool cut = length > SHOWN_BYTES;

    if (cut)
        length = SHOWN_BYTES;
    for (size_t i = 0; i < length; i++)
        buffer[i] = iscntrl((unsigned char)text[i]) ? '?' : text[i];
    strcpy(buffer + length, cut ? "..." : "");
    return buffer;
}

/* The name of a column for messages: from the header, else its 0-based index. */
static const char *column_name(const struct csv_load *load, uint32_t column, char buffer[SHOWN_BYTES + 4])
{
    if (load->names != NULL && column < load->columns)
        return shown(load->names[column], buffer);
    snprintf(buffer, SHOWN_BYTES + 4, "%u", column);
    return buffer;
}

/* A decimal number without anything around it but spaces. */
static bool parse_number(const char *text, size_t length, double *value)
{
    char *end;

    if (strlen(text) != length || strpbrk(text, "xX") != NULL)
        return false;
    *value = strtod(text, &end);
    if (end == text)
        return false;
    while (*end == ' ' || *end == '\t')
        end++;
    return *end == '\0';
}

static bool grow_row(struct csv_load *load)
{
    uint32_t capacity = load->cell_capacity == 0 ? 64 : load->cell_capacity * 2;
    double *cells = realloc(load->cells, capacity * sizeof *cells);
    char **names;

    if (cells == NULL)
        return false;
    load->cells = cells;
    if (load->names_pending) {
        names = realloc(load->names, capacity * sizeof *names);
        if (names == NULL)
            return false;
        load->names = names;
    }
    load->cell_capacity = capacity;
    return true;
}

static void take_number(struct csv_load *load, const char *text, size_t length)
{
    char name[SHOWN_BYTES + 4], cell[SHOWN_BYTES + 4];
    double value;

    column_name(load, load->cell_count, name);
    if (length == 0)
        FAIL(load, "column %s: the cell is empty; a number is needed", name);
    else if (!parse_number(text, length, &value))
        FAIL(load, "column %s: '%s' is not a number", name, shown(text, cell));
    else if (!isfinite(value))
        FAIL(load, "column %s: '%s' is not a finite number", name, shown(text, cell));
    else
        load->cells[load->cell_count] = value;
}

/* libcsv: one cell, NUL-terminated. */
static void on_cell(void *cell, size_t length, void *context)
{
    struct csv_load *load = context;
    const char *text = cell != NULL ? cell : "";

    if (load->status != CAIRN_OK)
        return;
    if (load->columns != 0 && load->cell_count >= load->columns) {
        load->cell_count++; /* the row is too long: on_row says so, with the whole number */
        return;
    }
    if (load->cell_count >= CSV_COLUMNS_MAX) {
        FAIL(load, "more than %u columns", CSV_COLUMNS_MAX);
        return;
    }
    if (load->cell_count == load->cell_capacity && !grow_row(load)) {
        fail_memory(load);
        return;
    }
    if (!load->names_pending) {
        take_number(load, text, length);
    } else if ((load->names[load->cell_count] = strdup(text)) == NULL) {
        fail_memory(load);
        return;
    }
    load->cell_count++;
}

/* The whole of text as a column index. */
static bool parse_index(const char *text, unsigned long *index)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *index = strtoul(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static void fail_label_column(struct csv_load *load)
{
    const char *wanted = load->options->label_column;
    const char *near = NULL;
    char name[SHOWN_BYTES + 4], text[SHOWN_BYTES + 4];
    unsigned long index;

    if (parse_index(wanted, &index))
        FAIL(load, "label_column %lu: the columns are 0 to %u", index, load->columns - 1);
    else if (load->names == NULL)
        FAIL(load, "label_column '%s': without a header it is a column's index, 0 to %u", shown(wanted, text),
             load->columns - 1);
    else if ((near = nearest_word(wanted, (const char *const *)load->names, load->columns)) != NULL)
        FAIL(load, "no column is called '%s'; did you mean '%s'?", shown(wanted, text), shown(near, name));
    else
        FAIL(load, "no column is called '%s'; the first of the %u columns is '%s', the last '%s'",
             shown(wanted, text), load->columns, shown(load->names[0], name),
             column_name(load, load->columns - 1, (char[SHOWN_BYTES + 4]){0}));
}

/* Where the target columns begin; false: there is no such column. */
static bool find_target(const struct csv_load *load, uint32_t *first)
{
    const char *wanted = load->options->label_column;
    unsigned long index;

    if (wanted == NULL) {
        *first = load->columns - load->table->target_columns;
        return true;
    }
    for (uint32_t i = 0; load->names != NULL && i < load->columns; i++) {
        if (strcmp(load->names[i], wanted) == 0) {
            *first = i;
            return true;
        }
    }
    if (!parse_index(wanted, &index) || index >= load->columns)
        return false;
    *first = (uint32_t)index;
    return true;
}

/* The number of columns is known: checks it against what the model needs. */
static void fix_columns(struct csv_load *load)
{
    uint32_t targets = load->table->target_columns;
    uint64_t need = shape_elements(&load->options->wants->input);

    load->columns = load->cell_count;
    if (load->columns <= targets)
        FAIL(load, "%u columns: one target needs %u and the features at least 1", load->columns, targets);
    else if (!find_target(load, &load->first_target))
        fail_label_column(load);
    else if (load->first_target > load->columns - targets)
        FAIL(load, "the %u target columns do not fit between column %u and the last, %u", targets,
             load->first_target, load->columns - 1);
    else if (load->columns - targets != need)
        FAIL(load, "%u columns less %u for the target leave %u features, the model's input has %llu",
             load->columns, targets, load->columns - targets, (unsigned long long)need);
    else
        load->table->feature_columns = need;
}

static bool grow_table(struct csv_load *load)
{
    uint64_t capacity = load->row_capacity == 0 ? 64 : load->row_capacity + load->row_capacity / 2;
    size_t bytes;
    void *memory;

    if (__builtin_mul_overflow(capacity, load->table->feature_columns * sizeof(float), &bytes))
        return false;
    memory = realloc(load->table->features, bytes);
    if (memory == NULL)
        return false;
    load->table->features = memory;
    if (__builtin_mul_overflow(capacity, load->table->target_columns * sizeof(float), &bytes))
        return false;
    memory = realloc(load->table->targets, bytes);
    if (memory == NULL)
        return false;
    load->table->targets = memory;
    load->row_capacity = capacity;
    return true;
}

static void add_class(struct csv_load *load, double value)
{
    uint32_t classes = load->options->wants->classes;
    char name[SHOWN_BYTES + 4];

    if (value >= 0 && value < classes && value == floor(value))
        ((int32_t *)load->table->targets)[load->table->rows] = (int32_t)value;
    else
        FAIL(load, "column %s: %g is not a class; the model has classes 0 to %u",
             column_name(load, load->first_target, name), value, classes - 1);
}

/* One value of the row in hand as a float, which it must fit. */
static float to_float(struct csv_load *load, uint32_t column, double scale)
{
    float value = (float)(load->cells[column] * scale);
    char name[SHOWN_BYTES + 4];

    if (!isfinite(value) && load->status == CAIRN_OK)
        FAIL(load, "column %s: %g is outside the range of a float", column_name(load, column, name),
             load->cells[column] * scale);
    return value;
}

static void add_row(struct csv_load *load)
{
    struct csv_table *table = load->table;
    float *features = table->features + table->rows * table->feature_columns;
    float *targets = (float *)table->targets + table->rows * table->target_columns;

    for (uint32_t i = 0; i < load->first_target; i++)
        *features++ = to_float(load, i, load->options->scale);
    for (uint32_t i = load->first_target + table->target_columns; i < load->columns; i++)
        *features++ = to_float(load, i, load->options->scale);
    if (load->options->wants->target == TARGET_CLASS)
        add_class(load, load->cells[load->first_target]);
    else
        for (uint32_t i = 0; i < table->target_columns; i++)
            targets[i] = to_float(load, load->first_target + i, 1);
    table->rows++;
}

/* libcsv: the end of a row. */
static void on_row(int terminator, void *context)
{
    struct csv_load *load = context;

    (void)terminator;
    if (load->status != CAIRN_OK)
        return;
    if (load->columns == 0)
        fix_columns(load);
    else if (load->cell_count != load->columns)
        FAIL(load, "%u cells, the rows before have %u", load->cell_count, load->columns);
    if (load->status == CAIRN_OK && !load->names_pending) {
        if (load->table->rows == load->row_capacity && !grow_table(load))
            fail_memory(load);
        else
            add_row(load);
    }
    load->names_pending = false;
    load->cell_count = 0;
}

static void check_parser(struct csv_load *load, bool failed)
{
    if (load->status != CAIRN_OK || !failed)
        return;
    if (csv_error(&load->parser) == CSV_ENOMEM)
        fail_memory(load);
    else
        FAIL(load, "a quote (\") stands where none is allowed; within quotes write it twice");
}

/* Part of the text. A line may come in several parts. */
static void feed(struct csv_load *load, const char *bytes, size_t length)
{
    while (length > 0 && load->status == CAIRN_OK) {
        const char *end = memchr(bytes, '\n', length);
        size_t part = end != NULL ? (size_t)(end - bytes) + 1 : length;

        check_parser(load, csv_parse(&load->parser, bytes, part, on_cell, on_row, load) != part);
        if (load->status == CAIRN_OK && csv_get_buffer_size(&load->parser) > CSV_CELL_BYTES_MAX)
            FAIL(load, "a cell of more than %u bytes ends here; is a closing quote missing?",
                 CSV_CELL_BYTES_MAX);
        load->line += end != NULL;
        bytes += part;
        length -= part;
    }
}

static enum status start(struct csv_load *load, const char *file_name, const struct csv_options *options,
                         struct csv_table *table, struct error *error)
{
    *load = (struct csv_load){.file_name = file_name,
                              .options = options,
                              .table = table,
                              .line = 1,
                              .names_pending = options->header,
                              .error = error};
    *table = (struct csv_table){
        .target_columns = options->wants->target == TARGET_CLASS ? 1 : options->wants->target_elements};
    if (csv_init(&load->parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0)
        return error_set(error, CAIRN_NO_MEMORY, "%s: out of memory", file_name);
    csv_set_blk_size(&load->parser, 4096);
    return CAIRN_OK;
}

/* After the last byte: the last row may have no newline. */
static void end(struct csv_load *load, bool any_bytes)
{
    int failed;

    if (load->status != CAIRN_OK)
        return;
    failed = csv_fini(&load->parser, on_cell, on_row, load);
    if (load->status == CAIRN_OK && failed != 0)
        FAIL(load, "the file ends within quotes");
    else if (load->status == CAIRN_OK && load->table->rows == 0)
        load->status = error_set(load->error, CAIRN_INVALID, "%s: %s", load->file_name,
                                 any_bytes ? "no rows of data" : "the file is empty");
}

static void release(struct csv_load *load)
{
    uint32_t names = load->columns != 0 ? load->columns : load->cell_count;

    /* While the header is being read its cells are counted; afterwards they are the columns. */
    if (load->names != NULL)
        for (uint32_t i = 0; i < names; i++)
            free(load->names[i]);
    free(load->names);
    free(load->cells);
    csv_free(&load->parser);
}

static size_t mark_bytes(const char *bytes, size_t length)
{
    return length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

enum status csv_table_parse(const void *bytes, size_t length, const char *file_name,
                            const struct csv_options *options, struct csv_table *table, struct error *error)
{
    struct csv_load load;
    size_t mark = mark_bytes(bytes, length);
    enum status status = start(&load, file_name, options, table, error);

    if (status != CAIRN_OK)
        return status;
    feed(&load, (const char *)bytes + mark, length - mark);
    end(&load, length > 0);
    release(&load);
    return load.status;
}

static enum status load_input(struct csv_load *load, struct input *input, char *block, struct error *error)
{
    bool first = true, any = false;
    enum status status;
    size_t got;

    do {
        size_t mark;

        status = input_read(input, block, BLOCK_BYTES, &got, error);
        if (status != CAIRN_OK)
            return error_prefix(error, status, "%s", load->file_name);
        mark = first ? mark_bytes(block, got) : 0;
        any = any || got > 0;
        first = false;
        feed(load, block + mark, got - mark);
    } while (got == BLOCK_BYTES && load->status == CAIRN_OK);
    end(load, any);
    return load->status;
}

enum status csv_table_load(const char *path, const struct csv_options *options, struct csv_table *table,
                           struct error *error)
{
    struct input input;
    struct csv_load load;
    char *block = NULL;
    enum status status = start(&load, path, options, table, error);

    if (status != CAIRN_OK)
        return status;
    status = input_init(&input, path, error);
    if (status != CAIRN_OK) {
        error_prefix(error, status, "%s", path);
        goto out;
    }
    block = malloc(BLOCK_BYTES);
    if (block == NULL)
        status = error_set(error, CAIRN_NO_MEMORY, "%s: out of memory", path);
    else
        status = load_input(&load, &input, block, error);
out:
    free(block);
    input_fini(&input);
    release(&load);
    return status;
}

void csv_table_fini(struct csv_table *table)
{
    free(table->features);
    free(table->targets);
    *table = (struct csv_table){0};
}
