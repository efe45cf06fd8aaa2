/* A data file as a stream of bytes, decompressed when it begins as a gzip file does.
 *
 * Knows nothing of what is in it. One thread an object. */
#ifndef CAIRN_WORKER_DATA_INPUT_H
#define CAIRN_WORKER_DATA_INPUT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

struct input {
    gzFile file;
    uint64_t bound; /* no more bytes than this can come, so that a header's claim can be checked first */
};

/* Opens a regular file. May be finished even if it failed. Messages do not name the file: the caller puts its
 * path before them.
 * Errors: CAIRN_NOT_FOUND, IO, INVALID (not a regular file), NO_MEMORY. */
enum status input_init(struct input *input, const char *path, struct error *error) MUST_CHECK;
void input_fini(struct input *input);

/* Reads `want` bytes, fewer only at the end of the file: *got.
 * Errors: CAIRN_CORRUPT (damaged or truncated gzip data), IO. */
enum status input_read(struct input *input, void *bytes, size_t want, size_t *got,
                       struct error *error) MUST_CHECK;

#endif
