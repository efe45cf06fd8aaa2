"""Throughput modes under faults: workers, servers and the coordinator are killed at chosen steps and come back, others
join and leave, while a job trains in async or ssp. It must complete; each chunk must be at the version that its workers'
updates add up to; and of each worker it must have exactly what that was told is applied: no update lost or doubled.

    test_throughput_faults.py [--seed S] [--schedules N] [--faults F] [--only I]"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time

from cluster import Cluster
from support import Failure, expect, last_json, less, main, make_digits, program, run, wait_until
from throughput import applied_steps, check_account, has_told, write_throughput_job

LEASE_MS = 1000
STEPS_PER_EPOCH = 25
STEPS_PER_FAULT = 60
SLOW = 4 if os.environ.get("CAIRN_SANITIZE") else 1
MODES = ["mode: async", "mode: async, staleness_damping: true", "mode: ssp, staleness: 0", "mode: ssp, staleness: 3"]
FAULTS = ["kill worker", "kill worker", "kill worker", "kill server", "kill server", "kill coordinator", "add worker",
          "terminate worker", "add server", "drain server"]


class Schedule:
    """A function of the seed and the number."""

    def __init__(self, seed, number, faults):
        chance = random.Random(f"{seed} {number}")
        self.number = number
        self.mode = chance.choice(MODES)
        self.transport = chance.choice(["ipc", "tcp"])
        self.servers, self.workers = chance.randint(1, 3), chance.randint(2, 3)
        self.replicas = chance.randint(1, self.servers)
        self.commit_every = chance.choice([5, 20, 1000000])
        self.epochs = STEPS_PER_FAULT * (faults + 1) // STEPS_PER_EPOCH + 1
        last = STEPS_PER_FAULT * faults
        self.faults = sorted((chance.randint(5, last), chance.choice(FAULTS), chance.randrange(1000),
                              chance.uniform(0, 1)) for _ in range(faults))

    def __str__(self):
        faults = [f"step {step}: {kind} number {which}, {seconds:.2f} s" for step, kind, which, seconds in self.faults]
        return "\n  ".join([f"schedule {self.number}: {self.mode}, {self.transport}, servers {self.servers}, replicas "
                            f"{self.replicas}, workers {self.workers}, commit_every {self.commit_every}, {self.epochs * STEPS_PER_EPOCH} steps",
                            *faults])


class Play:
    def __init__(self, folder, schedule, job):
        self.folder, self.schedule, self.job = folder, schedule, job
        self.cluster = Cluster(folder, schedule.transport, LEASE_MS)
        self.later = []

    def step(self):
        return max((step for steps in applied_steps(self.folder).values() for _, step, _ in steps), default=-1)

    def act(self, kind, which, seconds):
        if kind == "add worker":
            self.cluster.add_worker()
            return
        if kind == "add server":
            self.cluster.add_server()
            return
        what, whom = kind.split()
        names = self.cluster.up(whom)
        if what == "terminate":  # those that listen to it already
            names = [name for name in names if "event=started" in self.cluster.log(name)][1:]
        if not names:
            return
        name = names[which % len(names)]
        if what == "terminate":
            self.cluster.ask_to_leave(name)
        elif what == "drain":
            self.drain(name)
        else:
            self.cluster.kill(name)
            self.later.append((time.monotonic() + seconds, name))

    def drain(self, name):
        """Another one takes its place. It is refused while the job does not run."""
        if not self.cluster.up("coordinator"):
            return
        heir = self.cluster.add_server()
        wait_until(lambda: "event=registered" in self.cluster.log(heir), f"{heir} to be known")
        if self.cluster.cairn("drain", name).returncode == 0:
            self.cluster.is_told_to_leave(name)

    def start_due(self):
        for item in [item for item in self.later if item[0] <= time.monotonic()]:
            self.later.remove(item)
            self.cluster.start_again(item[1])

    def run(self):
        self.cluster.start_all(self.schedule.servers, self.schedule.workers)
        name = self.cluster.json("submit", self.job)["job"]
        faults = list(self.schedule.faults)
        deadline = time.monotonic() + (60 + 8 * len(faults)) * SLOW
        end = None
        while True:
            expect(time.monotonic() < deadline, "the job did not end in time")
            self.cluster.check()
            self.start_due()
            if faults and self.step() >= faults[0][0]:
                self.act(*faults.pop(0)[1:])
            if end is None:
                end = subprocess.Popen([program("cairn"), "wait", name, "--json", "--coordinator",
                                        self.cluster.endpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if end.poll() is not None:
                out = end.communicate()[0]
                end = None
                if out.strip():
                    return last_json(out)
            time.sleep(0.02)

    def tell(self, failure):
        lines = [f"{self.schedule}", f"failed: {failure}"]
        for name in self.cluster.nodes:
            lines += [f"---- the end of {name}'s log:",
                      "\n".join(line for line in self.cluster.log(name).splitlines() if "level=debug" not in line)[-1500:]]
        print("\n".join(lines), file=sys.stderr, flush=True)


def play(folder, data, schedule):
    print(schedule, flush=True)
    place = os.path.join(folder, f"s{schedule.number}")
    os.mkdir(place)
    job = write_throughput_job(os.path.join(place, "job.yaml"), data, schedule.mode, servers=schedule.servers,
                               replicas=schedule.replicas, epochs=schedule.epochs, commit_every=schedule.commit_every)
    one = Play(place, schedule, job)
    with one.cluster:
        try:
            result = one.run()
            expect(result["status"] == "completed", f"it ended as {json.dumps(result)}")
            one.start_due()
            for server in one.cluster.up("server"):
                wait_until(lambda server=server: has_told(one.cluster.log(server), 1), f"{server}'s account")
            updates, replicas = check_account(place, schedule.epochs * STEPS_PER_EPOCH)
            seen = run("cairn-worker", "evaluate", result["output"], "--job", job)
            expect(seen.returncode == 0, seen.stderr)
        except (Failure, subprocess.TimeoutExpired) as failure:
            one.tell(failure)
            raise
    print(f"  completed: {updates} updates of chunks, {replicas} replicas, {seen.stdout.strip()}", flush=True)
    shutil.rmtree(place)


def test(folder):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--schedules", type=int, default=less(4, 2))
    parser.add_argument("--faults", type=int, default=5)
    parser.add_argument("--only", type=int, default=None, metavar="I")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    os.environ["CAIRN_LOG_LEVEL"] = "debug"
    data = os.path.join(folder, "digits")
    make_digits(data)
    for number in [given.only] if given.only is not None else range(given.schedules):
        print(f"seed {seed} (again: --seed {seed} --faults {given.faults} --only {number})", flush=True)
        play(folder, data, Schedule(seed, number, given.faults))


main(test)
