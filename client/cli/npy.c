/* Arrays in NumPy's file format. The header has room for any number of rows and is written twice. */
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES 128u
#define MAGIC_BYTES  10u /* magic string, version, length of the rest */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays are written as they lie in memory");

static size_t element_bytes(enum npy_type type)
{
    return type == NPY_UINT64 ? sizeof(uint64_t) : sizeof(float);
}

static enum status disk_error(const struct npy *npy, struct error *error)
{
    return error_system(error, errno, "%s", npy->path);
}

static enum status header_write(const struct npy *npy, struct error *error)
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
    return fwrite(header, HEADER_BYTES, 1, npy->file) == 1 ? CAIRN_OK : disk_error(npy, error);
}

/* Whether the file that is there may be written, which a rename would not ask. */
static enum status check_former(const char *path, const struct stat *facts, struct error *error)
{
    int descriptor;

    if (!S_ISREG(facts->st_mode))
        return error_set(error, CAIRN_INVALID, "%s is no regular file, which an array has to be", path);
    descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0)
        return error_system(error, errno, "%s", path);
    close(descriptor);
    return CAIRN_OK;
}

/* Where the array is to be: of a link where that leads to, for a rename would replace the link. */
static enum status path_find(struct npy *npy, const char *path, struct error *error)
{
    struct stat facts;
    enum status status;

    if (strlen(path) >= sizeof(npy->path))
        return error_set(error, CAIRN_INVALID, "the path is too long: %.100s...", path);
    strcpy(npy->path, path);
    if (lstat(path, &facts) != 0)
        return errno == ENOENT ? CAIRN_OK : disk_error(npy, error);
    if (stat(path, &facts) != 0)
        return disk_error(npy, error);
    status = check_former(path, &facts, error);
    if (status == CAIRN_OK && !realpath(path, npy->path))
        status = error_system(error, errno, "%s", path);
    return status;
}

enum status npy_open(struct npy *npy, const char *path, enum npy_type type, uint32_t width,
                     struct error *error)
{
    char temporary[sizeof(npy->made)];
    enum status status;

    *npy = (struct npy){.type = type, .width = width};
    status = path_find(npy, path, error);
    if (status != CAIRN_OK)
        return status;
    snprintf(temporary, sizeof(temporary), "%s.%ld.tmp", npy->path, (long)getpid());
    npy->file = fopen(temporary, "wb");
    if (!npy->file)
        return disk_error(npy, error);
    strcpy(npy->made, temporary);
    status = header_write(npy, error);
    if (status != CAIRN_OK)
        npy_discard(npy);
    return status;
}

enum status npy_write(struct npy *npy, const void *values, uint64_t rows, struct error *error)
{
    size_t row_bytes = element_bytes(npy->type) * (npy->width ? npy->width : 1);

    if (fwrite(values, row_bytes, rows, npy->file) != rows)
        return disk_error(npy, error);
    npy->rows += rows;
    return CAIRN_OK;
}

enum status npy_close(struct npy *npy, struct error *error)
{
    enum status status =
        fseek(npy->file, 0, SEEK_SET) == 0 ? header_write(npy, error) : disk_error(npy, error);

    if (status == CAIRN_OK && (fflush(npy->file) != 0 || fsync(fileno(npy->file)) != 0))
        status = disk_error(npy, error);
    if (fclose(npy->file) != 0 && status == CAIRN_OK)
        status = disk_error(npy, error);
    npy->file = NULL;
    if (status == CAIRN_OK && rename(npy->made, npy->path) != 0)
        status = disk_error(npy, error);
    if (status == CAIRN_OK)
        strcpy(npy->made, npy->path);
    return status;
}

void npy_discard(struct npy *npy)
{
    if (npy->file)
        fclose(npy->file);
    npy->file = NULL;
    if (npy->made[0])
        unlink(npy->made);
    npy->made[0] = '\0';
}
