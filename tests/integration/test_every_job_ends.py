"""Every job ends, with real daemons, and says how: at the end of its data or steps, when a person stops it (whatever it
is doing), when its loss is no number, when workers cannot do it, and when its server does not come back. What `cairn
status` and `cairn wait` print of each is what a person would want to know.

Beside these: a full disk (test_full_disk.c, test_full_disk.py), a stop while the end is
committed (a_commit_goes_on_after_a_restart and others of test_coordinator_retake.c)."""

import os
import shutil
import signal
import subprocess
import time

from support import Daemons, expect, main, make_digits, program, wait_until, write_job

ENDLESS = 1000000000
GIVEN_UP_WITHIN_S = 10  # a timeout of 1 s, the moments in which it could come back, and a slow machine


class Cluster(Daemons):
    """Daemons of which each worker has a directory of its own to look for data in."""

    def start_worker_in(self, directory, name):
        with open(os.path.join(self.folder, name + ".log"), "ab") as log:
            self.processes[name] = subprocess.Popen(
                [program("cairn-worker"), "--coordinator", self.endpoint, "--name", name, "--threads", "1"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()

    def start_stop(self, name):
        """`cairn stop`, which ends with the job."""
        return subprocess.Popen([program("cairn"), "stop", name, "--coordinator", self.endpoint],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def submit(self, job, *arguments):
        return self.json("submit", job, *arguments)["job"]

    def await_status(self, name, condition, what):
        """Polls a job's status until a condition holds of it, and returns it. A job that has ended comes to no other."""
        found = {}

        def holds():
            found.update(self.json("status", name))
            held = condition(found)
            expect(held or found["status"] not in ("completed", "failed", "stopped"), f"{name}, not {what}: {found}")
            return held
        wait_until(holds, f"{name}: {what}")
        return found

    def await_state(self, name, state):
        return self.await_status(name, lambda status: status["status"] == state, state)

    def expect_end(self, name, state, reason):
        """How a job ends: wait's exit code and last line, and what status prints."""
        waited = self.cairn("wait", name)
        status = self.json("status", name)
        told = status.get("reason", "")
        expect(status["status"] == state, f"{name} ended as {status}")
        expect(reason in told, f"{name} ended since '{told}', and not '{reason}'")
        expect(waited.returncode == (0 if state == "completed" else 1), f"wait {name} exited {waited.returncode}")
        last = "" if state == "completed" else f"cairn wait: {name} {state}: {told}"
        expect(waited.stderr.strip() == last, f"wait {name} says '{waited.stderr}'")
        shown = self.cairn("status", name).stdout
        expect(f"state         {state}\n" in shown and told in shown, f"status shows {shown}")
        return status


def make_job(folder, name, length, data="{data}", optimizer="sgd", activation="relu", more="",
             cluster=""):
    """A job file of a length ("steps: 5", "epochs: 1"), more lines of train, and more members of cluster."""
    path = write_job(os.path.join(folder, name + ".yaml"), data, optimizer=optimizer)
    with open(path, encoding="ascii") as file:
        text = file.read()
    text = text.replace("name: digits", f"name: {name}").replace("epochs: 3", length + more)
    text = text.replace("activation: relu", "activation: " + activation)
    text = text.replace("threads_per_worker: 1", "threads_per_worker: 1" + cluster)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


# ---- the end of the training

def ends_of_data_and_steps(cluster, folder, data):
    status = cluster.expect_end(cluster.submit(make_job(folder, "epochs", "epochs: 2", data)), "completed", "all 30 steps are done")
    expect(status["steps"] == 2 * 15 and status["epochs"] == 2, f"two epochs of 15 steps are {status}")
    status = cluster.expect_end(cluster.submit(make_job(folder, "steps", "steps: 7", data)), "completed", "all 7 steps are done")
    expect(status["steps"] == 7, f"7 steps are {status}")


# ---- a person's stop

def stop_while_it_waits(cluster, job):
    name = cluster.submit(job, "--workers", 3)
    status = cluster.await_state(name, "waiting")
    expect(status["reason"] == "waits for 2 more workers (1 of 3 is there)", f"it {status['reason']}")
    cluster.json("stop", name)
    cluster.expect_end(name, "stopped", "stopped before the training began")


def stop_while_it_prepares(cluster, job):
    cluster.processes["good"].send_signal(signal.SIGSTOP)
    name = cluster.submit(job)
    status = cluster.await_state(name, "preparing")
    expect("worker good" in status["reason"], f"it {status['reason']}")
    cluster.json("stop", name)
    cluster.expect_end(name, "stopped", "stopped before the training began")
    cluster.processes["good"].send_signal(signal.SIGCONT)


def stop_while_it_runs(cluster, job):
    name = cluster.submit(job)
    cluster.await_status(name, lambda status: status["steps"] > 5, "some steps")
    cluster.json("stop", name)
    status = cluster.expect_end(name, "stopped", "as asked")
    expect(status["reason"] == f"stopped at step {status['steps']} as asked", f"it ended since {status['reason']}")
    expect(status["committed_step"] == status["steps"] and status["model_hash"], f"not all is kept: {status}")


def stop_while_it_stops(cluster, job, data):
    """The worker whose step would have to end first does not answer any more, and dies."""
    name = cluster.submit(job)
    cluster.await_status(name, lambda status: status["committed_step"] > 0, "a commit")
    cluster.processes["good"].send_signal(signal.SIGSTOP)
    stops = [cluster.start_stop(name)]
    cluster.await_state(name, "stopping")
    stops.append(cluster.start_stop(name))
    cluster.kill("good")
    codes = [stop.wait(timeout=20) for stop in stops]
    expect(codes == [0, 0], f"the two stops exited {codes}")
    status = cluster.expect_end(name, "stopped", "stopped as asked at the committed step")
    expect(status["steps"] == status["committed_step"], f"it says that it kept more than it did: {status}")
    cluster.start_worker_in(data, "good")


def stop_while_it_waits_for_its_server(cluster, job):
    name = cluster.submit(job)
    cluster.await_status(name, lambda status: status["committed_step"] > 0, "a commit")
    cluster.kill("alpha")
    status = cluster.await_state(name, "waiting")
    expect("server alpha, which holds its state" in status["reason"], f"it {status['reason']}")
    cluster.json("stop", name)
    status = cluster.expect_end(name, "stopped", "stopped as asked at the committed step")
    expect(status["committed_step"] > 0, f"what was committed is not told: {status}")


# ---- a server that does not come back

def a_server_that_never_returns(cluster, folder, data):
    """The job fails in time and says for whom it waited; when that one is there after all it goes on."""
    job = make_job(folder, "bereft", "steps: 1000", data, cluster=", server_timeout: 1")
    name = cluster.submit(job)
    cluster.await_status(name, lambda status: status["committed_step"] > 0, "a commit")
    cluster.kill("alpha")
    began = time.monotonic()
    status = cluster.expect_end(name, "failed", "server alpha, which holds its state")
    seconds = time.monotonic() - began
    expect(1 <= seconds < GIVEN_UP_WITHIN_S, f"a server that is waited for 1 s was given up after {seconds:.1f} s")
    expect(0 < status["committed_step"] < 1000, f"what was committed is not told: {status}")
    cluster.start_server("alpha")
    cluster.submit(job, "--resume")
    status = cluster.expect_end(name, "completed", "")
    expect(status["steps"] == 1000, f"1000 steps are {status}")


def a_server_without_its_directory(cluster, folder, job):
    """What it had is gone: the job fails and says so, and so it does when it is resumed."""
    name = cluster.submit(job)
    cluster.await_status(name, lambda status: status["committed_step"] > 0, "a commit")
    cluster.kill("alpha")
    shutil.rmtree(os.path.join(folder, "alpha"))
    cluster.start_server("alpha")
    status = cluster.expect_end(name, "failed", "there is no state of the job here")
    expect(status["reason"].startswith("alpha: "), f"nobody can tell which server: {status['reason']}")
    cluster.submit(job, "--resume")
    cluster.expect_end(name, "failed", status["reason"])


# ---- a loss that is no number

def a_loss_that_is_no_number(cluster, folder, data):
    wild = dict(optimizer="{sgd: {learning_rate: 1000000}}", activation="linear")
    name = cluster.submit(make_job(folder, "wild", "steps: 20", data, **wild))
    status = cluster.expect_end(name, "failed", "loss is not finite at step ")
    expect(", first in layer " in status["reason"] and "(microbatch " in status["reason"], status["reason"])
    name = cluster.submit(make_job(folder, "mild", "steps: 20", data, more="\n  terminate_on_nan: false", **wild))
    status = cluster.expect_end(name, "completed", "")
    expect(status["steps"] == 20, f"20 steps are {status}")


# ---- bad workers

def workers_without_data(cluster, folder, data, empty):
    """Paths that lead to each worker's own directory: one has the data there, the other nothing."""
    missing = "/proc/self/cwd/train-images-idx3-ubyte: cannot open: No such file or directory"
    workers = ", workers: {min: 1, max: 2}"
    cluster.kill("good")
    cluster.wait_for_nodes(1)
    cluster.start_worker_in(empty, "bad")
    name = cluster.submit(make_job(folder, "nowhere", "steps: 20", "/proc/self/cwd", cluster=workers))
    status = cluster.expect_end(name, "failed", missing)
    expect(status["reason"].startswith("bad: "), f"nobody can tell which worker: {status['reason']}")

    cluster.start_worker_in(data, "good")
    cluster.wait_for_nodes(3)  # or the bad one alone fails the job
    name = cluster.submit(make_job(folder, "somewhere", f"steps: {ENDLESS}", "/proc/self/cwd", cluster=workers))
    status = cluster.await_status(name, lambda status: status["excluded"] == ["bad"], "bad is excluded")
    cluster.await_status(name, lambda later: later["steps"] > status["steps"] + 20, "steps without it")
    expect("excluded      bad\n" in cluster.cairn("status", name).stdout, "status does not name who is excluded")
    log = cluster.cairn("logs", name).stdout
    expect(f"worker bad gets no more of this job: {missing}" in log, f"the log does not say why: {log}")
    cluster.json("stop", name)
    cluster.expect_end(name, "stopped", "as asked")


def test(folder):
    data, empty = os.path.join(folder, "data"), os.path.join(folder, "empty")
    os.mkdir(empty)
    make_digits(data, train=900, test=60)
    with Cluster(folder) as cluster:
        cluster.start_coordinator()
        cluster.start_server("alpha")
        cluster.start_worker_in(data, "good")
        ends_of_data_and_steps(cluster, folder, data)
        a_loss_that_is_no_number(cluster, folder, data)
        endless = make_job(folder, "endless", f"steps: {ENDLESS}", data)
        stop_while_it_waits(cluster, endless)
        stop_while_it_prepares(cluster, endless)
        stop_while_it_runs(cluster, endless)
        stop_while_it_stops(cluster, endless, data)
        workers_without_data(cluster, folder, data, empty)
        stop_while_it_waits_for_its_server(cluster, endless)
        cluster.start_server("alpha")
        a_server_that_never_returns(cluster, folder, data)
        a_server_without_its_directory(cluster, folder, make_job(folder, "gone", f"steps: {ENDLESS}", data))


main(test)
