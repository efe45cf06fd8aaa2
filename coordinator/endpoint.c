/* DATA/endpoint: written aside and renamed, so that nobody reads half of it. */
#include "endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum status write_line(const char *path, const char *line, struct error *error)
{
    FILE *file = fopen(path, "we");
    int code = 0;

    if (!file)
        return error_system(error, errno, "cannot write %s", path);
    if (fprintf(file, "%s\n", line) < 0)
        code = errno;
    if (fclose(file) != 0 && code == 0)
        code = errno;
    return code == 0 ? CAIRN_OK : error_system(error, code, "cannot write %s", path);
}

enum status endpoint_write(const char *directory, const char *endpoint, char **path, struct error *error)
{
    char *final = NULL, *aside = NULL;
    enum status status;

    if (asprintf(&final, "%s/endpoint", directory) < 0)
        final = NULL;
    if (asprintf(&aside, "%s/endpoint.new", directory) < 0)
        aside = NULL;
    if (!final || !aside) {
        status = error_set(error, CAIRN_NO_MEMORY, "out of memory");
        goto out;
    }
    status = write_line(aside, endpoint, error);
    if (status == CAIRN_OK && rename(aside, final) != 0)
        status = error_system(error, errno, "cannot rename %s", aside);
    if (status == CAIRN_OK) {
        *path = final;
        final = NULL;
    }
out:
    free(final);
    free(aside);
    return status;
}

void endpoint_remove(char *path)
{
    if (path)
        unlink(path); /* whoever reads a stale one finds nobody there: no harm */
    free(path);
}
