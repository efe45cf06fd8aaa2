"""Chaos: programs train sparse tables that are many times larger than the servers' memory; servers, the coordinator
and programs are killed at random moments and go on. Whatever died, and when, all rows are those of an undisturbed run in memory.

    test_kill_sparse.py [--kills N] [--seed S]

prints the seed; the same seed takes the same decisions (moments still depend on the machine)."""

import argparse
import os
import random
import subprocess

from support import Daemons, end_without_others, expect, main, program, wait_until

STEPS = 260
KEYS = 20000
COMMIT_EVERY = 7
SERVERS = 2
LIMIT_S = 60


class Programs:
    """The programs of one job, as many as there are parts."""

    def __init__(self, daemons, parts, output):
        self.output = output
        self.parts = [subprocess.Popen([program("sparse_program"), "rows", str(SERVERS), f"{part}/{parts}", str(STEPS),
                                        f"{output}-{part}", str(KEYS), str(COMMIT_EVERY)],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       env=dict(os.environ, CAIRN_COORDINATOR=daemons.endpoint)) for part in range(parts)]

    def end_within(self, seconds):
        try:
            self.parts[0].wait(timeout=seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def end(self, may_fail):
        """Waits for all; whether they came to the last step."""
        done = True
        if may_fail:
            end_without_others(self.parts, LIMIT_S)
        for one in self.parts:
            out, err = one.communicate(timeout=LIMIT_S)
            expect(one.returncode == 0 or (may_fail and err.count("\n") <= 1), f"{one.args} exited {one.returncode}: {out}{err}")
            done = done and one.returncode == 0
        return done

    def kill(self):
        for one in self.parts:
            one.kill()
            one.communicate()

    def rows(self):
        rows = {open(f"{self.output}-{part}", "rb").read() for part in range(len(self.parts))}
        expect(len(rows) == 1, "programs of one job read other rows")
        return rows.pop()


def start_servers(daemons, memory):
    for server in range(SERVERS):
        name = f"server-{server}"
        if name not in daemons.processes or daemons.processes[name].poll() is not None:
            daemons.start_server(name, "--shards", 2, "--memory", memory)


def undisturbed(folder):
    os.makedirs(folder)
    with Daemons(folder) as daemons:
        daemons.start_coordinator()
        start_servers(daemons, 0)
        programs = Programs(daemons, 1, os.path.join(folder, "rows"))
        programs.end(False)
        return programs.rows()


def status(daemons):
    return daemons.json("status", "rows")["status"]


def kill_servers(daemons, chance, memory):
    """Some servers die, for which the job waits, going back to what is committed; they are started again."""
    victims = chance.sample(range(SERVERS), chance.randint(1, SERVERS))
    for victim in victims:
        daemons.processes[f"server-{victim}"].kill()
        daemons.processes[f"server-{victim}"].wait()
    wait_until(lambda: status(daemons) != "running", f"the job's pause after the loss of {victims}")
    start_servers(daemons, memory)


def kill_coordinator(daemons):
    """Started again it takes the job up as it is; programs that wanted something of it meanwhile end."""
    daemons.processes["coordinator"].kill()
    daemons.processes["coordinator"].wait()
    daemons.start_coordinator(daemons.endpoint)


def disturbed(folder, kills, chance):
    """A run that is killed so many times; its rows and how often it was really hit."""
    os.makedirs(folder)
    hits = 0
    with Daemons(folder) as daemons:
        daemons.start_coordinator()
        start_servers(daemons, "64K")
        for kill in range(kills + 1):
            programs = Programs(daemons, chance.randint(1, 3), os.path.join(folder, "rows"))
            if kill == kills or programs.end_within(chance.uniform(0.05, 0.7)):
                break
            hits += 1
            act = chance.choice(["servers", "servers", "coordinator", "programs"])
            if act == "programs" or "rows" not in daemons.cairn("jobs").stdout:
                programs.kill()
                continue
            if act == "servers":
                kill_servers(daemons, chance, "64K")
            else:
                kill_coordinator(daemons)
            programs.end(True)
        programs.end(False)
        logs = "".join(daemons.log(f"server-{server}") for server in range(SERVERS))
        return programs.rows(), hits, logs.count("state_loaded")


def test(folder):
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    right = undisturbed(os.path.join(folder, "undisturbed"))
    left, life, resumed = options.kills, 0, 0
    while left > 0:
        rows, hits, loaded = disturbed(os.path.join(folder, f"life-{life}"), min(left, 6), chance)
        expect(rows == right, f"life {life}, hit {hits} times, came to other rows")
        life, left, resumed = life + 1, left - max(hits, 1), resumed + loaded
    expect(resumed > 0, "no shard was resumed from its disk")
    print(f"{life} lives, {options.kills - left} kills, {resumed} shards resumed from disk, all in the same bits")


main(test)
