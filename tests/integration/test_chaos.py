"""Chaos: nodes of a cluster die, stand still, leave, come back and join at chosen steps while a job trains, and the job
is scaled up and down; connections are reset, stand still and become slow; disks fill. It must complete, with the model
of an undisturbed run, and every version that any worker had on the way must be that run's. A job that failed for want
of room on a disk is resumed when there is some.

    test_chaos.py [--seed S] [--schedules N] [--faults F] [--from I] [--only I] [--summary FILE]

Each schedule is a function of the seed and its number (chaos_schedule.py): its cluster, and which faults come at which
steps. They are printed before it begins, and --only plays one again. (Which node a fault meets, when several will do, is
by number among those that are up, so moments still have a say.) With --summary a schedule that failed is told and the
next one played; a line for each is added to the file."""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time

import small_disk
from chaos_schedule import LEASE_MS, WORKERS_MAX, Schedule
from cluster import Cluster, DOWN, FULL_TEXT, LEAVING, NO_ROOM, PAUSED, newest_step
from linked_cluster import LinkedCluster
from support import Failure, expect, last_json, main, make_digits, program, run, train, write_job

SLOW = 4 if os.environ.get("CAIRN_SANITIZE") else 1
NO_PROGRESS_S = 60 * SLOW        # without a new step, while nothing is down
LEAVES_WITHIN_S = 60 * SLOW
ASKED_AGAIN_S = 15               # a drain that a coordinator may have forgotten as it died
PATIENCE_S = 20                  # with a command that is refused: the coordinator may not know all nodes again yet
DISK_MIB = 24


def write_recorded_job(path, data, schedule):
    """The small job, with hashes recorded, for one worker or many."""
    clips = ", global_clipnorm: 1" if schedule.clips else ""
    write_job(path, data, epochs=schedule.epochs, commit_every=schedule.commit_every, codec=schedule.codec,
              optimizer=f"{{adam: {{learning_rate: 0.005{clips}}}}}")
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
        self.cluster = LinkedCluster(folder, LEASE_MS) if schedule.transport == "links" else \
            Cluster(folder, schedule.transport, LEASE_MS)
        self.faults = list(schedule.faults)
        self.later = []  # (moment, what, name): what undoes a fault
        self.commands = []
        self.drained = {}  # name -> when that was asked for last
        self.step, self.step_at = -1, time.monotonic()
        self.events = []
        self.met = []    # kinds of faults that met somebody
        self.failed_for_room = 0
        self.is_resumed_by = None
        self.began = time.monotonic()

    def note(self, text):
        self.events.append(f"{time.monotonic() - self.began:7.2f} s, step {self.step}: {text}")

    # ---- faults

    def candidates(self, kind):
        """Whom a fault of this kind may meet now; the last worker that is up does not leave."""
        what, kind = kind.split()
        if kind == "link":
            return self.cluster.links_up()
        up = self.cluster.up(kind)
        if what == "fill":
            return [name for name in up if name in self.cluster.disks and not self.cluster.disks[name].is_full()]
        return up[1:] if what in ("terminate", "drain") else up

    def act(self, fault):
        if fault.kind == "scale":
            self.commands.append(Command(self.cluster, "scale", self.name, "--workers", str(fault.workers)))
            self.note(f"scale to {fault.workers}")
        elif fault.kind == "add worker":
            self.note(f"add worker {self.cluster.add_worker()}")
        else:
            candidates = self.candidates(fault.kind)
            if not candidates:
                self.note(f"{fault.kind}: there is none")
                return
            self.do(fault, candidates[fault.which % len(candidates)])
        self.met.append(fault.kind)

    def do(self, fault, name):
        what = fault.kind.split()[0]
        self.note(f"{what} {name}{f' by {1000 * fault.delay_s:.0f} ms' if what == 'slow' else ''} for {fault.seconds:.2f} s")
        if what == "kill":
            self.cluster.kill(name)
        elif what == "pause":
            self.cluster.pause(name)
        elif what == "terminate":
            self.cluster.ask_to_leave(name)
        elif what == "drain":
            self.drain(name)
            self.cluster.is_told_to_leave(name)
        elif what == "fill":
            self.fill(fault, name)
        elif what == "cut":
            self.cluster.links[name].cut(fault.which if fault.which % 2 else None)
        elif what == "stop":
            self.cluster.links[name].stop()
        else:
            self.cluster.links[name].slow(fault.delay_s)
        if what not in ("terminate", "drain", "cut"):
            self.later.append((time.monotonic() + fault.seconds, what, name))

    def fill(self, fault, name):
        """What has blocks already does not notice; so a coordinator, and every other server, is to start on it too."""
        self.cluster.disks[name].fill()
        if name == "coordinator" or fault.which % 2:
            self.cluster.kill(name)
            self.cluster.start_again(name)

    def drain(self, name):
        self.drained[name] = time.monotonic()
        for command in [command for command in self.commands if command.words == ("drain", name)]:
            command.close()
            self.commands.remove(command)
        self.commands.append(Command(self.cluster, "drain", name))

    def undo(self, what, name):
        if what == "kill":
            self.note(f"{name} is started again")
            self.cluster.start_again(name)
        elif what == "pause":
            self.note(f"{name} is going on")
            self.cluster.resume(name)
        elif what == "fill":
            self.free(name)
        else:
            self.note(f"{name} is as it was")
            self.cluster.links[name].slow(0)
            self.cluster.links[name].go_on()

    def free(self, name):
        self.note(f"there is room for {name}, which was {self.cluster.nodes[name].state}")
        self.cluster.disks[name].free()
        self.cluster.check()
        if name in self.cluster.in_state(NO_ROOM):
            self.cluster.start_again(name)

    # ---- the loop

    def look(self):
        """What the records say; a run that stands still while all are there is a failure."""
        step, now = newest_step(self.records), time.monotonic()
        if step > self.step:
            self.step, self.step_at = step, now
        if self.cluster.in_state(DOWN, PAUSED, NO_ROOM) or self.cluster.disturbed():
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

    def start(self):
        if self.schedule.has_small_disks and small_disk.possible():
            for name in ["coordinator", *(f"s{number}" for number in range(self.schedule.servers))]:
                self.cluster.use_small_disk(name, DISK_MIB)
        self.cluster.start_all(self.schedule.servers, self.schedule.workers, self.schedule.shards)
        self.name = self.cluster.json("submit", self.job)["job"]
        self.end = Command(self.cluster, "wait", self.name)

    def resume(self, result):
        """A job that failed: for want of room, or for no good reason. There is room later."""
        expect(FULL_TEXT in result.get("reason", "") and "fill server" in self.met, f"it ended as {json.dumps(result)}")
        self.note(f"the job failed: {result['reason']}")
        self.failed_for_room += 1
        for item in [item for item in self.later if item[1] == "fill"]:
            self.later.remove(item)
            self.undo(*item[1:])
        self.step_at = time.monotonic()
        self.commands.append(Command(self.cluster, "submit", self.job, "--resume"))
        self.is_resumed_by = self.commands[-1]

    def ended(self):
        """The job's result when it has ended for good."""
        if self.is_resumed_by is not None:
            if self.is_resumed_by not in self.commands:
                self.is_resumed_by = None
                self.end = Command(self.cluster, "wait", self.name)
            return None
        result = self.end.result()
        if result is None or result["status"] != "failed":
            return result
        self.resume(result)
        return None

    def run(self):
        """Until the job has ended; its result."""
        self.start()
        deadline = time.monotonic() + (60 + 6 * len(self.faults)) * SLOW
        result = None
        while result is None:
            expect(time.monotonic() < deadline, "the job did not end in time")
            self.turn()
            result = self.ended()
            time.sleep(0.005)
        return result

    def status(self):
        """What the coordinator says of the job when it has ended."""
        for what, name in [(what, name) for _, what, name in self.later if name.endswith("coordinator")]:
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
    """The result of a run that nothing happens to, and its records: of each kind of job once."""
    key = schedule.job_key()
    if key not in known:
        name = os.path.join(folder, "whole-" + "-".join(map(str, key)))
        job = write_recorded_job(name + ".yaml", data, schedule)
        known[key] = train(job, "--workers", 2, "--servers", 1, state=name, timeout=300)
    return known[key]


def judge(one, result, whole):
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


def play(folder, data, schedule, known):
    """Plays a schedule; what became of it."""
    print(schedule, flush=True)
    whole = undisturbed(folder, data, schedule, known)
    place = os.path.join(folder, f"s{schedule.number}")
    os.mkdir(place)
    job = write_recorded_job(os.path.join(place, "job.yaml"), data, schedule)
    one = Play(place, schedule, job)
    with one.cluster:
        try:
            judge(one, one.run(), whole)
        except (Failure, subprocess.TimeoutExpired) as failure:
            one.tell(failure)
            raise
        finally:
            one.close()
    print(f"  completed in {time.monotonic() - one.began:.1f} s; what happened:", *one.events, sep="\n    ", flush=True)
    shutil.rmtree(place)
    return {"seconds": round(time.monotonic() - one.began, 1), "met": one.met, "failed_for_room": one.failed_for_room,
            "model_hash": whole["model_hash"]}


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--schedules", type=int, default=3)
    parser.add_argument("--faults", type=int, default=10)
    parser.add_argument("--from", type=int, default=0, metavar="I", dest="first")
    parser.add_argument("--only", type=int, default=None, metavar="I")
    parser.add_argument("--summary", default=None, metavar="FILE")
    return parser.parse_args()


def summarise(path, seed, number, outcome):
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"seed": seed, "schedule": number, **outcome}) + "\n")


def test(folder):
    given = options()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    known, failures = {}, []
    data = os.path.join(folder, "digits")
    if not small_disk.possible():
        print("no disk may be mounted here: none will be filled", flush=True)
    make_digits(data)
    for number in [given.only] if given.only is not None else range(given.first, given.first + given.schedules):
        print(f"seed {seed} (again: --seed {seed} --faults {given.faults} --only {number})", flush=True)
        try:
            summarise(given.summary, seed, number, dict(equal=True, **play(folder, data, Schedule(seed, number, given.faults),
                                                                          known)))
        except (Failure, subprocess.TimeoutExpired) as failure:
            summarise(given.summary, seed, number, {"equal": False, "failure": str(failure)[:500]})
            failures.append(number)
            if not given.summary:
                raise
    expect(not failures, f"schedules {failures} of seed {seed} failed")


main(test)
