"""Schedules of chaos one after another, each compared with the run that nothing happens to. For tests, which say what
kind of cluster is meant.

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
import time

from chaos_play import Play
from chaos_schedule import WORKERS_MAX, Schedule
from support import Failure, expect, make_digits, record_hashes, run, train, write_job


def write_recorded_job(path, data, schedule, replicas=1):
    """The small job, with hashes recorded, for one worker or many."""
    clips = ", global_clipnorm: 1" if schedule.clips else ""
    write_job(path, data, epochs=schedule.epochs, commit_every=schedule.commit_every, codec=schedule.codec,
              optimizer=f"{{adam: {{learning_rate: 0.005{clips}}}}}")
    record_hashes(path)
    with open(path, encoding="ascii") as file:
        text = file.read()
    text = text.replace("cluster: {", f"cluster: {{servers: {schedule.servers}, replicas: {replicas}, workers: {{min: 1, max: {WORKERS_MAX}}}, ")
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


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
    one.expect_all_met()
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
    job = write_recorded_job(os.path.join(place, "job.yaml"), data, schedule, schedule.replicas)
    one = Play(place, schedule, job)
    with one.cluster:
        try:
            judge(one, one.run(), whole)
        except (Failure, subprocess.TimeoutExpired) as failure:
            one.tell(failure)
            raise
        finally:
            one.close()
    print(f"  completed in {time.monotonic() - one.began:.1f} s, {len(one.met)} faults; what happened:", *one.events, sep="\n    ", flush=True)
    shutil.rmtree(place)
    return {"seconds": round(time.monotonic() - one.began, 1), "still": round(one.longest_still_s, 1), "met": one.met,
            "failed_for_room": one.failed_for_room, "model_hash": whole["model_hash"]}


def options(schedules, faults):
    """The command line, with a test's defaults."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--schedules", type=int, default=schedules)
    parser.add_argument("--faults", type=int, default=faults)
    parser.add_argument("--from", type=int, default=0, metavar="I", dest="first")
    parser.add_argument("--only", type=int, default=None, metavar="I")
    parser.add_argument("--summary", default=None, metavar="FILE")
    return parser.parse_args()


def summarise(path, seed, number, outcome):
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"seed": seed, "schedule": number, **outcome}) + "\n")


def play_all(folder, given, schedule_of, play_one):
    """What the command line says: schedule_of(seed, number, faults) and play_one(folder, data, schedule), which returns
    what the summary says of it."""
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    failures = []
    data = os.path.join(folder, "digits")
    make_digits(data)
    for number in [given.only] if given.only is not None else range(given.first, given.first + given.schedules):
        print(f"seed {seed} (again: --seed {seed} --faults {given.faults} --only {number})", flush=True)
        try:
            outcome = play_one(folder, data, schedule_of(seed, number, given.faults))
            summarise(given.summary, seed, number, {"equal": True, **outcome})
        except (Failure, subprocess.TimeoutExpired) as failure:
            summarise(given.summary, seed, number, {"equal": False, "failure": str(failure)[:500]})
            failures.append(number)
            if not given.summary:
                raise
    expect(not failures, f"schedules {failures} of seed {seed} failed")


def play_sync(folder, given, transport=None):
    """Plays them in sync mode; `transport`: of all clusters, else by chance."""
    known = {}
    play_all(folder, given, lambda *of: Schedule(*of, transport),
             lambda *what: play(*what, known))
