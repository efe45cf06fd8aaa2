/* Arrays in NumPy's file format, written row by row: how many there are is known at the end only. An array is
 * put in its place when it is whole; until then what was there stays (base/new_file.h).
 *
 * Knows nothing of what is in them. One thread an object. Source: numpy.lib.format, version 1.0. */
#ifndef CAIRN_CLI_NPY_H
#define CAIRN_CLI_NPY_H

#include "base/new_file.h"

#include <stdbool.h>
#include <stdint.h>

enum npy_type { NPY_UINT64, NPY_FLOAT32 };

struct npy {
    struct new_file file;
    bool is_in_place;
    enum npy_type type;
    uint32_t width; /* of a row; 0: the array has one dimension */
    uint64_t rows;  /* written so far */
};

/* Begins an array of shape [rows, width], or [rows] with width 0, that is to be at path.
 * Owns: npy_close, npy_discard; path is copied. Errors: those of new_file_open; nothing was made then. */
enum status npy_open(struct npy *npy, const char *path, enum npy_type type, uint32_t width,
                     struct error *error) MUST_CHECK;

/* Appends `rows` rows. Errors: those of the disk. */
enum status npy_write(struct npy *npy, const void *values, uint64_t rows, struct error *error) MUST_CHECK;

/* Writes how many rows there are and puts the file in its place. Errors: those of the disk; it is closed all
 * the same, and to be discarded. */
enum status npy_close(struct npy *npy, struct error *error) MUST_CHECK;

/* Closes and removes the file, if one was made, also one that is in its place. An npy of all zeros is
 * allowed. */
void npy_discard(struct npy *npy);

#endif
