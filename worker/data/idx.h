/* The idx format: an array of one number type with its dimensions, big-endian.
 *
 * Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", file format: magic number 0 0 TYPE RANK, the
 * dimensions as 32-bit integers, the elements row-major. Knows nothing of images, labels or models. */
#ifndef CAIRN_WORKER_DATA_IDX_H
#define CAIRN_WORKER_DATA_IDX_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDX_RANK_MAX 8

enum idx_type {
    IDX_UINT8 = 0x08,
    IDX_INT8 = 0x09,
    IDX_INT16 = 0x0B,
    IDX_INT32 = 0x0C,
    IDX_FLOAT32 = 0x0D,
    IDX_FLOAT64 = 0x0E
};

struct idx_array {
    enum idx_type type;
    uint32_t rank; /* at least 1 */
    uint32_t dimension[IDX_RANK_MAX];
    uint64_t count;    /* dimension[0], at least 1 */
    uint64_t elements; /* of one item: the product of the other dimensions, at least 1 */
    void *values;      /* [count, elements] in the machine's byte order */
};

/* Loads a whole file, which may be gzip-compressed. Memory is asked for only when the file can hold what its
 * header claims. Owns: the caller, idx_array_fini, also after a failure.
 * Errors: CAIRN_NOT_FOUND, IO, NO_MEMORY; CAIRN_CORRUPT: wrong magic or type, truncated, trailing bytes;
 * CAIRN_INVALID: no elements. One line that begins with the path. */
enum status idx_load(const char *path, struct idx_array *array, struct error *error) MUST_CHECK;

/* As idx_load, from uncompressed bytes in memory; messages name no file. */
enum status idx_parse(const void *bytes, size_t length, struct idx_array *array,
                      struct error *error) MUST_CHECK;

void idx_array_fini(struct idx_array *array);

/* Element `element` of item `item` as a double, which holds every idx type exactly. */
double idx_value(const struct idx_array *array, uint64_t item, uint64_t element);

/* Whether the elements are floating-point numbers. */
bool idx_is_float(const struct idx_array *array);

#endif
