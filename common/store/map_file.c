/* Sizes and blocks of a store's file. */
#include "store/map_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The file's length beyond its blocks: a hole, against a page that nobody counted. */
#define SPARE_BYTES ((uint64_t)64 << 20)
#define GIB         ((uint64_t)1 << 30)
#define MIB         ((uint64_t)1 << 20)

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t map_bytes_preferred(const char *directory, uint64_t file_bytes)
{
    struct rlimit address_space, file_size;
    struct statvfs disk;
    uint64_t bytes;

    if (getrlimit(RLIMIT_AS, &address_space) != 0 || getrlimit(RLIMIT_FSIZE, &file_size) != 0 ||
        statvfs(directory, &disk) != 0 || address_space.rlim_cur != RLIM_INFINITY)
        return 0;
    bytes = least(disk.f_blocks, UINT64_MAX / GIB) * (disk.f_frsize < GIB ? disk.f_frsize : 0);
    bytes = least((bytes / GIB + 1) * GIB, MAP_BYTES_MOST);
    if (bytes / 4 < file_bytes)
        bytes = 4 * file_bytes;
    return file_size.rlim_cur == RLIM_INFINITY ? bytes : least(bytes, file_size.rlim_cur);
}

static enum status set_length(struct map_file *file, uint64_t bytes, struct error *error)
{
    bytes = least(bytes, file->map_bytes);
    if (ftruncate(file->descriptor, (off_t)bytes) != 0)
        return error_system(error, errno, "%s: cannot change the length of data.mdb", file->directory);
    file->length_bytes = bytes;
    return CAIRN_OK;
}

enum status map_file_begin(struct map_file *file, uint64_t used_bytes, struct error *error)
{
    file->allocated_bytes = used_bytes;
    return set_length(file, used_bytes + SPARE_BYTES, error);
}

/* "A disk is full", with what helps. */
static enum status full_error(const struct map_file *file, int code, uint64_t until, struct error *error)
{
    struct statvfs disk = {.f_frsize = 0};
    uint64_t missing = until - file->allocated_bytes;
    bool is_known = fstatvfs(file->descriptor, &disk) == 0;

    return error_system(error, code,
                        "%s: the disk is full: data.mdb has %llu MiB and needs %llu KiB more, %lld KiB are "
                        "free; make room and start again from what was committed, which is intact",
                        file->directory, (unsigned long long)(file->allocated_bytes / MIB),
                        (unsigned long long)((missing + 1023) / 1024),
                        is_known ? (long long)(disk.f_bavail * disk.f_frsize / 1024) : -1);
}

/* fallocate, also when it is interrupted or not to be had; its code. */
static int allocate(const struct map_file *file, uint64_t until)
{
    off_t from = (off_t)file->allocated_bytes, bytes = (off_t)until - from;

    while (fallocate(file->descriptor, 0, from, bytes) != 0) {
        int code = errno;

        if (code == EOPNOTSUPP || code == ENOSYS)
            return 0;
        if (code == EINTR)
            continue;
        /* What it got before it failed is of no use here, and others may need it. */
        (void)fallocate(file->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, bytes);
        return code;
    }
    return 0;
}

enum status map_file_grow(struct map_file *file, uint64_t until, struct error *error)
{
    uint64_t target;
    int code;

    until = least(until, file->map_bytes); /* LMDB itself stops there */
    if (until <= file->allocated_bytes)
        return CAIRN_OK;
    target = least((until / MIB + 1) * MIB, file->map_bytes);
    code = allocate(file, target);
    if (code == ENOSPC || code == EDQUOT)
        code = allocate(file, target = until);
    if (code == ENOSPC || code == EDQUOT)
        return full_error(file, code, until, error);
    if (code != 0)
        return error_system(error, code, "%s: cannot grow data.mdb", file->directory);
    file->allocated_bytes = target;
    return file->length_bytes < target + SPARE_BYTES / 2 ? set_length(file, target + SPARE_BYTES, error)
                                                         : CAIRN_OK;
}

enum status map_file_write(const struct map_file *file, uint64_t offset, const void *data, size_t bytes,
                           struct error *error)
{
    BUG_IF(offset > file->allocated_bytes || bytes > file->allocated_bytes - offset);
    for (size_t done = 0; done < bytes;) {
        ssize_t wrote =
            pwrite(file->descriptor, (const char *)data + done, bytes - done, (off_t)(offset + done));

        if (wrote > 0)
            done += (size_t)wrote;
        else if (wrote == 0 || errno != EINTR)
            return error_system(error, wrote == 0 ? EIO : errno, "%s: cannot write data.mdb",
                                file->directory);
    }
    return CAIRN_OK;
}

void map_file_send(const struct map_file *file, uint64_t offset, uint64_t bytes)
{
    (void)sync_file_range(file->descriptor, (off_t)offset, (off_t)bytes, SYNC_FILE_RANGE_WRITE);
}

enum status map_file_read(const struct map_file *file, uint64_t offset, void *data, size_t bytes,
                          struct error *error)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(file->descriptor, (char *)data + done, bytes - done, (off_t)(offset + done));

        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || errno != EINTR)
            return error_system(error, got == 0 ? EIO : errno, "%s: cannot read data.mdb", file->directory);
    }
    return CAIRN_OK;
}

void map_file_expect(const struct map_file *file, uint64_t offset, uint64_t bytes)
{
    (void)posix_fadvise(file->descriptor, (off_t)offset, (off_t)bytes, POSIX_FADV_WILLNEED);
}
