/* A job's directory and the record in it that says whose it is (proto/store.proto, ShardRecord). */
#include "job_store.h"

#include "base/log.h"
#include "store.pb-c.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARD_FORMAT    1
#define SHARD_KEY       "shard"
#define SHARD_KEY_BYTES 5
#define PATH_BYTES      4096
#define RECORD_BYTES    1024
#define KEY_BYTES       512

static enum status store_path(const struct job_store_owner *owner, uint64_t job, char path[PATH_BYTES],
                              struct error *error)
{
    int length = snprintf(path, PATH_BYTES, "%s/jobs/%" PRIu64 "/shard-%" PRIu32, owner->data_directory, job,
                          owner->shard);

    if (length < 0 || length >= PATH_BYTES)
        return error_set(error, CAIRN_INVALID, "the data directory's path is too long");
    return CAIRN_OK;
}

/* NOT_FOUND unless there is a map in the directory: opening would make one. */
static enum status store_exists(const char *path, struct error *error)
{
    char file[PATH_BYTES + 16];

    snprintf(file, sizeof(file), "%s/data.mdb", path);
    if (access(file, F_OK) == 0)
        return CAIRN_OK;
    if (errno == ENOENT)
        return error_set(error, CAIRN_NOT_FOUND, "%s: there is no state of the job here", path);
    return error_system(error, errno, "%s", file);
}

/* The store's record of itself. Owns: the caller frees *out. */
static enum status shard_record_read(struct store_transaction *transaction, Cairn__ShardRecord **out,
                                     struct error *error)
{
    const void *value;
    size_t length;
    enum status status = store_get(transaction, SHARD_KEY, SHARD_KEY_BYTES, &value, &length, error);

    if (status == CAIRN_NOT_FOUND)
        return error_set(error, status, "it holds no state of a job");
    if (status != CAIRN_OK)
        return status;
    *out = cairn__shard_record__unpack(NULL, length, value);
    if (!*out)
        return error_set(error, CAIRN_CORRUPT, "its record of itself cannot be read");
    if ((*out)->format == SHARD_FORMAT)
        return CAIRN_OK;
    error_set(error, CAIRN_CORRUPT, "it is of format %u, this program reads %d", (*out)->format,
              SHARD_FORMAT);
    cairn__shard_record__free_unpacked(*out, NULL);
    return CAIRN_CORRUPT;
}

static enum status shard_record_write(struct store_transaction *transaction,
                                      const struct job_store_owner *owner,
                                      const struct assignment *assignment, struct error *error)
{
    Cairn__ShardRecord record = CAIRN__SHARD_RECORD__INIT;
    uint8_t bytes[RECORD_BYTES];

    record.format = SHARD_FORMAT;
    record.job = assignment->number;
    record.job_id = assignment->id;
    record.digest = (char *)assignment->digest;
    record.server = (char *)owner->server;
    record.shard = owner->shard;
    if (cairn__shard_record__get_packed_size(&record) > sizeof(bytes))
        return error_set(error, CAIRN_INVALID, "the names of the job and this server are too long");
    return store_put(transaction, SHARD_KEY, SHARD_KEY_BYTES, bytes,
                     cairn__shard_record__pack(&record, bytes), error);
}

struct first_key {
    unsigned char bytes[KEY_BYTES];
    size_t length;
};

/* A store_visit that keeps the first key and ends the scan. */
static enum status first_key_visit(void *context, const void *key, size_t key_bytes, const void *value,
                                   size_t value_bytes, struct error *error)
{
    struct first_key *first = context;

    (void)value, (void)value_bytes, (void)error;
    memcpy(first->bytes, key, key_bytes);
    first->length = key_bytes;
    return CAIRN_EXISTS;
}

/* Removes all records; how many there were. */
static enum status store_wipe(struct store_transaction *transaction, uint64_t *count, struct error *error)
{
    struct first_key first;
    enum status status;

    for (*count = 0;; (*count)++) {
        status = store_scan(transaction, NULL, 0, first_key_visit, &first, error);
        if (status != CAIRN_EXISTS)
            return status;
        status = store_delete(transaction, first.bytes, first.length, error);
        if (status != CAIRN_OK)
            return status;
    }
}

/* Makes the store empty but for the record of whose it is. */
static enum status store_claim(struct store *store, const struct job_store_owner *owner,
                               const struct assignment *assignment, const char *path, struct error *error)
{
    struct store_transaction *transaction;
    uint64_t count;
    enum status status = store_begin_write(store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    status = store_wipe(transaction, &count, error);
    if (status == CAIRN_OK)
        status = shard_record_write(transaction, owner, assignment, error);
    if (status != CAIRN_OK) {
        store_abort(transaction);
        return status;
    }
    if (count > 1) /* more than the record of whose it was */
        log_warn("state_removed",
                 "job=%" PRIu64 " shard=%u records=%" PRIu64 " directory=\"%s\" reason=\"%s\"",
                 assignment->number, owner->shard, count, path, "the job begins anew");
    return store_commit(transaction, error);
}

enum status job_store_begin(const struct job_store_owner *owner, const struct assignment *assignment,
                            size_t map_bytes, struct store **out, struct error *error)
{
    char path[PATH_BYTES];
    struct store *store;
    enum status status = store_path(owner, assignment->number, path, error);

    if (status == CAIRN_OK)
        status = store_open(path, map_bytes, &store, error);
    if (status != CAIRN_OK)
        return status;
    status = store_claim(store, owner, assignment, path, error);
    if (status != CAIRN_OK) {
        store_close(store);
        return error_prefix(error, status, "%s", path);
    }
    *out = store;
    return CAIRN_OK;
}

/* Whether the record is of this job, server and shard; assignment NULL: only the job's number is known. */
static enum status shard_record_check(const Cairn__ShardRecord *record, const struct job_store_owner *owner,
                                      uint64_t job, const struct assignment *assignment, struct error *error)
{
    if (record->job != job)
        return error_set(error, CAIRN_CORRUPT, "it is the state of job %" PRIu64 ", not %" PRIu64,
                         record->job, job);
    if (strcmp(record->server, owner->server) != 0 || record->shard != owner->shard)
        return error_set(error, CAIRN_CORRUPT, "it is the state of shard %u of server %s", record->shard,
                         record->server);
    if (!assignment)
        return CAIRN_OK;
    if (strcmp(record->job_id, assignment->id) != 0)
        return error_set(error, CAIRN_CORRUPT, "it is the state of job %s, not %s", record->job_id,
                         assignment->id);
    if (strcmp(record->digest, assignment->digest) != 0)
        return error_set(error, CAIRN_CORRUPT,
                         "the job file has changed in what the model depends on; submit it as a new job");
    return CAIRN_OK;
}

static enum status store_check(struct store *store, const struct job_store_owner *owner, uint64_t job,
                               const struct assignment *assignment, struct error *error)
{
    struct store_transaction *transaction;
    Cairn__ShardRecord *record;
    enum status status = store_begin_read(store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    status = shard_record_read(transaction, &record, error);
    if (status == CAIRN_OK) {
        status = shard_record_check(record, owner, job, assignment, error);
        cairn__shard_record__free_unpacked(record, NULL);
    }
    store_abort(transaction);
    return status;
}

static enum status store_open_checked(const struct job_store_owner *owner, uint64_t job,
                                      const struct assignment *assignment, size_t map_bytes,
                                      struct store **out, struct error *error)
{
    char path[PATH_BYTES];
    struct store *store;
    enum status status = store_path(owner, job, path, error);

    if (status == CAIRN_OK)
        status = store_exists(path, error);
    if (status == CAIRN_OK)
        status = store_open(path, map_bytes, &store, error);
    if (status != CAIRN_OK)
        return status;
    status = store_check(store, owner, job, assignment, error);
    if (status != CAIRN_OK) {
        store_close(store);
        return error_prefix(error, status, "%s", path);
    }
    *out = store;
    return CAIRN_OK;
}

enum status job_store_resume(const struct job_store_owner *owner, const struct assignment *assignment,
                             size_t map_bytes, struct store **out, struct error *error)
{
    return store_open_checked(owner, assignment->number, assignment, map_bytes, out, error);
}

enum status job_store_archive(const struct job_store_owner *owner, uint64_t job, struct store **out,
                              struct error *error)
{
    return store_open_checked(owner, job, NULL, 0, out, error);
}

/* ---- removing */

static int entry_remove(int folder, const char *name);

/* Removes all that is in a directory, which is closed then; a system's code, 0: all is gone. */
static int folder_empty(int folder)
{
    DIR *entries = fdopendir(folder);
    struct dirent *entry;
    int code = 0;

    if (!entries) {
        code = errno;
        close(folder);
        return code;
    }
    while (code == 0 && (entry = readdir(entries))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            code = entry_remove(dirfd(entries), entry->d_name);
    }
    closedir(entries);
    return code;
}

/* What opening a file or a link as a directory says. */
static bool is_no_directory(int code)
{
    return code == ENOTDIR || code == ELOOP;
}

/* Removes a directory with what is in it, a link (not what it leads to) or a file. Recursion ends:
 * directories are as deep as stores made them. */
static int entry_remove(int folder, const char *name)
{
    int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool is_directory = inner >= 0;
    int code = is_directory ? folder_empty(inner) : is_no_directory(errno) ? 0 : errno;

    if (code == 0 && unlinkat(folder, name, is_directory ? AT_REMOVEDIR : 0) != 0)
        code = errno;
    return code == ENOENT ? 0 : code;
}

/* DATA/jobs, -1 (and errno) when it cannot be opened. */
static int jobs_open(const char *data_directory)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof(path), "%s/jobs", data_directory);

    if (length < 0 || length >= PATH_BYTES) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static enum status remove_result(const char *data_directory, uint64_t job, int code, struct error *error)
{
    if (code == 0 || code == ENOENT)
        return CAIRN_OK;
    return error_system(error, code, "%s/jobs/%" PRIu64 ": cannot be removed", data_directory, job);
}

/* Renames the directory of a store; a system's code, 0: it is not found under its name. */
static int store_rename(int jobs, uint64_t job, uint32_t shard)
{
    char number[24], name[32], hidden[33];
    int folder, code;

    snprintf(number, sizeof(number), "%" PRIu64, job);
    snprintf(name, sizeof(name), "shard-%" PRIu32, shard);
    snprintf(hidden, sizeof(hidden), ".%s", name);
    folder = openat(jobs, number, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return is_no_directory(errno) ? 0 : errno;
    code = renameat(folder, name, folder, hidden) == 0 ? 0 : errno;
    close(folder);
    return code == EEXIST || code == ENOTEMPTY ? 0 : code; /* an older one is there, and goes as well */
}

enum status job_store_discard(const struct job_store_owner *owner, uint64_t job, struct error *error)
{
    int jobs = jobs_open(owner->data_directory);
    int code = jobs >= 0 ? store_rename(jobs, job, owner->shard) : errno;

    if (jobs >= 0)
        close(jobs);
    return remove_result(owner->data_directory, job, code, error);
}

enum status job_store_remove(const char *data_directory, uint64_t job, struct error *error)
{
    int jobs = jobs_open(data_directory), code;
    char number[24];

    snprintf(number, sizeof(number), "%" PRIu64, job);
    code = jobs >= 0 ? entry_remove(jobs, number) : errno;
    if (code == 0 && fsync(jobs) != 0)
        code = errno;
    if (jobs >= 0)
        close(jobs);
    return remove_result(data_directory, job, code, error);
}

/* ---- what there is */

/* Adds the stores of one job. */
static void job_survey(int jobs, const char *name, struct job_store_survey *survey)
{
    int folder = openat(jobs, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = folder >= 0 ? fdopendir(folder) : NULL;
    struct dirent *entry;
    uint32_t before = survey->stores;

    if (!entries) {
        if (folder >= 0)
            close(folder);
        return;
    }
    while ((entry = readdir(entries))) {
        char file[sizeof(entry->d_name) + 16];
        struct stat facts;

        snprintf(file, sizeof(file), "%s/data.mdb", entry->d_name);
        if (entry->d_name[0] == '.' || fstatat(folder, file, &facts, 0) != 0)
            continue;
        survey->stores++;
        survey->bytes += (uint64_t)facts.st_blocks * 512;
    }
    survey->jobs += survey->stores > before;
    closedir(entries);
}

struct job_store_survey job_store_survey(const char *data_directory)
{
    struct job_store_survey survey = {0, 0, 0};
    char path[PATH_BYTES];
    struct dirent *entry;
    DIR *entries;
    int length = snprintf(path, sizeof(path), "%s/jobs", data_directory);

    if (length < 0 || length >= PATH_BYTES || !(entries = opendir(path)))
        return survey;
    while ((entry = readdir(entries))) {
        if (entry->d_name[0] != '.')
            job_survey(dirfd(entries), entry->d_name, &survey);
    }
    closedir(entries);
    return survey;
}

enum status job_store_swap_path(const struct job_store_owner *owner, uint64_t job, uint32_t number,
                                char *path, size_t size, struct error *error)
{
    char directory[PATH_BYTES];
    enum status status = store_path(owner, job, directory, error);
    int length;

    if (status != CAIRN_OK)
        return status;
    length = snprintf(path, size, "%s/swap-%" PRIu32, directory, number);
    return length >= 0 && (size_t)length < size
               ? CAIRN_OK
               : error_set(error, CAIRN_INVALID, "the data directory's path is too long");
}
