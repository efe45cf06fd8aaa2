"""Workers that stand still (SIGSTOP) for less than a lease, while a model trains: steps go on without them, nobody is
lost to the job, and the model is that of an undisturbed run."""

import os
import signal
import time

from support import Daemons, expect, main, make_digits, train, wait_until, write_job

LEASE_MS = 60000
EPOCHS = 60
STOPPED_S = 4  # of one worker; the time itself is what is tested
STEPS_WITHOUT = 20


def step(daemons, job):
    return daemons.json("status", job)["step"]


def hold(daemons, job, worker, seconds):
    """Stops a worker for so long; returns steps a second before, and meanwhile."""
    began, first = time.monotonic(), step(daemons, job)
    wait_until(lambda: step(daemons, job) >= first + 50, "steps with all workers")
    before = (step(daemons, job) - first) / (time.monotonic() - began)
    daemons.processes[worker].send_signal(signal.SIGSTOP)
    try:
        stopped, first = time.monotonic(), step(daemons, job)
        wait_until(lambda: step(daemons, job) >= first + STEPS_WITHOUT, f"steps without {worker}", 30)
        time.sleep(max(0, stopped + seconds - time.monotonic()))
        status = daemons.json("status", job)
        meanwhile = (status["step"] - first) / (time.monotonic() - stopped)
        expect(status["status"] == "running" and status["workers"] == 3, f"with a worker stopped: {status}")
    finally:
        daemons.processes[worker].send_signal(signal.SIGCONT)
    return before, meanwhile


def test(folder):
    make_digits(folder)
    job = write_job(os.path.join(folder, "job.yaml"), folder, epochs=EPOCHS)
    whole = train(job, "--workers", 1, "--servers", 1, state=os.path.join(folder, "whole"), timeout=120)
    with Daemons(folder) as daemons:
        daemons.start_coordinator("tcp://127.0.0.1:0", "--lease", LEASE_MS)
        daemons.start_server("alpha", "--shards", 2)
        for name in ("one", "two", "three"):
            daemons.start_worker(name, "--threads", 1)
        name = daemons.json("submit", job, "--workers", 3)["job"]
        wait_until(lambda: step(daemons, name) > 0, "the first steps")
        before, meanwhile = hold(daemons, name, "two", STOPPED_S)
        hold(daemons, name, "one", 1)

        result = daemons.json("wait", name, timeout=180)
        expect(result["status"] == "completed" and result["model_hash"] == whole["model_hash"] and
               result["metrics"] == whole["metrics"], f"ended as {result}, undisturbed {whole}")
        status = daemons.json("status", name)
        expect(status["incarnation"] == 1 and status["divergences"] == 0, f"ended as {status}")
        expect(status["backup_microbatches"] > 0, f"nobody helped: {status}")
        expect("computed twice" in daemons.cairn("status", name).stdout, "cairn status does not tell")
        print(f"steps a second: {before:.0f} with all workers, {meanwhile:.0f} with one stopped for {STOPPED_S} s; "
              f"{status['backup_microbatches']} microbatches were computed twice")


main(test)
