/* A file that is written beside its place and put there when it is whole: whoever looks finds what was there
 * before, or all of the new one.
 *
 * Where the path is a link, the place is where that leads to. What is there must be a regular file that may
 * be written, and gives the new one its permissions; a pipe, a device or a folder stays. Knows nothing of
 * what is written. One thread an object; any number of processes may write to one place, and the last one
 * counts. */
#ifndef CAIRN_BASE_NEW_FILE_H
#define CAIRN_BASE_NEW_FILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdio.h>

#define NEW_FILE_PATH_BYTES 4096

struct new_file {
    FILE *file;                            /* to write to; NULL: not open */
    char path[NEW_FILE_PATH_BYTES];        /* its place, without links */
    char beside[NEW_FILE_PATH_BYTES + 32]; /* where it lies until it is whole; empty: nowhere */
};

/* Begins a file that is to be at path. Nothing has changed there after a failure.
 * Owns: new_file_fini, whatever came of this; path is copied.
 * Errors: CAIRN_INVALID (too long, or no regular file), CAIRN_NOT_FOUND (no such folder, or a link that leads
 * nowhere), those of the disk: a line with the path. */
enum status new_file_open(struct new_file *new_file, const char *path, struct error *error) MUST_CHECK;

/* Appends length bytes. Errors: those of the disk: a line with the path. */
enum status new_file_write(struct new_file *new_file, const void *bytes, size_t length,
                           struct error *error) MUST_CHECK;

/* Makes the file durable and puts it in its place. Errors: those of the disk: a line with the path; what was
 * there stays. */
enum status new_file_finish(struct new_file *new_file, struct error *error) MUST_CHECK;

/* Closes what is open and removes a file that is not in its place. One of all zeros is allowed, and so is
 * twice. */
void new_file_fini(struct new_file *new_file);

#endif
