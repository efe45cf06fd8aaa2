/* From text to job: document (YAML within limits; tables that were added later are put into its list), check
 * (against the schema, defaults filled in), libcyaml (into plain data), resolve (rules between keys). Each
 * step sees only what the one before let through. */
#include "job/check.h"
#include "job/document.h"
#include "job/job.h"
#include "job/resolve.h"
#include "job/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB_TEXT_MAX (16u << 20)

static const cyaml_config_t cyaml_config = {
    .mem_fn = cyaml_mem,
    .log_level = CYAML_LOG_ERROR,
    .flags = CYAML_CFG_NO_ALIAS,
};

static enum status no_memory(const char *file_name, struct error *error)
{
    return error_set(error, CAIRN_NO_MEMORY, "%s: no memory to read it", file_name);
}

/* Loads a document that was checked, so that any refusal but for memory is ours: schema and check differ. */
static enum status load_form(struct document *document, struct job_form **form, struct error *error)
{
    char *text = NULL;
    size_t length;
    cyaml_data_t *data = NULL;
    cyaml_err_t code;
    enum status status = document_emit(document, &text, &length, error);

    if (status != CAIRN_OK)
        return status;
    code = cyaml_load_data((const uint8_t *)text, length, &cyaml_config, &job_schema, &data, NULL);
    free(text);
    if (code == CYAML_OK) {
        *form = data;
        return CAIRN_OK;
    }
    if (code == CYAML_ERR_OOM)
        return no_memory(document->file_name, error);
    return document_error(document, 1, error, "the file passes the check but not the schema: %s",
                          cyaml_strerror(code));
}

/* Puts the entry that a text is at the end of a list. */
static enum status append_text(struct document *document, int list, const char *text, struct error *error)
{
    struct document entry;
    enum status status = document_load(&entry, text, strlen(text), "added table", error);
    int copy;

    if (status != CAIRN_OK)
        return status;
    copy = document_copy(document, list, &entry, document_root(&entry));
    if (copy == 0 || !document_append_item(document, list, copy))
        status = no_memory(document->file_name, error);
    document_fini(&entry);
    return status;
}

/* The document's list of tables, or an empty one in its place. */
static enum status tables_list(struct document *document, bool is_fresh, int *list, struct error *error)
{
    int root = document_root(document);
    int found =
        document_node(document, root)->type == YAML_MAPPING_NODE ? document_find(document, "tables") : 0;

    if (found == 0 || document_node(document, found)->type != YAML_SEQUENCE_NODE)
        return document_error(document, 1, error, "the job has no list of tables to add to");
    *list = found;
    if (is_fresh) /* the old entries stay in the document, where nothing leads to them */
        document_node(document, found)->data.sequence.items.top =
            document_node(document, found)->data.sequence.items.start;
    return CAIRN_OK;
}

static enum status append_added(struct document *document, const struct job_overrides *overrides,
                                struct error *error)
{
    int list = 0;
    enum status status = tables_list(document, overrides->only_added, &list, error);

    for (uint32_t i = 0; i < overrides->added_count && status == CAIRN_OK; i++)
        status = append_text(document, list, overrides->added[i].text, error);
    return status;
}

/* Notes which of the tables are not the file's. */
static enum status mark_added(struct job *job, const struct job_overrides *overrides, struct error *error)
{
    uint32_t first = job->table_count - overrides->added_count;
    uint64_t version = 0;

    job->added_count = overrides->added_count;
    for (uint32_t i = 0; i < overrides->added_count; i++) {
        if (overrides->added[i].first_version < version)
            return error_set(error, CAIRN_INVALID, "table %s begins before one that was added earlier",
                             job->tables[first + i].name);
        version = job->tables[first + i].first_version = overrides->added[i].first_version;
    }
    return CAIRN_OK;
}

static enum status fill_job(struct document *document, const struct job_overrides *overrides, struct job *job,
                            struct error *error)
{
    struct job_form *form = NULL;
    enum status status = CAIRN_OK;

    if (overrides->added_count > 0)
        status = append_added(document, overrides, error);
    if (status == CAIRN_OK)
        status = check_document(document, &job_schema, error);
    if (status == CAIRN_OK)
        status = load_form(document, &form, error);
    if (status == CAIRN_OK)
        status = job_resolve(form, document, overrides, job, error);
    if (status == CAIRN_OK)
        status = mark_added(job, overrides, error);
    if (form != NULL)
        cyaml_free(&cyaml_config, &job_schema, form, 0);
    return status;
}

enum status job_load_text(const char *text, size_t length, const char *file_name, const char *base_directory,
                          const struct job_overrides *overrides, struct job **out, struct error *error)
{
    static const struct job_overrides none;
    struct document document;
    struct job *job = NULL;
    enum status status;

    *out = NULL;
    if (length > JOB_TEXT_MAX)
        return error_set(error, CAIRN_INVALID, "%s:1: %zu bytes, allowed: a job file of at most %u",
                         file_name, length, JOB_TEXT_MAX);
    status = document_load(&document, text, length, file_name, error);
    if (status != CAIRN_OK)
        return status;
    job = calloc(1, sizeof(*job));
    if (job != NULL)
        job->base_directory =
            strdup(base_directory == NULL || *base_directory == '\0' ? "." : base_directory);
    if (job == NULL || job->base_directory == NULL)
        status = no_memory(file_name, error);
    else
        status = fill_job(&document, overrides != NULL ? overrides : &none, job, error);
    document_fini(&document);
    if (status == CAIRN_OK)
        *out = job;
    else
        job_free(job);
    return status;
}

/* Reads to the end or until there is more than a job file may have. */
static enum status read_all(FILE *file, const char *path, char **text, size_t *length, struct error *error)
{
    size_t capacity = 1u << 16, used = 0;
    char *bytes = malloc(capacity), *grown;

    while (bytes != NULL) {
        used += fread(bytes + used, 1, capacity - used - 1, file);
        if (used < capacity - 1 || used > JOB_TEXT_MAX)
            break;
        capacity *= 2;
        grown = realloc(bytes, capacity);
        if (grown == NULL)
            free(bytes);
        bytes = grown;
    }
    if (bytes == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "%s: no memory to read it", path);
    if (ferror(file) || used > JOB_TEXT_MAX) {
        int code = errno;

        free(bytes);
        if (used > JOB_TEXT_MAX)
            return error_set(error, CAIRN_INVALID, "%s:1: too large, allowed: a job file of at most %u bytes",
                             path, JOB_TEXT_MAX);
        return error_system(error, code, "%s", path);
    }
    bytes[used] = '\0';
    *text = bytes;
    *length = used;
    return CAIRN_OK;
}

enum status job_read_file(const char *path, char **text, size_t *length, struct error *error)
{
    FILE *file = fopen(path, "rb");
    enum status status;

    *text = NULL;
    *length = 0;
    if (file == NULL)
        return error_system(error, errno, "%s", path);
    status = read_all(file, path, text, length, error);
    fclose(file);
    return status;
}
