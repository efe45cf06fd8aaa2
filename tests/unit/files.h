/* Files in a folder of the test's own, gone with files_fini. Test code only. */
#ifndef CAIRN_TESTS_FILES_H
#define CAIRN_TESTS_FILES_H

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static char files_folder[64];

static inline void files_init(void)
{
    strcpy(files_folder, "/tmp/cairn-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(files_folder));
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
    DIR *folder = opendir(files_folder);
    struct dirent *entry;

    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder)) != NULL)
        (void)unlink(files_path(entry->d_name));
    closedir(folder);
    ck_assert_int_eq(rmdir(files_folder), 0);
}

#endif
