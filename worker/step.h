/* The step thread: an actor a job, from PrepareCommand to ReleaseCommand. It opens the job and its data, and
 * then does what the newest epoch asks: trains (training.h) or idles. When shards break away it trains anew
 * after a pause; at the end it makes the last version known: its hash and, where asked, its file.
 *
 * The main thread starts it, tells it struct step_command and hears struct step_report; a failure is a report
 * too, after which the thread waits to be stopped, as it does after the end. Knows nothing of the
 * coordinator's socket. */
#ifndef CAIRN_WORKER_STEP_H
#define CAIRN_WORKER_STEP_H

#include "base/hash.h"
#include "control.pb-c.h"
#include "net/actor.h"
#include "orders.h"
#include "runner.h"
#include "training.h"

/* Everything is borrowed until the actor has stopped. */
struct step_params {
    const Cairn__PrepareCommand *prepare;
    const char *worker_name;
    uint32_t lane_count; /* 0: as the job says, else one a core */
    backend_maker *make_backend;
    uint32_t patience_ms; /* with shards that are not to be reached; 0: as patience.h says */
};

enum step_command_kind { STEP_ORDERS, STEP_VOTE };

struct step_command {
    enum step_command_kind kind;
    struct orders orders; /* STEP_ORDERS: of an epoch; one that is not newer than those before is ignored */
};

enum step_report_kind {
    STEP_PREPARED,
    STEP_PROGRESS,
    STEP_VALIDATED,
    STEP_REACHED,
    STEP_NOT_FINITE,
    STEP_FAILED,
    STEP_TROUBLE,
    STEP_ENDED /* its last: it has been told to stop, and nothing of it is left to wait for */
};

/* Sent by value. */
struct step_report {
    enum step_report_kind kind;
    uint64_t training_samples, validation_samples; /* STEP_PREPARED */
    struct training_figures figures; /* STEP_PROGRESS; STEP_VALIDATED: step and means; STEP_REACHED: step;
                                      * STEP_NOT_FINITE: step, of the loss */
    const char *metric_names[1 + MODEL_METRICS_MAX]; /* of the means; constant text */
    char model_hash[HASH_TEXT_BYTES];                /* STEP_REACHED */
    char output[ORDERS_OUTPUT_MAX];                  /* STEP_REACHED: the file that was written, or empty */
    /* STEP_NOT_FINITE: the lowest microbatch of ours that gave it, and there the first layer; empty: none
     * did. */
    uint32_t microbatch;
    char layer[MODEL_NAME_MAX];
    /* STEP_FAILED; STEP_TROUBLE: which a user should know of, and training goes on; STEP_REACHED: why there
     * is no output. */
    char message[sizeof(((struct error *)0)->message)];
};

/* Starts the thread; it begins to open the job at once. One that is told to stop does so when it next
 * listens, which may take long: it listens neither while it opens data nor while it writes a model. Owns:
 * params is copied. Errors: CAIRN_NO_MEMORY, CAIRN_IO. */
enum status step_start(void *zmq_context, const struct step_params *params, struct actor **out,
                       struct error *error) MUST_CHECK;

#endif
