#!/usr/bin/env python3
"""Writes tests/oracle/optimizers.h: weights after 100 updates by each optimizer, in float64.

The published formulas of Keras's optimizers in numpy; PyTorch's own optimizers must agree (its Adam adds
epsilon after the bias correction, which a changing epsilon undoes). Run with no arguments to print the table:

    python3 tests/oracle/make_optimizers.py > tests/oracle/optimizers.h
"""
import math

import numpy
import torch

UPDATES, ELEMENTS, SAMPLES = 100, 8, 32


def sums(update):
    """The summed gradients of an update: exact in float32; test_optimizers.c makes the same."""
    return numpy.array([((i * 7919 + update * 104729 + 13) % 2003 - 900) / 64 for i in range(ELEMENTS)])


def begin():
    return numpy.array([(i + 1) / 4 for i in range(ELEMENTS)])


def sgd(rate, momentum, nesterov):
    weights, velocity = begin(), numpy.zeros(ELEMENTS)
    for update in range(1, UPDATES + 1):
        gradient = sums(update) / SAMPLES
        velocity = momentum * velocity - rate * gradient
        weights = weights + (momentum * velocity - rate * gradient if nesterov else velocity)
    return weights


def adam(rate, beta_1, beta_2, epsilon):
    weights, m, v = begin(), numpy.zeros(ELEMENTS), numpy.zeros(ELEMENTS)
    for update in range(1, UPDATES + 1):
        gradient = sums(update) / SAMPLES
        alpha = rate * math.sqrt(1 - beta_2**update) / (1 - beta_1**update)
        m = m + (gradient - m) * (1 - beta_1)
        v = v + (gradient**2 - v) * (1 - beta_2)
        weights = weights - alpha * m / (numpy.sqrt(v) + epsilon)
    return weights


def witness(make, before_update=lambda optimizer, update: None):
    """The same by a PyTorch optimizer."""
    weights = torch.nn.Parameter(torch.tensor(begin(), dtype=torch.float64))
    optimizer = make([weights])
    for update in range(1, UPDATES + 1):
        weights.grad = torch.tensor(sums(update) / SAMPLES, dtype=torch.float64)
        before_update(optimizer, update)
        optimizer.step()
    return weights.detach().numpy()


def epsilon_as_keras(epsilon, beta_2):
    def change(optimizer, update):
        optimizer.param_groups[0]["eps"] = epsilon / math.sqrt(1 - beta_2**update)
    return change


CASES = [
    ("sgd, rate 0.01", "{.type = OPTIMIZER_SGD, .learning_rate = 0.01}",
     sgd(0.01, 0, False), witness(lambda p: torch.optim.SGD(p, 0.01))),
    ("sgd, rate 0.01, momentum 0.9", "{.type = OPTIMIZER_SGD, .learning_rate = 0.01, .momentum = 0.9}",
     sgd(0.01, 0.9, False), witness(lambda p: torch.optim.SGD(p, 0.01, momentum=0.9))),
    ("sgd, rate 0.02, momentum 0.8, nesterov",
     "{.type = OPTIMIZER_SGD, .learning_rate = 0.02, .momentum = 0.8, .nesterov = true}",
     sgd(0.02, 0.8, True), witness(lambda p: torch.optim.SGD(p, 0.02, momentum=0.8, nesterov=True))),
    ("adam, Keras's defaults",
     "{.type = OPTIMIZER_ADAM, .learning_rate = 0.001, .beta_1 = 0.9, .beta_2 = 0.999, .epsilon = 1e-7}",
     adam(0.001, 0.9, 0.999, 1e-7),
     witness(lambda p: torch.optim.Adam(p, 0.001, (0.9, 0.999)), epsilon_as_keras(1e-7, 0.999))),
    ("adam, large rate and epsilon",
     "{.type = OPTIMIZER_ADAM, .learning_rate = 0.01, .beta_1 = 0.8, .beta_2 = 0.99, .epsilon = 1e-3}",
     adam(0.01, 0.8, 0.99, 1e-3),
     witness(lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.99)), epsilon_as_keras(1e-3, 0.99))),
]


def main():
    print("/* Made by make_optimizers.py: weights after %d updates of each optimizer. */" % UPDATES)
    print("#define ORACLE_UPDATES %d\n#define ORACLE_ELEMENTS %d\n#define ORACLE_SAMPLES %d\n" %
          (UPDATES, ELEMENTS, SAMPLES))
    print("static const struct oracle_case {\n    const char *name;\n    struct optimizer_spec spec;")
    print("    double weights[ORACLE_ELEMENTS];\n} oracle_cases[] = {")
    for name, spec, weights, other in CASES:
        assert numpy.allclose(weights, other, rtol=1e-12, atol=0), name
        print('    {"%s",\n     %s,\n     {%s}},' % (name, spec, ", ".join(repr(float(w)) for w in weights)))
    print("};")


main()
