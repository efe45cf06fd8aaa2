/* Arrays in NumPy's file format. The header has room for any number of rows and is written twice. */
#include "npy.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define HEADER_BYTES 128u
#define MAGIC_BYTES  10u /* magic string, version, length of the rest */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays are written as they lie in memory");

static size_t element_bytes(enum npy_type type)
{
    return type == NPY_UINT64 ? sizeof(uint64_t) : sizeof(float);
}

static enum status header_write(struct npy *npy, struct error *error)
{
    char header[HEADER_BYTES + 1], width[16] = "";
    int length;

    if (npy->width > 0)
        snprintf(width, sizeof(width), " %" PRIu32, npy->width);
    memset(header, ' ', HEADER_BYTES);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", MAGIC_BYTES); /* 0x76: HEADER_BYTES - MAGIC_BYTES */
    length = snprintf(header + MAGIC_BYTES, HEADER_BYTES - MAGIC_BYTES,
                      "{'descr': '%s', 'fortran_order': False, 'shape': (%" PRIu64 ",%s), }",
                      npy->type == NPY_UINT64 ? "<u8" : "<f4", npy->rows, width);
    header[MAGIC_BYTES + (size_t)length] = ' ';
    header[HEADER_BYTES - 1] = '\n';
    return new_file_write(&npy->file, header, HEADER_BYTES, error);
}

enum status npy_open(struct npy *npy, const char *path, enum npy_type type, uint32_t width,
                     struct error *error)
{
    enum status status;

    *npy = (struct npy){.type = type, .width = width};
    status = new_file_open(&npy->file, path, error);
    if (status == CAIRN_OK)
        status = header_write(npy, error);
    if (status != CAIRN_OK)
        npy_discard(npy);
    return status;
}

enum status npy_write(struct npy *npy, const void *values, uint64_t rows, struct error *error)
{
    size_t row_bytes = element_bytes(npy->type) * (npy->width ? npy->width : 1);
    enum status status = new_file_write(&npy->file, values, row_bytes * rows, error);

    if (status == CAIRN_OK)
        npy->rows += rows;
    return status;
}

enum status npy_close(struct npy *npy, struct error *error)
{
    enum status status = CAIRN_OK;

    if (fseek(npy->file.file, 0, SEEK_SET) != 0)
        status = error_system(error, errno, "cannot write %s", npy->file.path);
    if (status == CAIRN_OK)
        status = header_write(npy, error);
    if (status == CAIRN_OK)
        status = new_file_finish(&npy->file, error);
    npy->is_in_place = status == CAIRN_OK;
    new_file_fini(&npy->file);
    return status;
}

void npy_discard(struct npy *npy)
{
    new_file_fini(&npy->file);
    if (npy->is_in_place)
        unlink(npy->file.path);
    npy->is_in_place = false;
}
