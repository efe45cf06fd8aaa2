/* A worker's record of hashes. The file is only ever appended to, so that whatever dies, all lines but the
 * last are whole; the last one's rest is cut away before others follow. */
#include "hash_record.h"

#include "base/checksum.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/formats/hashes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct hash_record {
    const struct graph *graph;
    char *path;
    int file; /* -1: it could not be written */
    uint64_t *sums;
    char *text; /* a line */
};

/* ---- the file's name */

/* A worker's name as a file's: what is no letter, digit, - . or _ becomes _, and so does a dot that begins
 * it. */
static void add_file_name(char *path, const char *worker)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t used = strlen(path);

    for (size_t i = 0; worker[i] != '\0'; i++)
        path[used++] = strchr(allowed, worker[i]) && !(i == 0 && worker[i] == '.') ? worker[i] : '_';
    memcpy(path + used, ".txt", sizeof(".txt"));
}

/* Makes the folder and gives the path of the worker's file in it. Owns: the caller, free(). */
static enum status make_path(const struct job *job, const char *worker, char **out, struct error *error)
{
    char *output = job_path(job, job->output_path);
    char *path = output ? malloc(strlen(output) + strlen(worker) + sizeof(".hashes/.txt")) : NULL;
    enum status status = CAIRN_OK;

    if (!path) {
        status = error_set(error, CAIRN_NO_MEMORY, "out of memory");
    } else {
        sprintf(path, "%s.hashes", output);
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            status = error_system(error, errno, "cannot make the folder %s", path);
    }
    if (status == CAIRN_OK) {
        strcat(path, "/");
        add_file_name(path, worker);
        *out = path;
        path = NULL;
    }
    free(path);
    free(output);
    return status;
}

/* ---- the file */

static enum status write_all(const struct hash_record *record, const char *text, size_t length,
                             struct error *error)
{
    ssize_t written = write(record->file, text, length);

    if (written == (ssize_t)length)
        return CAIRN_OK;
    if (written < 0)
        return error_system(error, errno, "cannot write %s", record->path);
    return error_set(error, CAIRN_FULL, "cannot write %s: only a part of a line went in", record->path);
}

/* Whether the file begins with this head. */
static bool has_head(int file, const char *head, size_t length)
{
    char *there = malloc(length);
    bool same = there && pread(file, there, length, 0) == (ssize_t)length && memcmp(there, head, length) == 0;

    free(there);
    return same;
}

/* Where the last whole line ends, at or behind `from`. */
static off_t whole_lines_end(int file, off_t from, off_t size)
{
    char byte = '\0';

    while (size > from && pread(file, &byte, 1, size - 1) == 1 && byte != '\n')
        size--;
    return size;
}

/* Goes on with what is there if it is of the same job, else begins anew. */
static enum status take_up(struct hash_record *record, const char *head, struct error *error)
{
    size_t length = strlen(head);
    bool goes_on = has_head(record->file, head, length);
    off_t size = lseek(record->file, 0, SEEK_END);
    off_t end = goes_on ? whole_lines_end(record->file, (off_t)length, size) : 0;

    if (size < 0 || ftruncate(record->file, end) != 0)
        return error_system(error, errno, "cannot take up %s", record->path);
    return goes_on ? CAIRN_OK : write_all(record, head, length, error);
}

static enum status open_file(struct hash_record *record, const struct hashes_origin *origin,
                             struct error *error)
{
    char *head = hashes_head_text(origin, record->graph);
    enum status status;

    if (!head)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    record->file = open(record->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (record->file < 0)
        status = error_system(error, errno, "cannot open %s", record->path);
    else
        status = take_up(record, head, error);
    free(head);
    return status;
}

/* ---- the record */

static enum status record_make(struct hash_record *record, const struct job *job, const char *job_id,
                               const char *worker, struct error *error)
{
    struct hashes_origin origin = {.seed = job->seed};
    enum status status;

    record->graph = job->graph;
    record->file = -1;
    record->sums = calloc(job->graph->parameter_count, sizeof(*record->sums));
    record->text = malloc(hashes_line_bytes_max(job->graph->parameter_count));
    if (!record->sums || !record->text)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    snprintf(origin.job, sizeof(origin.job), "%s", job_id);
    snprintf(origin.worker, sizeof(origin.worker), "%s", worker);
    job_digest(job, origin.digest);
    status = make_path(job, worker, &record->path, error);
    return status == CAIRN_OK ? open_file(record, &origin, error) : status;
}

static void warn(const struct error *error)
{
    log_warn("hashes_not_recorded", "reason=\"%s\"", error->message);
}

struct hash_record *hash_record_open(const struct job *job, const char *job_id, const char *worker)
{
    struct hash_record *record;
    struct error error = {.message = "out of memory"};

    if (!job->record_hashes)
        return NULL;
    record = calloc(1, sizeof(*record));
    if (record && record_make(record, job, job_id, worker, &error) == CAIRN_OK)
        return record;
    warn(&error);
    hash_record_close(record);
    return NULL;
}

static void close_file(struct hash_record *record)
{
    if (record->file >= 0)
        close(record->file);
    record->file = -1;
}

void hash_record_step(struct hash_record *record, const float *weights, uint64_t version, bool is_copy)
{
    struct hashes_line line = {.step = version, .is_copy = is_copy, .time_ms = clock_ms()};
    struct error error;

    if (!record || record->file < 0)
        return;
    for (uint32_t i = 0; i < record->graph->parameter_count; i++) {
        const struct graph_parameter *parameter = &record->graph->parameters[i];

        record->sums[i] =
            checksum_add(0, weights + parameter->offset, parameter->elements * sizeof(*weights));
    }
    line.sums = record->sums;
    if (write_all(record, record->text, hashes_line_text(&line, record->graph->parameter_count, record->text),
                  &error) == CAIRN_OK)
        return;
    warn(&error);
    close_file(record);
}

void hash_record_close(struct hash_record *record)
{
    if (!record)
        return;
    close_file(record);
    free(record->path);
    free(record->sums);
    free(record->text);
    free(record);
}
