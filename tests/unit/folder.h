/* A folder of a test's own, under TMPDIR or /tmp. Test code only. */
#ifndef CAIRN_TESTS_FOLDER_H
#define CAIRN_TESTS_FOLDER_H

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER_BYTES 64

/* Short, so that a socket's path fits below it. */
static inline void folder_make(char path[FOLDER_BYTES])
{
    const char *parent = getenv("TMPDIR");

    if (!parent || strlen(parent) > FOLDER_BYTES / 2)
        parent = "/tmp";
    snprintf(path, FOLDER_BYTES, "%s/cairn-test-XXXXXX", parent);
    ck_assert_ptr_nonnull(mkdtemp(path));
}

static inline int folder_remove_entry(const char *path, const struct stat *facts, int type, struct FTW *walk)
{
    (void)facts, (void)type, (void)walk;
    return remove(path);
}

/* With all that is in it. */
static inline void folder_remove(const char *path)
{
    ck_assert_int_eq(nftw(path, folder_remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
