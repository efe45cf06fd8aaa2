/* A job file, loaded and as the text that travels. */
#include "job_file.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder in which path lies, absolute. */
static enum status folder_of(const char *path, char **folder, struct error *error)
{
    char *copy = strdup(path);

    if (!copy)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    *folder = realpath(dirname(copy), NULL);
    free(copy);
    return *folder ? CAIRN_OK : error_system(error, errno, "%s: cannot find its folder", path);
}

enum status job_file_load(struct job_file *file, const char *path, const struct job_overrides *overrides,
                          struct error *error)
{
    enum status status;

    *file = (struct job_file){.path = path, .overrides = *overrides};
    status = job_read_file(path, &file->text, &file->length, error);
    if (status == CAIRN_OK)
        status = folder_of(path, &file->base_directory, error);
    if (status == CAIRN_OK)
        status =
            job_load_text(file->text, file->length, path, file->base_directory, overrides, &file->job, error);
    return status;
}

void job_file_fini(struct job_file *file)
{
    job_free(file->job);
    free(file->base_directory);
    free(file->text);
    *file = (struct job_file){0};
}

void job_file_message(const struct job_file *file, Cairn__JobText *message)
{
    cairn__job_text__init(message);
    message->text = file->text;
    message->file_name = (char *)file->path;
    message->base_directory = file->base_directory;
    message->servers = file->overrides.servers;
    message->workers_min = file->overrides.workers_min;
    message->workers_max = file->overrides.workers_max;
}

struct job_overrides job_file_overrides(int64_t servers, int64_t workers)
{
    return (struct job_overrides){
        .servers = (uint32_t)servers, .workers_min = (uint32_t)workers, .workers_max = (uint32_t)workers};
}

struct search {
    const struct job *job;
    job_file_missing *missing;
    void *context;
};

static enum status look_for(const struct search *search, const char *key, const char *path, uint32_t line,
                            struct error *error)
{
    char *full;

    if (!path)
        return CAIRN_OK;
    full = job_path(search->job, path);
    if (!full)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    if (access(full, R_OK) != 0)
        search->missing(search->context, key, full, line);
    free(full);
    return CAIRN_OK;
}

enum status job_file_find_missing(const struct job_file *file, job_file_missing *missing, void *context,
                                  struct error *error)
{
    const struct job *job = file->job;
    struct search search = {job, missing, context};
    enum status status =
        look_for(&search, "data.train.features", job->training.features, job->training.line, error);

    if (status == CAIRN_OK)
        status = look_for(&search, "data.train.labels", job->training.labels, job->training.line, error);
    if (status == CAIRN_OK && job->has_validation)
        status = look_for(&search, "data.validation.features", job->validation.features, job->validation.line,
                          error);
    if (status == CAIRN_OK && job->has_validation)
        status =
            look_for(&search, "data.validation.labels", job->validation.labels, job->validation.line, error);
    return status;
}

/* 0, or why no file can be written to path. Cuts path down to its folder. */
static int output_problem(char *path)
{
    struct stat about;
    const char *folder;

    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode))
        return EISDIR;
    folder = dirname(path);
    if (stat(folder, &about) != 0)
        return errno;
    if (!S_ISDIR(about.st_mode))
        return ENOTDIR;
    return access(folder, W_OK | X_OK) == 0 ? 0 : errno;
}

enum status job_file_check_output(const struct job_file *file, struct error *error)
{
    char *full = job_path(file->job, file->job->output_path);
    char *cut = full ? strdup(full) : NULL;
    enum status status = CAIRN_OK;
    int problem;

    if (!cut)
        status = error_set(error, CAIRN_NO_MEMORY, "out of memory");
    else if ((problem = output_problem(cut)) != 0)
        status = error_set(error, CAIRN_INVALID, "%s: output.path: cannot write %s: %s", file->path, full,
                           strerror(problem));
    free(cut);
    free(full);
    return status;
}
