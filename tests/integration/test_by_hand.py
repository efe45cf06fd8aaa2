"""Daemons started by hand, in any order, on tcp; every command against them; clean stops; a lost worker."""

import os
import re

from support import Daemons, expect, main, make_digits, run, wait_until, write_job


MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def free_endpoint():
    """An endpoint that nobody listens on yet."""
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def fails(done, words):
    lines = done.stderr.strip().splitlines()
    expect(done.returncode == 1 and len(lines) == 1 and words in lines[0], f"{done.returncode}: {done.stderr}")


def deletions(folder, daemons, job, waiting):
    """Jobs that have ended are deleted, and with them what alpha holds; then it can be drained."""
    def held():
        return set(os.listdir(os.path.join(folder, "alpha", "jobs")))

    def number(name):
        return name.rpartition("-")[2]

    jobs = daemons.json("jobs")["jobs"]
    resumable = [one["job"] for one in jobs if one["status"] == "stopped" and one["committed_step"] > 0]
    completed = [one["job"] for one in jobs if one["status"] == "completed"]
    expect(len(resumable) == 2 and len(completed) == 3, str(jobs))
    fails(daemons.cairn("delete", waiting), f"{waiting} has not ended: stop it first")
    fails(daemons.cairn("delete", "nobody"), "there is no job nobody")
    daemons.json("stop", waiting)
    fails(daemons.cairn("drain", "alpha"), f'"cairn delete {resumable[0]}"')
    for name in resumable:
        said = daemons.cairn("delete", name)
        expect(said.returncode == 0 and f"{name} is deleted" in said.stdout and "alpha" in said.stdout, str(said))
    wait_until(lambda: not held() & {number(name) for name in resumable}, "alpha to remove what was stopped")
    expect(held() >= {number(name) for name in completed}, f"alpha holds {held()}, and not all that was completed")

    # One that is away is told when it is back, also by another coordinator; others' files stay.
    expect(daemons.terminate("alpha") == 0, "alpha did not stop cleanly")
    away = daemons.json("delete", completed[0])
    expect(away["absent"] == ["alpha"] and away["servers"] == [], str(away))
    daemons.processes["coordinator"].kill()
    daemons.processes["coordinator"].wait()
    daemons.start_coordinator(daemons.endpoint)
    daemons.start_server("alpha", "--shards", 2)
    wait_until(lambda: number(completed[0]) not in held(), "alpha to remove what was completed")
    expect(held() >= {number(name) for name in completed[1:]}, f"alpha holds {held()}, and not what was kept")
    fails(daemons.cairn("export", completed[0], "--output", os.path.join(folder, "gone.h5")), "there is no job")
    kept = os.path.join(folder, "export-3.h5")
    daemons.json("export", completed[1], "--output", kept)

    # Names are free and numbers are not, and nothing keeps the server any more.
    for one in daemons.json("jobs")["jobs"]:
        daemons.json("delete", one["job"])
    expect(daemons.json("jobs")["jobs"] == [], "jobs are listed that were deleted")
    wait_until(lambda: not held(), "alpha to remove everything")
    last = daemons.json("submit", job, "--workers", 3)["job"]
    expect(int(number(last)) == int(number(waiting)) + 1, f"{last} after {waiting}")
    daemons.json("stop", last)
    daemons.json("delete", last)
    daemons.json("drain", "alpha")
    expect(daemons.processes["alpha"].wait(timeout=20) == 0, "alpha was not let go")


def test(folder):
    make_digits(folder)
    job = write_job(os.path.join(folder, "job.yaml"), folder)
    with Daemons(folder) as daemons:
        # Nodes first, the coordinator last: they wait for it and say so.
        daemons.endpoint = free_endpoint()
        daemons.start_server("alpha", "--shards", 2)
        daemons.start_worker("one")
        wait_until(lambda: "waiting" in daemons.log("one"), "a worker that says that it waits")
        daemons.start_coordinator(daemons.endpoint)
        daemons.start_worker("two")
        daemons.wait_for_nodes(3)

        submitted = daemons.json("submit", job, "--workers", 2)
        name = submitted["job"]
        result = daemons.json("wait", name)
        expect(result["status"] == "completed" and result["workers"] == 2 and result["servers"] == 1, str(result))
        expect(os.path.exists(result["output"]), "no model file")
        status = daemons.json("status", name)
        expect(status["model_hash"] == result["model_hash"], "status and wait disagree about the hash")
        expect(result["model_hash"] in daemons.cairn("status", name).stdout, "status does not print the hash")
        shown = daemons.cairn("status", name).stdout
        for label in ("submitted", "started", "ended"):
            expect(re.search(rf"^{label} +{MOMENT}$", shown, re.M), f"status does not say when it was {label}:\n{shown}")
        expect(re.search(r"^state +completed$", shown, re.M), f"status does not say how it ended:\n{shown}")
        expect(re.search(r"^reason +all \d+ steps are done$", shown, re.M), f"status does not say why it ended:\n{shown}")
        listed = daemons.cairn("jobs").stdout
        expect(re.search(rf"^{name} +completed +{MOMENT} ", listed, re.M), f"jobs does not list the job:\n{listed}")
        expect("committed" in daemons.cairn("logs", name).stdout, "logs tell of no generation")
        expect("alpha" in daemons.cairn("nodes").stdout, "nodes does not list the server")

        # Two jobs at once on one server's shards do not touch each other.
        both = [daemons.json("submit", job, "--workers", 1)["job"] for _ in range(2)]
        hashes = [daemons.json("wait", one)["model_hash"] for one in both]
        expect(hashes == [result["model_hash"]] * 2, f"two jobs at once ended with other models: {hashes}")

        # What the servers hold is what the worker wrote, also after they were stopped and started.
        first = os.path.join(folder, "export-1.h5")
        expect(daemons.json("export", name, "--output", first)["model_hash"] == result["model_hash"],
               "the exported model is another one")
        for node in ("alpha", "one"):
            expect(daemons.terminate(node) == 0, f"{node} did not stop cleanly: {daemons.log(node)[-500:]}")
        expect(daemons.terminate("coordinator") == 0, "the coordinator did not stop cleanly")
        daemons.start_coordinator(daemons.endpoint)
        daemons.start_server("alpha", "--shards", 2)
        daemons.wait_for_nodes(2)
        second = os.path.join(folder, "export-2.h5")
        expect(daemons.json("export", name, "--output", second)["model_hash"] == result["model_hash"],
               "a restart changed the model")

        # Below workers.min a job waits and says for what; stop ends it.
        waiting = daemons.json("submit", job, "--workers", 3)["job"]
        expect("worker" in daemons.json("status", waiting)["reason"], "a waiting job does not say for what it waits")
        shown = daemons.cairn("status", waiting).stdout
        expect(re.search(rf"^state +waiting since {MOMENT}(, for .*)?$", shown, re.M), f"nor since when:\n{shown}")
        expect(daemons.json("stop", waiting)["status"] == "stopped", "stop did not stop a waiting job")

        # A job that has lost its only worker says that it waits for another, and can be stopped.
        long_job = write_job(os.path.join(folder, "long.yaml"), folder, epochs=1000)
        lost = daemons.json("submit", long_job, "--workers", 1)["job"]
        wait_until(lambda: daemons.json("status", lost)["step"] > 5, "a running job")
        daemons.processes["two"].kill()
        wait_until(lambda: daemons.json("status", lost).get("reason") == "waits for 1 more worker", "the loss to be known")
        ended = daemons.json("stop", lost)
        expect(ended["status"] == "stopped" and ended["steps"] == ended["committed_step"], str(ended))

        # Stop in the middle commits the step in hand, and resume goes on from it.
        daemons.start_worker("three")
        stopped = daemons.json("submit", long_job, "--workers", 1)["job"]
        wait_until(lambda: daemons.json("status", stopped)["step"] > 5, "a running job")
        result = daemons.json("stop", stopped)
        expect(result["status"] == "stopped" and result["committed_step"] == result["steps"] > 5, str(result))

        deletions(folder, daemons, job, daemons.json("submit", job, "--workers", 3)["job"])
    silent = run("cairn", "jobs", "--coordinator", free_endpoint(), timeout=30)
    expect(silent.returncode == 1 and len(silent.stderr.strip().splitlines()) == 1,
           f"no coordinator: {silent.returncode} {silent.stderr}")


main(test)
