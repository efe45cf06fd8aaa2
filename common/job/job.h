/* The job file: one declarative YAML file that says all of a training. docs/job-file.md lists every key.
 *
 * Loaded by schema with libcyaml; everything wrong gets one line "FILE:LINE: what, what is allowed". The
 * result is plain data that all programs read; nobody parses the text in another way. Immutable after
 * job_load; any thread. */
#ifndef CAIRN_JOB_JOB_H
#define CAIRN_JOB_JOB_H

#include "base/hash.h"
#include "base/status.h"
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

enum optimizer_type { OPTIMIZER_SGD, OPTIMIZER_ADAM, OPTIMIZER_COUNT };

struct optimizer_spec {
    enum optimizer_type type;
    double learning_rate;                 /* sgd 0.01, adam 0.001 */
    double momentum;                      /* sgd, 0 */
    bool nesterov;                        /* sgd, false */
    double beta_1, beta_2, epsilon;       /* adam 0.9, 0.999, 1e-7 */
};

enum device { DEVICE_AUTO, DEVICE_CPU, DEVICE_CUDA };

struct job {
    char name[JOB_NAME_MAX];       /* letters, digits, - and _ */
    uint64_t seed;
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
    struct optimizer_spec optimizer;
    uint32_t threads_per_microbatch;
    uint64_t commit_every;         /* steps; default 100 */
    uint32_t servers;              /* default 1 */
    uint32_t workers_min, workers_max;
    uint32_t threads_per_worker;   /* lanes; 0: the machine's cores */
    enum device device;
    char *output_path;             /* default NAME.h5 */
    char *base_directory;          /* what relative paths start from */
};

/* What the command line may change; 0: as the file says. */
struct job_overrides {
    uint32_t servers, workers_min, workers_max;
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

/* The digest of all that the final model depends on: model, data paths and formats, seed, optimizer, batch,
 * microbatches, threads_per_microbatch, but not the cluster, the output, commit_every or the length of the
 * training. */
void job_digest(const struct job *job, char text[HASH_TEXT_BYTES]);

/* What a model file says of the job's training. */
struct h5_training job_h5_training(const struct job *job);

/* Microbatch m of a batch of n samples covers its samples [*begin, *end). */
void job_microbatch(const struct job *job, uint32_t batch_samples, uint32_t microbatch, uint32_t *begin,
                    uint32_t *end);

/* Steps a training epoch (the last batch may be short) and in all. samples > 0. */
uint64_t job_steps_per_epoch(const struct job *job, uint64_t samples);
uint64_t job_final_step(const struct job *job, uint64_t samples);

#endif
