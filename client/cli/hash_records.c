/* The records of hashes of one run. */
#include "hash_records.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- files */

static enum status read_stream(FILE *stream, const char *path, char **bytes, size_t *length,
                               struct error *error)
{
    struct stat about;

    if (fstat(fileno(stream), &about) != 0)
        return error_system(error, errno, "cannot read %s", path);
    *bytes = malloc((size_t)about.st_size + 1);
    if (!*bytes)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %s", path);
    *length =
        fread(*bytes, 1, (size_t)about.st_size, stream); /* what a worker appends meanwhile is not missed */
    return ferror(stream) ? error_system(error, errno, "cannot read %s", path) : CAIRN_OK;
}

static enum status read_bytes(const char *path, char **bytes, size_t *length, struct error *error)
{
    FILE *stream = fopen(path, "re");
    enum status status;

    *bytes = NULL;
    if (!stream)
        return error_system(error, errno, "cannot read %s", path);
    status = read_stream(stream, path, bytes, length, error);
    fclose(stream);
    return status;
}

static bool is_model(const char *bytes, size_t length)
{
    static const char signature[] = "\x89HDF\r\n\x1a\n";

    return length >= sizeof(signature) - 1 && memcmp(bytes, signature, sizeof(signature) - 1) == 0;
}

static enum status add_file(struct hash_records *records, const char *path, struct error *error)
{
    struct hash_file *files = realloc(records->files, (records->file_count + 1) * sizeof(*files)), *file;
    char *bytes = NULL;
    size_t length = 0;
    enum status status;

    if (!files)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    records->files = files;
    status = read_bytes(path, &bytes, &length, error);
    if (status == CAIRN_OK && is_model(bytes, length)) {
        status =
            error_set(error, CAIRN_INVALID,
                      "%s is a model file, and no records of hashes lie in %s.hashes: workers write them "
                      "there with train.record_hashes: true in the job file",
                      path, path);
    } else if (status == CAIRN_OK && length > 0) { /* an empty one was cut off at its very begin */
        file = &files[records->file_count++];
        *file = (struct hash_file){.path = strdup(path)};
        status = file->path ? hashes_parse(bytes, length, path, &file->hashes, error)
                            : error_set(error, CAIRN_NO_MEMORY, "out of memory");
    }
    free(bytes);
    return status;
}

static int is_record_name(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 4 && strcmp(entry->d_name + length - 4, ".txt") == 0;
}

static enum status add_entry(struct hash_records *records, const char *folder, const char *name,
                             struct error *error)
{
    enum status status;
    char *path;

    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    status = add_file(records, path, error);
    free(path);
    return status;
}

static enum status add_folder(struct hash_records *records, const char *path, struct error *error)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_record_name, alphasort);
    enum status status = CAIRN_OK;

    if (count < 0)
        return error_system(error, errno, "cannot read the folder %s", path);
    for (int i = 0; i < count; i++) {
        if (status == CAIRN_OK)
            status = add_entry(records, path, entries[i]->d_name, error);
        free(entries[i]);
    }
    free(entries);
    if (status == CAIRN_OK && records->file_count == 0)
        return error_set(error, CAIRN_INVALID, "%s holds no record of hashes (*.txt)", path);
    return status;
}

static bool is_folder(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* A folder, a model file with a folder beside it (which may be there without the model), or a record. */
static enum status add_path(struct hash_records *records, const char *path, struct error *error)
{
    enum status status;
    char *beside;

    if (is_folder(path))
        return add_folder(records, path, error);
    if (asprintf(&beside, "%s.hashes", path) < 0)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    status = is_folder(beside) ? add_folder(records, beside, error) : add_file(records, path, error);
    free(beside);
    if (status == CAIRN_OK && records->file_count == 0)
        return error_set(error, CAIRN_INVALID, "%s is empty", path);
    return status;
}

/* ---- versions */

static int compare_places(const struct hashes_line *one, const struct hashes_line *other)
{
    if (one->step != other->step)
        return one->step < other->step ? -1 : 1;
    return (int)one->is_copy - (int)other->is_copy;
}

/* By place; of those alike in the order in which they were read, which their addresses have. */
static int compare_versions(const void *one, const void *other)
{
    const struct hash_version *a = one, *b = other;
    int order = compare_places(a->line, b->line);

    if (order != 0)
        return order;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

static bool same_tensors(const struct hashes *one, const struct hashes *other)
{
    if (one->tensor_count != other->tensor_count)
        return false;
    for (uint32_t i = 0; i < one->tensor_count; i++) {
        if (strcmp(one->tensors[i], other->tensors[i]) != 0)
            return false;
    }
    return true;
}

static enum status check_same_job(const struct hash_records *records, struct error *error)
{
    const struct hash_file *first = &records->files[0];

    for (size_t i = 1; i < records->file_count; i++) {
        const struct hash_file *file = &records->files[i];

        if (strcmp(file->hashes.origin.digest, first->hashes.origin.digest) != 0 ||
            !same_tensors(&file->hashes, &first->hashes))
            return error_set(error, CAIRN_INVALID,
                             "%s and %s are of different jobs: name one of them, or remove what is older",
                             first->path, file->path);
    }
    return CAIRN_OK;
}

/* All versions of all files, in order. */
static enum status sort_versions(struct hash_records *records, struct error *error)
{
    size_t count = 0;

    for (size_t i = 0; i < records->file_count; i++)
        count += records->files[i].hashes.line_count;
    records->versions = calloc(count > 0 ? count : 1, sizeof(*records->versions));
    if (!records->versions)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %zu versions", count);
    for (size_t i = 0; i < records->file_count; i++) {
        const struct hash_file *file = &records->files[i];

        for (size_t j = 0; j < file->hashes.line_count; j++)
            records->versions[records->version_count++] = (struct hash_version){file, &file->hashes.lines[j]};
    }
    qsort(records->versions, count, sizeof(*records->versions), compare_versions);
    return CAIRN_OK;
}

enum status hash_records_load(struct hash_records *records, const char *path, struct error *error)
{
    enum status status;

    *records = (struct hash_records){.file_count = 0};
    status = add_path(records, path, error);
    if (status == CAIRN_OK)
        status = check_same_job(records, error);
    return status == CAIRN_OK ? sort_versions(records, error) : status;
}

void hash_records_fini(struct hash_records *records)
{
    for (size_t i = 0; i < records->file_count; i++) {
        free(records->files[i].path);
        hashes_fini(&records->files[i].hashes);
    }
    free(records->files);
    free(records->versions);
    *records = (struct hash_records){.file_count = 0};
}

/* ---- comparing */

/* Whether two versions are equal; else where not. */
static bool same_version(struct hash_version first, struct hash_version second,
                         struct hash_difference *difference)
{
    const struct hashes *hashes = &first.file->hashes;

    for (uint32_t i = 0; i < hashes->tensor_count; i++) {
        if (first.line->sums[i] == second.line->sums[i])
            continue;
        *difference = (struct hash_difference){first, second, hashes->tensors[i], first.line->sums[i],
                                               second.line->sums[i]};
        return false;
    }
    return true;
}

bool hash_records_agree(const struct hash_records *records, struct hash_difference *difference)
{
    for (size_t i = 1; i < records->version_count; i++) {
        const struct hash_version *pair = &records->versions[i - 1];

        if (compare_places(pair[0].line, pair[1].line) == 0 && !same_version(pair[0], pair[1], difference))
            return false;
    }
    return true;
}

bool hash_records_are_alike(const struct hash_records *first, const struct hash_records *second)
{
    return same_tensors(&first->files[0].hashes, &second->files[0].hashes);
}

/* The next version at another place than the one at index `at`. */
static size_t next_place(const struct hash_records *records, size_t at)
{
    const struct hashes_line *line = records->versions[at].line;

    while (at < records->version_count && compare_places(records->versions[at].line, line) == 0)
        at++;
    return at;
}

static void note_single(uint64_t step, size_t *count, uint64_t *begin, uint64_t *last)
{
    if (++*count == 1)
        *begin = step;
    *last = step;
}

static void note_pair(struct hash_version first, struct hash_version second,
                      struct hash_comparison *comparison)
{
    struct hash_difference difference;

    comparison->common++;
    if (!same_version(first, second, &difference) && ++comparison->different == 1)
        comparison->difference = difference;
}

void hash_records_compare(const struct hash_records *first, const struct hash_records *second,
                          struct hash_comparison *comparison)
{
    size_t i = 0, j = 0;

    *comparison = (struct hash_comparison){.common = 0};
    while (i < first->version_count || j < second->version_count) {
        int order = i == first->version_count ? 1
                    : j == second->version_count
                        ? -1
                        : compare_places(first->versions[i].line, second->versions[j].line);

        if (order == 0)
            note_pair(first->versions[i], second->versions[j], comparison);
        else if (order < 0)
            note_single(first->versions[i].line->step, &comparison->only_first, &comparison->only_first_begin,
                        &comparison->only_first_last);
        else
            note_single(second->versions[j].line->step, &comparison->only_second,
                        &comparison->only_second_begin, &comparison->only_second_last);
        if (order <= 0)
            i = next_place(first, i);
        if (order >= 0)
            j = next_place(second, j);
    }
}
