/* Arrays in NumPy's file format, written row by row: how many there are is known at the end only. An array is
 * written beside its place and put there when it is whole; until then what was there stays.
 *
 * Knows nothing of what is in them. One thread an object. Source: numpy.lib.format, version 1.0. */
#ifndef CAIRN_CLI_NPY_H
#define CAIRN_CLI_NPY_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

enum npy_type { NPY_UINT64, NPY_FLOAT32 };

struct npy {
    FILE *file;           /* NULL: not open */
    char path[4096];      /* where the array is to be */
    char made[4096 + 32]; /* what there is to remove: beside it, then in its place; empty: nothing */
    enum npy_type type;
    uint32_t width; /* of a row; 0: the array has one dimension */
    uint64_t rows;  /* written so far */
};

/* Begins an array of shape [rows, width], or [rows] with width 0, that is to be in the place of what is at
 * path: nothing, a file that may be written, or a link to such a file.
 * Owns: npy_close, npy_discard; path is copied. Errors: CAIRN_INVALID (too long, or no regular file, such as
 * a pipe), those of the disk; nothing was made then. */
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
