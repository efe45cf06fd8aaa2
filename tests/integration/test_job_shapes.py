"""Odd jobs: few samples, uneven cuts, every layer and loss. Each gives one model whatever the cluster, and
`cairn evaluate` says of the model file what training said."""

import os
import random

from support import expect, last_json, main, make_digits, run, train

SMALL = [("1", "1", "1"), ("3", "2", "2")]
ALONE = [("1", "1", "1"), ("1", "2", "2")]  # one microbatch is for one worker

DENSE = "[{dense: {units: 6, activation: tanh}}, {dense: {units: 3}}]"
SPARSE = "sparse_categorical_crossentropy"
IMAGES = """[
      {conv2d: {filters: 4, kernel_size: [3, 2], strides: 2, padding: same, activation: gelu, use_bias: false}},
      {average_pooling2d: {pool_size: 3, strides: 2, padding: same}},
      {conv2d: {filters: 5, kernel_size: 2, activation: softmax, kernel_initializer: he_normal, name: second}},
      {activation: {activation: sigmoid}},
      {max_pooling2d: {pool_size: [2, 1], strides: 1}},
      {dropout: {rate: 0.3}},
      flatten,
      {dense: {units: 9, activation: sigmoid, bias_initializer: random_uniform}},
      {activation: {activation: relu}},
      {dense: {units: 10}}]"""

JOB = """\
name: {name}
seed: 11
model:
  input_shape: {input_shape}
  layers: {layers}
  loss: {loss}{metrics}
data:
  shuffle: {shuffle}
  train: {train}{validation}
train: {{{train_for}, batch_size: {batch_size}, microbatches: {microbatches}, optimizer: {optimizer}, commit_every: {commit_every}}}
"""

JOBS = {
    # Of 13 samples the second batch has one: five of its six microbatches are empty. Steps so short that a step's
    # metrics often come after its weights.
    "last-batch": dict(rows=13, train_for="epochs: 40", batch_size=12, microbatches=6, metrics="accuracy", validation=2),
    "batch-of-all": dict(rows=10, batch_size=64, microbatches=8, metrics="accuracy", validation=3,
                         optimizer="{lamb: {learning_rate: 0.01, weight_decay: 0.1, clipnorm: 0.5}}"),
    "one-sample": dict(rows=1, batch_size=4, microbatches=3, validation=1),
    "no-validation": dict(rows=50, batch_size=7, microbatches=7, metrics="accuracy",
                          optimizer="{adamw: {learning_rate: {cosine_decay: {initial_learning_rate: 0, decay_steps: "
                                    "20, warmup_target: 0.02, warmup_steps: 5}}, amsgrad: true}}"),
    "steps": dict(rows=30, train_for="steps: 11", batch_size=8, microbatches=5, shuffle="false", validation=9,
                  commit_every=2, optimizer="{sgd: {learning_rate: 0.1, momentum: 0.9, nesterov: true}}"),
    "one-microbatch": dict(rows=40, batch_size=8, microbatches=1, metrics="accuracy", validation=11, clusters=ALONE),
    "many-microbatches": dict(rows=90, batch_size=67, microbatches=67, metrics="accuracy", validation=40,
                              optimizer="{adagrad: {learning_rate: 0.1, clipvalue: 0.5}}"),
    "mean-squared": dict(rows=33, columns=4, targets=3, batch_size=10, microbatches=4, validation=7,
                         loss="mean_squared_error",
                         optimizer="{rmsprop: {momentum: 0.5, centered: true, weight_decay: 0.1}}"),
    "binary": dict(rows=33, columns=4, targets=3, batch_size=10, microbatches=4, validation=7, metrics="accuracy",
                   loss="binary_crossentropy", optimizer="{ftrl: {learning_rate: 0.5}}"),
    "images": dict(images=True, batch_size=50, microbatches=5, metrics="accuracy", layers=IMAGES,
                   optimizer="{nadam: {learning_rate: 0.002, global_clipnorm: 1}}"),
}


def write_table(path, rows, shape):
    """A table of features and labels that a small network can learn something of."""
    columns, targets, loss = shape.get("columns", 3), shape.get("targets", 1), shape.get("loss", SPARSE)
    draw = random.Random(path.rsplit("/", 1)[1])
    with open(path, "w", encoding="ascii") as file:
        file.write(",".join(f"c{i}" for i in range(columns + targets)) + "\n")
        for _ in range(rows):
            features = [round(draw.uniform(-1, 1), 4) for _ in range(columns)]
            value = sum(features)
            if loss == SPARSE:
                labels = [0 if value < -0.5 else 1 if value < 0.5 else 2]
            elif loss == "binary_crossentropy":
                labels = [int(value > 0), int(features[0] > 0), 1]
            else:
                labels = [round(value / (i + 1), 4) for i in range(targets)]
            file.write(",".join(map(str, features + labels)) + "\n")


def digits_source(kind):
    return (f"{{format: idx, features: digits/{kind}-images-idx3-ubyte, labels: digits/{kind}-labels-idx1-ubyte, "
            "scale: 1/255}")


def write_job(folder, name, shape):
    if shape.get("images"):
        train_source, validation_source, input_shape = digits_source("train"), digits_source("t10k"), "[28, 28, 1]"
    else:
        write_table(os.path.join(folder, f"{name}.csv"), shape["rows"], shape)
        write_table(os.path.join(folder, f"{name}-validation.csv"), shape.get("validation", 1), shape)
        train_source = f"{{format: csv, path: {name}.csv}}"
        validation_source = f"{{format: csv, path: {name}-validation.csv}}" if "validation" in shape else None
        input_shape = f"[{shape.get('columns', 3)}]"
    path = os.path.join(folder, f"{name}.yaml")
    with open(path, "w", encoding="ascii") as file:
        file.write(JOB.format(
            name=name, input_shape=input_shape, layers=shape.get("layers", DENSE), loss=shape.get("loss", SPARSE),
            metrics=f"\n  metrics: [{shape['metrics']}]" if "metrics" in shape else "",
            shuffle=shape.get("shuffle", "true"), train=train_source,
            validation=f"\n  validation: {validation_source}" if validation_source else "",
            train_for=shape.get("train_for", "epochs: 3"), batch_size=shape["batch_size"],
            microbatches=shape["microbatches"], commit_every=shape.get("commit_every", 3),
            optimizer=shape.get("optimizer", "{adam: {learning_rate: 0.01}}")))
    return path, validation_source is not None


def train_and_compare(folder, name, shape):
    job, has_validation = write_job(folder, name, shape)
    results = [train(job, "--workers", workers, "--servers", servers, "--threads-per-worker", lanes, "--fresh",
                     state=os.path.join(folder, "state"))
               for workers, servers, lanes in shape.get("clusters", SMALL)]
    print(name, results[0]["model_hash"], results[0]["steps"], results[0]["training"], flush=True)
    expect(results[0]["model_hash"] == results[1]["model_hash"], f"{name}: the cluster's shape changed the model")
    for kind in ("training", "metrics"):
        expect(results[0][kind] == results[1][kind], f"{name}: the cluster's shape changed the metrics")
        names = {"loss", shape.get("metrics", "loss")} if kind == "training" or has_validation else set()
        expect(set(results[0][kind]) == names, f"{name}: {kind} has {results[0][kind]}")
    if has_validation:
        done = run("cairn", "evaluate", results[0]["output"], "--job", job, "--json")
        expect(done.returncode == 0, f"{name}: evaluate exited {done.returncode}: {done.stderr}")
        evaluated = last_json(done.stdout)
        for metric, value in results[0]["metrics"].items():
            expect(evaluated[metric] == value, f"{name}: evaluate gives {metric} {evaluated[metric]}, training {value}")


def test(folder):
    make_digits(os.path.join(folder, "digits"), train=210, test=33)
    for name, shape in JOBS.items():
        train_and_compare(folder, name, shape)


main(test)
