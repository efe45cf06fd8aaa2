"""The promise: one job gives one model, bit for bit, whatever the cluster looks like and whatever happens."""

import os
import signal
import subprocess

from support import (BIN, Failure, descendants, expect, last_json, main, make_digits, program, run, train,
                     wait_until, write_job)


def interrupted(job, state, kill):
    """Starts a run with `cairn train`, ends it in the middle with kill(process), and resumes it."""
    with open(state + ".out", "wb") as out:
        process = subprocess.Popen([program("cairn"), "train", job, "--state", state, "--workers", "2", "--servers", "2"],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        log = os.path.join(state, "logs", "coordinator.log")

        def committed():
            if process.poll() is not None:
                raise Failure("the run ended before it could be interrupted: " + open(state + ".out").read())
            return os.path.exists(log) and b"committed step" in open(log, "rb").read()
        wait_until(committed, "a first committed generation")
        children = descendants(process.pid)
        kill(process, children)
        process.wait(timeout=30)
    wait_until(lambda: not any(os.path.exists(f"/proc/{child}") for child in children), "the children's end")
    refused = run("cairn", "train", job, "--state", state)
    expect(refused.returncode != 0 and "--resume" in refused.stderr,
           f"an unfinished run was not protected: {refused.returncode} {refused.stderr}")
    return train(job, "--resume", "--workers", "3", "--servers", "2", state=state)


def kill_all(process, children):
    for pid in [process.pid, *children]:
        os.kill(pid, signal.SIGKILL)


def kill_parent(process, _children):
    process.kill()


def interrupt(process, _children):
    process.send_signal(signal.SIGINT)


def test(folder):
    make_digits(folder)
    job = write_job(os.path.join(folder, "job.yaml"), folder)
    two_lanes = write_job(os.path.join(folder, "lanes.yaml"), folder, lanes=2)
    longer = write_job(os.path.join(folder, "longer.yaml"), folder, epochs=60)
    state = os.path.join(folder, "state")

    runs = [(job, ["--workers", workers, "--servers", servers])
            for workers, servers in [(1, 1), (1, 1), (2, 1), (3, 2), (5, 3), (2, 2)]]
    runs += [(two_lanes, ["--workers", 1]), (two_lanes, ["--workers", 2, "--servers", 2]),
             (job, ["--workers", 2, "--servers", 2, "--transport", "tcp"])]
    results = []
    for file, arguments in runs:
        result = train(file, *arguments, "--fresh", state=state)
        print(os.path.basename(file), *arguments, result["model_hash"], result["metrics"], flush=True)
        results.append(result)
    expect(len({result["model_hash"] for result in results}) == 1, "the cluster's shape changed the model")
    expect(len({str(result["metrics"]) for result in results}) == 1, "the cluster's shape changed the metrics")
    expect(results[0]["metrics"]["accuracy"] > 0.5, "the network learned nothing")

    whole = train(longer, "--workers", 2, "--servers", 2, "--fresh", state=state)
    for kill in (kill_all, kill_parent, interrupt):
        resumed = interrupted(longer, os.path.join(folder, kill.__name__), kill)
        print(kill.__name__, resumed["model_hash"], flush=True)
        expect(resumed["model_hash"] == whole["model_hash"], f"{kill.__name__} and --resume changed the model")
    evaluated = last_json(run("cairn", "evaluate", whole["output"], "--job", longer, "--json").stdout)
    expect(evaluated["accuracy"] == whole["metrics"]["accuracy"],
           f"cairn evaluate gives {evaluated}, training gave {whole['metrics']}")


main(test)
