/* DATA/endpoint: put there when it is whole, so that nobody reads half of it. */
#include "endpoint.h"

#include "base/new_file.h"

#include <string.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum status write_line(const char *path, const char *line, struct error *error)
{
    struct new_file new_file;
    enum status status = new_file_open(&new_file, path, error);

    if (status == CAIRN_OK)
        status = new_file_write(&new_file, line, strlen(line), error);
    if (status == CAIRN_OK)
        status = new_file_write(&new_file, "\n", 1, error);
    if (status == CAIRN_OK)
        status = new_file_finish(&new_file, error);
    new_file_fini(&new_file);
    return status;
}

enum status endpoint_write(const char *directory, const char *endpoint, char **path, struct error *error)
{
    char *file = NULL;
    enum status status;

    if (asprintf(&file, "%s/endpoint", directory) < 0)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    status = write_line(file, endpoint, error);
    if (status == CAIRN_OK)
        *path = file;
    else
        free(file);
    return status;
}

void endpoint_remove(char *path)
{
    if (path)
        unlink(path); /* whoever reads a stale one finds nobody there: no harm */
    free(path);
}
