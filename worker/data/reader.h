/* Data readers: one interface over every file format: count, and read sample i.
 *
 * A reader is opened once, checks the whole file (or enough of it that no later read can go wrong) and is
 * immutable afterwards: reading is allowed from any thread. One file a format (idx.c, csv.c), one line each
 * in reader.c's table. Knows nothing of batches, steps or networks. */
#ifndef CAIRN_WORKER_DATA_READER_H
#define CAIRN_WORKER_DATA_READER_H

#include "base/status.h"
#include "job/job.h"
#include "model/graph.h"

#include <stdint.h>

/* How targets are wanted, which follows from the model's loss. */
enum target_type {
    TARGET_CLASS, /* int32 in [0, classes) */
    TARGET_FLOAT  /* float32 [target_elements] */
};

/* What the model needs of the data; readers refuse files that do not give it. */
struct reader_wants {
    struct shape input; /* of a sample; the file's elements a sample must be equal in number */
    enum target_type target;
    uint32_t classes;         /* TARGET_CLASS */
    uint32_t target_elements; /* TARGET_FLOAT */
};

struct reader;

/* Opens a data set. Owns: the caller (reader_free); source and wants are borrowed during the call.
 * base: as job_path's job for relative paths.
 * Errors: CAIRN_INVALID / CORRUPT / NOT_FOUND / IO with one line: file (and line or byte), what, what is
 * allowed. Files may be gzip-compressed (by their first bytes, idx and csv alike). */
enum status reader_open(const struct job *job, const struct data_source *source,
                        const struct reader_wants *wants, struct reader **out,
                        struct error *error) MUST_CHECK;
void reader_free(struct reader *reader);

/* Samples in the set, at least 1. */
uint64_t reader_count(const struct reader *reader);

/* Writes sample `index` (< count): features[input elements], scaled, and its target (int32 or floats). */
void reader_read(const struct reader *reader, uint64_t index, float *features, void *target);

/* What a graph's loss and shapes want. */
struct reader_wants reader_wants_of(const struct graph *graph);

#endif
