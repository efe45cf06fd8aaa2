/* Where Cairn's other programs are. */
#include "programs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The folder of the running program, with its last slash; "" when it is not known. */
static void own_folder(char path[PROGRAMS_PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PROGRAMS_PATH_MAX - 1);
    char *slash;

    path[length > 0 ? length : 0] = '\0';
    slash = strrchr(path, '/');
    if (slash)
        slash[1] = '\0';
    else
        path[0] = '\0';
}

void programs_find(const char *name, char path[PROGRAMS_PATH_MAX])
{
    size_t used;
    int more;

    own_folder(path);
    used = strlen(path);
    more = snprintf(path + used, PROGRAMS_PATH_MAX - used, "%s", name);
    if (used == 0 || more < 0 || (size_t)more >= PROGRAMS_PATH_MAX - used || access(path, X_OK) != 0)
        snprintf(path, PROGRAMS_PATH_MAX, "%s", name);
}
