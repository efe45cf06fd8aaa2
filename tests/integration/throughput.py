"""What tests of the throughput modes read in the logs of a cluster, at level debug: which steps workers were told are
applied, and which updates the chunks had when the job ended."""

import glob
import os
import re

from support import expect, write_job

APPLIED = re.compile(r"time=(\S+) .*event=step_applied job=\d+ incarnation=(\d+) worker=(\d+) step=(\d+)")
SYNCHRONISED = re.compile(r"event=synchronised job=\d+ incarnation=\d+ worker=(\d+) step=(\d+)")
LOST = re.compile(r"(time=\S+) .*event=node_lost kind=server name=(\S+)")
END = re.compile(r"(time=\S+) .*event=updates_end job=\d+ shard=(\d+)")
HAD = re.compile(r"(time=\S+) .*event=updates_had job=\d+ incarnation=(\d+) shard=(\d+) chunk=(\d+) version=(\d+) worker=(\d+) "
                 r"first=(\d+) next=(\d+)")


def write_throughput_job(path, data, mode, servers=1, workers=3, replicas=1, **changes):
    """The small job in a mode ("async", "ssp, staleness: 2"), for one worker or many."""
    write_job(path, data, **changes)
    with open(path, encoding="ascii") as file:
        text = file.read()
    text = text.replace("cluster: {", f"cluster: {{servers: {servers}, replicas: {replicas}, workers: {{min: 1, max: {workers}}}, ")
    with open(path, "w", encoding="ascii") as file:
        file.write(text.replace("  commit_every:", "  " + mode.replace(", ", "\n  ") + "\n  commit_every:"))
    return path


def lines_of(folder):
    for name in glob.glob(os.path.join(folder, "*.log")):
        with open(name, encoding="utf-8", errors="replace") as file:
            for line in file:
                yield os.path.basename(name), line


def applied_steps(folder):
    """worker's number -> [(time, step, incarnation)] as it was told."""
    told = {}
    for _, line in lines_of(folder):
        found = APPLIED.search(line)
        if found:
            told.setdefault(int(found[3]), []).append((found[1], int(found[4]), int(found[2])))
    return told


class NewestStep:
    """The newest step that a worker was told is applied, in logs that grow: -1 before there is one."""

    def __init__(self, folder):
        self.folder, self.step, self.read = folder, -1, {}

    def look(self):
        for name in glob.glob(os.path.join(self.folder, "w*.log")):
            with open(name, "rb") as file:
                file.seek(self.read.get(name, 0))
                lines = file.read().rpartition(b"\n")[0]
            self.read[name] = self.read.get(name, 0) + len(lines)
            for found in APPLIED.finditer(lines.decode("utf-8", errors="replace")):
                self.step = max(self.step, int(found[4]))
        return self.step


def synchronised_steps(folder):
    """worker's number -> the newest step that it went on with when it had asked: those before are applied."""
    steps = {}
    for _, line in lines_of(folder):
        found = SYNCHRONISED.search(line)
        if found:
            steps[int(found[1])] = max(int(found[2]), steps.get(int(found[1]), 0))
    return steps


def has_told(log, shards):
    """Whether a server has told what its shards had of the job in hand, if they had any."""
    own = log[log.rfind("event=started"):]
    prepared = own.rfind("event=job_prepared")
    return prepared < 0 or own[prepared:].count("event=updates_end") >= shards


def losses(folder):
    """server -> the moments at which the coordinator gave it up."""
    lost = {}
    for _, line in lines_of(folder):
        found = LOST.search(line)
        if found:
            lost.setdefault(found[2], []).append(found[1])
    return lost


def last_blocks(folder):
    """(server, shard) -> what the shard told last of what it had, as matches of HAD; nothing if that was when a server woke
    that had been given up: others have gone on then. One that wakes says first that it is prepared, as it has been."""
    blocks, told, since, is_over, lost = {}, {}, {}, {}, losses(folder)
    for name, line in lines_of(folder):
        server = name.removesuffix(".log")
        had, end = HAD.search(line), END.search(line)
        if "event=started" in line:
            is_over[server] = True
        elif "event=job_prepared" in line and is_over[server]:
            since[server], is_over[server] = line.split(" ", 1)[0], False
        elif had:
            told.setdefault((server, int(had[3])), []).append(had)
        elif end:
            is_over[server] = True
            is_stale = any(since[server] < moment < end[1] for moment in lost.get(server, []))
            block = told.pop((server, int(end[2])), [])
            blocks[server, int(end[2])] = [] if is_stale else block
    return blocks


def accounts(folder):
    """(chunk, server, shard) -> (version, {worker: (first, next)}), as shards told at the end of the last incarnation."""
    found, newest = {}, 0
    for (server, shard), block in last_blocks(folder).items():
        for had in block:
            incarnation, _, chunk, version, worker, first, following = map(int, had.groups()[1:])
            newest = max(newest, incarnation)
            found.setdefault((incarnation, chunk, server, shard), (version, {}))[1][worker] = (first, following)
    return newest, {tuple(who): had for (incarnation, *who), had in found.items() if incarnation == newest}


def check_account(folder, final_step):
    """No update was lost or doubled, in any replica of any chunk. Returns how many there were, and replicas of chunks."""
    told, asked = applied_steps(folder), synchronised_steps(folder)
    newest, ends = accounts(folder)
    expect(ends, "no server has said which updates it had")
    versions = {}
    for (chunk, server, _), (version, workers) in ends.items():
        total = sum(following - first for first, following in workers.values())
        expect(version == total, f"chunk {chunk} is at version {version} on {server}, and its workers gave {total} updates")
        for worker, (first, following) in workers.items():
            check_worker(f"{chunk} on {server}", worker, first, following, told.get(worker, []), newest,
                         asked.get(worker, first))
            expect(following <= final_step, f"chunk {chunk} has steps of worker {worker} beyond the end")
        versions[chunk] = max(version, versions.get(chunk, 0))
    expect(all(any(following == final_step for _, following in workers.values()) for _, workers in ends.values()),
           "no worker has come to the end")
    return sum(versions.values()), len(ends)


def check_worker(chunk, worker, first, following, told, newest, asked):
    """A chunk has what a worker was told is applied, or learned when it asked with which step to go on, and at most the
    one step more that was on its way as it died. A number of before servers went back is over, and what it was told since
    the generation that they went back to was asked for is undone: so of that one a chunk may have less, and how much less
    no log tells. (The plays of unit.chain_updates know, and hold that against what there is then.)"""
    last = max(max((step for _, step, _ in told), default=first - 1), asked - 1)
    expect(following <= last + 2, f"chunk {chunk} has steps up to {following - 1} of worker {worker}, who was told of "
                                  f"{last} as the last")
    expect(following > last or all(incarnation < newest for _, _, incarnation in told),
           f"chunk {chunk} has steps up to {following - 1} of worker {worker}, who was told that {last} is applied")
    steps = [step for _, step, _ in told]
    expect(len(steps) == len(set(steps)), f"worker {worker} was told twice of a step: {steps}")
