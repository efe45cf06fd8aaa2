"""`cairn train` starts its children again when they are killed, and ends with the model of an undisturbed run; one that
dies at each start is given up with one line; one that was told to go stays away."""

import os
import signal
import subprocess

from support import (Failure, descendants, expect, last_json, less, main, make_digits, program, run, tell_spare, train,
                     wait_until, write_job)

EPOCHS = less(40, 28)  # until after all that happens


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode("utf-8", errors="replace").split("\0")
    except OSError:
        return []


class Run:
    """One `cairn train` for people, and what can be seen of it from outside."""

    def __init__(self, job, state, *arguments):
        self.state = state
        self.out = open(state + ".out", "w+b")
        self.process = subprocess.Popen([program("cairn"), "train", job, "--state", state, *map(str, arguments)],
                                        stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.out.close()

    def output(self):
        self.out.seek(0)
        return self.out.read().decode("utf-8", errors="replace")

    def child(self, name):
        """The process number of a child: by its name, or the coordinator by its program."""
        for pid in descendants(self.process.pid):
            words = command_line(pid)
            if name in words or (words and words[0].endswith("cairn-" + name)):
                return pid
        return None

    def wait_for_line(self, line):
        def is_there():
            if line in self.output():
                return True
            expect(self.process.poll() is None, f"the run ended without '{line}': {self.output()[-2000:]}")
            return False
        wait_until(is_there, f"'{line}'")

    def status(self):
        with open(os.path.join(self.state, "coordinator", "endpoint"), encoding="ascii") as file:
            done = run("cairn", "jobs", "--json", "--coordinator", file.read().strip())
        jobs = last_json(done.stdout)["jobs"] if done.returncode == 0 else []
        return jobs[-1] if jobs else {"step": 0, "status": "none"}

    def wait_for_steps(self, more):
        """Until so many steps more are done than now; a run that has ended has done them."""
        def enough():
            if self.process.poll() is not None:
                raise Failure(f"the run ended before it was disturbed: {self.output()[-2000:]}")
            status = self.status()
            return status["status"] == "running" and status["step"] >= first + more
        first = self.status()["step"] if os.path.exists(os.path.join(self.state, "coordinator", "endpoint")) else 0
        wait_until(enough, f"{more} more steps")


def kill_each(one, names):
    """One after the other, each when training goes on."""
    for name in names:
        one.wait_for_steps(20)
        first = one.child(name)
        os.kill(first, signal.SIGKILL)
        one.wait_for_line(f"{name} was killed by signal 9 (Killed): started again")
        wait_until(lambda: one.child(name) not in (None, first), f"a new {name}")


def let_one_leave(one, name):
    one.wait_for_steps(20)
    os.kill(one.child(name), signal.SIGTERM)
    one.wait_for_line(f"{name} ended as it was told to: not started again")


def disturbed(folder, job, whole, transport, leaver=None):
    """A worker, the coordinator and a server are killed; then a worker may be told to go."""
    state = os.path.join(folder, f"killed-{transport}")
    with Run(job, state, "--servers", 2, "--workers", 2, "--transport", transport) as one:
        wait_until(lambda: os.path.exists(os.path.join(state, "coordinator", "endpoint")), "the coordinator")
        kill_each(one, ["coordinator", "worker-1", "coordinator", "server-0"])
        if leaver:
            let_one_leave(one, leaver)
        tell_spare(one.status()["step"], one.status()["final_step"])
        code = one.process.wait(timeout=120)
        output = one.output()
    expect(code == 0, f"exit code {code}: {output[-3000:]}")
    expect(whole["model_hash"] in output, f"another model than {whole['model_hash']}: {output[-3000:]}")


def one_that_cannot_start(job, state):
    """A server whose folder is not a folder dies at each start. The state is of a run that is complete."""
    done = run("cairn", "train", job, "--state", state, "--resume", "--json")
    expect(done.returncode == 0, f"a resume of what is complete: {done.stderr}")
    interrupted = Run(job, state, "--fresh")
    with interrupted as one:
        wait_until(lambda: os.path.exists(os.path.join(state, "coordinator", "endpoint")), "the coordinator")
        one.wait_for_steps(20)
        one.process.send_signal(signal.SIGINT)
        expect(one.process.wait(timeout=60) == 130, one.output())
    server = os.path.join(state, "server-0")
    os.rename(server, server + "-away")
    with open(server, "w", encoding="ascii") as file:
        file.write("in the way\n")
    done = run("cairn", "train", job, "--state", state, "--resume")
    lines = done.stderr.strip().splitlines()
    expect(done.returncode == 1 and len(lines) == 1, f"exit code {done.returncode}: {done.stdout} {done.stderr}")
    expect("cairn-server server-0 ended by itself with exit code 1; its last words:" in lines[0] and
           "started 5 times" in lines[0], lines[0])


def test(folder):
    make_digits(folder)
    job = write_job(os.path.join(folder, "job.yaml"), folder, epochs=EPOCHS)
    whole = train(job, "--workers", 2, state=os.path.join(folder, "whole"))
    one_that_cannot_start(job, os.path.join(folder, "whole"))
    for transport in less(("ipc",), ()):  # the other one has all that is done here
        disturbed(folder, job, whole, transport)
    disturbed(folder, job, whole, "tcp", leaver="worker-0")


main(test)
