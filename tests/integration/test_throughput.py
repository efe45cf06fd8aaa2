"""Throughput modes on real daemons: both train to a sane accuracy, the model file is what the servers had, ssp keeps its
bound while a worker stands still, and a stop can be resumed."""

import os
import time

from cluster import Cluster
from support import expect, less, main, make_digits, run, train, wait_until
from throughput import applied_steps, check_account, write_throughput_job

STALENESS = 2
LEASE_MS = 20000
STILL_S = 1  # some hundred steps
STEPS_PER_EPOCH = 25
LONG_EPOCHS = less(40, 15)  # of a job that is stopped in the midst


def trains(folder, data, mode):
    job = write_throughput_job(os.path.join(folder, mode.split(",")[0][6:] + ".yaml"), data, mode, epochs=8)
    result = train(job, "--workers", 3, "--servers", 2, state=job + ".state", timeout=120)
    expect(os.path.exists(result["output"]), f"no model file: {result}")
    seen = run("cairn-worker", "evaluate", result["output"], "--job", job)
    expect(seen.returncode == 0, seen.stderr)
    accuracy = float(seen.stdout.split("accuracy")[1].split()[0])
    expect(accuracy > 0.6, f"{mode}: an accuracy of {accuracy}, {result}")


def clock(folder, worker):
    return max((step + 1 for _, step, _ in applied_steps(folder).get(worker, [])), default=0)


def keeps_its_bound(folder, data):
    """A worker that stands still holds the others back where the bound says."""
    place = os.path.join(folder, "bound")
    os.mkdir(place)
    job = write_throughput_job(os.path.join(place, "job.yaml"), data, f"mode: ssp, staleness: {STALENESS}", epochs=8)
    shown = run("cairn", "check", job).stdout
    expect(f"\nmode: ssp, staleness {STALENESS}\n" in shown, f"check does not show the mode:\n{shown}")
    with Cluster(place, "ipc", LEASE_MS) as cluster:
        cluster.start_all(1, 3)
        name = cluster.json("submit", job)["job"]
        wait_until(lambda: len(applied_steps(place)) == 3 and clock(place, 1) >= 20, "20 steps", 60)
        numbers = {worker: number for number in (1, 2, 3) for worker in ("w0", "w1", "w2")
                   if f" worker={number} step=" in cluster.log(worker)}
        cluster.pause("w0")
        held = clock(place, numbers["w0"])
        others = [number for worker, number in numbers.items() if worker != "w0"]
        wait_until(lambda: all(clock(place, number) >= held + STALENESS for number in others), "the bound", 20)
        # That nothing happens can only be waited for; and what was on its way when it stood still may be one step more
        # than its log says.
        time.sleep(STILL_S)
        for number in others:
            expect(clock(place, number) <= held + 1 + STALENESS + 1,
                   f"worker {number} is at {clock(place, number)} while one stands at {held}")
        cluster.resume("w0")
        result = cluster.json("wait", name, timeout=120)
        expect(result["status"] == "completed", f"it ended as {result}")
        wait_until(lambda: "event=updates_end" in cluster.log("s0"), "the server's account")
        check_account(place, 8 * STEPS_PER_EPOCH)


def stops_and_goes_on(folder, data):
    place = os.path.join(folder, "stop")
    os.mkdir(place)
    job = write_throughput_job(os.path.join(place, "job.yaml"), data, f"mode: ssp, staleness: {STALENESS}", servers=2,
                               epochs=LONG_EPOCHS)
    with Cluster(place, "ipc", LEASE_MS) as cluster:
        cluster.start_all(2, 3)
        name = cluster.json("submit", job)["job"]
        wait_until(lambda: clock(place, 1) >= 30, "30 steps", 60)
        stopped = cluster.json("stop", name, timeout=60)
        expect(stopped["status"] == "stopped" and stopped["committed_step"] >= 30, f"it stopped as {stopped}")
        cluster.json("submit", job, "--resume")
        result = cluster.json("wait", name, timeout=180)
        expect(result["status"] == "completed", f"it ended as {result}")
        for server in ("s0", "s1"):
            wait_until(lambda server=server: cluster.log(server).count("event=updates_end") == 2, "the accounts")
        check_account(place, LONG_EPOCHS * STEPS_PER_EPOCH)


def test(folder):
    os.environ["CAIRN_LOG_LEVEL"] = "debug"
    data = os.path.join(folder, "digits")
    make_digits(data)
    modes = ("mode: async", "mode: async, staleness_damping: true", f"mode: ssp, staleness: {STALENESS}")
    for mode in less(modes, modes[1:]):  # the second does all that the first does
        trains(folder, data, mode)
    keeps_its_bound(folder, data)
    stops_and_goes_on(folder, data)


main(test)
