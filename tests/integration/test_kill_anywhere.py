"""Chaos: a run is killed at random moments and resumed until it is complete, again and again, each time with
another cluster and commit interval. Whatever died, and when, the model is that of an undisturbed run.

    test_kill_anywhere.py [--kills N] [--seed S]

prints the seed and every act; the same seed takes the same decisions (moments still depend on the machine)."""

import argparse
import os
import random
import shutil
import signal
import subprocess
import time

from support import alive, descendants, expect, last_json, less, main, make_digits, program, train, wait_until, write_job

ENDS_WITHIN_S = 60
EPOCHS = 40  # a run of half a second
KILLS_A_LIFE = 12


class Run:
    """One `cairn train` process and what it printed."""

    def __init__(self, job, state, arguments):
        self.state = state
        self.out = open(state + ".out", "w+b")
        self.err = open(state + ".err", "w+b")
        self.process = subprocess.Popen([program("cairn"), "train", job, "--json", "--state", state, "--keep-logs",
                                         *map(str, arguments)],
                                        stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err)

    def ends_within(self, seconds):
        try:
            self.process.wait(timeout=seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def read(self, file):
        file.seek(0)
        return file.read().decode("utf-8", errors="replace")

    def close(self):
        """Whatever is left of it is killed."""
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.out.close()
        self.err.close()


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def kill_all(run, children, chance):
    """Everything, in any order."""
    pids = [run.process.pid, *children]
    chance.shuffle(pids)
    send(pids, signal.SIGKILL)


def kill_parent(run, _children, _chance):
    """The command alone: its children must follow it."""
    run.process.kill()


def kill_child(run, children, chance):
    """A daemon: it is started again, and whether the run goes on or ends with an error, it ends. Before there are any:
    the command."""
    send([chance.choice(children or [run.process.pid])], signal.SIGKILL)


def interrupt(run, _children, _chance):
    """Ctrl-C: a stop that is agreed upon."""
    run.process.send_signal(signal.SIGINT)


ACTS = [kill_all] * 5 + [kill_parent, kill_child, kill_child] + [interrupt] * 2


def disturb(run, chance, moment):
    """Waits for the moment, then acts; the act's name, or None when the run had ended by then."""
    if run.ends_within(moment):
        return None
    children = sorted(descendants(run.process.pid))
    act = chance.choice(ACTS)
    act(run, children, chance)
    expect(run.ends_within(ENDS_WITHIN_S), f"the run did not end after {act.__name__}")
    wait_until(lambda: not any(alive(child) for child in children), "the children's end")
    return act.__name__


class Life:
    """One job from its begin to its completion."""

    def __init__(self, folder, number, chance, most_kills):
        self.chance, self.most_kills, self.kills = chance, most_kills, 0
        self.servers, self.longest = chance.randint(1, 3), chance.choice([0.1, 0.4, 1.2])
        self.folder, self.state = folder, os.path.join(folder, f"life-{number}")
        print(f"life {number}: servers {self.servers}, moments up to {self.longest} s", flush=True)

    def attempt(self, resume):
        """One run, perhaps disturbed. Returns (its JSON object if it has completed, what to try next)."""
        chance, commit_every = self.chance, self.chance.choice([1, 7, 10, 1000000])
        arguments = ["--servers", self.servers, "--workers", chance.randint(1, 3), "--threads-per-worker",
                     chance.randint(1, 2), "--transport", chance.choice(["ipc", "tcp"]), *resume]
        moment = chance.uniform(0, self.longest) if self.kills < self.most_kills else ENDS_WITHIN_S
        job = write_job(self.state + ".yaml", self.folder, epochs=EPOCHS, commit_every=commit_every)
        run = Run(job, self.state, arguments)
        try:
            act = disturb(run, chance, moment)
            output, error, code = run.read(run.out), run.read(run.err), run.process.returncode
        finally:
            run.close()
        print(f"  commit_every {commit_every} {' '.join(map(str, arguments))}: {act or 'undisturbed'} after "
              f"{moment:.3f} s, exit {code}, {committed(self.state)}", flush=True)
        self.kills += act is not None
        if code == 0:
            return last_json(output), None
        if act:
            return None, ["--resume"]
        expect(resume and ("nothing to resume" in error or "there is no job" in error),
               f"a run exited {code} by itself: {error} {output}; see {self.state}")
        return None, []

    def live(self, whole):
        """Until it is complete; how many kills it took."""
        result, resume = None, []
        while not result:
            result, resume = self.attempt(resume)
        expect(result["status"] == "completed" and result["model_hash"] == whole["model_hash"] and
               result["metrics"] == whole["metrics"], f"{self.state} ended as {result}, undisturbed {whole}")
        shutil.rmtree(self.state)
        return self.kills


def committed(state):
    """The newest committed step that the coordinator has told."""
    try:
        with open(os.path.join(state, "logs", "coordinator.log"), encoding="utf-8", errors="replace") as log:
            lines = [line.split("committed step ")[1] for line in log if '"committed step ' in line]
    except OSError:
        lines = []
    return f"committed {lines[-1].split(chr(34))[0]}" if lines else "nothing committed"


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=less(20, 8))
    parser.add_argument("--seed", type=int, default=None)
    return parser.parse_args()


def test(folder):
    given = options()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed} (again: --kills {given.kills} --seed {seed})", flush=True)
    make_digits(folder, train=903, test=200)  # the last batch of three samples: three microbatches are empty
    job = write_job(os.path.join(folder, "whole.yaml"), folder, epochs=EPOCHS, commit_every=10)
    whole = train(job, "--workers", 2, "--servers", 2, state=os.path.join(folder, "whole"))
    kills = life = 0
    began = time.monotonic()
    while kills < given.kills:
        kills += Life(folder, life, chance, min(KILLS_A_LIFE, given.kills - kills)).live(whole)
        life += 1
    print(f"{kills} kills in {life} lives, {time.monotonic() - began:.0f} s, always {whole['model_hash']}")


main(test)
