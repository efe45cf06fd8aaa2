/* cairn export of one table of a tables job, as arrays of NumPy. */
#include "export_table.h"

#include "attach.h"
#include "command.h"
#include "npy.h"
#include "result.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* The files of rows, side by side. */
struct rows_files {
    struct npy keys, steps, weights;
    enum status status;
    struct error *error;
};

/* ---- sparse */

static enum status file_open(struct npy *npy, const char *folder, const char *name, enum npy_type type,
                             uint32_t width, struct error *error)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof(path), "%s/%s.npy", folder, name);

    if (length < 0 || length >= PATH_BYTES)
        return error_set(error, CAIRN_INVALID, "the path is too long: %.100s...", folder);
    return npy_open(npy, path, type, width, error);
}

static enum status files_open(struct rows_files *files, const char *folder, uint32_t dimension,
                              struct error *error)
{
    enum status status = file_open(&files->keys, folder, "keys", NPY_UINT64, 0, error);

    if (status == CAIRN_OK)
        status = file_open(&files->steps, folder, "steps", NPY_UINT64, 0, error);
    if (status == CAIRN_OK)
        status = file_open(&files->weights, folder, "weights", NPY_FLOAT32, dimension, error);
    return status;
}

static int write_rows(void *context, const struct cairn_rows *rows)
{
    struct rows_files *files = context;

    files->status = npy_write(&files->keys, rows->keys, rows->count, files->error);
    if (files->status == CAIRN_OK)
        files->status = npy_write(&files->steps, rows->steps, rows->count, files->error);
    if (files->status == CAIRN_OK)
        files->status = npy_write(&files->weights, rows->values, rows->count, files->error);
    return files->status != CAIRN_OK;
}

static enum status files_close(struct rows_files *files, struct error *error)
{
    enum status status = npy_close(&files->keys, error);

    if (status == CAIRN_OK)
        status = npy_close(&files->steps, error);
    return status == CAIRN_OK ? npy_close(&files->weights, error) : status;
}

static void folder_discard(struct rows_files *files, const char *folder)
{
    npy_discard(&files->keys);
    npy_discard(&files->steps);
    npy_discard(&files->weights);
    rmdir(folder);
}

/* Writes the folder; *rows and *next tell what is in it. */
static enum status write_folder(cairn *connection, cairn_table *table, uint64_t since, const char *folder,
                                uint64_t *rows, uint64_t *next, struct error *error)
{
    struct rows_files files = {.status = CAIRN_OK, .error = error};
    enum status status;

    if (mkdir(folder, 0777) != 0)
        return error_system(error, errno, "%s", folder);
    status = files_open(&files, folder, cairn_table_dimension(table), error);
    if (status == CAIRN_OK) {
        enum cairn_status outcome = cairn_export(table, since, write_rows, &files, next, ATTACH_PATIENCE_MS);

        status = files.status == CAIRN_OK ? attach_status(connection, outcome, error) : files.status;
    }
    *rows = files.keys.rows;
    if (status == CAIRN_OK)
        status = files_close(&files, error);
    if (status != CAIRN_OK)
        folder_discard(&files, folder);
    return status;
}

static enum status print_folder(const struct export_table *export, const cairn *connection, uint64_t rows,
                                uint64_t next, const char *path, struct error *error)
{
    if (!export->json) {
        printf("%s: %" PRIu64 " rows of %s that changed in step %" PRIu64
               " or later\nfor what changes from now on: --since %" PRIu64 "\n",
               path, rows, export->name, export->since, next);
        return CAIRN_OK;
    }
    if (command_print_json(json_pack(
            "{s:o, s:o, s:s, s:I, s:I, s:I, s:o}", "job", result_text(cairn_job_id(connection)), "table",
            result_text(export->name), "kind", "sparse", "rows", (json_int_t)rows, "since",
            (json_int_t) export->since, "next_since", (json_int_t)next, "output", result_text(path))))
        return CAIRN_OK;
    return error_set(error, CAIRN_IO, "the result was not printed");
}

static enum status export_sparse(const struct export_table *export, cairn *connection, cairn_table *table,
                                 struct error *error)
{
    const char *path = export->output ? export->output : export->name;
    uint64_t rows = 0, next = 0;
    enum status status = write_folder(connection, table, export->since, path, &rows, &next, error);

    return status == CAIRN_OK ? print_folder(export, connection, rows, next, path, error) : status;
}

/* ---- dense */

static enum status write_array(const char *path, const float *values, uint64_t size, struct error *error)
{
    struct npy npy;
    enum status status = npy_open(&npy, path, NPY_FLOAT32, 0, error);

    if (status == CAIRN_OK)
        status = npy_write(&npy, values, size, error);
    if (status == CAIRN_OK)
        status = npy_close(&npy, error);
    if (status != CAIRN_OK)
        npy_discard(&npy);
    return status;
}

static enum status print_array(const struct export_table *export, const cairn *connection, uint64_t size,
                               const char *path, struct error *error)
{
    if (!export->json) {
        printf("%s: %" PRIu64 " numbers of %s\n", path, size, export->name);
        return CAIRN_OK;
    }
    if (command_print_json(json_pack("{s:o, s:o, s:s, s:I, s:o}", "job",
                                     result_text(cairn_job_id(connection)), "table",
                                     result_text(export->name), "kind", "dense", "size", (json_int_t)size,
                                     "output", result_text(path))))
        return CAIRN_OK;
    return error_set(error, CAIRN_IO, "the result was not printed");
}

static enum status read_array(cairn *connection, cairn_table *table, float *values, struct error *error)
{
    cairn_handle *handle;
    enum cairn_status status = cairn_pull(table, NULL, 0, values, &handle);

    if (status == CAIRN_STATUS_OK)
        status = cairn_wait(handle, -1);
    return attach_status(connection, status, error);
}

/* *values: what was read to, which lives as long as the connection. Owns: the caller. */
static enum status export_dense(const struct export_table *export, cairn *connection, cairn_table *table,
                                float **values, struct error *error)
{
    uint64_t size = cairn_table_size(table);
    char path[PATH_BYTES];
    enum status status;

    if (export->since > 0)
        return error_set(error, CAIRN_INVALID, "table %s is dense, which is written whole: drop --since",
                         export->name);
    snprintf(path, sizeof(path), "%s%s", export->output ? export->output : export->name,
             export->output ? "" : ".npy");
    *values = calloc(size, sizeof(**values));
    if (!*values)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %" PRIu64 " numbers", size);
    status = read_array(connection, table, *values, error);
    if (status == CAIRN_OK)
        status = write_array(path, *values, size, error);
    return status == CAIRN_OK ? print_array(export, connection, size, path, error) : status;
}

int export_table(const struct export_table *export)
{
    cairn *connection = NULL;
    cairn_table *table = NULL;
    float *values = NULL;
    struct error error;
    enum status status = attach_reader(export->coordinator, export->job, &connection, &error);

    if (status == CAIRN_OK && !(table = cairn_find_table(connection, export->name)))
        status = error_set(&error, CAIRN_NOT_FOUND, "%s has no table \"%s\"", cairn_job_id(connection),
                           export->name);
    if (status == CAIRN_OK)
        status = cairn_table_dimension(table) > 0 ? export_sparse(export, connection, table, &error)
                                                  : export_dense(export, connection, table, &values, &error);
    cairn_close(connection);
    free(values);
    return status == CAIRN_OK ? EXIT_DONE : command_fail(export->program, EXIT_FAILED, &error);
}
