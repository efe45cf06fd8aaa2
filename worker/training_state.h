/* What the files of a training share: its state. Nobody else includes this. */
#ifndef CAIRN_WORKER_TRAINING_STATE_H
#define CAIRN_WORKER_TRAINING_STATE_H

#include "training.h"

#include "pace.h"
#include "share.h"
#include "synchronise.h"

/* A vector of metrics on its way to a shard, one a node of the cover. */
struct vectors {
    enum table_id table;
    struct buffer *ready[TREE_COVER_MAX]; /* complete, not pushed yet */
    uint32_t left_to_push;                /* nodes, in this round */
};

enum training_phase {
    TRAINING_ASKS,  /* shards are asked for their versions */
    TRAINING_READS, /* the metrics of the last step that has ended are pulled, before it is known what follows
                     */
    TRAINING_RUNS   /* weights come and go; nothing is computed any more when is_last, not_finite */
};

enum backup_phase {
    BACKUP_IDLE,     /* waits until others are late */
    BACKUP_ASKS,     /* shards are asked what is missing */
    BACKUP_ASKED,    /* all have answered */
    BACKUP_COMPUTES, /* a piece of that */
    BACKUP_ENDS      /* the step has ended; some lane has yet to notice */
};

/* What is computed of a step that others have not pushed, though it is theirs. */
struct backup {
    enum backup_phase phase;
    struct session_missing questions[TABLE_COUNT];
    uint32_t questions_left;
    bool training[TREE_LEAVES_MAX];   /* that is missing: microbatches, */
    bool validation[TREE_LEAVES_MAX]; /* and parts of the validation set */
    uint64_t pulled;                  /* weights of versions below it were pulled for backups */
    struct weights *weights;          /* of the step in hand, not of what follows; NULL: none */
    /* The piece in hand. */
    enum round_kind kind;
    uint32_t span_begin, span_end;
    struct schedule schedule;
    struct mailbox mailbox;
    struct share share;
    uint32_t vectors_left, gradients_left; /* nodes, to push */
};

struct training {
    struct training_params params;
    const struct graph *graph;
    struct schedule schedule; /* from the incarnation's first step, and then from where the job stands */
    uint32_t metric_count;    /* elements of a vector */

    struct session *session;
    struct weights *weights;
    struct mailbox mailbox;
    struct buffer_pool *vector_pool;
    struct share share; /* closed before TRAINING_RUNS, and where nothing is to be computed */

    enum training_phase phase;
    struct synchronise synchronise;
    struct standing standing; /* from TRAINING_READS on */

    uint64_t done;     /* steps that have ended here */
    uint64_t expected; /* version that is to come: done, at the start, then done + 1 */
    uint64_t end;      /* the version at which training ends: the final step, unless it is stopped before */
    bool await_metrics;
    bool await_validation;
    uint32_t gradients_left; /* nodes that step `done` has yet to push; more are of the next */
    bool vote;               /* told to stop */
    bool is_open;            /* all weights of version `done` were here: its pushes may go */
    bool is_last;            /* no further step will begin */
    bool stopped;            /* the same, before the whole training was done */
    bool not_finite;         /* the loss of step done - 1 was not: no further step will begin */
    struct vectors metrics, validation;
    double root[LANES_METRICS_MAX]; /* metrics of the step that ends */
    enum status problem;            /* of what a shard sent */
    struct error problem_error;
    bool is_trouble; /* the last failure was one of reaching shards */

    struct pace pace;
    uint64_t began_ns;      /* the step in hand */
    uint64_t pushed_ns;     /* when all of our own was pushed; 0: it is not yet */
    uint64_t backup_due_ns; /* when to look at what others have pushed, since pushed_ns */
    bool is_backed_up;      /* others were late in the step in hand */
    struct backup *backup;  /* NULL: nobody was ever late */

    uint32_t applied_left; /* throughput modes: chunks of step `done` that shards have yet to acknowledge */
    bool is_torn;          /* the same: some have step `done` already: it must be made */
    bool is_hurried;       /* the same: whatever weights there are were asked for, to make it and stop */
};

/* ---- training_pushes.c */

/* Takes what lanes have completed. */
enum status training_take_mail(struct training *training, struct error *error) MUST_CHECK;

/* Pushes all that may go. */
enum status training_push(struct training *training, struct error *error) MUST_CHECK;

/* The parts of that. A copy of a node's vector, since lanes will use the place again. */
enum status training_copy_vector(struct training *training, const struct share *share,
                                 const struct completion *completion, struct buffer **out,
                                 struct error *error) MUST_CHECK;

/* Pushes a vector of a node, with our vote in it. */
enum status training_push_vector(struct training *training, enum table_id table, struct tree_node node,
                                 struct buffer *vector, bool subscribe, struct error *error) MUST_CHECK;

/* Pushes all gradients of a share that are due, of *left nodes. */
enum status training_push_gradients(struct training *training, struct share *share, uint32_t *left,
                                    bool subscribes, struct error *error) MUST_CHECK;

/* ---- training_backup.c */

/* A step begins, a step has ended: what is under way for others is given up. */
void training_backup_begin(struct training *training);
void training_backup_end(struct training *training);

/* Computes what others are late with, when they are; once everything else is done that can be. */
enum status training_back_up(struct training *training, struct error *error) MUST_CHECK;

/* Takes weights of a version that has passed, which only backups ask for; false: none has asked for it. */
bool training_backup_values(struct training *training, uint32_t chunk, uint64_t version, const float *values,
                            size_t elements);

/* Waits until its lanes have ended; no share is open then. */
void training_backup_free(struct training *training);

/* ---- training.c: what shards send */

void training_values_came(void *context, uint32_t table, uint32_t chunk, uint64_t version, const void *values,
                          size_t elements);
void training_version_told(void *context, uint32_t table, uint32_t chunk, uint64_t version);

/* ---- training_begin.c */

/* Goes on with what follows from the answers that have come, up to TRAINING_RUNS. */
enum status training_synchronise(struct training *training, struct error *error) MUST_CHECK;

/* ---- training.c */

/* `done` steps have ended, with the metrics of the last in root when there are any: what follows from votes
 * and losses, and the figures. */
void training_arrive(struct training *training, bool has_root);

/* Whether the validation that is due once `done` steps are done is to be computed. */
bool training_must_validate(const struct training *training);

/* Whether weights come as copies in the codec. The model is what the shards hold, so those of the last
 * version must come as they are, which a step's pushes ask for. */
bool training_has_copies(const struct training *training);

/* ---- training_own.c: the throughput modes */

bool training_is_own(const struct training *training);

/* Before anything is asked; once all versions are told. */
void training_own_init(struct training *training);
void training_own_standing(struct training *training);

/* A vector of metrics, or of a validation, is whole. */
void training_own_vector(struct training *training, struct vectors *vectors, const double *vector);

/* A shard has applied a chunk of the step before `version`. */
void training_own_applied(struct training *training, uint64_t version);

/* Whether step `done` has ended: who is to stop then, or at the end, needs no weights to go on with. */
bool training_own_step_has_ended(struct training *training);

/* A vote to stop ends a training that is between two steps at once. */
void training_own_heed_vote(struct training *training);

/* Who is to stop, but has a step to make first that only some chunks have, waits for no other worker to come
 * on: asks for the weights that there are. */
enum status training_own_hurry(struct training *training, struct error *error) MUST_CHECK;

/* As training_ended. */
bool training_own_is_over(const struct training *training);

/* ---- training.c */

/* Adds what the lanes did to the history; they may be asked no more. */
void training_keep_history(struct training *training);

#endif
