/* The record of hashes that a worker keeps of a job with train.record_hashes: a line for each version of the
 * weights that it has had (model/formats/hashes.h), in OUTPUT.hashes/WORKER.txt beside the model file. `cairn
 * verify` compares such records.
 *
 * What is recorded is the version as this worker has it: where the codec carries weights, a copy. A line is
 * one write at the end of the file; a record of the same job is gone on with, any other is begun anew. A
 * record that cannot be written is a warning, once, and training goes on without it. One thread, the step
 * thread; knows nothing of how weights came. */
#ifndef CAIRN_WORKER_HASH_RECORD_H
#define CAIRN_WORKER_HASH_RECORD_H

#include "job/job.h"

#include <stdbool.h>
#include <stdint.h>

struct hash_record;

/* Opens the record. NULL: the job keeps none, or it cannot be kept, which was logged. Owns: job is borrowed.
 */
struct hash_record *hash_record_open(const struct job *job, const char *job_id, const char *worker);

/* Adds a version. weights: the whole address space of the job's graph; version: how many steps are done;
 * is_copy: whether they are what a codec made of the weights. NULL is allowed. */
void hash_record_step(struct hash_record *record, const float *weights, uint64_t version, bool is_copy);

/* NULL is allowed. */
void hash_record_close(struct hash_record *record);

#endif
