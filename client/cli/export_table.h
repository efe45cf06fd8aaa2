/* cairn export of one table of a tables job. Main thread only. */
#ifndef CAIRN_CLI_EXPORT_TABLE_H
#define CAIRN_CLI_EXPORT_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct export_table {
    const char *program; /* as the user types it */
    const char *job, *coordinator, *name;
    const char *output; /* NULL: the table's name, of a dense one with .npy */
    uint64_t since;
    bool json;
};

/* Writes a table of a running job to the disk: of a sparse one a folder, which must not be there, with
 * keys.npy, steps.npy and weights.npy of the rows that changed since a step; of a dense one a .npy file.
 * Prints what was written, or why it was not; a part of it is not left behind. Returns the exit code. */
int export_table(const struct export_table *export);

#endif
