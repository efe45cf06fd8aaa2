/* What a job file says of an optimizer: its type and arguments by Keras's names, and the schedule of its
 * learning rate. Plain data; the rules that it comes from are in schema_optimizer.c, the formulas in
 * server/optimizers. Knows nothing of YAML. Immutable once loaded; any thread. */
#ifndef CAIRN_JOB_OPTIMIZER_SPEC_H
#define CAIRN_JOB_OPTIMIZER_SPEC_H

#include <stdbool.h>
#include <stdint.h>

/* The number, the job file's word, and Keras's class. */
#define OPTIMIZER_LIST(X)                                                                                    \
    X(SGD, "sgd", "SGD")                                                                                     \
    X(ADAM, "adam", "Adam")                                                                                  \
    X(ADAMW, "adamw", "AdamW")                                                                               \
    X(ADAGRAD, "adagrad", "Adagrad")                                                                         \
    X(RMSPROP, "rmsprop", "RMSprop")                                                                         \
    X(ADADELTA, "adadelta", "Adadelta")                                                                      \
    X(NADAM, "nadam", "Nadam")                                                                               \
    X(LION, "lion", "Lion")                                                                                  \
    X(FTRL, "ftrl", "Ftrl")                                                                                  \
    X(LAMB, "lamb", "Lamb")

#define X(number, word, class) OPTIMIZER_##number,
enum optimizer_type { OPTIMIZER_LIST(X) OPTIMIZER_COUNT };
#undef X

#define SCHEDULE_LIST(X)                                                                                     \
    X(CONSTANT, "constant", "")                                                                              \
    X(EXPONENTIAL_DECAY, "exponential_decay", "ExponentialDecay")                                            \
    X(INVERSE_TIME_DECAY, "inverse_time_decay", "InverseTimeDecay")                                          \
    X(POLYNOMIAL_DECAY, "polynomial_decay", "PolynomialDecay")                                               \
    X(COSINE_DECAY, "cosine_decay", "CosineDecay")                                                           \
    X(PIECEWISE_CONSTANT_DECAY, "piecewise_constant_decay", "PiecewiseConstantDecay")

#define X(number, word, class) SCHEDULE_##number,
enum schedule_type { SCHEDULE_LIST(X) SCHEDULE_COUNT };
#undef X

#define SCHEDULE_PIECES_MAX 32 /* values of piecewise_constant_decay */

/* How the learning rate goes with the step; a schedule that does not have an argument leaves it 0. */
struct schedule_spec {
    enum schedule_type type;      /* constant: optimizer_spec.learning_rate says all */
    double initial_learning_rate; /* of all that decay but piecewise_constant_decay */
    uint64_t decay_steps;
    double decay_rate;
    bool staircase;
    double end_learning_rate, power; /* polynomial_decay */
    bool cycle;
    double alpha;         /* cosine_decay */
    double warmup_target; /* 0: no warm-up */
    uint64_t warmup_steps;
    uint64_t
        boundaries[SCHEDULE_PIECES_MAX - 1]; /* ascending; value i holds up to boundary i, itself included */
    uint32_t boundaries_count;
    double values[SCHEDULE_PIECES_MAX];
    uint32_t values_count; /* boundaries_count + 1 */
};

/* An optimizer that does not have an argument leaves it 0. */
struct optimizer_spec {
    enum optimizer_type type;
    double learning_rate; /* when schedule is constant */
    struct schedule_spec schedule;
    double momentum; /* sgd, rmsprop */
    bool nesterov;
    double beta_1, beta_2, epsilon;
    bool amsgrad;
    double rho; /* rmsprop, adadelta */
    bool centered;
    double initial_accumulator_value; /* adagrad, ftrl */
    double learning_rate_power;       /* ftrl, as those below */
    double l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength;
    double beta;
    double weight_decay;                         /* 0: none */
    double clipnorm, clipvalue, global_clipnorm; /* at most one; 0: none */
};

/* The job file's word and Keras's class. */
const char *optimizer_type_name(enum optimizer_type type);
const char *optimizer_class_name(enum optimizer_type type);
const char *schedule_type_name(enum schedule_type type);
const char *schedule_class_name(enum schedule_type type);

/* One argument that is a number or a boolean, for those who write a specification in another form. */
struct spec_argument {
    const char *name; /* Keras's */
    bool is_boolean, is_whole;
    bool is_given; /* false: 0 stands for Keras's None */
    double number; /* a boolean: 0 or 1. Whole numbers of the job file are at most 2^53 */
};

/* Argument `index` of the specification's optimizer, in the job file's order, without the learning rate;
 * false: there are no more. */
bool optimizer_spec_argument(const struct optimizer_spec *spec, uint32_t index,
                             struct spec_argument *argument);

/* The same of a schedule, without piecewise_constant_decay's lists. */
bool schedule_spec_argument(const struct schedule_spec *spec, uint32_t index, struct spec_argument *argument);

/* The arrays of the weights' shape that the optimizer keeps beside them. */
uint32_t optimizer_spec_slot_count(const struct optimizer_spec *spec);

/* Whether an update needs norms over whole parameters before it can be applied: clipnorm, global_clipnorm,
 * lamb. */
bool optimizer_spec_needs_norms(const struct optimizer_spec *spec);

#endif
