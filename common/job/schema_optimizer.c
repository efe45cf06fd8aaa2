/* The optimizers' part of the job file's tables (schema.h): names, arguments and defaults are Keras's. What
 * optimizer_spec.h says of a specification's arguments is read off the same tables, so that nothing can be
 * forgotten there. */
#include "job/schema.h"

#include <stddef.h>
#include <string.h>

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define COUNT_OF CYAML_ARRAY_LEN

/* ---- schedules of the learning rate */

static const cyaml_schema_value_t boundary = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint64_t)};
static const cyaml_schema_value_t rate = {CYAML_VALUE_FLOAT(CYAML_FLAG_DEFAULT, double)};

#define SCHEDULE_NUMBER(name, flags) CYAML_FIELD_FLOAT(#name, flags, struct schedule_spec, name)
#define SCHEDULE_WHOLE(name, flags)  CYAML_FIELD_UINT(#name, flags, struct schedule_spec, name)
#define SCHEDULE_BOOLEAN(name)       CYAML_FIELD_BOOL(#name, OPTIONAL, struct schedule_spec, name)
#define SCHEDULE_BEGINS                                                                                      \
    SCHEDULE_NUMBER(initial_learning_rate, CYAML_FLAG_DEFAULT),                                              \
        SCHEDULE_WHOLE(decay_steps, CYAML_FLAG_DEFAULT)

static const cyaml_schema_field_t exponential_decay_fields[] = {
    SCHEDULE_BEGINS,
    SCHEDULE_NUMBER(decay_rate, CYAML_FLAG_DEFAULT),
    SCHEDULE_BOOLEAN(staircase),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t inverse_time_decay_fields[] = {
    SCHEDULE_BEGINS,
    SCHEDULE_NUMBER(decay_rate, CYAML_FLAG_DEFAULT),
    SCHEDULE_BOOLEAN(staircase),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t polynomial_decay_fields[] = {
    SCHEDULE_BEGINS,
    SCHEDULE_NUMBER(end_learning_rate, OPTIONAL),
    SCHEDULE_NUMBER(power, OPTIONAL),
    SCHEDULE_BOOLEAN(cycle),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t cosine_decay_fields[] = {
    SCHEDULE_BEGINS,
    SCHEDULE_NUMBER(alpha, OPTIONAL),
    SCHEDULE_NUMBER(warmup_target, OPTIONAL),
    SCHEDULE_WHOLE(warmup_steps, OPTIONAL),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t piecewise_constant_decay_fields[] = {
    CYAML_FIELD_SEQUENCE("boundaries", CYAML_FLAG_DEFAULT, struct schedule_spec, boundaries, &boundary, 1,
                         SCHEDULE_PIECES_MAX - 1),
    CYAML_FIELD_SEQUENCE("values", CYAML_FLAG_DEFAULT, struct schedule_spec, values, &rate, 2,
                         SCHEDULE_PIECES_MAX),
    CYAML_FIELD_END,
};

#define RATE_FIELD(key, type, fields)                                                                        \
    CYAML_FIELD_MAPPING_PTR(key, OPTIONAL, struct form_rate, of[SCHEDULE_##type], fields)
static const cyaml_schema_field_t rate_fields[] = {
    CYAML_FIELD_FLOAT_PTR("constant", OPTIONAL, struct form_rate, constant),
    RATE_FIELD("exponential_decay", EXPONENTIAL_DECAY, exponential_decay_fields),
    RATE_FIELD("inverse_time_decay", INVERSE_TIME_DECAY, inverse_time_decay_fields),
    RATE_FIELD("polynomial_decay", POLYNOMIAL_DECAY, polynomial_decay_fields),
    RATE_FIELD("cosine_decay", COSINE_DECAY, cosine_decay_fields),
    RATE_FIELD("piecewise_constant_decay", PIECEWISE_CONSTANT_DECAY, piecewise_constant_decay_fields),
    CYAML_FIELD_END,
};
_Static_assert(COUNT_OF(rate_fields) == SCHEDULE_COUNT + 1, "every schedule has its keys");

/* ---- optimizers */

#define NUMBER(name)  CYAML_FIELD_FLOAT(#name, OPTIONAL, struct form_arguments, spec.name)
#define BOOLEAN(name) CYAML_FIELD_BOOL(#name, OPTIONAL, struct form_arguments, spec.name)
#define RATE          CYAML_FIELD_MAPPING("learning_rate", OPTIONAL, struct form_arguments, learning_rate, rate_fields)
/* What Keras's base class gives to all. */
#define FOR_ALL                                                                                              \
    NUMBER(weight_decay), NUMBER(clipnorm), NUMBER(clipvalue), NUMBER(global_clipnorm), CYAML_FIELD_END

static const cyaml_schema_field_t sgd_fields[] = {RATE, NUMBER(momentum), BOOLEAN(nesterov), FOR_ALL};
static const cyaml_schema_field_t adam_fields[] = {
    RATE, NUMBER(beta_1), NUMBER(beta_2), NUMBER(epsilon), BOOLEAN(amsgrad), FOR_ALL};
static const cyaml_schema_field_t adamw_fields[] = {
    RATE, NUMBER(beta_1), NUMBER(beta_2), NUMBER(epsilon), BOOLEAN(amsgrad), FOR_ALL};
static const cyaml_schema_field_t adagrad_fields[] = {RATE, NUMBER(initial_accumulator_value),
                                                      NUMBER(epsilon), FOR_ALL};
static const cyaml_schema_field_t rmsprop_fields[] = {
    RATE, NUMBER(rho), NUMBER(momentum), NUMBER(epsilon), BOOLEAN(centered), FOR_ALL};
static const cyaml_schema_field_t adadelta_fields[] = {RATE, NUMBER(rho), NUMBER(epsilon), FOR_ALL};
static const cyaml_schema_field_t nadam_fields[] = {RATE, NUMBER(beta_1), NUMBER(beta_2), NUMBER(epsilon),
                                                    FOR_ALL};
static const cyaml_schema_field_t lion_fields[] = {RATE, NUMBER(beta_1), NUMBER(beta_2), FOR_ALL};
static const cyaml_schema_field_t ftrl_fields[] = {RATE,
                                                   NUMBER(learning_rate_power),
                                                   NUMBER(initial_accumulator_value),
                                                   NUMBER(l1_regularization_strength),
                                                   NUMBER(l2_regularization_strength),
                                                   NUMBER(l2_shrinkage_regularization_strength),
                                                   NUMBER(beta),
                                                   FOR_ALL};
static const cyaml_schema_field_t lamb_fields[] = {RATE, NUMBER(beta_1), NUMBER(beta_2), NUMBER(epsilon),
                                                   FOR_ALL};

#define OPTIMIZER_FIELD(key, type, fields)                                                                   \
    CYAML_FIELD_MAPPING_PTR(key, OPTIONAL, struct form_optimizer, of[OPTIMIZER_##type], fields)
const cyaml_schema_field_t optimizer_fields[] = {
    OPTIMIZER_FIELD("sgd", SGD, sgd_fields),
    OPTIMIZER_FIELD("adam", ADAM, adam_fields),
    OPTIMIZER_FIELD("adamw", ADAMW, adamw_fields),
    OPTIMIZER_FIELD("adagrad", ADAGRAD, adagrad_fields),
    OPTIMIZER_FIELD("rmsprop", RMSPROP, rmsprop_fields),
    OPTIMIZER_FIELD("adadelta", ADADELTA, adadelta_fields),
    OPTIMIZER_FIELD("nadam", NADAM, nadam_fields),
    OPTIMIZER_FIELD("lion", LION, lion_fields),
    OPTIMIZER_FIELD("ftrl", FTRL, ftrl_fields),
    OPTIMIZER_FIELD("lamb", LAMB, lamb_fields),
    CYAML_FIELD_END,
};
_Static_assert(COUNT_OF(optimizer_fields) == OPTIMIZER_COUNT + 1, "every optimizer has its keys");

/* ---- rules */

#define LEARNING_RATE_MAXIMUM 1e6
#define STRENGTH_MAXIMUM      1e6
#define LARGE                 1e30
#define STEPS_MAXIMUM         0x1p53

#define RULE(table, name, ...)                                                                               \
    {                                                                                                        \
        .fields = table, .key = name, __VA_ARGS__                                                            \
    }
#define FRACTION(table, name, value) RULE(table, name, .maximum = 1, .below_maximum = true, .fallback = value)
#define EPSILON(table)               RULE(table, "epsilon", .maximum = 1, .above_minimum = true, .fallback = "1e-7")
#define CLIP(table, name)            RULE(table, name, .maximum = LARGE, .above_minimum = true)
#define FOR_ALL_RULES(table, rate, decay)                                                                    \
    RULE(table, "learning_rate", .fallback = rate),                                                          \
        RULE(table, "weight_decay", .maximum = 1000, .fallback = decay), CLIP(table, "clipnorm"),            \
        CLIP(table, "clipvalue"), CLIP(table, "global_clipnorm")
#define SCHEDULE_RULES(table)                                                                                \
    RULE(table, "initial_learning_rate", .maximum = LEARNING_RATE_MAXIMUM),                                  \
        RULE(table, "decay_steps", .minimum = 1, .maximum = STEPS_MAXIMUM)

const struct field_rule optimizer_rules[] = {
    {.fields = rate_fields, .forms = FORM_ONE_OF | FORM_NUMBER},
    RULE(rate_fields, "constant", .maximum = LEARNING_RATE_MAXIMUM),
    SCHEDULE_RULES(exponential_decay_fields),
    RULE(exponential_decay_fields, "decay_rate", .maximum = LEARNING_RATE_MAXIMUM, .above_minimum = true),
    RULE(exponential_decay_fields, "staircase", .fallback = "false"),
    SCHEDULE_RULES(inverse_time_decay_fields),
    RULE(inverse_time_decay_fields, "decay_rate", .maximum = LEARNING_RATE_MAXIMUM),
    RULE(inverse_time_decay_fields, "staircase", .fallback = "false"),
    SCHEDULE_RULES(polynomial_decay_fields),
    RULE(polynomial_decay_fields, "end_learning_rate", .maximum = LEARNING_RATE_MAXIMUM,
         .fallback = "0.0001"),
    RULE(polynomial_decay_fields, "power", .maximum = 100, .fallback = "1"),
    RULE(polynomial_decay_fields, "cycle", .fallback = "false"),
    SCHEDULE_RULES(cosine_decay_fields),
    RULE(cosine_decay_fields, "alpha", .maximum = 1, .fallback = "0"),
    RULE(cosine_decay_fields, "warmup_target", .maximum = LEARNING_RATE_MAXIMUM, .above_minimum = true),
    RULE(cosine_decay_fields, "warmup_steps", .maximum = STEPS_MAXIMUM, .fallback = "0"),
    RULE(piecewise_constant_decay_fields, "boundaries", .maximum = STEPS_MAXIMUM),
    RULE(piecewise_constant_decay_fields, "values", .maximum = LEARNING_RATE_MAXIMUM),

    {.fields = optimizer_fields, .forms = FORM_ONE_OF},
    FOR_ALL_RULES(sgd_fields, "0.01", NULL),
    RULE(sgd_fields, "momentum", .maximum = 1, .fallback = "0"),
    RULE(sgd_fields, "nesterov", .fallback = "false"),
    FOR_ALL_RULES(adam_fields, "0.001", NULL),
    FRACTION(adam_fields, "beta_1", "0.9"),
    FRACTION(adam_fields, "beta_2", "0.999"),
    EPSILON(adam_fields),
    RULE(adam_fields, "amsgrad", .fallback = "false"),
    FOR_ALL_RULES(adamw_fields, "0.001", "0.004"),
    FRACTION(adamw_fields, "beta_1", "0.9"),
    FRACTION(adamw_fields, "beta_2", "0.999"),
    EPSILON(adamw_fields),
    RULE(adamw_fields, "amsgrad", .fallback = "false"),
    FOR_ALL_RULES(adagrad_fields, "0.001", NULL),
    RULE(adagrad_fields, "initial_accumulator_value", .maximum = LARGE, .fallback = "0.1"),
    EPSILON(adagrad_fields),
    FOR_ALL_RULES(rmsprop_fields, "0.001", NULL),
    FRACTION(rmsprop_fields, "rho", "0.9"),
    RULE(rmsprop_fields, "momentum", .maximum = 1, .fallback = "0"),
    EPSILON(rmsprop_fields),
    RULE(rmsprop_fields, "centered", .fallback = "false"),
    FOR_ALL_RULES(adadelta_fields, "0.001", NULL),
    FRACTION(adadelta_fields, "rho", "0.95"),
    EPSILON(adadelta_fields),
    FOR_ALL_RULES(nadam_fields, "0.001", NULL),
    FRACTION(nadam_fields, "beta_1", "0.9"),
    FRACTION(nadam_fields, "beta_2", "0.999"),
    EPSILON(nadam_fields),
    FOR_ALL_RULES(lion_fields, "0.001", NULL),
    RULE(lion_fields, "beta_1", .maximum = 1, .above_minimum = true, .fallback = "0.9"),
    FRACTION(lion_fields, "beta_2", "0.99"),
    FOR_ALL_RULES(ftrl_fields, "0.001", NULL),
    RULE(ftrl_fields, "learning_rate_power", .minimum = -1, .fallback = "-0.5"),
    RULE(ftrl_fields, "initial_accumulator_value", .maximum = LARGE, .fallback = "0.1"),
    RULE(ftrl_fields, "l1_regularization_strength", .maximum = STRENGTH_MAXIMUM, .fallback = "0"),
    RULE(ftrl_fields, "l2_regularization_strength", .maximum = STRENGTH_MAXIMUM, .fallback = "0"),
    RULE(ftrl_fields, "l2_shrinkage_regularization_strength", .maximum = STRENGTH_MAXIMUM, .fallback = "0"),
    RULE(ftrl_fields, "beta", .maximum = STRENGTH_MAXIMUM, .fallback = "0"),
    FOR_ALL_RULES(lamb_fields, "0.001", NULL),
    FRACTION(lamb_fields, "beta_1", "0.9"),
    FRACTION(lamb_fields, "beta_2", "0.999"),
    EPSILON(lamb_fields),
};
const size_t optimizer_rule_count = COUNT_OF(optimizer_rules);

/* ---- a specification's names and arguments */

#define X(number, word, class) [OPTIMIZER_##number] = word,
static const char *const optimizer_names[] = {OPTIMIZER_LIST(X)};
#undef X
#define X(number, word, class) [OPTIMIZER_##number] = class,
static const char *const optimizer_classes[] = {OPTIMIZER_LIST(X)};
#undef X
#define X(number, word, class) [SCHEDULE_##number] = word,
static const char *const schedule_names[] = {SCHEDULE_LIST(X)};
#undef X
#define X(number, word, class) [SCHEDULE_##number] = class,
static const char *const schedule_classes[] = {SCHEDULE_LIST(X)};
#undef X

const char *optimizer_type_name(enum optimizer_type type)
{
    BUG_IF((unsigned)type >= OPTIMIZER_COUNT);
    return optimizer_names[type];
}

const char *optimizer_class_name(enum optimizer_type type)
{
    BUG_IF((unsigned)type >= OPTIMIZER_COUNT);
    return optimizer_classes[type];
}

const char *schedule_type_name(enum schedule_type type)
{
    BUG_IF((unsigned)type >= SCHEDULE_COUNT);
    return schedule_names[type];
}

const char *schedule_class_name(enum schedule_type type)
{
    BUG_IF((unsigned)type >= SCHEDULE_COUNT);
    return schedule_classes[type];
}

/* The keys of the alternative called `name`. */
static const cyaml_schema_field_t *fields_of(const cyaml_schema_field_t *alternatives, const char *name)
{
    for (; alternatives->key != NULL; alternatives++) {
        if (strcmp(alternatives->key, name) == 0)
            return alternatives->value.mapping.fields;
    }
    BUG("an alternative without keys");
}

/* Reads the field that is number `index` of those that hold one value. form: the mapping's structure. */
static bool read_argument(const cyaml_schema_field_t *fields, const void *form, uint32_t index,
                          struct spec_argument *argument)
{
    for (const cyaml_schema_field_t *field = fields; field->key != NULL; field++) {
        const char *place = (const char *)form + field->data_offset;
        enum cyaml_type type = field->value.type;

        if ((type != CYAML_FLOAT && type != CYAML_UINT && type != CYAML_BOOL) || index-- > 0)
            continue;
        *argument = (struct spec_argument){
            .name = field->key, .is_boolean = type == CYAML_BOOL, .is_whole = type == CYAML_UINT};
        if (type == CYAML_FLOAT)
            argument->number = *(const double *)place;
        else if (type == CYAML_UINT)
            argument->number = (double)*(const uint64_t *)place;
        else
            argument->number = *(const bool *)place;
        argument->is_given = argument->number != 0 || !(field->value.flags & CYAML_FLAG_OPTIONAL) ||
                             job_rule_of(fields, field->key)->fallback != NULL;
        return true;
    }
    return false;
}

bool optimizer_spec_argument(const struct optimizer_spec *spec, uint32_t index,
                             struct spec_argument *argument)
{
    _Static_assert(offsetof(struct form_arguments, spec) == 0, "a specification stands for its form");

    return read_argument(fields_of(optimizer_fields, optimizer_type_name(spec->type)), spec, index, argument);
}

bool schedule_spec_argument(const struct schedule_spec *spec, uint32_t index, struct spec_argument *argument)
{
    if (spec->type == SCHEDULE_CONSTANT)
        return false;
    return read_argument(fields_of(rate_fields, schedule_type_name(spec->type)), spec, index, argument);
}

bool optimizer_spec_needs_norms(const struct optimizer_spec *spec)
{
    return spec->type == OPTIMIZER_LAMB || spec->clipnorm > 0 || spec->global_clipnorm > 0;
}

uint32_t optimizer_spec_slot_count(const struct optimizer_spec *spec)
{
    switch (spec->type) {
    case OPTIMIZER_SGD:
        return spec->momentum > 0.0 ? 1 : 0;
    case OPTIMIZER_RMSPROP:
        return 1u + (spec->momentum > 0.0) + spec->centered;
    case OPTIMIZER_ADAM:
    case OPTIMIZER_ADAMW:
        return spec->amsgrad ? 3 : 2;
    case OPTIMIZER_ADAGRAD:
    case OPTIMIZER_LION:
        return 1;
    case OPTIMIZER_ADADELTA:
    case OPTIMIZER_NADAM:
    case OPTIMIZER_FTRL:
    case OPTIMIZER_LAMB:
        return 2;
    case OPTIMIZER_COUNT:
        break;
    }
    BUG("an optimizer of no type");
}
