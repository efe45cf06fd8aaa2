/* `cairn-worker evaluate MODEL ...`: the loss and metrics of a model file over a data set, on all cores.
 *
 * With --job it goes over the job's validation data in the very parts and order of training, so that it
 * gives the training's own figures. Uses a runner a thread; no cluster. */
#ifndef CAIRN_WORKER_EVALUATE_H
#define CAIRN_WORKER_EVALUATE_H

#include "base/settings.h"
#include "data/reader.h"

/* As the command line has them; NULL or 0 where it does not. */
struct evaluate_options {
    const char *model;
    const char *job;
    const char *data;
    int64_t format; /* enum data_format */
    const char *features, *labels, *label_column, *scale;
    int64_t loss; /* enum loss, in place of the model file's; -1: none */
    int64_t no_header;
    int64_t batch_size;
    int64_t threads; /* 0: one a core */
    int64_t json;
};

/* Resolves the command line (argv[0] is "evaluate") and checks that its options belong together.
 * Errors: CAIRN_INVALID with a line that names the option. */
enum status evaluate_options_resolve(int argc, char **argv, struct evaluate_options *options,
                                     enum settings_outcome *outcome, struct error *error) MUST_CHECK;

/* The job whose data is meant: read from the file, or one made up that has nothing but a validation set with
 * paths from the working directory. Owns: the caller, job_free.
 * Errors: those of job_load_text; CAIRN_NOT_FOUND for a directory without MNIST's files. */
enum status evaluate_options_job(const struct evaluate_options *options, struct job **out,
                                 struct error *error) MUST_CHECK;

/* The command: resolves, evaluates, prints. Returns the process's exit code. */
int evaluate_main(int argc, char **argv);

#endif
