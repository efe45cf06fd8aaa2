/* What the step thread says to the main thread: struct step_report, filled and sent. One thread. */
#ifndef CAIRN_WORKER_TELLING_H
#define CAIRN_WORKER_TELLING_H

#include "opened_job.h"
#include "step.h"

struct telling {
    struct actor_self *self;
    const struct opened_job *opened; /* read once it is open */
    struct training_figures figures; /* as last told */
    struct step_report report;       /* in hand; large, so not on the stack */
};

void tell_prepared(struct telling *telling);
/* Of training_events; context: the telling. */
void tell_progress(void *context, const struct training_figures *figures);
void tell_validated(void *context, uint64_t done, const double *means, uint32_t metric_count);

/* The end of a training at version `step`. output: where to write the model; empty: nowhere. What becomes of
 * it is told too; a file that cannot be written does not undo a training. */
void tell_reached(struct telling *telling, uint64_t step, const float *weights, const char *output);

/* Throughput modes: this worker has done its last step; who closes tells of the model. */
void tell_done(struct telling *telling, uint64_t step);

/* fault->layer and microbatch count if it is ours. */
void tell_not_finite(struct telling *telling, const struct lanes_fault *fault, bool is_ours);
void tell_failed(struct telling *telling, const struct error *error);
void tell_trouble(struct telling *telling, const struct error *error);

#endif
