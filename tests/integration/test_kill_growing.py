"""Chaos: programs add tables to a job that runs, while servers, the coordinator and programs are killed at random
moments, most of them near the addition, and go on. Whatever died, and when, the tables are there once, and all values are
those of an undisturbed run.

    test_kill_growing.py [--kills N] [--seed S]

prints the seed; the same seed takes the same decisions (moments still depend on the machine)."""

import argparse
import os
import random
import subprocess
import time

from support import Daemons, end_without_others, expect, less, main, program, wait_until

STEPS = 60
ADD_AT = 9
SERVERS = 2
PROGRAMS = ((1, (0,)), (2, (0,)), (2, (0, 1)), (3, (0, 1, 2)), (3, (0,)))
LIMIT_S = 60


class Programs:
    """The programs of one job; those whose part is in knowing add tables."""

    def __init__(self, daemons, parts, knowing, output):
        self.output = output
        self.parts = [subprocess.Popen([program("growing_program"), "grown", str(SERVERS), f"{part}/{parts}", str(STEPS),
                                        str(ADD_AT) if part in knowing else "-", f"{output}-{part}"],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       env=dict(os.environ, CAIRN_COORDINATOR=daemons.endpoint)) for part in range(parts)]

    def run(self):
        return all(one.poll() is None for one in self.parts)

    def end(self, may_fail):
        if may_fail:
            end_without_others(self.parts, LIMIT_S)
        for one in self.parts:
            out, err = one.communicate(timeout=LIMIT_S)
            expect(one.returncode == 0 or (may_fail and err.count("\n") <= 1), f"{one.args} exited {one.returncode}: {out}{err}")

    def kill(self):
        for one in self.parts:
            one.kill()
            one.communicate()

    def values(self):
        values = {open(f"{self.output}-{part}", "rb").read() for part in range(len(self.parts))}
        expect(len(values) == 1, "programs of one job read other values")
        return values.pop()


def start_servers(daemons):
    for server in range(SERVERS):
        name = f"server-{server}"
        if name not in daemons.processes or daemons.processes[name].poll() is not None:
            daemons.start_server(name, "--shards", 2, "--memory", "64K")
    processes = {daemons.processes[f"server-{server}"].pid for server in range(SERVERS)}
    wait_until(lambda: {node["process"] for node in daemons.json("nodes")["nodes"]} == processes, "these servers to be known, and no others")


def is_there(daemons):
    return "grown" in daemons.cairn("jobs").stdout


def kill_servers(daemons, chance):
    """Some servers die, for which the job waits, going back to what is committed; they are started again."""
    victims = chance.sample(range(SERVERS), chance.randint(1, SERVERS))
    for victim in victims:
        daemons.processes[f"server-{victim}"].kill()
        daemons.processes[f"server-{victim}"].wait()
    wait_until(lambda: daemons.json("status", "grown")["status"] != "running", f"the job's pause after the loss of {victims}")
    start_servers(daemons)


def kill_coordinator(daemons):
    daemons.processes["coordinator"].kill()
    daemons.processes["coordinator"].wait()
    daemons.start_coordinator(daemons.endpoint)


def strike(daemons, programs, chance):
    """Kills something; whoever is left of the programs ends."""
    act = chance.choice(["servers", "coordinator", "programs"])
    if act == "programs" or not is_there(daemons):
        programs.kill()
        return
    if act == "servers":
        kill_servers(daemons, chance)
    else:
        kill_coordinator(daemons)
    programs.end(True)


def wait_for_moment(daemons, programs, chance):
    """Until some time after the programs began, or after the first table is being added; whether they still run."""
    if chance.random() < 0.7:
        log = os.path.join(daemons.folder, "coordinator.log")
        begun = os.path.getsize(log)
        deadline = time.monotonic() + LIMIT_S
        while programs.run() and time.monotonic() < deadline and not any(f'"{word} ' in open(log).read()[begun:] for word in ("table", "running")):
            time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.15))
    return programs.run()


def life(folder, kills, chance):
    """A job that is hit so many times; its values, and how often it was."""
    os.makedirs(folder)
    hits = 0
    with Daemons(folder) as daemons:
        daemons.start_coordinator()
        start_servers(daemons)
        while True:
            programs = Programs(daemons, *chance.choice(PROGRAMS), os.path.join(folder, "values"))
            if hits == kills or not wait_for_moment(daemons, programs, chance):
                break
            hits += 1
            strike(daemons, programs, chance)
        programs.end(False)
        tables = [table["name"] for table in daemons.json("tables", "grown")["tables"]]
        expect(tables == ["rows", "weights", "late_rows", "late_weights"], f"the job has the tables {tables}")
        return programs.values(), hits


def test(folder):
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=less(6, 3))
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    right, _ = life(os.path.join(folder, "undisturbed"), 0, chance)
    left, lives = options.kills, 0
    while left > 0:
        values, hits = life(os.path.join(folder, f"life-{lives}"), min(left, 4), chance)
        expect(values == right, f"life {lives}, hit {hits} times, came to other values")
        lives, left = lives + 1, left - max(hits, 1)
    print(f"{lives} lives, {options.kills - left} kills, all in the same bits")


main(test)
