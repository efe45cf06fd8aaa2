/* idx.h: a header whose claims are checked against the bytes there are, then one block of elements. */
#include "data/idx.h"

#include "data/input.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define IDX_HEADER_MAX (4 + 4 * IDX_RANK_MAX)

/* Bytes of an element; 0: no such type. */
static size_t idx_type_bytes(unsigned type)
{
    switch (type) {
    case IDX_UINT8:
    case IDX_INT8:
        return 1;
    case IDX_INT16:
        return 2;
    case IDX_INT32:
    case IDX_FLOAT32:
        return 4;
    case IDX_FLOAT64:
        return 8;
    default:
        return 0;
    }
}

static uint32_t big_endian_32(const unsigned char *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof value);
    return be32toh(value);
}

/* The first four bytes. */
static enum status idx_magic(const unsigned char *bytes, size_t length, struct idx_array *array,
                             struct error *error)
{
    if (length == 0)
        return error_set(error, CAIRN_CORRUPT, "the file is empty; an idx file is needed");
    if (length < 4)
        return error_set(error, CAIRN_CORRUPT, "truncated: %zu bytes, an idx header has at least 8", length);
    if (bytes[0] != 0 || bytes[1] != 0)
        return error_set(error, CAIRN_CORRUPT,
                         "not an idx file: it begins with %02x %02x %02x %02x instead of 00 00 TYPE RANK",
                         bytes[0], bytes[1], bytes[2], bytes[3]);
    if (idx_type_bytes(bytes[2]) == 0)
        return error_set(error, CAIRN_CORRUPT,
                         "idx element type 0x%02x is unknown; the format has 08, 09, 0B, 0C, 0D and 0E",
                         bytes[2]);
    if (bytes[3] < 1 || bytes[3] > IDX_RANK_MAX)
        return error_set(error, CAIRN_CORRUPT, "%u dimensions; 1 to %d are supported", bytes[3],
                         IDX_RANK_MAX);
    array->type = bytes[2];
    array->rank = bytes[3];
    return CAIRN_OK;
}

/* The dimensions, after the magic; *bytes_out: the size of all elements. */
static enum status idx_dimensions(const unsigned char *bytes, size_t length, struct idx_array *array,
                                  uint64_t *bytes_out, struct error *error)
{
    uint64_t total = idx_type_bytes(array->type);

    if (length < 4 * (size_t)array->rank)
        return error_set(error, CAIRN_CORRUPT, "truncated in the idx header");
    array->elements = 1;
    for (uint32_t i = 0; i < array->rank; i++) {
        array->dimension[i] = big_endian_32(bytes + 4 * i);
        if (array->dimension[i] == 0)
            return error_set(error, CAIRN_INVALID,
                             "the idx header says that there are no elements (dimension %u is 0)", i);
        if (__builtin_mul_overflow(total, array->dimension[i], &total) || total > SIZE_MAX / 2)
            return error_set(error, CAIRN_CORRUPT, "the dimensions in the idx header are too large");
        if (i > 0)
            array->elements *= array->dimension[i];
    }
    array->count = array->dimension[0];
    *bytes_out = total;
    return CAIRN_OK;
}

static enum status idx_truncated(uint64_t need, struct error *error)
{
    return error_set(error, CAIRN_CORRUPT,
                     "truncated: the idx header promises %llu bytes of elements, the file ends before",
                     (unsigned long long)need);
}

static void idx_to_host(struct idx_array *array)
{
    uint64_t total = array->count * array->elements;

    switch (idx_type_bytes(array->type)) {
    case 2: {
        uint16_t *values = array->values;
        for (uint64_t i = 0; i < total; i++)
            values[i] = be16toh(values[i]);
        break;
    }
    case 4: {
        uint32_t *values = array->values;
        for (uint64_t i = 0; i < total; i++)
            values[i] = be32toh(values[i]);
        break;
    }
    case 8: {
        uint64_t *values = array->values;
        for (uint64_t i = 0; i < total; i++)
            values[i] = be64toh(values[i]);
        break;
    }
    default:
        break;
    }
}

enum status idx_parse(const void *bytes, size_t length, struct idx_array *array, struct error *error)
{
    const unsigned char *at = bytes;
    uint64_t total;
    size_t header;
    enum status status;

    *array = (struct idx_array){0};
    status = idx_magic(at, length, array, error);
    if (status == CAIRN_OK)
        status = idx_dimensions(at + 4, length - 4, array, &total, error);
    if (status != CAIRN_OK)
        return status;
    header = 4 + 4 * (size_t)array->rank;
    if (length - header < total)
        return idx_truncated(total, error);
    if (length - header > total)
        return error_set(error, CAIRN_CORRUPT, "%llu bytes follow after the idx array's end",
                         (unsigned long long)(length - header - total));
    array->values = malloc(total);
    if (array->values == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %llu bytes", (unsigned long long)total);
    memcpy(array->values, at + header, total);
    idx_to_host(array);
    return CAIRN_OK;
}

/* Reads the elements, all of them and nothing after them; messages name no file yet. */
static enum status idx_load_values(struct input *input, uint64_t total, struct idx_array *array,
                                   struct error *error)
{
    enum status status;
    unsigned char extra;
    size_t got;

    if (total > input->bound)
        return idx_truncated(total, error);
    array->values = malloc(total);
    if (array->values == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %llu bytes", (unsigned long long)total);
    status = input_read(input, array->values, total, &got, error);
    if (status != CAIRN_OK)
        return status;
    if (got < total)
        return idx_truncated(total, error);
    status = input_read(input, &extra, 1, &got, error);
    if (status != CAIRN_OK)
        return status;
    if (got != 0)
        return error_set(error, CAIRN_CORRUPT, "more bytes follow after the idx array's end");
    idx_to_host(array);
    return CAIRN_OK;
}

static enum status idx_load_input(struct input *input, struct idx_array *array, struct error *error)
{
    unsigned char header[IDX_HEADER_MAX];
    uint64_t total = 0;
    enum status status;
    size_t got;

    status = input_read(input, header, 4, &got, error);
    if (status == CAIRN_OK)
        status = idx_magic(header, got, array, error);
    if (status == CAIRN_OK)
        status = input_read(input, header, 4 * (size_t)array->rank, &got, error);
    if (status == CAIRN_OK)
        status = idx_dimensions(header, got, array, &total, error);
    if (status == CAIRN_OK)
        status = idx_load_values(input, total, array, error);
    return status;
}

enum status idx_load(const char *path, struct idx_array *array, struct error *error)
{
    struct input input;
    enum status status;

    *array = (struct idx_array){0};
    status = input_init(&input, path, error);
    if (status == CAIRN_OK)
        status = idx_load_input(&input, array, error);
    input_fini(&input);
    return status == CAIRN_OK ? CAIRN_OK : error_prefix(error, status, "%s", path);
}

void idx_array_fini(struct idx_array *array)
{
    free(array->values);
    *array = (struct idx_array){0};
}

double idx_value(const struct idx_array *array, uint64_t item, uint64_t element)
{
    uint64_t at = item * array->elements + element;

    switch (array->type) {
    case IDX_UINT8:
        return ((const uint8_t *)array->values)[at];
    case IDX_INT8:
        return ((const int8_t *)array->values)[at];
    case IDX_INT16:
        return ((const int16_t *)array->values)[at];
    case IDX_INT32:
        return ((const int32_t *)array->values)[at];
    case IDX_FLOAT32:
        return ((const float *)array->values)[at];
    case IDX_FLOAT64:
        return ((const double *)array->values)[at];
    }
    BUG("an idx array of an unknown type");
}

bool idx_is_float(const struct idx_array *array)
{
    return array->type == IDX_FLOAT32 || array->type == IDX_FLOAT64;
}
