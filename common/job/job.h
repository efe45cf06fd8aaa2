/* The job file: one declarative YAML file that says all of a training, or which tables the servers hold for
 * programs that push and pull by themselves (a tables job). docs/job-file.md lists every key.
 *
 * Loaded by schema with libcyaml; everything wrong gets one line "FILE:LINE: what, what is allowed". The
 * result is plain data that all programs read; nobody parses the text in another way. Immutable after
 * job_load; any thread. */
#ifndef CAIRN_JOB_JOB_H
#define CAIRN_JOB_JOB_H

#include "base/hash.h"
#include "base/status.h"
#include "codec/codec.h"
#include "job/optimizer_spec.h"
#include "model/formats/h5.h"
#include "model/graph.h"
#include "model/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOB_NAME_MAX 64

enum data_format { DATA_FORMAT_IDX, DATA_FORMAT_CSV, DATA_FORMAT_COUNT };

/* Where one data set is. Unused members are NULL. */
struct data_source {
    enum data_format format;
    char *features;     /* idx: images; csv: the file. Absolute, or relative to the job's base directory */
    char *labels;       /* idx */
    char *label_column; /* csv: header name or 0-based index as text; default the last column */
    bool header;        /* csv: the first line names the columns; default true */
    double scale;       /* every feature is multiplied by it; default 1 ("1/255" is understood) */
    uint32_t line;      /* in the job file */
};

/* How the updates of workers become one model (docs/design.md, sections 5 and 12). */
enum train_mode {
    TRAIN_SYNC,  /* all of a step's gradients in one sum: the same model, whatever happens */
    TRAIN_ASYNC, /* each worker's gradients by themselves, at once */
    TRAIN_SSP    /* likewise, but no worker is more than `staleness` steps ahead of the last */
};

enum device { DEVICE_AUTO, DEVICE_CPU, DEVICE_CUDA };

#define JOB_TABLES_MAX          256 /* those that were added to the running job included */
#define JOB_TABLE_DIMENSION_MAX 65536
#define JOB_TABLE_SIZE_MAX      GRAPH_FLOATS_MAX

enum table_kind {
    TABLE_KIND_DENSE, /* one vector of floats, cut into chunks */
    TABLE_KIND_SPARSE /* rows of floats by 64-bit keys, which appear with their first update */
};
#define TABLE_KIND_COUNT 2

struct table_spec {
    char name[JOB_NAME_MAX];             /* letters, digits, - and _; unique in the job */
    enum table_kind kind;
    uint64_t size;                       /* dense: floats; sparse: 0 */
    uint32_t dimension;                  /* sparse: floats a row; dense: 0 */
    struct initializer_spec initializer; /* table_initial.h makes the values */
    struct optimizer_spec optimizer;     /* its own, or that of `train` */
    struct codec_spec codec;             /* how its gradients and values travel; default float32. The boundary of
                                          * top_k is commit_every */
    uint32_t admit_after;                /* sparse: steps with a key until it becomes a row; 0: at once */
    uint64_t expire_after;               /* sparse: steps without a key until its row is forgotten; 0: never */
    uint64_t first_version;              /* the one that it began at; not 0: it was added to the running job */
};

/* What a tables job has not: model, graph, data, shuffle, epochs and steps (it runs until it is stopped),
 * batch_size, codec (each table has its own), workers, their threads and tries, output_path; all 0 or NULL. */
struct job {
    char name[JOB_NAME_MAX];       /* letters, digits, - and _ */
    uint64_t seed;
    uint32_t table_count;          /* 0: the job trains a model */
    uint32_t added_count;          /* of them, the last ones, those that were added to the running job */
    struct table_spec *tables;     /* number on the wire and in records: TABLE_FIRST_USER + index */
    struct model_spec model;
    struct graph *graph;           /* of the model, checked */
    struct data_source training;
    bool has_validation;
    struct data_source validation;
    bool shuffle;                  /* default true */
    uint32_t epochs;               /* one of epochs and steps is set */
    uint64_t steps;
    uint32_t batch_size;
    uint32_t microbatches;         /* default: the greatest of 1..8 that divides into batch_size; <= batch_size */
    enum train_mode mode;
    uint32_t staleness;              /* ssp; else 0 */
    bool staleness_damping;          /* async, ssp: updates of old gradients count less */
    struct optimizer_spec optimizer; /* of the model; each table has its own */
    uint32_t threads_per_microbatch;
    struct codec_spec codec;       /* how the model's gradients and weights travel; never top_k; default float32 */
    uint64_t commit_every;         /* steps; default 100 */
    bool record_hashes;            /* workers record the hashes of each version's tensors; default false */
    bool terminate_on_nan;         /* a loss that is no finite number ends the training; default true */
    uint32_t servers;              /* default 1 */
    uint32_t replicas;             /* servers that have each part of a model's state; default 1 */
    uint32_t workers_min, workers_max;
    uint32_t threads_per_worker;   /* lanes; 0: the machine's cores */
    enum device device;
    uint32_t worker_tries;         /* failures after which a worker is kept from the job; default 3 */
    uint32_t server_timeout;       /* seconds that the job waits for a lost server; default 600 */
    double straggler_factor;       /* idle workers help when a step takes so many times the median longer than
                                    * their own part; 0: never; default 3 */
    char *output_path;             /* default NAME.h5 */
    char *base_directory;          /* what relative paths start from */
};

/* A table that was added to a running job. */
struct job_added_table {
    const char *text; /* what the job file's list of tables would have: "sparse: {name: a, dimension: 8}" */
    uint64_t first_version;
};

/* What changes a job beside its text. Borrowed for the call. */
struct job_overrides {
    uint32_t servers, workers_min, workers_max; /* from the command line; 0: as the file says */
    const struct job_added_table *added;        /* [added_count], after the text's own tables, in this order,
                                                 * in which their first versions do not fall */
    uint32_t added_count;
    bool only_added; /* in place of the text's own: to look at one by itself */
};

/* Loads from text; file_name is for messages. base_directory: what relative paths start from.
 * Errors: CAIRN_INVALID: one line "file:line: ..."; NO_MEMORY. Owns: the caller, job_free. */
enum status job_load_text(const char *text, size_t length, const char *file_name, const char *base_directory,
                          const struct job_overrides *overrides, struct job **out,
                          struct error *error) MUST_CHECK;

/* Reads a file (at most 16 MiB) into *text, NUL-terminated. Owns: the caller, free(). */
enum status job_read_file(const char *path, char **text, size_t *length, struct error *error) MUST_CHECK;

void job_free(struct job *job);

/* path made absolute with the job's base directory. Owns: the caller, free(); NULL: out of memory. */
char *job_path(const struct job *job, const char *path);

/* "sync", "async", "ssp". */
const char *train_mode_name(enum train_mode mode);

/* Whether each worker's gradients are an update of their own: the mode is not sync. */
bool job_is_throughput(const struct job *job);

/* Whether it is a tables job. */
bool job_has_tables(const struct job *job);

/* Whether two tables are alike in all but the version that they began at. */
bool table_equals(const struct table_spec *table, const struct table_spec *other);

/* The user table of a number (TABLE_FIRST_USER and up); NULL: the job has none. */
const struct table_spec *job_table(const struct job *job, uint32_t number);

/* How a dense table lies in chunks: all but the last have chunk_floats. A sparse table has none. */
uint32_t table_chunk_floats(const struct table_spec *table);
uint32_t table_chunk_count(const struct table_spec *table);

/* Chunk `chunk` covers floats [*begin, *end) of a dense table. */
void table_chunk(const struct table_spec *table, uint32_t chunk, uint64_t *begin, uint64_t *end);

/* Bytes that the state of a dense table takes, or of one row of a sparse one with its key: values and the
 * optimizer's slots. */
uint64_t table_state_bytes(const struct table_spec *table);

/* The number of slots of the job (cluster/placement.h): as its file made it, whatever was added. */
uint32_t job_slot_count(const struct job *job);

/* Whether there may be durable state in a slot: a chunk of weights or of a dense table, or rows. A shard that
 * has no such slot makes no generations. slot < job_slot_count(job). */
bool job_slot_has_state(const struct job *job, uint32_t slot);

/* The digest of all that the final model, or the tables' state, depends on: model or tables, data paths and
 * formats, seed, optimizer, batch, microbatches, threads_per_microbatch, mode, codec, but not the cluster,
 * the output, commit_every, record_hashes, terminate_on_nan or the length of the training; nor tables that
 * were added, for the file says nothing of them. */
void job_digest(const struct job *job, char text[HASH_TEXT_BYTES]);

/* What a model file says of the job's training; borrows from the job. */
struct h5_training job_h5_training(const struct job *job);

/* ---- of a job that trains a model
 *
 * Microbatch m of a batch of n samples covers its samples [*begin, *end). */
void job_microbatch(const struct job *job, uint32_t batch_samples, uint32_t microbatch, uint32_t *begin,
                    uint32_t *end);

/* Steps a training epoch (the last batch may be short) and in all. samples > 0. */
uint64_t job_steps_per_epoch(const struct job *job, uint64_t samples);
uint64_t job_final_step(const struct job *job, uint64_t samples);

#endif
