/* What a job's status is in words and in JSON. Pure; any thread. */
#ifndef CAIRN_CLI_RESULT_H
#define CAIRN_CLI_RESULT_H

#include "job.pb-c.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "pending", "running", ...; "unknown" for a number outside the enum. */
const char *job_state_name(Cairn__JobState state);

/* Whether nothing more will happen to the job unless it is resumed. */
bool job_state_has_ended(Cairn__JobState state);

/* Steps that are known to be done: what workers told lags behind what servers have committed. */
uint64_t result_steps_done(const Cairn__JobStatus *status);

/* Seconds from the start to the end, or to now_ms (Unix time) when it has not ended; 0 before it began. */
double result_seconds(const Cairn__JobStatus *status, int64_t now_ms);

/* Seconds that the job has been in its state at now_ms (Unix time); 0: not known. */
double result_state_seconds(const Cairn__JobStatus *status, int64_t now_ms);

/* A moment in local time, "2026-11-28 12:40:05"; "-" for 0. */
#define RESULT_MOMENT_BYTES 32
void result_moment_text(int64_t unix_ms, char text[RESULT_MOMENT_BYTES]);

/* A JSON string of any bytes: those of a text that is not UTF-8 (a path may be) become "?". NULL: out of
 * memory. */
json_t *result_text(const char *text);

/* A list of such strings. NULL: out of memory. */
json_t *result_texts(char *const *list, size_t count);

/* {"loss": ..., "accuracy": ...}; numbers that JSON does not have become null. NULL: out of memory. */
json_t *result_metrics(Cairn__Metric *const *metrics, size_t count);

/* The object with which train, wait and stop end: status, job, model_hash, steps, epochs, workers, servers,
 * seconds, samples_per_second, metrics (the last validation), training (the last training metrics), output,
 * committed_step, and what there is of reason and output_error. Empty texts are null. NULL: out of memory. */
json_t *result_json(const Cairn__JobStatus *status, int64_t now_ms);

/* The same for a run that failed outside the coordinator's knowledge; status may be NULL. */
json_t *result_json_failed(const Cairn__JobStatus *status, const char *reason, int64_t now_ms);

/* result_json and all else that the coordinator says of a job. */
json_t *result_status_json(const Cairn__JobStatus *status, int64_t now_ms);

/* Whether the job did all that was asked of it, its model file included. One with tables only ever stops. */
bool result_is_success(const Cairn__JobStatus *status);

/* "3", or with fewer or more than the job would have, "2", between and "3". */
#define RESULT_COUNT_BYTES 32
void result_workers_text(const Cairn__JobStatus *status, const char *between, char *text, size_t size);
void result_servers_text(const Cairn__JobStatus *status, const char *between, char *text, size_t size);

/* "loss 0.0312  accuracy 0.9907", cut to size. */
void result_metrics_text(Cairn__Metric *const *metrics, size_t count, char *text, size_t size);

#endif
