#!/usr/bin/env python3
"""Writes tests/oracle/optimizers.h: what Keras 3 itself makes of 100 updates, in float64.

Each case is one optimizer on two variables, elements [0, 5) and [5, 8), so that clipping by norm and lamb have
something to tell apart; then the rates of schedules at some steps. Needs Keras 3 (3.15 made the table) with jax,
whose float64 stays float64 (numpy's backend in Keras does not):

    pip install keras jax && python3 tests/oracle/make_optimizers.py > tests/oracle/optimizers.h
"""
import os

os.environ.update(KERAS_BACKEND="jax", JAX_ENABLE_X64="1")

import jax
import keras
import numpy
from keras.optimizers import schedules
from keras.src import ops

UPDATES, ELEMENTS, SAMPLES = 100, 8, 32
PARAMETERS = [(0, 5), (5, 8)]
STEPS = [0, 1, 2, 7, 9, 10, 11, 19, 20, 21, 30, 49, 50, 51, 60, 99, 100, 101, 150, 1000]

keras.config.set_floatx("float64")
ops.cos = jax.numpy.cos  # Keras's own rounds to float32
ops.floor = jax.numpy.floor


def sums(update):
    """The summed gradients of an update: exact in float32; test_optimizers.c makes the same."""
    return numpy.array([((i * 7919 + update * 104729 + 13) % 2003 - 900) / 64 for i in range(ELEMENTS)])


def updated(optimizer):
    """The weights after all updates."""
    begin = numpy.array([(i + 1) / 4 for i in range(ELEMENTS)])
    variables = [keras.Variable(begin[first:end], dtype="float64") for first, end in PARAMETERS]
    optimizer.build(variables)
    for update in range(1, UPDATES + 1):
        gradient = sums(update) / SAMPLES
        optimizer.apply([gradient[first:end] for first, end in PARAMETERS], variables)
    return numpy.concatenate([keras.ops.convert_to_numpy(variable) for variable in variables])


# Job file's word, Keras's class, what is not the default.
OPTIMIZERS = [
    ("sgd", "SGD", {}),
    ("sgd", "SGD", dict(momentum=0.9)),
    ("sgd", "SGD", dict(learning_rate=0.02, momentum=0.8, nesterov=True)),
    ("sgd", "SGD", dict(learning_rate=0.1, weight_decay=0.05)),
    ("sgd", "SGD", dict(momentum=0.5, weight_decay=0.1, clipvalue=0.2)),
    ("sgd", "SGD", dict(momentum=0.5, nesterov=True, weight_decay=0.1)),
    ("sgd", "SGD", dict(learning_rate=0.05, clipnorm=0.3)),
    ("sgd", "SGD", dict(learning_rate=0.01, global_clipnorm=0.5)),
    ("adam", "Adam", {}),
    ("adam", "Adam", dict(learning_rate=0.01, beta_1=0.8, beta_2=0.99, epsilon=1e-3)),
    ("adam", "Adam", dict(learning_rate=0.01, beta_2=0.9, amsgrad=True)),
    ("adam", "Adam", dict(amsgrad=True, weight_decay=0.1, clipvalue=0.25)),
    ("adam", "Adam", dict(clipnorm=0.4)),
    ("adamw", "AdamW", {}),
    ("adamw", "AdamW", dict(learning_rate=0.01, weight_decay=0.2, global_clipnorm=0.6)),
    ("adagrad", "Adagrad", {}),
    ("adagrad", "Adagrad", dict(learning_rate=0.1, initial_accumulator_value=0.5, epsilon=1e-2)),
    ("adagrad", "Adagrad", dict(learning_rate=0.1, weight_decay=0.03, clipvalue=0.3)),
    ("rmsprop", "RMSprop", {}),
    ("rmsprop", "RMSprop", dict(learning_rate=0.01, rho=0.8, momentum=0.7)),
    ("rmsprop", "RMSprop", dict(learning_rate=0.01, centered=True)),
    ("rmsprop", "RMSprop", dict(momentum=0.5, centered=True, weight_decay=0.1, epsilon=1e-4)),
    ("adadelta", "Adadelta", {}),
    ("adadelta", "Adadelta", dict(learning_rate=1.0, rho=0.9, epsilon=1e-5, weight_decay=0.001)),
    ("nadam", "Nadam", {}),
    ("nadam", "Nadam", dict(learning_rate=0.01, beta_1=0.7, beta_2=0.95, epsilon=1e-4, weight_decay=0.1)),
    # Every change of lion's is the rate itself; one that float32 rounds the same way a hundred times drifts away.
    ("lion", "Lion", dict(learning_rate=2**-10)),
    ("lion", "Lion", dict(learning_rate=0.01, beta_1=0.6, beta_2=0.8, weight_decay=0.05)),
    ("ftrl", "Ftrl", {}),
    ("ftrl", "Ftrl", dict(learning_rate=0.1, l1_regularization_strength=0.3, l2_regularization_strength=0.2)),
    ("ftrl", "Ftrl", dict(learning_rate=0.1, l2_shrinkage_regularization_strength=0.1, beta=0.5,
                          weight_decay=0.01)),
    ("ftrl", "Ftrl", dict(learning_rate=0.05, learning_rate_power=-0.75, initial_accumulator_value=1.0)),
    ("lamb", "Lamb", {}),
    ("lamb", "Lamb", dict(learning_rate=0.01, beta_1=0.8, beta_2=0.98, epsilon=1e-3, weight_decay=0.2)),
    ("lamb", "Lamb", dict(learning_rate=0.01, clipnorm=0.4)),
]

SCHEDULES = [
    ("ExponentialDecay", dict(initial_learning_rate=0.1, decay_steps=20, decay_rate=0.7)),
    ("ExponentialDecay", dict(initial_learning_rate=0.1, decay_steps=20, decay_rate=0.7, staircase=True)),
    ("ExponentialDecay", dict(initial_learning_rate=1e-3, decay_steps=50, decay_rate=30.0)),
    ("InverseTimeDecay", dict(initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5)),
    ("InverseTimeDecay", dict(initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5, staircase=True)),
    ("PolynomialDecay", dict(initial_learning_rate=0.1, decay_steps=50)),
    ("PolynomialDecay", dict(initial_learning_rate=0.1, decay_steps=100, end_learning_rate=0.01, power=2.5)),
    ("PolynomialDecay", dict(initial_learning_rate=0.1, decay_steps=20, power=0.5, cycle=True)),
    ("CosineDecay", dict(initial_learning_rate=0.1, decay_steps=100)),
    ("CosineDecay", dict(initial_learning_rate=0.1, decay_steps=50, alpha=0.1)),
    ("CosineDecay", dict(initial_learning_rate=0.0, decay_steps=80, warmup_target=0.2, warmup_steps=20)),
    ("CosineDecay", dict(initial_learning_rate=0.01, decay_steps=30, alpha=0.05, warmup_target=0.1,
                         warmup_steps=10)),
    ("PiecewiseConstantDecay", dict(boundaries=[10, 50, 100], values=[0.1, 0.05, 0.02, 0.01])),
]

# Optimizers whose rate goes by the schedule of that number.
SCHEDULED = [("sgd", "SGD", 10, dict(momentum=0.9)), ("adamw", "AdamW", 1, {}), ("adagrad", "Adagrad", 7, {}),
             ("ftrl", "Ftrl", 9, {}), ("nadam", "Nadam", 12, dict(weight_decay=0.1)), ("lamb", "Lamb", 3, {})]


def c_value(value):
    if isinstance(value, list):
        return "{%s}" % ", ".join(c_value(v) for v in value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def c_members(members):
    return ["." + name + " = " + c_value(value) for name, value in members.items()]


def upper(class_name):
    return "".join("_" + c if c.isupper() and i else c for i, c in enumerate(class_name)).upper()


def c_schedule(class_name, arguments):
    config = getattr(schedules, class_name)(**arguments).get_config()
    members = {name: value for name, value in config.items() if name != "name" and value is not None}
    if class_name == "PiecewiseConstantDecay":
        members.update(boundaries_count=len(members["boundaries"]), values_count=len(members["values"]))
    return "{%s}" % ", ".join([".type = SCHEDULE_" + upper(class_name)] + c_members(members))


BASE_ONLY = ("name", "use_ema", "ema_momentum", "ema_overwrite_frequency", "loss_scale_factor",
             "gradient_accumulation_steps")


def c_spec(word, optimizer, schedule):
    members = [".type = OPTIMIZER_" + word.upper()]
    config = {name: value for name, value in optimizer.get_config().items()
              if name not in BASE_ONLY and value is not None}
    if schedule is not None:
        del config["learning_rate"]
        members.append(".schedule = " + c_schedule(*schedule))
    else:
        config["learning_rate"] = float(config["learning_rate"])
    return "{%s}" % ", ".join(members + c_members(config))


def described(word, arguments):
    return word + "".join(", %s %s" % item for item in arguments.items())


def print_cases():
    print("static const struct oracle_case {\n    const char *name;\n    struct optimizer_spec spec;")
    print("    double weights[ORACLE_ELEMENTS];\n} oracle_cases[] = {")
    cases = [(word, name, arguments, None) for word, name, arguments in OPTIMIZERS]
    cases += [(word, name, arguments, SCHEDULES[number]) for word, name, number, arguments in SCHEDULED]
    for word, name, arguments, schedule in cases:
        title = described(word, arguments) + (", by " + schedule[0] if schedule else "")
        made = dict(arguments)
        if schedule:
            made["learning_rate"] = getattr(schedules, schedule[0])(**schedule[1])
        optimizer = getattr(keras.optimizers, name)(**made)
        print('    {"%s",\n     %s,\n     {%s}},' % (title, c_spec(word, optimizer, schedule),
                                                   ", ".join(repr(float(w)) for w in updated(optimizer))))
    print("};\n")


def print_schedules():
    print("static const uint64_t oracle_steps[ORACLE_STEPS] = {%s};\n" % ", ".join(map(str, STEPS)))
    print("static const struct oracle_schedule {\n    struct schedule_spec spec;")
    print("    double rates[ORACLE_STEPS]; /* at oracle_steps */\n} oracle_schedules[] = {")
    for name, arguments in SCHEDULES:
        schedule = getattr(schedules, name)(**arguments)
        rates = [float(keras.ops.convert_to_numpy(schedule(numpy.array(step, "int64")))) for step in STEPS]
        print("    {%s,\n     {%s}}," % (c_schedule(name, arguments), ", ".join(map(repr, rates))))
    print("};")


def main():
    print("/* Made by make_optimizers.py with Keras %s: weights after %d updates, and rates of schedules. */" %
          (keras.__version__, UPDATES))
    print("#define ORACLE_UPDATES %d\n#define ORACLE_ELEMENTS %d\n#define ORACLE_SAMPLES %d" %
          (UPDATES, ELEMENTS, SAMPLES))
    print("#define ORACLE_PARAMETERS %d /* the second begins at ORACLE_SECOND */\n#define ORACLE_SECOND %d" %
          (len(PARAMETERS), PARAMETERS[1][0]))
    print("#define ORACLE_STEPS %d\n" % len(STEPS))
    print_cases()
    print_schedules()


main()
