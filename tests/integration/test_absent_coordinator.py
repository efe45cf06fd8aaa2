"""A coordinator that is killed while a model trains, and started again on its data after two seconds: steps go on
meanwhile, although nobody confirms generations, with replicas as without, and the model is that of an undisturbed
run."""

import os
import re
import time

from support import Daemons, expect, less, main, make_digits, train, wait_until, write_job

LEASE_MS = 10000  # silence is noticed after two heartbeats of 1 s: the end of a connection is what tells of the absence
AWAY_S = 2
EPOCHS = less(100, 60)  # longer than the absence
COMMIT_EVERY = 5
SERVERS = ("alpha", "beta")


def dropped(daemons):
    """The step of the newest generation that a shard said it dropped for a later one: while nobody is there to be told
    of steps, that is how it shows that there are any."""
    logs = "".join(daemons.log(server) for server in SERVERS)
    return max(map(int, re.findall(r"event=generations_dropped .*? newest_step=(\d+)", logs)), default=0)


def absence(folder, data, replicas, whole):
    os.mkdir(folder)
    job = write_job(os.path.join(folder, "job.yaml"), data, epochs=EPOCHS, commit_every=COMMIT_EVERY)
    with open(job, encoding="ascii") as file:
        text = file.read()
    with open(job, "w", encoding="ascii") as file:
        file.write(text.replace("cluster: {", f"cluster: {{servers: 2, replicas: {replicas}, "))
    with Daemons(folder) as daemons:
        daemons.start_coordinator("tcp://127.0.0.1:0", "--lease", LEASE_MS)
        for server in SERVERS:
            daemons.start_server(server, "--shards", 2)
        daemons.start_worker("one")
        name = daemons.json("submit", job, "--workers", 1)["job"]
        wait_until(lambda: daemons.json("status", name)["committed_step"] >= 4 * COMMIT_EVERY, "commits")

        expect(dropped(daemons) == 0, "generations were dropped while the coordinator was there")
        daemons.processes["coordinator"].kill()
        daemons.processes["coordinator"].wait()
        killed = time.monotonic()
        first = wait_until(lambda: dropped(daemons), "a step that does not wait for the coordinator")
        wait_until(lambda: dropped(daemons) > first, "more of them")
        time.sleep(max(0, killed + AWAY_S - time.monotonic()))  # the absence itself is what is tested
        newest = dropped(daemons)
        daemons.start_coordinator(daemons.endpoint, "--lease", LEASE_MS)

        result = daemons.json("wait", name)
        expect(result["status"] == "completed" and result["model_hash"] == whole["model_hash"] and
               result["metrics"] == whole["metrics"], f"ended as {result}, undisturbed {whole}")
        print(f"{replicas} replicas: without the coordinator steps went on to {newest} and further")
        for server in SERVERS:
            expect("incarnation=2" not in daemons.log(server), "the job went back to its committed step")


def test(folder):
    make_digits(folder, train=903, test=200)
    job = write_job(os.path.join(folder, "job.yaml"), folder, epochs=EPOCHS, commit_every=COMMIT_EVERY)
    whole = train(job, "--workers", 1, "--servers", 1, state=os.path.join(folder, "whole"))
    for replicas in less((1, 2), (2,)):
        absence(os.path.join(folder, f"replicas-{replicas}"), folder, replicas, whole)


main(test)
