/* A comma-separated file of numbers as two matrices: features, and the target columns.
 *
 * Source: RFC 4180, parsed by libcsv in strict mode, so that a stray quote is an error and not a guess. Lines
 * may end in LF or CRLF, empty lines are skipped, a byte order mark is dropped. Knows nothing of readers' own
 * interface, batches or scaling for other formats. One thread an object while it is made. */
#ifndef CAIRN_WORKER_DATA_CSV_TABLE_H
#define CAIRN_WORKER_DATA_CSV_TABLE_H

#include "base/status.h"
#include "data/reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_COLUMNS_MAX    (1u << 20)
#define CSV_CELL_BYTES_MAX (64u * 1024u)

struct csv_options {
    bool header;              /* the first line names the columns */
    const char *label_column; /* header name or 0-based index; NULL: the last. With several target elements:
                                 where the target columns begin; NULL: they are the last ones */
    double scale;             /* of features */
    const struct reader_wants *wants;
};

struct csv_table {
    uint64_t rows; /* at least 1 */
    uint64_t feature_columns;
    uint32_t target_columns;
    float *features; /* [rows, feature_columns], scaled */
    void *targets;   /* [rows, target_columns] int32 (TARGET_CLASS) or float */
};

/* Loads a whole file, which may be gzip-compressed. Owns: the caller, csv_table_fini, also after a failure.
 * Errors: CAIRN_NOT_FOUND, IO, NO_MEMORY, CORRUPT (gzip); CAIRN_INVALID "file:line: column NAME: what". */
enum status csv_table_load(const char *path, const struct csv_options *options, struct csv_table *table,
                           struct error *error) MUST_CHECK;

/* As csv_table_load, from uncompressed bytes in memory; file_name is for messages. */
enum status csv_table_parse(const void *bytes, size_t length, const char *file_name,
                            const struct csv_options *options, struct csv_table *table,
                            struct error *error) MUST_CHECK;

void csv_table_fini(struct csv_table *table);

#endif
