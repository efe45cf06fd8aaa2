/* A table of text for people: columns as wide as their widest cell. One thread an object. */
#ifndef CAIRN_CLI_TABLE_H
#define CAIRN_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 12

struct table {
    size_t columns, cell_count, capacity;
    char **cells; /* row after row */
    bool failed;  /* memory ran out: nothing will be printed */
};

/* A table with a first row of `columns` headings. */
void table_init(struct table *table, size_t columns, const char *const *headings);
void table_fini(struct table *table);

/* Appends one cell; a row is full after `columns` of them. */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes all full rows. False when memory ran out while the table was filled. */
bool table_print(const struct table *table, FILE *file);

#endif
