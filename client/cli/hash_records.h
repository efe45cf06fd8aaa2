/* The records of hashes of one run (model/formats/hashes.h), as `cairn verify` compares them: those of all
 * its workers together. Reads files, says nothing. One thread an object. */
#ifndef CAIRN_CLI_HASH_RECORDS_H
#define CAIRN_CLI_HASH_RECORDS_H

#include "model/formats/hashes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_file {
    char *path;
    struct hashes hashes;
};

/* A version of some record. */
struct hash_version {
    const struct hash_file *file;
    const struct hashes_line *line;
};

struct hash_records {
    size_t file_count;
    struct hash_file *files;
    size_t version_count;
    struct hash_version *versions; /* all: by step, exact ones before copies */
};

/* Where two versions that should be equal are not. */
struct hash_difference {
    struct hash_version first, second;
    const char *tensor; /* the first that differs */
    uint64_t first_sum, second_sum;
};

/* What comparing has found. Counts are of versions, each once whoever recorded it. */
struct hash_comparison {
    size_t common, different, only_first, only_second;
    uint64_t only_first_begin, only_first_last, only_second_begin, only_second_last; /* steps */
    struct hash_difference difference; /* the earliest, when there are different ones */
};

/* Reads a record, all records of a folder (*.txt; empty ones are passed over), or those beside a model file
 * (PATH.hashes). hash_records_fini is right also after a failure.
 * Errors: CAIRN_NOT_FOUND, CAIRN_IO; CAIRN_CORRUPT for a damaged record; CAIRN_INVALID when there is none, or
 * when they are of several jobs; one line. */
enum status hash_records_load(struct hash_records *records, const char *path, struct error *error) MUST_CHECK;
void hash_records_fini(struct hash_records *records);

/* Whether versions that came more than once, from one worker or several, agree; else the earliest that do
 * not. */
bool hash_records_agree(const struct hash_records *records, struct hash_difference *difference);

/* Whether both are of models with the same tensors; only then can they be compared. */
bool hash_records_are_alike(const struct hash_records *first, const struct hash_records *second);

/* Compares version by version. */
void hash_records_compare(const struct hash_records *first, const struct hash_records *second,
                          struct hash_comparison *comparison);

#endif
