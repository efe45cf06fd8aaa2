"""Whatever is wrong in a job file, a data file or a command line gets one clear line and a non-zero code."""

import gzip
import os
import struct

from support import expect, main, make_digits, run, write_job

# (what is replaced in the good job file, by what, the line's number or 0, words of the message)
JOBS = [
    ("seed: 7", "sed: 7", 2, ["sed", "seed"]),
    ("seed: 7", "seed: seven", 2, ["seed"]),
    ("seed: 7", "seed: -1", 2, ["seed"]),
    ("name: digits", "name: 'two words'", 1, ["name"]),
    ("name: digits\n", "", 0, ["name"]),
    ("input_shape: [28, 28, 1]", "input_shape: [28, 0, 1]", 4, ["input_shape"]),
    ("input_shape: [28, 28, 1]", "input_shape: []", 4, ["input_shape"]),
    ("input_shape: [28, 28, 1]", "input_shape: [4000000000, 4000000000, 4000000000]", 0, []),
    ("conv2d: {filters", "conv2: {filters", 6, ["conv2", "conv2d"]),
    ("filters: 8", "filters: 0", 6, ["filters"]),
    ("filters: 8", "filter: 8", 6, ["filter", "filters"]),
    ("filters: 8, ", "", 6, ["filters"]),
    ("kernel_size: 3", "kernel_size: 99", 6, ["conv2d"]),
    ("kernel_size: 3", "kernel_size: [3, 3, 3]", 6, ["kernel_size"]),
    ("activation: relu}\n    - max", "activation: rellu}\n    - max", 6, ["rellu", "relu"]),
    ("strides: 2", "strides: 0", 6, ["strides"]),
    ("strides: 2", "padding: full", 6, ["padding", "valid"]),
    ("pool_size: 2", "pool_size: 50", 7, ["max_pooling2d"]),
    ("rate: 0.2", "rate: 1.0", 8, ["rate"]),
    ("rate: 0.2", "rate: nan", 8, ["rate"]),
    ("    - flatten\n", "", 0, ["dense"]),
    ("units: 10", "units: ten", 11, ["units"]),
    ("units: 10}", "units: 10, activation: softmax}", 11, ["softmax"]),
    ("loss: sparse_categorical_crossentropy", "loss: crossentropy", 12, ["loss"]),
    ("metrics: [accuracy]", "metrics: [acuracy]", 13, ["acuracy", "accuracy"]),
    ("scale: 1/255", "scale: 1/0", 15, ["scale"]),
    ("format: idx", "format: parquet", 15, ["parquet", "idx"]),
    ("epochs: 3", "epochs: 0", 18, ["epochs"]),
    ("epochs: 3", "epochs: 3\n  steps: 5", 0, ["steps"]),
    ("  epochs: 3\n", "", 0, ["epochs"]),
    ("batch_size: 60", "batch_size: 99999999999", 19, ["batch_size"]),
    ("microbatches: 6", "microbatches: 61", 20, ["microbatches"]),
    ("optimizer: {adam: {learning_rate: 0.005}}", "optimizer: adm", 22, ["adm", "adam"]),
    ("optimizer: {adam: {learning_rate: 0.005}}", "optimizer: {adam: {beta_1: 1.5}}", 22, ["beta_1"]),
    ("optimizer: {adam: {learning_rate: 0.005}}", "optimizer: {sgd: {momentum: -1}}", 22, ["momentum"]),
    ("commit_every: 10", "commit_every: 10\n  mode: asink", 22, ["mode", "sync"]),
    ("codec: float32", "codec: float17", 23, ["float17", "float16"]),
    ("codec: float32", "codec: top_k", 23, ["top_k", "all others"]),
    ("threads_per_worker: 1", "threads_per_worker: 1, device: tpu", 24, ["device", "cpu"]),
    ("threads_per_worker: 1", "threads_per_worker: 1, workers: {min: 4, max: 2}", 24, ["workers"]),
    ("threads_per_worker: 1", "threads_per_worker: 1, threads_per_worker: 2", 24, ["threads_per_worker"]),
    ("output: {path", "output: {file", 25, ["file", "path"]),
    ("seed: 7", "seed: &a 7", 0, []),
    ("seed: 7", "seed: [", 0, []),
    ("seed: 7", "\tseed: 7", 2, []),
    ("seed: 7", "seed: 7\nseed: 8", 3, ["seed"]),
]

COMMANDS = [
    (["cairn"], 2, ""),
    (["cairn", "trian"], 2, "train"),
    (["cairn", "train"], 2, ""),
    (["cairn", "train", "missing.yaml"], 2, "missing.yaml"),
    (["cairn", "train", "{job}", "--wrokers", "2"], 2, "--workers"),
    (["cairn", "train", "{job}", "--workers", "-1"], 2, "workers"),
    (["cairn", "train", "{job}", "--workers", "two"], 2, "two"),
    (["cairn", "train", "{job}", "{job}"], 2, ""),
    (["cairn", "check", "{folder}"], 2, ""),
    (["cairn", "check", "/dev/null"], 2, "empty"),
    (["cairn", "status"], 2, ""),
    (["cairn", "jobs", "--coordinator", "nonsense"], 2, "nonsense"),
    (["cairn", "scale", "digits-1"], 2, "--workers"),
    (["cairn", "scale", "digits-1", "--servers", "0"], 2, "servers"),
    (["cairn", "scale", "digits-1", "--workers", "0"], 2, "workers"),
    (["cairn", "drain"], 2, "NODE"),
    (["cairn", "delete"], 2, "JOB"),
    (["cairn", "verify", "{job}"], 2, "B"),
    (["cairn", "verify", "{job}", "{job}"], 2, "not a record of hashes"),
    (["cairn", "verify", "missing.h5", "{job}"], 2, "missing.h5"),
    (["cairn", "verify", "{folder}", "{job}"], 2, "no record"),
    (["cairn", "evaluate", "{job}", "--job", "{job}"], 1, "HDF5"),
    (["cairn", "evaluate", "missing.h5", "--job", "{job}"], 1, "missing.h5"),
    (["cairn", "data", "synth", "letters"], 2, "digits"),
    (["cairn-server"], 2, "--data"),
    (["cairn-server", "--data", "{folder}/s", "--listen", "bad"], 1, "bad"),
    (["cairn-worker", "--threads", "0.5"], 2, "threads"),
    (["cairn-coordinator", "--data", "/proc/nowhere"], 1, "/proc/nowhere"),
    (["cairn-coordinator", "--data", "{folder}/c", "--lease", "1"], 2, "lease"),
    (["cairn-coordinator", "--data", "{folder}/c", "--lease", "5s"], 2, "500 to 600000 milliseconds"),
]


def one_line(what, done, words, codes):
    lines = done.stderr.strip().splitlines()
    print(f"{what}: {done.returncode}: {done.stderr.strip()}", flush=True)
    expect(done.returncode in codes, f"{what}: exit code {done.returncode}, expected {codes}: {done.stderr[-1500:]}")
    expect(len(lines) == 1 and lines[0], f"{what}: expected one line, not: {done.stderr[-1500:]}")
    for word in words:
        expect(word in lines[0], f"{what}: '{word}' is not in: {lines[0]}")


def bad_jobs(folder, good):
    for number, (old, new, line, words) in enumerate(JOBS):
        expect(old in good, f"case {number}: '{old}' is not in the good job")
        path = os.path.join(folder, "bad.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(good.replace(old, new, 1))
        place = f"{path}:{line}:" if line else f"{path}:"
        one_line(f"{old!r} -> {new!r}", run("cairn", "check", path), [place, *words], [2])
    for content in (b"", b"\xff\xfe\x00bad", b"- 1\n", b"---\na: 1\n---\nb: 2\n", b"a" * 100000):
        with open(path, "wb") as file:
            file.write(content)
        one_line(f"content {content[:20]!r}", run("cairn", "check", path), [path], [2])


def bad_commands(folder, job):
    for arguments, code, word in COMMANDS:
        filled = [argument.format(job=job, folder=folder) for argument in arguments]
        one_line(" ".join(arguments), run(*filled, cwd=folder), [word], [code])


def bad_variable(folder, job):
    """What a child refuses it would refuse again: it is not started again."""
    done = run("cairn", "train", job, "--state", os.path.join(folder, "state"), env={**os.environ, "CAIRN_LEASE": "2"})
    one_line("CAIRN_LEASE=2 cairn train", done, ["CAIRN_LEASE", "500 to 600000 milliseconds"], [1])
    expect("started again" not in done.stdout, f"it was started again: {done.stdout}")


def bad_outputs(folder, good):
    """A model file that cannot be written is refused before hours of training, not after."""
    for output, word in [("missing/model.h5", "No such file"), ("bad.yaml/model.h5", "Not a directory"),
                         ("digits", "Is a directory")]:
        path = os.path.join(folder, "bad.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(good.replace(f"path: {folder}/good.h5", f"path: {output}"))
        one_line(f"output {output}", run("cairn", "train", path, "--state", os.path.join(folder, "state")),
                 [path, "output.path", word], [2])


def bad_data(folder, digits):
    """Each breaks one file of the data set, trains, and puts the file back."""
    images = open(os.path.join(digits, "train-images-idx3-ubyte"), "rb").read()
    labels = open(os.path.join(digits, "train-labels-idx1-ubyte"), "rb").read()
    cases = [
        ("train-images-idx3-ubyte", None, "train-images"),
        ("train-images-idx3-ubyte", b"", "empty"),
        ("train-images-idx3-ubyte", images[:3], "train-images"),
        ("train-images-idx3-ubyte", images[:5000], "train-images"),
        ("train-images-idx3-ubyte", b"\x00\x00\x07\x03" + images[4:], "train-images"),
        ("train-images-idx3-ubyte", images + b"x", "train-images"),
        ("train-images-idx3-ubyte", b"\x00\x00\x08\x03" + struct.pack(">III", 2**32 - 1, 28, 28) + images[16:], "train-images"),
        ("train-images-idx3-ubyte", b"\x00\x00\x08\x03" + struct.pack(">III", 0, 28, 28), "train-images"),
        ("train-images-idx3-ubyte", b"\x00\x00\x08\x03" + struct.pack(">III", len(labels) - 8, 14, 56) + images[16:], ""),
        ("train-images-idx3-ubyte", gzip.compress(images)[:2000], "train-images"),
        ("train-labels-idx1-ubyte", labels[:8] + b"\x0a" + labels[9:], "10"),
        ("train-labels-idx1-ubyte", b"\x00\x00\x08\x01" + struct.pack(">I", 5) + labels[8:13], "train-labels"),
        ("t10k-images-idx3-ubyte", images[:16], "t10k-images"),
    ]
    job = write_job(os.path.join(folder, "data.yaml"), digits)
    for number, (name, content, word) in enumerate(cases):
        path = os.path.join(digits, name)
        kept = open(path, "rb").read()
        os.remove(path)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
        if number == 8:  # 14 x 56 pixels are as many as 28 x 28: allowed to be refused or taken, never to crash
            done = run("cairn", "train", job, "--fresh", "--state", os.path.join(folder, "state"))
            expect(done.returncode in (0, 1), f"{name} of another shape: {done.returncode} {done.stderr}")
        else:
            one_line(f"data case {number} ({name})",
                     run("cairn", "train", job, "--fresh", "--state", os.path.join(folder, "state")), [word], [1, 2])
        with open(path, "wb") as file:
            file.write(kept)


CSV_JOB = """\
name: table
model:
  input_shape: [2]
  layers: [dense: {{units: 2}}]
  loss: sparse_categorical_crossentropy
data:
  train: {{format: csv, path: {path}, label_column: {column}}}
train: {{epochs: 1, batch_size: 2, microbatches: 2, optimizer: sgd}}
output: {{path: {output}}}
"""


def bad_tables(folder):
    cases = [
        ("a,b,y\n1,2,0\n3,x,1\n", "y", ["3", "x"]),
        ("a,b,y\n1,2,0\n3,1\n", "y", ["3"]),
        ("a,b,y\n1,2,0\n3,nan,1\n", "y", ["nan"]),
        ("a,b,y\n1,2,0\n3,1,2\n", "y", ["2"]),
        ("a,b,y\n1,2,0\n3,1,0.5\n", "y", ["0.5"]),
        ("a,b,y\n1,2,0\n", "z", ["z"]),
        ("a,b,c,y\n1,2,3,0\n", "y", ["2"]),
        ("a,b,y\n", "y", [""]),
        ("", "y", ["empty"]),
    ]
    for number, (content, column, words) in enumerate(cases):
        path = os.path.join(folder, "table.csv")
        with open(path, "w", encoding="ascii") as file:
            file.write(content)
        job = os.path.join(folder, "table.yaml")
        with open(job, "w", encoding="ascii") as file:
            file.write(CSV_JOB.format(path=path, column=column, output=os.path.join(folder, "table.h5")))
        one_line(f"csv case {number}", run("cairn", "train", job, "--fresh", "--state", os.path.join(folder, "state")),
                 ["table.csv", *words], [1, 2])


def test(folder):
    digits = os.path.join(folder, "digits")
    make_digits(digits, train=120, test=60)
    job = write_job(os.path.join(folder, "good.yaml"), digits)
    good = run("cairn", "check", job)
    expect(good.returncode == 0, f"the good job is refused: {good.stderr}")
    bad_jobs(folder, open(job, encoding="ascii").read())
    bad_commands(folder, job)
    bad_variable(folder, job)
    bad_outputs(folder, open(job, encoding="ascii").read())
    bad_data(folder, digits)
    bad_tables(folder)


main(test)
