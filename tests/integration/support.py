"""What the integration tests share: where the programs are, small data and jobs, running and killing things.

Every test is a program: it exits 0 (passed), 77 (skipped: says why) or another code. Waits are on events with a
deadline, never on time alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BIN = os.environ.get("CAIRN_BIN") or sys.exit("CAIRN_BIN must name the folder of the programs")
SKIPPED = 77
OTHERS_END_S = 10  # by themselves, after one of the programs of a job has failed
SANITIZED = bool(os.environ.get("CAIRN_SANITIZE"))

JOB = """\
name: digits
seed: 7
model:
  input_shape: [28, 28, 1]
  layers:
    - conv2d: {{filters: 8, kernel_size: 3, strides: 2, activation: relu}}
    - max_pooling2d: {{pool_size: 2}}
    - dropout: {{rate: 0.2}}
    - flatten
    - dense: {{units: 200, activation: relu}}
    - dense: {{units: 10}}
  loss: sparse_categorical_crossentropy
  metrics: [accuracy]
data:
  train: {{format: idx, features: {data}/train-images-idx3-ubyte, labels: {data}/train-labels-idx1-ubyte, scale: 1/255}}
  validation: {{format: idx, features: {data}/t10k-images-idx3-ubyte, labels: {data}/t10k-labels-idx1-ubyte, scale: 1/255}}
train:
  epochs: {epochs}
  batch_size: 60
  microbatches: 6
  commit_every: {commit_every}
  optimizer: {optimizer}
  codec: {codec}
cluster: {{threads_per_worker: {lanes}}}
output: {{path: {output}}}
"""


def program(name):
    return os.path.join(BIN, name)


class Failure(Exception):
    """What a test found wrong."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def run(*arguments, timeout=60, **options):
    """Runs a program to its end; the result has returncode, stdout, stderr as text."""
    return subprocess.run([program(arguments[0]), *map(str, arguments[1:])], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout, **options)


def less(usual, sanitized):
    """What a test does as usual, or the lesser part of it that it does in a build with sanitizers. These look for errors
    on each path, some five times as slowly: a path once is enough there, and numbers, combinations and long trainings are
    for other builds. What is expected stays the same."""
    return sanitized if SANITIZED else usual


def wait_until(condition, what, seconds=20):
    """Polls a condition of the outside world (a file, a process) until it holds. One that starts a program to look takes
    a third of a processor, so that what is waited for has the rest."""
    deadline = time.monotonic() + seconds
    while True:
        begin = time.monotonic()
        value = condition()
        if value:
            return value
        end = time.monotonic()
        if end > deadline:
            raise Failure(f"waited {seconds} s for {what}")
        time.sleep(min(max(0.01, 2 * (end - begin)), 0.2))


def tell_spare(step, steps):
    """Prints at which of its steps a job was when all had happened to it that a test does: what comes after that costs time
    only, and how much of it there has to be, for slower machines, can be seen."""
    print(f"all has happened by step {step} of {steps}", flush=True)


def end_without_others(programs, seconds):
    """Programs of one job of which some may fail: who was just attaching has perhaps come to the job as it goes on, and
    waits for the parts of those that failed. It is killed."""
    wait_until(lambda: any(one.poll() not in (None, 0) for one in programs) or all(one.poll() == 0 for one in programs),
               "the programs' end", seconds)
    deadline = time.monotonic() + OTHERS_END_S
    while any(one.poll() is None for one in programs) and time.monotonic() < deadline:
        time.sleep(0.05)
    for one in programs:
        if one.poll() is None:
            one.kill()


def make_digits(folder, train=1500, test=400):
    done = run("cairn", "data", "synth", "digits", "--output", folder, "--train", train, "--test", test)
    expect(done.returncode == 0, f"data synth failed: {done.stderr}")


def write_job(path, data, **changes):
    """Writes the small job to path; changes are the places of JOB."""
    values = dict(epochs=3, commit_every=10, optimizer="{adam: {learning_rate: 0.005}}", codec="float32", lanes=1,
                  output=os.path.splitext(path)[0] + ".h5",
                  data=data)
    values.update(changes)
    with open(path, "w", encoding="ascii") as file:
        file.write(JOB.format(**values))
    return path


def record_hashes(path):
    """Has a job that write_job wrote record the hashes of all versions; the folder of the records."""
    with open(path, encoding="ascii") as file:
        text = file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write(text.replace("  commit_every:", "  record_hashes: true\n  commit_every:"))
    return os.path.splitext(path)[0] + ".h5.hashes"


def last_json(text):
    lines = text.strip().splitlines()
    expect(lines, "no JSON line was printed")
    return json.loads(lines[-1])


def train(job, *arguments, state, timeout=60):
    """Runs `cairn train --json` to its end and returns its JSON object."""
    done = run("cairn", "train", job, "--json", "--state", state, *arguments, timeout=timeout)
    expect(done.returncode == 0, f"cairn train {arguments} exited {done.returncode}: {done.stderr[-2000:]}")
    result = last_json(done.stdout)
    expect(result["status"] == "completed", f"cairn train {arguments} ended as {result}")
    return result


def descendants(pid):
    """The living processes below pid, as a set of numbers."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(name)] = int(fields[1])
    found, front = set(), {pid}
    while front:
        front = {child for child, parent in parents.items() if parent in front} - found
        found |= front
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Daemons:
    """Daemons started by hand on tcp, stopped at the end of a with block."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = {}
        self.endpoint = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def start(self, name, executable, *arguments):
        with open(os.path.join(self.folder, name + ".log"), "ab") as log:
            self.processes[name] = subprocess.Popen([*self.place_of(name), program(executable), *map(str, arguments)],
                                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self.processes[name]

    def start_coordinator(self, listen="tcp://127.0.0.1:0", *arguments):
        data = os.path.join(self.folder, "coordinator")
        file = os.path.join(data, "endpoint")
        if os.path.exists(file):
            os.remove(file)
        self.start("coordinator", "cairn-coordinator", "--listen", listen, "--data", data, *arguments)

        def read():
            if self.processes["coordinator"].poll() is not None:
                raise Failure("the coordinator ended: " + self.log("coordinator"))
            return os.path.exists(file) and open(file, encoding="ascii").read().strip()
        self.endpoint = wait_until(read, "the coordinator's endpoint file")

    def place_of(self, _name):
        """The words before a program that run it where this node is."""
        return ()

    def coordinator_of(self, _name):
        """Where a node is told that the coordinator is."""
        return self.endpoint

    def start_server(self, name, *arguments):
        return self.start(name, "cairn-server", "--coordinator", self.coordinator_of(name), "--name", name,
                          "--data", os.path.join(self.folder, name), *arguments)

    def start_worker(self, name, *arguments):
        return self.start(name, "cairn-worker", "--coordinator", self.coordinator_of(name), "--name", name, *arguments)

    def cairn(self, *arguments, timeout=60):
        return run("cairn", *arguments, "--coordinator", self.endpoint, timeout=timeout)

    def json(self, *arguments, timeout=60):
        done = self.cairn(*arguments, "--json", timeout=timeout)
        expect(done.returncode == 0, f"cairn {arguments} exited {done.returncode}: {done.stderr}")
        return last_json(done.stdout)

    def wait_for_nodes(self, count):
        """Until so many servers and workers are registered."""
        wait_until(lambda: len(self.json("nodes")["nodes"]) == count, f"{count} nodes")

    def scale_servers(self, job, count):
        """Has a job without replicas served by so many; returns when nothing of it is on its way any more."""
        self.json("scale", job, "--servers", count)

        def is_moved():
            said = self.cairn("logs", job).stdout.rpartition(f"scaled to {count} server")[2]
            return "every slot has 1 replica" in said and self.json("status", job)["servers"] == count
        wait_until(is_moved, f"{count} servers of {job}", 60)

    def terminate(self, name):
        """SIGTERM; returns the exit code."""
        self.processes[name].send_signal(signal.SIGTERM)
        return self.processes[name].wait(timeout=20)

    def log(self, name):
        with open(os.path.join(self.folder, name + ".log"), encoding="utf-8", errors="replace") as file:
            return file.read()


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def main(test):
    """Runs test(folder) in a temporary folder, which is kept when the test fails."""
    folder = tempfile.mkdtemp(prefix="cairn-test-")
    try:
        test(folder)
    except (Failure, subprocess.TimeoutExpired) as failure:
        print(f"FAILED: {failure}\nwhat it left is in {folder}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(folder)
