"""The promise: one job gives one model, bit for bit, whatever the cluster looks like and whatever happens.

  test_same_model.py          a small job on digits that it draws
  test_same_model.py JOB      a job of yours, however large, such as examples/mnist-cnn.yaml"""

import os
import signal
import subprocess
import sys

from support import (Failure, descendants, expect, last_json, less, main, make_digits, program, run, train, wait_until,
                     write_job)

CLUSTERS = [
    "--workers 1 --servers 1 --threads-per-worker 1",
    "--workers 1 --servers 1 --threads-per-worker 1",
    "--workers 1 --servers 1 --threads-per-worker 2",
    "--workers 2 --servers 1 --threads-per-worker 1",
    "--workers 2 --servers 2 --threads-per-worker 1",
    "--workers 2 --servers 2 --threads-per-worker 2",
    "--workers 2 --servers 2 --threads-per-worker 1 --transport tcp",
    "--workers 3 --servers 2 --threads-per-worker 1",
    "--workers 5 --servers 3 --threads-per-worker 1",
]

# Under sanitizers: without and with what is left over of each step.
CODECS = less(["float16", "bfloat16", "{bfloat16: {rounding: stochastic}}", "int8"], ["bfloat16", "int8"])
CODEC_CLUSTERS = ["--workers 1 --servers 1 --threads-per-worker 2", "--workers 2 --servers 2", "--workers 3 --servers 1",
                  "--workers 3 --servers 2 --threads-per-worker 2"]


# Under sanitizers: whoever has one neighbour of each kind, and those that have more.
CLUSTERS = less(CLUSTERS, ["--workers 1 --servers 1 --threads-per-worker 1",
                           "--workers 2 --servers 2 --threads-per-worker 2",
                           "--workers 3 --servers 2 --threads-per-worker 1 --transport tcp"])
CODEC_CLUSTERS = less(CODEC_CLUSTERS, ["--workers 1 --servers 1 --threads-per-worker 2",
                                       "--workers 3 --servers 2 --threads-per-worker 2"])


def interrupted(job, state, kill, timeout):
    """Starts a run with `cairn train`, ends it in the middle with kill(process), and resumes it."""
    with open(state + ".out", "wb") as out:
        process = subprocess.Popen([program("cairn"), "train", job, "--state", state, "--workers", "2", "--servers", "2"],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        log = os.path.join(state, "logs", "coordinator.log")

        def committed():
            if process.poll() is not None:
                raise Failure("the run ended before it could be interrupted: " + open(state + ".out").read())
            return os.path.exists(log) and b"committed step" in open(log, "rb").read()
        wait_until(committed, "a first committed generation", timeout)
        children = descendants(process.pid)
        kill(process, children)
        process.wait(timeout=30)
    wait_until(lambda: not any(os.path.exists(f"/proc/{child}") for child in children), "the children's end")
    refused = run("cairn", "train", job, "--state", state)
    expect(refused.returncode != 0 and "--resume" in refused.stderr,
           f"an unfinished run was not protected: {refused.returncode} {refused.stderr}")
    return train(job, "--resume", "--workers", "3", "--servers", "2", state=state, timeout=timeout)


def kill_all(process, children):
    for pid in [process.pid, *children]:
        os.kill(pid, signal.SIGKILL)


def kill_parent(process, _children):
    process.kill()


def interrupt(process, _children):
    process.send_signal(signal.SIGINT)


def any_cluster(job, state, timeout, clusters=CLUSTERS):
    """Trains the job on every cluster; returns the one result."""
    results = []
    for cluster in clusters:
        results.append(train(job, *cluster.split(), "--fresh", state=state, timeout=timeout))
        print(cluster, results[-1]["model_hash"], results[-1]["metrics"], flush=True)
    expect(len({result["model_hash"] for result in results}) == 1, "the cluster's shape changed the model")
    expect(len({str(result["metrics"]) for result in results}) == 1, "the cluster's shape changed the metrics")
    return results[0]


def any_end(job, folder, whole, timeout):
    """Interrupts runs of the job in several ways and resumes them; whole: the result without an interruption."""
    for kill in less((kill_all, kill_parent, interrupt), (kill_all, interrupt)):
        resumed = interrupted(job, os.path.join(folder, kill.__name__), kill, timeout)
        print(kill.__name__, "and --resume:", resumed["model_hash"], flush=True)
        expect(resumed["model_hash"] == whole["model_hash"], f"{kill.__name__} and --resume changed the model")
        expect(resumed["metrics"] == whole["metrics"], f"{kill.__name__} and --resume changed the metrics")


def evaluates_alike(result, job):
    """What the model's file gives is what the training said at its end."""
    evaluated = last_json(run("cairn", "evaluate", result["output"], "--job", job, "--json").stdout)
    expect(evaluated["accuracy"] == result["metrics"]["accuracy"],
           f"cairn evaluate gives {evaluated}, training gave {result['metrics']}")


def any_codec(folder, state, plain, timeout):
    """Each codec gives one model of its own, on any cluster and through a kill; plain: float32's result."""
    hashes = {plain["model_hash"]}
    for number, codec in enumerate(CODECS):
        job = write_job(os.path.join(folder, f"codec-{number}.yaml"), folder, codec=codec)
        print(codec, flush=True)
        result = any_cluster(job, state, timeout, CODEC_CLUSTERS)
        hashes.add(result["model_hash"])
        expect(abs(result["metrics"]["accuracy"] - plain["metrics"]["accuracy"]) < 0.1,
               f"{codec}: {result['metrics']}, float32: {plain['metrics']}")
        evaluates_alike(result, job)
    expect(len(hashes) == 1 + len(CODECS), "two codecs gave one model")
    for codec in less(("bfloat16", "int8"), ("int8",)):  # one with what is left over of each step, and one without
        longer = write_job(os.path.join(folder, f"longer-{codec}.yaml"), folder, epochs=less(20, 12), codec=codec)
        whole = train(longer, "--workers", 1, "--servers", 1, "--fresh", state=state, timeout=timeout)
        resumed = interrupted(longer, os.path.join(folder, "killed-" + codec), kill_all, timeout)
        print("kill_all and --resume in", codec + ":", resumed["model_hash"], flush=True)
        expect(resumed["model_hash"] == whole["model_hash"], f"a kill changed the model that travels as {codec}")


def test(folder):
    state = os.path.join(folder, "state")
    if len(sys.argv) > 1:
        whole = any_cluster(sys.argv[1], state, timeout=3600)
        any_end(sys.argv[1], folder, whole, timeout=3600)
        return
    make_digits(folder)
    job = write_job(os.path.join(folder, "job.yaml"), folder)
    longer = write_job(os.path.join(folder, "longer.yaml"), folder, epochs=less(24, 16))
    plain = any_cluster(job, state, timeout=60)
    expect(plain["metrics"]["accuracy"] > 0.5, "the network learned nothing")
    any_codec(folder, state, plain, timeout=60)
    whole = train(longer, "--workers", 2, "--servers", 2, "--fresh", state=state)
    any_end(longer, folder, whole, timeout=60)
    evaluates_alike(whole, longer)


main(test)
