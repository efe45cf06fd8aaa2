"""What tests of the throughput modes read in the logs of a cluster, at level debug: which steps workers were told are
applied, and which updates the chunks had when the job ended."""

import glob
import os
import re

from support import expect, write_job

APPLIED = re.compile(r"time=(\S+) .*event=step_applied job=\d+ incarnation=(\d+) worker=(\d+) step=(\d+)")
SYNCHRONISED = re.compile(r"event=synchronised job=\d+ incarnation=\d+ worker=(\d+) step=(\d+)")
HAD = re.compile(r"event=updates_had job=\d+ incarnation=(\d+) shard=(\d+) chunk=(\d+) version=(\d+) worker=(\d+) "
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


def accounts(folder):
    """(chunk, server, shard) -> (version, {worker: (first, next)}), as shards told at the end of the last incarnation."""
    told, newest = {}, 0
    for server, line in lines_of(folder):
        found = HAD.search(line)
        if found:
            incarnation, shard, chunk, version, worker, first, following = map(int, found.groups())
            newest = max(newest, incarnation)
            told.setdefault((incarnation, chunk, server, shard), (version, {}))[1][worker] = (first, following)
    return newest, {who: had for (incarnation, *who), had in ((key, had) for key, had in told.items())
                    for who in [tuple(who)] if incarnation == newest}


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
    one step more that was on its way as it died; or less if it worked before servers went back, for then it has another
    number."""
    last = max(max((step for _, step, _ in told), default=first - 1), asked - 1)
    expect(following <= last + 2, f"chunk {chunk} has steps up to {following - 1} of worker {worker}, who was told of "
                                  f"{last} as the last")
    expect(following > last or all(incarnation < newest for _, _, incarnation in told),
           f"chunk {chunk} has steps up to {following - 1} of worker {worker}, who was told that {last} is applied")
    steps = [step for _, step, _ in told]
    expect(len(steps) == len(set(steps)), f"worker {worker} was told twice of a step: {steps}")
