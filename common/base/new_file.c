/* New files, by way of a name that nobody else has: a fixed one, or one by a process's number, would be the
 * same for two machines or containers that share a disk. */
#include "base/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PERMISSIONS 0777 /* of the bits of a mode */
#define NO_FORMER   ((mode_t)-1)

static enum status disk_error(const char *path, struct error *error)
{
    return error_system(error, errno, "cannot write %s", path);
}

/* Whether the file that is there may be written, which a rename would not ask. */
static enum status former_check(const char *path, const struct stat *facts, struct error *error)
{
    int descriptor;

    if (!S_ISREG(facts->st_mode))
        return error_set(error, CAIRN_INVALID, "cannot write %s, which is no regular file", path);
    descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0)
        return disk_error(path, error);
    close(descriptor);
    return CAIRN_OK;
}

/* Where the file is to be: of a link where that leads to, for a rename would replace the link. *permissions:
 * of what is there, or NO_FORMER. */
static enum status place_find(struct new_file *new_file, const char *path, mode_t *permissions,
                              struct error *error)
{
    struct stat facts;
    enum status status;

    *permissions = NO_FORMER;
    if (strlen(path) >= sizeof(new_file->path))
        return error_set(error, CAIRN_INVALID, "the path is too long: %.100s...", path);
    strcpy(new_file->path, path);
    if (lstat(path, &facts) != 0)
        return errno == ENOENT ? CAIRN_OK : disk_error(path, error);
    if (stat(path, &facts) != 0)
        return disk_error(path, error);
    status = former_check(path, &facts, error);
    if (status == CAIRN_OK && !realpath(path, new_file->path))
        status = disk_error(path, error);
    *permissions = facts.st_mode & PERMISSIONS;
    return status;
}

static enum status beside_open(struct new_file *new_file, mode_t permissions, struct error *error)
{
    char name[sizeof(new_file->beside)];
    uint64_t number;
    enum status status;
    int descriptor;

    if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
        return disk_error(new_file->path, error);
    snprintf(name, sizeof(name), "%s.%016" PRIx64 ".tmp", new_file->path, number);
    descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return disk_error(new_file->path, error);
    strcpy(new_file->beside, name);
    if (permissions == NO_FORMER || fchmod(descriptor, permissions) == 0)
        new_file->file = fdopen(descriptor, "wb");
    if (new_file->file)
        return CAIRN_OK;
    status = disk_error(new_file->path, error);
    close(descriptor);
    new_file_fini(new_file);
    return status;
}

enum status new_file_open(struct new_file *new_file, const char *path, struct error *error)
{
    mode_t permissions;
    enum status status;

    *new_file = (struct new_file){0};
    status = place_find(new_file, path, &permissions, error);
    return status == CAIRN_OK ? beside_open(new_file, permissions, error) : status;
}

enum status new_file_write(struct new_file *new_file, const void *bytes, size_t length, struct error *error)
{
    return fwrite(bytes, 1, length, new_file->file) == length ? CAIRN_OK : disk_error(new_file->path, error);
}

enum status new_file_finish(struct new_file *new_file, struct error *error)
{
    enum status status = CAIRN_OK;

    if (fflush(new_file->file) != 0 || fsync(fileno(new_file->file)) != 0)
        status = disk_error(new_file->path, error);
    if (fclose(new_file->file) != 0 && status == CAIRN_OK)
        status = disk_error(new_file->path, error);
    new_file->file = NULL;
    if (status == CAIRN_OK && rename(new_file->beside, new_file->path) != 0)
        status = disk_error(new_file->path, error);
    if (status == CAIRN_OK)
        new_file->beside[0] = '\0';
    return status;
}

void new_file_fini(struct new_file *new_file)
{
    if (new_file->file)
        (void)fclose(new_file->file);
    new_file->file = NULL;
    if (new_file->beside[0] != '\0')
        (void)unlink(new_file->beside);
    new_file->beside[0] = '\0';
}
