/* Training: one membership epoch of a job on this worker, from its first step to its last: gradients out as
 * they become final, weights in as they come, metrics and validations by the same tree.
 *
 * The object owns the session to the shards, the lanes, the loader and all that they share, and belongs to
 * one thread, the step thread, which sleeps in one poll over training_sockets and training_descriptor and
 * then calls training_turn. Nothing here blocks.
 *
 * Rule (docs/design.md section 5): nothing of step t is pushed before step t - 1 has ended for this worker
 * (all weights and the metrics of version t are here, no stop was voted) and its part of a validation that
 * is due at t is pushed. So a stop leaves every shard at the same version, and one arena of weights is
 * enough. */
#ifndef CAIRN_WORKER_TRAINING_H
#define CAIRN_WORKER_TRAINING_H

#include "runner.h"
#include "session.h"

struct hash_record;
struct training;

/* Where a training is. */
struct training_figures {
    uint64_t step;                       /* steps done */
    uint32_t metric_count;               /* the loss and the spec's metrics */
    double means[1 + MODEL_METRICS_MAX]; /* over the training epoch so far */
    double samples_per_second;           /* of all workers, in the last moments */
    /* Of the lanes' time since training began, 0 to 1: computing; asleep for weights, which is communication
     * that no computing hid; asleep for data. */
    double compute_share, communication_share, waiting_share;
};

struct training_events {
    void (*progress)(void *context, const struct training_figures *figures);
    /* means as above, over the validation set, under the weights after `step` steps. */
    void (*validated)(void *context, uint64_t step, const double *means, uint32_t metric_count);
    void *context;
};

struct training_params {
    void *zmq_context;
    const struct job *job; /* borrowed, as are the readers */
    const struct reader *training;
    const struct reader *validation; /* NULL: none */
    uint64_t first_step, final_step; /* first_step <= final_step */
    uint32_t span_begin, span_end;   /* not empty: a job has no more workers than microbatches */
    uint32_t lane_count;
    backend_maker *make_backend;
    struct hash_record *record;    /* borrowed; NULL: none is kept */
    struct session_params session; /* the tables and the seed are filled in here */
    struct training_events events;
};

/* Starts threads and asks for the first weights. Owns: params is copied.
 * Errors: CAIRN_NO_MEMORY, CAIRN_INVALID, CAIRN_IO; nothing is left running then. */
enum status training_new(const struct training_params *params, struct training **out,
                         struct error *error) MUST_CHECK;

/* Stops all threads and closes all sockets; what was not sent is dropped. NULL is allowed. */
void training_free(struct training *training);

/* What to poll for input. */
void *const *training_sockets(const struct training *training, size_t *count);
int training_descriptor(const struct training *training);

/* Does all that can be done now. Errors: those of shards, the backend and memory; training cannot go on. */
enum status training_turn(struct training *training, struct error *error) MUST_CHECK;

/* Votes for an end after the step in hand, with the next metrics that this worker sends; or after the step
 * that follows, where the codec carries weights (docs/design.md section 11). */
void training_vote(struct training *training);

/* Whether the end is reached, by the last step or by votes; then *step is how many steps are done, and
 * training_weights are those of that version, as the shards hold them. */
bool training_ended(const struct training *training, uint64_t *step);
const float *training_weights(const struct training *training);

/* How many gradient arenas were made: a measure of memory. */
size_t training_arenas(const struct training *training);

#endif
