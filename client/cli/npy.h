/* Arrays in NumPy's file format, written row by row: how many there are is known at the end only.
 *
 * Knows nothing of what is in them. One thread an object. Source: numpy.lib.format, version 1.0. */
#ifndef CAIRN_CLI_NPY_H
#define CAIRN_CLI_NPY_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

enum npy_type { NPY_UINT64, NPY_FLOAT32 };

struct npy {
    FILE *file; /* NULL: not open */
    char path[4096];
    enum npy_type type;
    uint32_t width; /* of a row; 0: the array has one dimension */
    uint64_t rows;  /* written so far */
};

/* Makes the file of an array of shape [rows, width], or [rows] with width 0; one that is there is emptied.
 * Owns: npy_close or npy_discard; path is copied. Errors: CAIRN_INVALID (too long), those of the disk. */
enum status npy_open(struct npy *npy, const char *path, enum npy_type type, uint32_t width,
                     struct error *error) MUST_CHECK;

/* Appends `rows` rows. Errors: those of the disk. */
enum status npy_write(struct npy *npy, const void *values, uint64_t rows, struct error *error) MUST_CHECK;

/* Writes how many rows there are and closes the file. Errors: those of the disk; it is closed all the same.
 */
enum status npy_close(struct npy *npy, struct error *error) MUST_CHECK;

/* Closes and removes the file, if there is one. An npy of all zeros is allowed. */
void npy_discard(struct npy *npy);

#endif
