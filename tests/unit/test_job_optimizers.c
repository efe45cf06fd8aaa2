/* The optimizers of job files: Keras's defaults, and all that they say is in digests and model files. */
#include "check_main.h"
#include "good_job.h"

/* The optimizers' defaults are Keras's. */
static const struct {
    const char *text;
    struct optimizer_spec spec;
} optimizers[] = {
    {"sgd", {.type = OPTIMIZER_SGD, .learning_rate = 0.01}},
    {"{sgd: {momentum: 0.9, weight_decay: 0.5}}",
     {.type = OPTIMIZER_SGD, .learning_rate = 0.01, .momentum = 0.9, .weight_decay = 0.5}},
    {"{adam: {amsgrad: true, clipnorm: 1}}",
     {.type = OPTIMIZER_ADAM,
      .learning_rate = 0.001,
      .beta_1 = 0.9,
      .beta_2 = 0.999,
      .epsilon = 1e-7,
      .amsgrad = true,
      .clipnorm = 1}},
    {"adamw",
     {.type = OPTIMIZER_ADAMW,
      .learning_rate = 0.001,
      .beta_1 = 0.9,
      .beta_2 = 0.999,
      .epsilon = 1e-7,
      .weight_decay = 0.004}},
    {"{adagrad: {clipvalue: 0.5}}",
     {.type = OPTIMIZER_ADAGRAD,
      .learning_rate = 0.001,
      .initial_accumulator_value = 0.1,
      .epsilon = 1e-7,
      .clipvalue = 0.5}},
    {"rmsprop", {.type = OPTIMIZER_RMSPROP, .learning_rate = 0.001, .rho = 0.9, .epsilon = 1e-7}},
    {"{rmsprop: {centered: true, momentum: 0.5, global_clipnorm: 3}}",
     {.type = OPTIMIZER_RMSPROP,
      .learning_rate = 0.001,
      .rho = 0.9,
      .momentum = 0.5,
      .epsilon = 1e-7,
      .centered = true,
      .global_clipnorm = 3}},
    {"adadelta", {.type = OPTIMIZER_ADADELTA, .learning_rate = 0.001, .rho = 0.95, .epsilon = 1e-7}},
    {"nadam",
     {.type = OPTIMIZER_NADAM, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-7}},
    {"lion", {.type = OPTIMIZER_LION, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.99}},
    {"{ftrl: {l1_regularization_strength: 1, l2_regularization_strength: 2,\n"
     "         l2_shrinkage_regularization_strength: 3, beta: 4, learning_rate_power: -0.25}}",
     {.type = OPTIMIZER_FTRL,
      .learning_rate = 0.001,
      .learning_rate_power = -0.25,
      .initial_accumulator_value = 0.1,
      .l1_regularization_strength = 1,
      .l2_regularization_strength = 2,
      .l2_shrinkage_regularization_strength = 3,
      .beta = 4}},
    {"ftrl",
     {.type = OPTIMIZER_FTRL,
      .learning_rate = 0.001,
      .learning_rate_power = -0.5,
      .initial_accumulator_value = 0.1}},
    {"lamb",
     {.type = OPTIMIZER_LAMB, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-7}},
    {"{sgd: {learning_rate: {constant: 0.25}}}", {.type = OPTIMIZER_SGD, .learning_rate = 0.25}},
    {"{sgd: {learning_rate: {exponential_decay: {initial_learning_rate: 0.5, decay_steps: 9, decay_rate: "
     "0.9}}}}",
     {.type = OPTIMIZER_SGD,
      .schedule = {SCHEDULE_EXPONENTIAL_DECAY, .initial_learning_rate = 0.5, .decay_steps = 9,
                   .decay_rate = 0.9}}},
    {"\n    sgd:\n      learning_rate:\n        inverse_time_decay:\n"
     "          {initial_learning_rate: 0.5, decay_steps: 9, decay_rate: 0, staircase: true}",
     {.type = OPTIMIZER_SGD,
      .schedule = {SCHEDULE_INVERSE_TIME_DECAY, .initial_learning_rate = 0.5, .decay_steps = 9,
                   .staircase = true}}},
    {"{sgd: {learning_rate: {polynomial_decay: {initial_learning_rate: 1, decay_steps: 9, cycle: true}}}}",
     {.type = OPTIMIZER_SGD,
      .schedule = {SCHEDULE_POLYNOMIAL_DECAY, .initial_learning_rate = 1, .decay_steps = 9,
                   .end_learning_rate = 0.0001, .power = 1, .cycle = true}}},
    {"{sgd: {learning_rate: {cosine_decay: {initial_learning_rate: 0, decay_steps: 9007199254740992, alpha: "
     "0.1, warmup_target: 2, warmup_steps: 5}}}}",
     {.type = OPTIMIZER_SGD,
      .schedule = {SCHEDULE_COSINE_DECAY, .decay_steps = UINT64_C(1) << 53, .alpha = 0.1, .warmup_target = 2,
                   .warmup_steps = 5}}},
    {"{sgd: {learning_rate: {piecewise_constant_decay: {boundaries: [10, 20], values: [0.3, 0.2, 0]}}}}",
     {.type = OPTIMIZER_SGD,
      .schedule = {SCHEDULE_PIECEWISE_CONSTANT_DECAY, .boundaries = {10, 20}, .boundaries_count = 2,
                   .values = {0.3, 0.2, 0}, .values_count = 3}}},
};

#define OPTIMIZERS ((int)(sizeof(optimizers) / sizeof(optimizers[0])))

static struct job *load_optimizer(const char *optimizer)
{
    char text[1024];
    int length =
        snprintf(text, sizeof(text), HEAD MODEL DATA "train:\n  epochs: 1\n  optimizer: %s\n", optimizer);

    ck_assert_int_lt(length, (int)sizeof(text));
    return load(text);
}

static void check_schedule(const struct schedule_spec *got, const struct schedule_spec *expected)
{
    ck_assert_int_eq(got->type, expected->type);
    ck_assert_double_eq(got->initial_learning_rate, expected->initial_learning_rate);
    ck_assert_uint_eq(got->decay_steps, expected->decay_steps);
    ck_assert_double_eq(got->decay_rate, expected->decay_rate);
    ck_assert_int_eq(got->staircase, expected->staircase);
    ck_assert_double_eq(got->end_learning_rate, expected->end_learning_rate);
    ck_assert_double_eq(got->power, expected->power);
    ck_assert_int_eq(got->cycle, expected->cycle);
    ck_assert_double_eq(got->alpha, expected->alpha);
    ck_assert_double_eq(got->warmup_target, expected->warmup_target);
    ck_assert_uint_eq(got->warmup_steps, expected->warmup_steps);
    ck_assert_uint_eq(got->boundaries_count, expected->boundaries_count);
    ck_assert_uint_eq(got->values_count, expected->values_count);
    ck_assert_mem_eq(got->boundaries, expected->boundaries, sizeof(got->boundaries));
    ck_assert_mem_eq(got->values, expected->values, sizeof(got->values));
}

START_TEST(optimizers_are_as_documented)
{
    struct job *job = load_optimizer(optimizers[_i].text);
    const struct optimizer_spec *got = &job->optimizer, *expected = &optimizers[_i].spec;

    ck_assert_int_eq(got->type, expected->type);
    ck_assert_double_eq(got->learning_rate, expected->learning_rate);
    ck_assert_double_eq(got->momentum, expected->momentum);
    ck_assert_int_eq(got->nesterov, expected->nesterov);
    ck_assert_double_eq(got->beta_1, expected->beta_1);
    ck_assert_double_eq(got->beta_2, expected->beta_2);
    ck_assert_double_eq(got->epsilon, expected->epsilon);
    ck_assert_int_eq(got->amsgrad, expected->amsgrad);
    ck_assert_double_eq(got->rho, expected->rho);
    ck_assert_int_eq(got->centered, expected->centered);
    ck_assert_double_eq(got->initial_accumulator_value, expected->initial_accumulator_value);
    ck_assert_double_eq(got->learning_rate_power, expected->learning_rate_power);
    ck_assert_double_eq(got->l1_regularization_strength, expected->l1_regularization_strength);
    ck_assert_double_eq(got->l2_regularization_strength, expected->l2_regularization_strength);
    ck_assert_double_eq(got->l2_shrinkage_regularization_strength,
                        expected->l2_shrinkage_regularization_strength);
    ck_assert_double_eq(got->beta, expected->beta);
    ck_assert_double_eq(got->weight_decay, expected->weight_decay);
    ck_assert_double_eq(got->clipnorm, expected->clipnorm);
    ck_assert_double_eq(got->clipvalue, expected->clipvalue);
    ck_assert_double_eq(got->global_clipnorm, expected->global_clipnorm);
    check_schedule(&got->schedule, &expected->schedule);
    job_free(job);
}
END_TEST

/* Any two of the table above are different trainings. */
START_TEST(every_argument_of_an_optimizer_is_in_the_digest)
{
    char digests[OPTIMIZERS][HASH_TEXT_BYTES];

    for (int i = 0; i < OPTIMIZERS; i++) {
        struct job *job = load_optimizer(optimizers[i].text);

        job_digest(job, digests[i]);
        for (int j = 0; j < i; j++)
            ck_assert_msg(strcmp(digests[i], digests[j]) != 0, "%s", optimizers[i].text);
        job_free(job);
    }
}
END_TEST

/* What digests and model files walk over. */
START_TEST(every_number_of_a_specification_is_in_its_arguments)
{
    struct optimizer_spec spec = {.type = (enum optimizer_type)_i};
    struct spec_argument argument;
    uint32_t count = 0;

    while (optimizer_spec_argument(&spec, count, &argument)) {
        ck_assert_double_eq(argument.number, 0);
        count++;
    }
    ck_assert_uint_ge(count, 4); /* weight_decay and the three of clipping */
    ck_assert_uint_le(count, H5_ARGUMENTS_MAX);
    ck_assert_str_eq(argument.name, "global_clipnorm");
    ck_assert(!argument.is_given);
    spec.global_clipnorm = 0.25;
    ck_assert(optimizer_spec_argument(&spec, count - 1, &argument));
    ck_assert(argument.is_given);
    ck_assert_double_eq(argument.number, 0.25);
    ck_assert(optimizer_spec_needs_norms(&spec));
}
END_TEST

START_TEST(a_model_file_names_the_optimizer)
{
    struct job *job = load_optimizer(
        "{adamw: {clipvalue: 2, learning_rate: {cosine_decay: {initial_learning_rate: 1, decay_steps: 7}}}}");
    struct h5_training training = job_h5_training(job);

    ck_assert_str_eq(training.optimizer.class_name, "AdamW");
    ck_assert_uint_eq(training.optimizer.argument_count, 6);
    ck_assert_str_eq(training.optimizer.arguments[4].name, "weight_decay");
    ck_assert_str_eq(training.optimizer.arguments[5].name, "clipvalue");
    ck_assert_double_eq(training.optimizer.arguments[5].number, 2);
    ck_assert_str_eq(training.schedule.class_name, "CosineDecay");
    ck_assert_uint_eq(training.schedule.argument_count, 4); /* and no warmup_target */
    ck_assert_str_eq(training.schedule.arguments[1].name, "decay_steps");
    ck_assert_int_eq(training.schedule.arguments[1].kind, H5_WHOLE);
    job_free(job);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("job_optimizers");
    TCase *good = tcase_create("good"), *use = tcase_create("use");

    tcase_add_loop_test(good, optimizers_are_as_documented, 0, OPTIMIZERS);
    suite_add_tcase(suite, good);
    tcase_add_test(use, every_argument_of_an_optimizer_is_in_the_digest);
    tcase_add_loop_test(use, every_number_of_a_specification_is_in_its_arguments, 0, OPTIMIZER_COUNT);
    tcase_add_test(use, a_model_file_names_the_optimizer);
    suite_add_tcase(suite, use);
    return suite;
}

CHECK_MAIN(make_suite)
