/* Training: a job on this worker, from where it stands to its last step, or until something breaks: gradients
 * out as they become final, weights in as they come, metrics and validations by the same tree.
 *
 * The object owns the session to the shards, the lanes, the loader and all that they share, and belongs to
 * one thread, the step thread, which sleeps in one poll over training_sockets and training_descriptor and
 * then calls training_turn. Nothing here blocks.
 *
 * It begins with a synchronisation (synchronise.h): at the first step that has not ended on the shards, of
 * which it computes and pushes its whole span, whoever may have done so before. So whoever begins at any
 * moment is right, and a training can be thrown away at any moment and made anew, with another span or with
 * the same: shards drop what they have. What is left of one for the next is a struct training_history.
 *
 * Rule (docs/design.md section 5): nothing of step t is pushed before step t - 1 has ended for this worker
 * (all weights and the metrics of version t are here, no stop was voted) and its part of a validation that
 * is due at t is pushed. So a stop leaves every shard at the same version, and one arena of weights is
 * enough. */
#ifndef CAIRN_WORKER_TRAINING_H
#define CAIRN_WORKER_TRAINING_H

#include "lanes.h"
#include "progress.h"
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
    double microbatches_per_second; /* that this worker's lanes compute when they do not wait; 0: not known */
    /* Of the lanes' time since training began, 0 to 1: computing; asleep for weights, which is communication
     * that no computing hid; asleep for data. */
    double compute_share, communication_share, waiting_share;
    /* Computed since the last figures, since those whose they are were far behind. */
    uint64_t backup_microbatches;
};

struct training_events {
    void (*progress)(void *context, const struct training_figures *figures);
    /* means as above, over the validation set, under the weights after `step` steps. */
    void (*validated)(void *context, uint64_t step, const double *means, uint32_t metric_count);
    void *context;
};

/* What is known across the trainings of one job. */
struct training_history {
    struct progress progress;
    uint64_t counted; /* steps done when progress last took in metrics */
    struct lanes_times times;
    uint64_t backup_microbatches; /* not told yet */
};

void training_history_init(struct training_history *history, const struct job *job);

struct training_params {
    void *zmq_context;
    const struct job *job; /* borrowed, as are the readers */
    const struct reader *training;
    const struct reader *validation; /* NULL: none */
    uint64_t first_step, final_step; /* of the incarnation; first_step <= final_step */
    uint32_t span_begin, span_end;   /* not empty */
    bool is_first;                   /* throughput modes: it validates, for all */
    bool is_closing; /* throughput modes: all have ended; reads what there is, computes no step */
    uint32_t lane_count;
    backend_maker *make_backend;
    struct hash_record *record;    /* borrowed; NULL: none is kept */
    struct session_params session; /* the tables and the seed are filled in here; its arrays are borrowed */
    struct training_history *history; /* borrowed */
    struct training_events events;
};

/* Asks shards where the job stands. Owns: params is copied.
 * Errors: CAIRN_NO_MEMORY, CAIRN_INVALID, CAIRN_IO; nothing is left running then. */
enum status training_new(const struct training_params *params, struct training **out,
                         struct error *error) MUST_CHECK;

/* Stops all threads and closes all sockets; what was not sent is dropped. NULL is allowed. */
void training_free(struct training *training);

/* What to poll for input. */
void *const *training_sockets(const struct training *training, size_t *count);
int training_descriptor(const struct training *training);

/* When to call training_turn though nothing comes, on clock_ms(); INT64_MAX: never. */
int64_t training_deadline_ms(const struct training *training);

/* Does all that can be done now. Errors: those of shards, the backend and memory; this training cannot go on.
 */
enum status training_turn(struct training *training, struct error *error) MUST_CHECK;

/* Whether training_turn failed at a shard, which a new training may not. */
bool training_is_in_trouble(const struct training *training);

/* Whether all shards have answered where the job stands. */
bool training_is_synchronised(const struct training *training);

/* Fills *error with which shard has not; returns CAIRN_TIMEOUT. Only before training_is_synchronised. */
enum status training_unreached(const struct training *training, struct error *error);

/* Votes for an end after the step in hand, with this and all further metrics that this worker sends; or after
 * the step that follows, where the codec carries weights (docs/design.md section 11). */
void training_vote(struct training *training);

/* Steps that have ended here; 0 before training_is_synchronised. */
uint64_t training_done(const struct training *training);

/* Whether the end is reached, by the last step or by votes; then training_weights are those of version step,
 * as the shards hold them. In the throughput modes that is so of a training that closes alone. */
struct training_end {
    uint64_t step; /* steps done; of a training that closes, those of the job */
    bool is_whole; /* all of the training: not stopped before */
};
bool training_ended(const struct training *training, struct training_end *end);
const float *training_weights(const struct training *training);

/* Whether training is over since the loss of step fault->step was not finite; of a job that ends then.
 * *is_ours: it came from a microbatch of this worker's, and the rest of *fault is set. */
bool training_is_not_finite(const struct training *training, struct lanes_fault *fault, bool *is_ours);

/* How many gradient arenas were made: a measure of memory. */
size_t training_arenas(const struct training *training);

#endif
