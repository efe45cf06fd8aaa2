"""Throughput modes under faults: workers, servers and the coordinator are killed, paused, drained and come back at chosen
steps, others join and leave, while a job trains in async or ssp. It must complete; each chunk must be at the version that
its workers' updates add up to; and of each worker it must have exactly what that was told is applied: no update lost or
doubled. What faults are and when they come to be: chaos_play.py.

    test_throughput_faults.py [--seed S] [--schedules N] [--faults F] [--from I] [--only I] [--summary FILE]"""

import json
import os
import random
import shutil
import subprocess

from chaos_play import Play
from chaos_run import options, play_all
from chaos_schedule import Fault
from support import Failure, expect, less, main, make_digits, run, wait_until
from throughput import NewestStep, check_account, has_told, write_throughput_job

STEPS_PER_EPOCH = 25
STEPS_PER_FAULT = 60
MODES = ["mode: async", "mode: async, staleness_damping: true", "mode: ssp, staleness: 0", "mode: ssp, staleness: 3"]
FAULTS = {"kill worker": 3, "kill server": 2, "kill coordinator": 1, "pause worker": 2, "pause server": 1,
          "terminate worker": 1, "drain worker": 1, "add worker": 1, "add server": 1, "move server": 1}


class Schedule:
    """A function of the seed and the number."""

    def __init__(self, seed, number, faults):
        chance = random.Random(f"{seed} {number}")
        self.number = number
        self.mode = chance.choice(MODES)
        self.transport = chance.choice(["ipc", "tcp"])
        self.servers, self.workers, self.shards = chance.randint(1, 3), chance.randint(2, 3), 1
        self.replicas = chance.randint(1, self.servers)
        self.commit_every = chance.choice([5, 20, 1000000])
        self.has_small_disks = False
        self.epochs = STEPS_PER_FAULT * (faults + 1) // STEPS_PER_EPOCH + 1
        self.faults = [Fault(chance, step, FAULTS)
                       for step in sorted(chance.randint(5, STEPS_PER_FAULT * faults) for _ in range(faults))]

    def __str__(self):
        return "\n  ".join([f"schedule {self.number}: {self.mode}, {self.transport}, servers {self.servers}, replicas "
                            f"{self.replicas}, workers {self.workers}, commit_every {self.commit_every}, "
                            f"{self.epochs * STEPS_PER_EPOCH} steps", *map(str, self.faults)])


class ThroughputPlay(Play):
    """Steps are those that workers were told of."""

    def __init__(self, folder, schedule, job):
        super().__init__(folder, schedule, job)
        self.newest = NewestStep(folder)

    def newest_step(self):
        return self.newest.look()

    def log_end(self, name):
        return "\n".join(line for line in self.cluster.log(name).splitlines() if "level=debug" not in line)[-1500:]


def judge(one, result):
    """How many updates chunks have had, in how many replicas, and how good the model is."""
    expect(result["status"] == "completed", f"it ended as {json.dumps(result)}")
    one.expect_all_met()
    for server in one.cluster.up("server"):
        wait_until(lambda server=server: has_told(one.cluster.log(server), 1), f"{server}'s account")
    updates, replicas = check_account(one.cluster.folder, one.schedule.epochs * STEPS_PER_EPOCH)
    seen = run("cairn-worker", "evaluate", result["output"], "--job", one.job)
    expect(seen.returncode == 0, seen.stderr)
    return f"{updates} updates of chunks, {replicas} replicas, {seen.stdout.strip()}"


def play(folder, data, schedule):
    print(schedule, flush=True)
    place = os.path.join(folder, f"s{schedule.number}")
    os.mkdir(place)
    job = write_throughput_job(os.path.join(place, "job.yaml"), data, schedule.mode, servers=schedule.servers,
                               replicas=schedule.replicas, epochs=schedule.epochs, commit_every=schedule.commit_every)
    one = ThroughputPlay(place, schedule, job)
    with one.cluster:
        try:
            told = judge(one, one.run())
        except (Failure, subprocess.TimeoutExpired) as failure:
            one.tell(failure)
            raise
        finally:
            one.close()
    print(f"  completed, {len(one.met)} faults: {told}; what happened:", *one.events, sep="\n    ", flush=True)
    shutil.rmtree(place)
    return {"met": one.met, "told": told}


def test(folder):
    os.environ["CAIRN_LOG_LEVEL"] = "debug"
    play_all(folder, options(schedules=less(4, 2), faults=5), Schedule, play)


main(test)
