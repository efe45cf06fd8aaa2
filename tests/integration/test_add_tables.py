"""Tables that programs add to a job that runs: once, whoever asks and how many; the same bits for any number of servers
and programs, also of such as know nothing of them; and they stay when all daemons are killed."""

import os
import subprocess

from support import Daemons, expect, main, program, wait_until

STEPS = 30
ADD_AT = 11


def begin(daemons, name, servers, parts, steps, output, knowing=None, ahead=()):
    """Starts programs; those whose part is in knowing, or all, add tables; those in ahead push nothing and wait for nothing."""
    return [subprocess.Popen([program("growing_program"), name, str(servers), f"{part}/{parts}", str(steps),
                              str(ADD_AT) if knowing is None or part in knowing else "-", f"{output}-{part}", *(["ahead"] if part in ahead else [])],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=dict(os.environ, CAIRN_COORDINATOR=daemons.endpoint)) for part in range(parts)]


def end(processes, steps):
    for process in processes:
        out, err = process.communicate(timeout=100)
        expect(process.returncode == 0, f"{process.args} exited {process.returncode}: {out}{err}")
        expect(f"at step {steps}" in out, out)


def work(daemons, name, servers, parts, steps, output, knowing=None):
    """The values of all tables when programs have taken the job to a step; every one of them knows all tables then."""
    end(begin(daemons, name, servers, parts, steps, output, knowing), steps)
    values = {open(f"{output}-{part}", "rb").read() for part in range(parts)}
    expect(len(values) == 1, f"{parts} programs of one job read other values")
    return values.pop()


def tables(daemons, job):
    return {table["name"]: table for table in daemons.json("tables", job)["tables"]}


def expect_tables(daemons, name, steps):
    found = tables(daemons, name)
    expect(list(found) == ["rows", "weights", "late_rows", "late_weights"], f"{name} has the tables {list(found)}")
    for table in found.values():
        expect(table["version"] == steps, f"{name}: {table} is not at step {steps}")


def start(daemons, servers, shards):
    daemons.start_coordinator()
    for server in range(servers):
        daemons.start_server(f"server-{server}", "--shards", shards)


def kill_all(daemons, servers, shards):
    for process in daemons.processes.values():
        process.kill()
        process.wait()
    start(daemons, servers, shards)


def kills(folder):
    """All daemons die with SIGKILL when tables are there that no generation has, and again when one has them."""
    place = os.path.join(folder, "kills")
    os.makedirs(place)
    with Daemons(place) as daemons:
        start(daemons, 2, 2)
        work(daemons, "killed", 2, 2, ADD_AT, os.path.join(place, "before"))
        adding = begin(daemons, "killed", 2, 2, STEPS - 10, os.path.join(place, "adding"))  # they may be done before all die
        wait_until(lambda: "table late_weights added" in daemons.cairn("logs", "killed").stdout, "tables to be added")
        kill_all(daemons, 2, 2)
        for process in adding:
            process.communicate(timeout=100)
        work(daemons, "killed", 2, 1, STEPS - 5, os.path.join(place, "again"))
        kill_all(daemons, 2, 2)
        values = work(daemons, "killed", 2, 3, STEPS, os.path.join(place, "whole"))
        expect_tables(daemons, "killed", STEPS)
        return values


def run_ahead(folder):
    """A program that does not wait for its steps learns of the tables when it has begun many more."""
    place = os.path.join(folder, "ahead")
    os.makedirs(place)
    with Daemons(place) as daemons:
        start(daemons, 1, 2)
        end(begin(daemons, "ahead", 1, 2, STEPS, os.path.join(place, "values"), (0,), (1,)), STEPS)
        expect_tables(daemons, "ahead", STEPS)


def test(folder):
    outcomes = {}
    for servers, shards, crews in ((1, 1, ((1, None), (3, None), (3, (0,)))), (2, 2, ((1, None), (3, None), (2, (0,)))), (3, 1, ((6, (0, 1)),))):
        place = os.path.join(folder, f"servers-{servers}")
        os.makedirs(place)
        with Daemons(place) as daemons:
            start(daemons, servers, shards)
            for crew, (parts, knowing) in enumerate(crews):
                name = f"crew-{crew}"
                outcomes[servers, parts, knowing] = work(daemons, name, servers, parts, STEPS, os.path.join(place, name), knowing)
                expect_tables(daemons, name, STEPS)
    outcomes["killed"] = kills(folder)
    run_ahead(folder)
    right = outcomes[1, 1, None]
    for key, values in outcomes.items():
        expect(values == right, f"{key} came to other values than one program on one server")
    print(f"{len(right)} bytes of tables are the same in {len(outcomes)} ways")


main(test)
