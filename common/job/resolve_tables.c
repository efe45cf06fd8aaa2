/* The rules of a tables job: what it has, what it must not have. */
#include "job/resolve.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What makes no sense in a tables job, and why. */
static const struct {
    const char *path, *why;
} foreign[] = {
    {"model", "given beside tables, allowed: one of the two"},
    {"data", "a job with tables reads no data: the programs that push and pull do"},
    {"train.epochs", "a job with tables runs until it is stopped"},
    {"train.steps", "a job with tables runs until it is stopped"},
    {"train.batch_size", "a job with tables counts the samples that pushes name"},
    {"train.threads_per_microbatch", "a job with tables has no workers"},
    {"train.record_hashes", "a job with tables has no workers"},
    {"train.terminate_on_nan", "a job with tables computes no loss"},
    {"train.staleness", "a job with tables has mode sync: its programs agree on steps"},
    {"train.staleness_damping", "a job with tables has mode sync: its programs agree on steps"},
    {"train.codec", "a job with tables has a codec a table"},
    {"cluster.workers", "a job with tables has no workers"},
    {"cluster.threads_per_worker", "a job with tables has no workers"},
    {"cluster.device", "a job with tables has no workers"},
    {"cluster.worker_tries", "a job with tables has no workers"},
    {"cluster.straggler_factor", "a job with tables has no workers"},
    {"output", "a job with tables writes no model file"},
};

static enum status refuse_foreign(struct resolve *resolve)
{
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        if (document_has(resolve->document, foreign[i].path))
            return resolve_wrong(resolve, foreign[i].path, "%s", foreign[i].why);
    }
    if (resolve->overrides->workers_min != 0 || resolve->overrides->workers_max != 0)
        return resolve_wrong(resolve, "tables", "a job with tables has no workers: drop --workers");
    return CAIRN_OK;
}

/* The path of a table, or of what is below it (".name"). */
static const char *table_path(const struct resolve *resolve, uint32_t index, const char *below,
                              char path[RESOLVE_PATH_MAX])
{
    bool dense = resolve->job->tables[index].kind == TABLE_KIND_DENSE;

    snprintf(path, RESOLVE_PATH_MAX, "tables.%" PRIu32 ".%s%s", index, dense ? "dense" : "sparse", below);
    return path;
}

static enum status check_name(struct resolve *resolve, uint32_t index)
{
    const struct table_spec *tables = resolve->job->tables;
    char path[RESOLVE_PATH_MAX];

    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(tables[i].name, tables[index].name) == 0)
            return resolve_wrong(resolve, table_path(resolve, index, ".name", path),
                                 "a second table named %s, allowed: each name once", tables[index].name);
    }
    return CAIRN_OK;
}

static enum status take_initializer(struct resolve *resolve, uint32_t index,
                                    const struct form_initializer *form)
{
    struct initializer_spec *initializer = &resolve->job->tables[index].initializer;
    char path[RESOLVE_PATH_MAX];

    for (int type = 0; type < INITIALIZER_COUNT; type++) {
        if (form->of[type] == NULL)
            continue;
        *initializer = *form->of[type];
        initializer->type = (enum initializer)type;
    }
    if (initializer->minval > initializer->maxval)
        return resolve_wrong(resolve, table_path(resolve, index, ".initializer.random_uniform", path),
                             "minval %g, allowed: at most maxval, which is %g", initializer->minval,
                             initializer->maxval);
    return CAIRN_OK;
}

static enum status take_optimizer(struct resolve *resolve, uint32_t index, const struct form_optimizer *form)
{
    struct table_spec *table = &resolve->job->tables[index];
    char own[RESOLVE_PATH_MAX];
    const char *path = table_path(resolve, index, ".optimizer", own);
    enum status status;

    if (form == NULL) {
        path = "train.optimizer";
        form = resolve->form->train.optimizer;
    }
    if (form == NULL)
        return resolve_wrong(
            resolve, table_path(resolve, index, "", own),
            "missing key \"optimizer\", allowed: one here, or train.optimizer for all tables");
    status = resolve_optimizer(resolve, path, form, &table->optimizer);
    if (status == CAIRN_OK && table->kind == TABLE_KIND_SPARSE && table->optimizer.type == OPTIMIZER_LAMB)
        return resolve_wrong(resolve, path,
                             "lamb for the sparse table %s, allowed: optimizers that can update single rows, "
                             "which are all others",
                             table->name);
    return status;
}

static enum status take_codec(struct resolve *resolve, uint32_t index, const struct form_codec *form)
{
    struct table_spec *table = &resolve->job->tables[index];
    char path[RESOLVE_PATH_MAX];
    enum status status;

    table_path(resolve, index, ".codec", path);
    status = resolve_codec(resolve, path, form, &table->codec);
    if (status != CAIRN_OK)
        return status;
    if (table->codec.type == CODEC_TOP_K && table->kind == TABLE_KIND_SPARSE)
        return resolve_wrong(resolve, path,
                             "top_k for a sparse table, allowed: all others; a push of a sparse "
                             "table names the rows that matter already");
    return CAIRN_OK;
}

static enum status resolve_table(struct resolve *resolve, uint32_t index)
{
    const struct form_table *form = &resolve->form->tables[index];
    struct table_spec *table = &resolve->job->tables[index];
    const struct form_table_arguments *arguments;
    enum status status;

    table->kind = form->of[TABLE_KIND_DENSE] != NULL ? TABLE_KIND_DENSE : TABLE_KIND_SPARSE;
    arguments = form->of[table->kind];
    memcpy(table->name, arguments->name, sizeof(table->name));
    table->size = arguments->size;
    table->dimension = arguments->dimension;
    table->admit_after = arguments->admit_after;
    table->expire_after = arguments->expire_after;
    status = check_name(resolve, index);
    if (status == CAIRN_OK)
        status = take_initializer(resolve, index, &arguments->initializer);
    if (status == CAIRN_OK)
        status = take_optimizer(resolve, index, arguments->optimizer);
    if (status == CAIRN_OK)
        status = take_codec(resolve, index, &arguments->codec);
    return status;
}

static enum status take_replicas(struct resolve *resolve)
{
    struct job *job = resolve->job;

    job->replicas = resolve->form->cluster.replicas;
    if (job->replicas > job->servers)
        return resolve_wrong(resolve, "cluster.replicas",
                             "%" PRIu32 " replicas, allowed: up to cluster.servers, which is %" PRIu32
                             ", as each is on another",
                             job->replicas, job->servers);
    return CAIRN_OK;
}

enum status resolve_tables_job(struct resolve *resolve)
{
    const struct job_form *form = resolve->form;
    struct job *job = resolve->job;
    enum status status = refuse_foreign(resolve);

    if (status == CAIRN_OK && form->train.mode != TRAIN_SYNC)
        status = resolve_wrong(resolve, "train.mode",
                               "async and ssp are for trainings of models, allowed: sync with tables, whose "
                               "programs agree on steps");
    if (status != CAIRN_OK)
        return status;
    job->tables = calloc(form->tables_count, sizeof(*job->tables));
    if (job->tables == NULL)
        return error_set(resolve->error, CAIRN_NO_MEMORY, "no memory for %" PRIu32 " tables",
                         form->tables_count);
    job->table_count = form->tables_count;
    for (uint32_t i = 0; status == CAIRN_OK && i < form->tables_count; i++)
        status = resolve_table(resolve, i);
    job->microbatches = form->train.microbatches != 0 ? form->train.microbatches : 1;
    job->commit_every = form->train.commit_every;
    job->servers = resolve->overrides->servers != 0 ? resolve->overrides->servers : form->cluster.servers;
    job->server_timeout = form->cluster.server_timeout;
    return status == CAIRN_OK ? take_replicas(resolve) : status;
}
