/* Files in a folder of the test's own, gone with files_fini. Test code only. */
#ifndef CAIRN_TESTS_FILES_H
#define CAIRN_TESTS_FILES_H

#include "folder.h"

#include <stdio.h>
#include <zlib.h>

static char files_folder[FOLDER_BYTES];

static inline void files_init(void)
{
    folder_make(files_folder);
}

/* The path of `name` in the folder; four paths may be in use at once. */
static inline char *files_path(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", files_folder, name);
    return path;
}

static inline char *files_write(const char *name, const void *bytes, size_t length)
{
    char *path = files_path(name);
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

static inline char *files_write_gzip(const char *name, const void *bytes, size_t length)
{
    char *path = files_path(name);
    gzFile file = gzopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(gzwrite(file, bytes, (unsigned)length), (int)length);
    ck_assert_int_eq(gzclose(file), Z_OK);
    return path;
}

static inline void files_fini(void)
{
    folder_remove(files_folder);
}

#endif
