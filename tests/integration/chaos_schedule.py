"""What chaos_play.py plays: clusters, and faults that come at steps of a job. A function of seed and number alone, so
that a schedule can be played again; who is there to be met, and so what a fault is that would meet nobody, is seen when
it is played."""

import random

LEASE_MS = 1000
STEPS_PER_EPOCH = 25
STEPS_PER_FAULT = 50
FIRST_FAULT, LAST_STEPS = 5, 50  # no fault before this step, nor in the last ones
WORKERS_MAX = 4
FIRST_ONES = 3  # among so many schedules one fills a server's disk, whatever the seed, if disks can be mounted

# kind -> how often it is drawn
NODE_FAULTS = {
    "kill worker": 4, "kill server": 3, "kill coordinator": 2, "pause worker": 2, "pause server": 1,
    "pause coordinator": 1, "terminate worker": 2, "drain worker": 1, "add worker": 2, "scale": 2, "move server": 2,
}
LINK_FAULTS = {"cut link": 8, "stop link": 6, "slow link": 6}
DISK_FAULTS = {"fill server": 6, "fill coordinator": 2}


class Fault:
    """At which step, what, which of those that will do, and for how long."""

    def __init__(self, chance, step, kinds):
        self.step = step
        self.kind = chance.choices(list(kinds), list(kinds.values()))[0]
        self.which = chance.randrange(1000)
        self.seconds = self._seconds(chance)
        self.delay_s = chance.uniform(0.01, 0.2)
        self.workers = chance.randint(1, WORKERS_MAX)

    def _seconds(self, chance):
        if self.kind.startswith("pause"):
            return chance.uniform(1.1, 3) * LEASE_MS / 1000
        if self.kind == "stop link":  # as often shorter than a lease as longer
            return chance.choice([chance.uniform(0.1, 0.8), chance.uniform(1.1, 3)]) * LEASE_MS / 1000
        return chance.uniform(0, 2)

    def __str__(self):
        if self.kind == "scale":
            return f"step {self.step}: scale to {self.workers} workers"
        delay = f" by {1000 * self.delay_s:.0f} ms" if self.kind == "slow link" else ""
        return f"step {self.step}: {self.kind} number {self.which}{delay}, {self.seconds:.2f} s"


class Schedule:
    """A cluster and what happens to it."""

    def __init__(self, seed, number, fault_count, transport=None):
        """`transport`: which, else by chance: ipc, tcp, links (linked_cluster.py) or hosts (network.py)."""
        chance = random.Random(f"{seed} {number}")
        self.number = number
        self.transport = chance.choice(["ipc", "tcp", "links", "links"])
        self.transport = transport or self.transport
        fills_for_sure = number == seed % FIRST_ONES
        self.has_small_disks = chance.random() < 0.3 or fills_for_sure
        self.servers, self.workers = chance.randint(1, 3), chance.randint(1, WORKERS_MAX)
        self.shards = chance.choice([1, 1, 2, 3])
        self.codec = chance.choice(["float32", "float32", "bfloat16", "int8"])
        self.clips = chance.random() < 0.3
        self.replicas = chance.randint(1, min(2, self.servers))
        # What is written again and again has its blocks, and minds no full disk: so first generations come late.
        self.commit_every = chance.choice([100, 200] if self.has_small_disks else [1, 7, 25, 100, 1000000])
        self.epochs = max(STEPS_PER_FAULT * fault_count, 2 * LAST_STEPS) // STEPS_PER_EPOCH
        kinds = dict(NODE_FAULTS, **(LINK_FAULTS if self.transport in ("links", "hosts") else {}),
                     **(DISK_FAULTS if self.has_small_disks else {}))
        steps = self.epochs * STEPS_PER_EPOCH
        self.faults = [Fault(chance, step, kinds) for step in
                       sorted(chance.randint(FIRST_FAULT, steps - LAST_STEPS) for _ in range(fault_count))]
        if fills_for_sure and self.faults and not any(fault.kind == "fill server" for fault in self.faults):
            self.faults[seed // FIRST_ONES % fault_count].kind = "fill server"

    def job_key(self):
        """What the model is a function of."""
        return self.epochs, self.codec, self.clips

    def __str__(self):
        head = (f"schedule {self.number}: {self.transport}, servers {self.servers} of {self.shards} shards, "
                f"{self.replicas} replicas, "
                f"workers {self.workers}, {self.codec}{', clips' if self.clips else ''}"
                f"{', small disks' if self.has_small_disks else ''}, commit_every {self.commit_every}, "
                f"{self.epochs * STEPS_PER_EPOCH} steps")
        return "\n  ".join([head, *map(str, self.faults)])
