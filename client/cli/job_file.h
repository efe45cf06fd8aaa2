/* A job file as the commands that submit or check one need it: loaded, and as the text that travels. */
#ifndef CAIRN_CLI_JOB_FILE_H
#define CAIRN_CLI_JOB_FILE_H

#include "control.pb-c.h"
#include "job/job.h"

#include <stdbool.h>
#include <stdint.h>

struct job_file {
    const char *path; /* as the user wrote it; borrowed */
    char *text;
    size_t length;
    char *base_directory; /* absolute: the job file's folder, from which its paths start */
    struct job_overrides overrides;
    struct job *job; /* NULL until it was loaded */
};

/* Reads and checks a job file. job_file_fini is right also after a failure.
 * Owns: path is borrowed. Errors: as job_load_text: one line that a person can act on. */
enum status job_file_load(struct job_file *file, const char *path, const struct job_overrides *overrides,
                          struct error *error) MUST_CHECK;
void job_file_fini(struct job_file *file);

/* The same as a message; it borrows the file's texts. */
void job_file_message(const struct job_file *file, Cairn__JobText *message);

/* The overrides of the options --servers and --workers; 0: as the file says. */
struct job_overrides job_file_overrides(int64_t servers, int64_t workers);

/* Calls missing(context, key, path, line) for each data file that cannot be read from here.
 * Errors: CAIRN_NO_MEMORY. */
typedef void job_file_missing(void *context, const char *key, const char *path, uint32_t line);
enum status job_file_find_missing(const struct job_file *file, job_file_missing *missing, void *context,
                                  struct error *error) MUST_CHECK;

/* Whether the model file can be written from here, as far as that shows before: its folder is there and takes
 * files, and it is no folder itself. Errors: CAIRN_INVALID: one line with the job file; NO_MEMORY. */
enum status job_file_check_output(const struct job_file *file, struct error *error) MUST_CHECK;

#endif
