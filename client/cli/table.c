/* A table of text for people. */
#include "table.h"

#include "base/status.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void table_init(struct table *table, size_t columns, const char *const *headings)
{
    BUG_IF(columns == 0 || columns > TABLE_COLUMNS_MAX);
    *table = (struct table){.columns = columns};
    for (size_t i = 0; i < columns; i++)
        table_add(table, "%s", headings[i]);
}

void table_fini(struct table *table)
{
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct table){0};
}

static bool make_room(struct table *table)
{
    size_t capacity = table->capacity ? 2 * table->capacity : 64;
    char **cells;

    if (table->cell_count < table->capacity)
        return true;
    cells = realloc(table->cells, capacity * sizeof(*cells));
    if (!cells)
        return false;
    table->cells = cells;
    table->capacity = capacity;
    return true;
}

void table_add(struct table *table, const char *format, ...)
{
    va_list args;
    char *cell = NULL;

    va_start(args, format);
    if (vasprintf(&cell, format, args) < 0)
        cell = NULL;
    va_end(args);
    if (cell && make_room(table)) {
        table->cells[table->cell_count++] = cell;
    } else {
        free(cell);
        table->failed = true;
    }
}

/* How many cells stand in full rows. */
static size_t full_cells(const struct table *table)
{
    return table->cell_count / table->columns * table->columns;
}

static void measure(const struct table *table, size_t *widths)
{
    for (size_t i = 0; i < full_cells(table); i++) {
        size_t length = strlen(table->cells[i]);

        if (length > widths[i % table->columns])
            widths[i % table->columns] = length;
    }
}

bool table_print(const struct table *table, FILE *file)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};

    if (table->failed)
        return false;
    measure(table, widths);
    for (size_t i = 0; i < full_cells(table); i++) {
        size_t column = i % table->columns;

        if (column + 1 == table->columns)
            fprintf(file, "%s\n", table->cells[i]);
        else
            fprintf(file, "%-*s  ", (int)widths[column], table->cells[i]);
    }
    return true;
}
