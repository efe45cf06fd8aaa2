"""Chaos: nodes of a cluster die, stand still, leave, come back and join at chosen steps while a job trains, and the job
is scaled up and down. It must complete, with the model of an undisturbed run, and every version that any worker had on
the way must be that run's.

    test_chaos.py [--seed S] [--schedules N] [--faults F] [--only I]

Each schedule is a function of the seed and its number: its cluster, and which faults come at which steps. They are
printed before it begins, and --only plays one again. (Which node a fault meets, when several will do, is by number among
those that are up, so moments still have a say.)"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time

from cluster import Cluster, DOWN, LEAVING, PAUSED, newest_step
from support import Failure, expect, last_json, main, make_digits, program, run, train, write_job

LEASE_MS = 1000
STEPS_PER_EPOCH = 25
STEPS_PER_FAULT = 100
FIRST_FAULT, LAST_STEPS = 5, 50  # no fault before this step, nor in the last ones
SLOW = 4 if os.environ.get("CAIRN_SANITIZE") else 1
NO_PROGRESS_S = 60 * SLOW        # without a new step, while nothing is down
LEAVES_WITHIN_S = 60 * SLOW
ASKED_AGAIN_S = 15               # a drain that a coordinator may have forgotten as it died
PATIENCE_S = 20                  # with a command that is refused: the coordinator may not know all nodes again yet
WORKERS_MAX = 4

# kind -> how often it is drawn
FAULTS = {
    "kill worker": 4, "kill server": 3, "kill coordinator": 2, "pause worker": 2, "pause server": 1,
    "pause coordinator": 1, "terminate worker": 2, "drain worker": 1, "add worker": 2, "scale": 2,
}


class Fault:
    """At which step, what, which of those that will do, and for how long."""

    def __init__(self, chance, step):
        self.step = step
        self.kind = chance.choices(list(FAULTS), list(FAULTS.values()))[0]
        self.which = chance.randrange(1000)
        self.seconds = chance.uniform(1.1, 3) * LEASE_MS / 1000 if "pause" in self.kind else chance.uniform(0, 2)
        self.workers = chance.randint(1, WORKERS_MAX)

    def __str__(self):
        more = f" to {self.workers} workers" if self.kind == "scale" else f" number {self.which}, {self.seconds:.2f} s"
        return f"step {self.step}: {self.kind}{more}"


class Schedule:
    """A cluster and what happens to it: a function of the seed and the number."""

    def __init__(self, seed, number, fault_count):
        chance = random.Random(f"{seed} {number}")
        self.number = number
        self.transport = chance.choice(["ipc", "tcp"])
        self.servers, self.workers = chance.randint(1, 3), chance.randint(1, WORKERS_MAX)
        self.codec = chance.choice(["float32", "float32", "bfloat16", "int8"])
        self.commit_every = chance.choice([1, 7, 25, 1000000])
        self.epochs = max(STEPS_PER_FAULT * fault_count, 2 * LAST_STEPS) // STEPS_PER_EPOCH
        steps = self.epochs * STEPS_PER_EPOCH
        self.faults = [Fault(chance, step) for step in
                       sorted(chance.randint(FIRST_FAULT, steps - LAST_STEPS) for _ in range(fault_count))]

    def __str__(self):
        head = (f"schedule {self.number}: {self.transport}, servers {self.servers}, workers {self.workers}, "
                f"{self.codec}, commit_every {self.commit_every}, {self.epochs * STEPS_PER_EPOCH} steps")
        return "\n  ".join([head, *map(str, self.faults)])


def write_recorded_job(path, data, schedule):
    """The small job, with hashes recorded, for one worker or many."""
    write_job(path, data, epochs=schedule.epochs, commit_every=schedule.commit_every, codec=schedule.codec)
    with open(path, encoding="ascii") as file:
        text = file.read()
    text = text.replace("cluster: {", f"cluster: {{servers: {schedule.servers}, workers: {{min: 1, max: {WORKERS_MAX}}}, ")
    with open(path, "w", encoding="ascii") as file:
        file.write(text.replace("  commit_every:", "  record_hashes: true\n  commit_every:"))
    return path


class Command:
    """A `cairn` command beside the test. While the coordinator is away it fails, and is given again."""

    def __init__(self, cluster, *words):
        self.cluster, self.words = cluster, words
        self.give_up_at = time.monotonic() + PATIENCE_S
        self.start()

    def start(self):
        self.again_at = None
        self.process = subprocess.Popen([program("cairn"), *self.words, "--json", "--coordinator",
                                         self.cluster.endpoint], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def result(self):
        """Its JSON object once it has printed one, else None."""
        if self.again_at is not None:
            if time.monotonic() > self.again_at:
                self.start()
            return None
        if self.process.poll() is None:
            return None
        out, err = self.process.communicate()
        if out.strip():
            return last_json(out)
        is_away = "no answer" in err or "did not report" in err
        expect(self.process.returncode == 1 and (is_away or time.monotonic() < self.give_up_at),
               f"cairn {' '.join(self.words)} exited {self.process.returncode}: {err}")
        self.again_at = time.monotonic() + 0.2
        return None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Play:
    """One schedule on a cluster of its own."""

    def __init__(self, folder, schedule, job):
        self.schedule, self.job = schedule, job
        self.records = os.path.splitext(job)[0] + ".h5.hashes"
        self.cluster = Cluster(folder, schedule.transport, LEASE_MS)
        self.faults = list(schedule.faults)
        self.later = []  # (moment, what, name): what undoes a fault
        self.commands = []
        self.drained = {}  # name -> when that was asked for last
        self.step, self.step_at = -1, time.monotonic()
        self.events = []
        self.began = time.monotonic()

    def note(self, text):
        self.events.append(f"{time.monotonic() - self.began:7.2f} s, step {self.step}: {text}")

    # ---- faults

    def candidates(self, kind):
        """Whom a fault of this kind may meet now; the last worker that is up does not leave."""
        up = self.cluster.up(kind.split()[1])
        return up[1:] if kind in ("terminate worker", "drain worker") else up

    def act(self, fault):
        if fault.kind == "scale":
            self.commands.append(Command(self.cluster, "scale", self.name, "--workers", str(fault.workers)))
            self.note(f"scale to {fault.workers}")
            return
        if fault.kind == "add worker":
            self.note(f"add worker {self.cluster.add_worker()}")
            return
        candidates = self.candidates(fault.kind)
        if not candidates:
            self.note(f"{fault.kind}: there is none")
            return
        name = candidates[fault.which % len(candidates)]
        self.note(f"{fault.kind.split()[0]} {name} for {fault.seconds:.2f} s")
        self.do(fault.kind.split()[0], name)
        if fault.kind.split()[0] in ("kill", "pause"):
            self.later.append((time.monotonic() + fault.seconds, fault.kind.split()[0], name))

    def do(self, what, name):
        if what == "kill":
            self.cluster.kill(name)
        elif what == "pause":
            self.cluster.pause(name)
        elif what == "terminate":
            self.cluster.ask_to_leave(name)
        else:
            self.drain(name)
            self.cluster.is_told_to_leave(name)

    def drain(self, name):
        self.drained[name] = time.monotonic()
        for command in [command for command in self.commands if command.words == ("drain", name)]:
            command.close()
            self.commands.remove(command)
        self.commands.append(Command(self.cluster, "drain", name))

    def undo(self, what, name):
        self.note(f"{name} is {'started again' if what == 'kill' else 'going on'}")
        if what == "kill":
            self.cluster.start_again(name)
        else:
            self.cluster.resume(name)

    # ---- the loop

    def look(self):
        """What the records say; a run that stands still while all are there is a failure."""
        step, now = newest_step(self.records), time.monotonic()
        if step > self.step:
            self.step, self.step_at = step, now
        if self.cluster.in_state(DOWN, PAUSED):
            self.step_at = now
        expect(now - self.step_at < NO_PROGRESS_S, f"no new step for {NO_PROGRESS_S} s, at step {self.step}")
        for name in self.cluster.in_state(LEAVING):
            since = now - self.cluster.nodes[name].since
            expect(since < LEAVES_WITHIN_S, f"{name} was told to leave {since:.0f} s ago and is still there")
            if now - self.drained.get(name, now) > ASKED_AGAIN_S:
                self.drain(name)

    def take_commands(self):
        for command in list(self.commands):
            name = command.words[1]
            if command.words[0] == "drain" and name not in self.cluster.in_state(LEAVING):
                command.close()  # it has gone, so nobody need answer
                self.commands.remove(command)
            elif command.result() is not None:
                self.commands.remove(command)

    def turn(self):
        self.cluster.check()
        self.look()
        self.take_commands()
        for item in [item for item in self.later if item[0] <= time.monotonic()]:
            self.later.remove(item)
            self.undo(*item[1:])
        if self.faults and self.faults[0].step <= self.step:
            self.act(self.faults.pop(0))

    def run(self):
        """Until the job has ended; its result."""
        self.cluster.start_all(self.schedule.servers, self.schedule.workers)
        self.name = self.cluster.json("submit", self.job)["job"]
        self.end = Command(self.cluster, "wait", self.name)
        deadline = time.monotonic() + (60 + 6 * len(self.faults)) * SLOW
        result = None
        while result is None:
            expect(time.monotonic() < deadline, "the job did not end in time")
            self.turn()
            result = self.end.result()
            time.sleep(0.005)
        return result

    def status(self):
        """What the coordinator says of the job when it has ended."""
        for what, name in [(what, name) for _, what, name in self.later if name == "coordinator"]:
            self.undo(what, name)
        return self.cluster.json("status", self.name)

    def close(self):
        for command in [*self.commands, *([self.end] if hasattr(self, "end") else [])]:
            command.close()

    def tell(self, failure):
        """All that is needed to understand a failure."""
        lines = [f"{self.schedule}", "what happened:", *self.events, f"failed: {failure}"]
        for name in self.cluster.in_state(PAUSED):
            self.cluster.resume(name)
        if self.cluster.nodes.get("coordinator") and self.cluster.up("coordinator") and hasattr(self, "name"):
            lines += ["cairn logs:", run("cairn", "logs", self.name, "--coordinator", self.cluster.endpoint).stdout[-6000:],
                      run("cairn", "status", self.name, "--coordinator", self.cluster.endpoint).stdout]
        for name in self.cluster.nodes:
            lines += [f"---- the end of {name}'s log:", self.cluster.log_end(name)]
        print("\n".join(lines), file=sys.stderr, flush=True)


def undisturbed(folder, data, schedule, known):
    """The result of a run that nothing happens to, and its records: of each length and codec once."""
    key = (schedule.epochs, schedule.codec)
    if key not in known:
        name = os.path.join(folder, f"whole-{schedule.epochs}-{schedule.codec}")
        job = write_recorded_job(name + ".yaml", data, schedule)
        known[key] = train(job, "--workers", 2, "--servers", 1, state=name, timeout=300)
    return known[key]


def play(folder, data, schedule, known):
    print(schedule, flush=True)
    whole = undisturbed(folder, data, schedule, known)
    place = os.path.join(folder, f"s{schedule.number}")
    os.mkdir(place)
    job = write_recorded_job(os.path.join(place, "job.yaml"), data, schedule)
    one = Play(place, schedule, job)
    with one.cluster:
        try:
            result = one.run()
            expect(result["status"] == "completed", f"it ended as {json.dumps(result)}")
            expect(result["model_hash"] == whole["model_hash"],
                   f"another model: {json.dumps(result)}, undisturbed {json.dumps(whole)}")
            status = one.status()
            expect(status["divergences"] == 0, "sums came twice and differed")
            if status["validation_step"] == status["final_step"]:
                expect(result["metrics"] == whole["metrics"], f"other metrics: {result}, undisturbed {whole}")
            else:  # it was told to a coordinator that died
                one.note(f"the newest validation that the coordinator knows is of step {status['validation_step']}")
            done = run("cairn", "verify", whole["output"], one.records)
            expect(done.returncode == 0, f"other versions on the way: {done.stdout} {done.stderr}")
        except (Failure, subprocess.TimeoutExpired) as failure:
            one.tell(failure)
            raise
        finally:
            one.close()
    print(f"  completed in {time.monotonic() - one.began:.1f} s; what happened:", *one.events, sep="\n    ", flush=True)
    shutil.rmtree(place)


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--schedules", type=int, default=3)
    parser.add_argument("--faults", type=int, default=10)
    parser.add_argument("--only", type=int, default=None, metavar="I")
    return parser.parse_args()


def test(folder):
    given = options()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    known = {}
    data = os.path.join(folder, "digits")
    make_digits(data)
    for number in [given.only] if given.only is not None else range(given.schedules):
        print(f"seed {seed} (again: --seed {seed} --faults {given.faults} --only {number})", flush=True)
        play(folder, data, Schedule(seed, number, given.faults), known)


main(test)
