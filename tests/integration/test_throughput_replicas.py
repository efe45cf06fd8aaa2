"""Servers that die, come and go while a model trains in a throughput mode: with replicas nothing is trained again, and each
update that a worker was told of is on all servers that are left, once."""

import os

from cluster import Cluster
from support import expect, less, main, make_digits, run, tell_spare, wait_until
from throughput import check_account, has_told, write_throughput_job

LEASE_MS = 2000
STEPS_PER_EPOCH = 25
EPOCHS = less(36, 28)  # so many as the events of a play need


class Play:
    """A job on servers of two shards, with two workers."""

    def __init__(self, folder, name, data, mode, servers, replicas):
        self.place = os.path.join(folder, name)
        os.mkdir(self.place)
        self.job = write_throughput_job(os.path.join(self.place, "job.yaml"), data, f"mode: {mode}", servers=servers,
                                        replicas=replicas, workers=2, epochs=EPOCHS)
        self.cluster = Cluster(self.place, "tcp", LEASE_MS)

    def begin(self, servers):
        self.cluster.start_all(servers, 2, shards=2)
        self.name = self.cluster.json("submit", self.job)["job"]
        self.wait_for_step(20)

    def status(self):
        return self.cluster.json("status", self.name)

    def wait_for_step(self, step):
        wait_until(lambda: self.status()["step"] >= step, f"step {step}", 60)

    def go_on(self, steps):
        self.wait_for_step(self.status()["step"] + steps)

    def logs(self):
        return self.cluster.cairn("logs", self.name).stdout

    def lose(self, server):
        """SIGKILL, and the job goes on with whoever is left."""
        self.cluster.kill(server)
        wait_until(lambda: f"server {server} was lost" in self.logs(), f"the loss of {server} to be noticed", 30)
        self.go_on(20)

    def tell_spare(self):
        tell_spare(self.status()["step"], EPOCHS * STEPS_PER_EPOCH)

    def end(self):
        """Nothing was trained again, and the account is that of one incarnation."""
        self.tell_spare()
        result = self.cluster.json("wait", self.name, timeout=240)
        expect(result["status"] == "completed", f"it ended as {result}")
        expect(" as incarnation 2" not in self.logs(), "the job went back:\n" + self.logs())
        for server in self.cluster.up("server"):
            wait_until(lambda server=server: has_told(self.cluster.log(server), 2), f"{server}'s account")
        updates, replicas = check_account(self.place, EPOCHS * STEPS_PER_EPOCH)
        seen = run("cairn-worker", "evaluate", result["output"], "--job", self.job)
        expect(seen.returncode == 0, seen.stderr)
        print(f"{os.path.basename(self.place)}: {updates} updates of chunks, {replicas} replicas, {seen.stdout.strip()}",
              flush=True)
        return replicas


def deaths(folder, data, mode):
    """Two servers are killed one after the other; a third takes the place of the first."""
    play = Play(folder, "deaths-" + mode.split(",")[0], data, mode, servers=2, replicas=2)
    with play.cluster:
        play.begin(2)
        play.lose("s0")
        play.cluster.add_server(shards=2)
        wait_until(lambda: "every slot has 2 replicas" in play.logs().partition("server s0 was lost")[2], "fresh replicas", 60)
        play.go_on(30)
        play.lose("s1")
        play.end()


def moves(folder, data):
    """A server comes, and one is drained, without replicas: what it had goes to others, and it ends by itself."""
    play = Play(folder, "moves", data, "async", servers=2, replicas=1)
    with play.cluster:
        play.begin(2)
        play.cluster.add_server(shards=2)
        play.cluster.wait_for_nodes(5)
        done = play.cluster.cairn("drain", "s0")
        expect(done.returncode == 0, done.stderr)
        play.cluster.is_told_to_leave("s0")
        expect(play.cluster.processes["s0"].wait(timeout=60) == 0, "the drained server did not end cleanly")
        expect(play.status()["step"] < EPOCHS * STEPS_PER_EPOCH, "the job was at its end before the server had left")
        play.end()


def scaled(folder, data):
    """One server, then three, then two, without replicas."""
    play = Play(folder, "scaled", data, "async, staleness_damping: true", servers=1, replicas=1)
    with play.cluster:
        play.begin(3)
        play.cluster.scale_servers(play.name, 3)
        play.cluster.scale_servers(play.name, 2)
        play.go_on(20)
        play.end()


def resumes(folder, data):
    """All servers are killed at once: of a generation each has another moment on its disk, and what the job goes on from
    is one of them, of which there are two replicas again. So it is after a stop: then one can be missed at once."""
    play = Play(folder, "resumes", data, "ssp, staleness: 3", servers=2, replicas=2)
    with play.cluster:
        play.begin(2)
        wait_until(lambda: play.status()["committed_step"] > 0, "a generation", 60)
        for server in ("s0", "s1"):
            play.cluster.kill(server)
        wait_until(lambda: " as incarnation 2" in play.logs(), "the job to go back", 30)
        for server in ("s0", "s1"):
            play.cluster.start_again(server)
        wait_until(lambda: play.logs().count("running, membership epoch") > 1, "the job to go on", 30)
        play.go_on(20)
        expect(play.cluster.cairn("stop", play.name).returncode == 0, "it cannot be stopped")
        wait_until(lambda: play.status()["status"] == "stopped", "the stop", 30)
        stopped = play.status()
        resumed = play.cluster.cairn("submit", play.job, "--resume")
        expect(resumed.returncode == 0, resumed.stderr)
        play.wait_for_step(stopped["step"] + 20)
        play.lose("s0")
        play.tell_spare()
        result = play.cluster.json("wait", play.name, timeout=240)
        expect(result["status"] == "completed", f"it ended as {result}")
        expect(play.logs().count("going back to step") == 1, "the job went back again:\n" + play.logs())
        wait_until(lambda: has_told(play.cluster.log("s1"), 2), "the account")
        updates, replicas = check_account(play.place, EPOCHS * STEPS_PER_EPOCH)
        print(f"resumes: {updates} updates of chunks, {replicas} replicas", flush=True)


def test(folder):
    os.environ["CAIRN_LOG_LEVEL"] = "debug"
    data = os.path.join(folder, "digits")
    make_digits(data)
    for mode in less(("async", "ssp, staleness: 3"), ("async",)):  # the other mode is in resumes()
        deaths(folder, data, mode)
    moves(folder, data)
    scaled(folder, data)
    resumes(folder, data)


main(test)
