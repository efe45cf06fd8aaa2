"""Disks that fill under a cluster. A server's fails the job, with a reason that names it, and the job goes on when it
is resumed with room; a coordinator's ends the coordinator, under which steps go on. The model is the undisturbed run's."""

import os

import small_disk
from cluster import FULL_TEXT, NO_ROOM, Cluster, newest_step, wait_for_step
from support import expect, less, main, make_digits, record_hashes, skip, train, wait_until, write_job

LEASE_MS = 1000
DISK_MIB = 24
EPOCHS = less(40, 20)
COMMENT_BYTES = 200000  # of a job file, which the coordinator keeps


def write_long_job(folder, name, data, commit_every):
    return write_job(os.path.join(folder, name + ".yaml"), data, epochs=EPOCHS, commit_every=commit_every)


def expect_model(result, whole):
    expect(result["status"] == "completed" and result["model_hash"] == whole["model_hash"],
           f"{result}, undisturbed {whole}")


def check_server(folder, data, whole):
    """The first generation finds no room."""
    os.mkdir(folder)
    job = write_long_job(folder, "job", data, commit_every=200)
    records = record_hashes(job)
    with Cluster(folder, "ipc", LEASE_MS) as cluster:
        cluster.use_small_disk("s0", DISK_MIB)
        cluster.start_all(servers=1, workers=1)
        name = cluster.json("submit", job)["job"]
        wait_for_step(records, 5)
        cluster.disks["s0"].fill()
        done = cluster.cairn("wait", name)
        reason = cluster.json("status", name)["reason"]
        expect(done.returncode != 0 and FULL_TEXT in reason and cluster.disks["s0"].folder in reason,
               f"the job ended with code {done.returncode}: {reason}")
        cluster.disks["s0"].free()
        cluster.json("submit", job, "--resume")
        expect_model(cluster.json("wait", name), whole)
        cluster.check()


def use_up_reserve(cluster, folder, data):
    """Gives the coordinator so much to keep that it needs room, and so ends."""
    path = write_long_job(folder, "large", data, commit_every=1)
    with open(path, "a", encoding="ascii") as file:
        file.write("".join(f"# {'x' * 98}\n" for _ in range(COMMENT_BYTES // 100)))
    submit = None

    def has_ended():
        nonlocal submit
        cluster.check()
        if cluster.in_state(NO_ROOM) == ["coordinator"]:
            return True
        if submit is None or submit.poll() is not None:
            expect(submit is None or submit.returncode == 0, "a job was refused")
            submit = cluster.start("submit", "cairn", "submit", path, "--servers", 100, "--coordinator", cluster.endpoint)
        return False
    wait_until(has_ended, "the coordinator's end")
    submit.kill()


def check_coordinator(folder, data, whole):
    os.mkdir(folder)
    job = write_long_job(folder, "job", data, commit_every=10)
    records = record_hashes(job)
    with Cluster(folder, "ipc", LEASE_MS) as cluster:
        cluster.use_small_disk("coordinator", DISK_MIB)
        cluster.start_all(servers=1, workers=1)
        name = cluster.json("submit", job)["job"]
        wait_for_step(records, 5)
        cluster.disks["coordinator"].fill()
        use_up_reserve(cluster, folder, data)
        step = newest_step(records)
        wait_for_step(records, step + 20)
        cluster.disks["coordinator"].free()
        cluster.start_again("coordinator")
        expect_model(cluster.json("wait", name), whole)
        cluster.check()


def test(folder):
    if not small_disk.possible():
        skip("no disk may be mounted here")
    data = os.path.join(folder, "digits")
    make_digits(data)
    whole = train(write_job(os.path.join(folder, "whole.yaml"), data, epochs=EPOCHS), state=os.path.join(folder, "whole"))
    check_server(os.path.join(folder, "server"), data, whole)
    check_coordinator(os.path.join(folder, "coordinator"), data, whole)


main(test)
