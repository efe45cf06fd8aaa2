"""Sparse tables on real servers: all rows end as the same bits for any number of servers, shards and programs, also
when the job was stopped half-way and all daemons were started again, and when jobs share little memory."""

import os
import subprocess

from support import Daemons, expect, main, program

STEPS = 40
MANY_KEYS = ("20000", "1000000")
MEMORY = 2 << 20  # less than two jobs of so many keys take, more than the least that four tables do


def work(daemons, name, servers, parts, steps, output, *keys):
    """Several programs take the job to a step; the bytes of all rows. keys: how many, and commit_every, if not the usual."""
    processes = [subprocess.Popen([program("sparse_program"), name, str(servers), f"{part}/{parts}", str(steps), f"{output}-{part}", *keys],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env=dict(os.environ, CAIRN_COORDINATOR=daemons.endpoint)) for part in range(parts)]
    for process in processes:
        out, err = process.communicate(timeout=100)
        expect(process.returncode == 0, f"{process.args} exited {process.returncode}: {out}{err}")
        expect(f"at step {steps}" in out, out)
    rows = {open(f"{output}-{part}", "rb").read() for part in range(parts)}
    expect(len(rows) == 1, f"{parts} programs of one job read other rows")
    return rows.pop()


def start(daemons, servers, *arguments):
    daemons.start_coordinator()
    for server in range(servers):
        daemons.start_server(f"server-{server}", *arguments)


def stop_half_way(folder, half):
    """By two programs on two servers; all daemons end, and one program goes on. The bytes of all rows."""
    place = os.path.join(folder, "restart")
    os.makedirs(place)
    with Daemons(place) as daemons:
        start(daemons, 2, "--shards", 2)
        expect(work(daemons, "restarted", 2, 2, STEPS // 2, os.path.join(place, "half")) == half, "half-way rows differ")
        daemons.json("stop", "restarted")
        for name in list(daemons.processes):
            expect(daemons.terminate(name) == 0, f"{name} did not end well: {daemons.log(name)}")
        start(daemons, 2, "--shards", 2)
        return work(daemons, "restarted", 2, 1, STEPS, os.path.join(place, "whole"))


def memory(daemons, *jobs):
    """What the rows of jobs take in memory, and how many have left it."""
    tables = [table for job in jobs for table in daemons.json("tables", job)["tables"]]
    return sum(table["memory_bytes"] for table in tables), sum(table["evictions"] for table in tables)


def share_memory(folder):
    """Two jobs on one server, the second of which comes when the first has filled the memory, and goes first."""
    place = os.path.join(folder, "memory")
    os.makedirs(place)
    with Daemons(place) as daemons:
        start(daemons, 1)
        whole = work(daemons, "whole", 1, 1, STEPS, os.path.join(place, "whole"), *MANY_KEYS)
        alone, evictions = memory(daemons, "whole")
        expect(alone > MEMORY * 3 / 4 and evictions == 0, f"{alone} bytes and {evictions} evictions without a bound")
        expect(daemons.terminate("server-0") == 0, "the server did not end well")
        daemons.start_server("server-0", "--memory", MEMORY)
        work(daemons, "first", 1, 1, STEPS // 2, os.path.join(place, "half"), *MANY_KEYS)
        second = work(daemons, "second", 1, 2, STEPS, os.path.join(place, "second"), *MANY_KEYS)
        taken, evictions = memory(daemons, "first", "second")
        expect(taken <= MEMORY, f"two jobs take {taken} bytes of {MEMORY}")
        expect(evictions > 0, "all rows of two jobs were in memory")
        shared, _ = memory(daemons, "first")
        daemons.json("stop", "second")
        first = work(daemons, "first", 1, 1, STEPS, os.path.join(place, "first"), *MANY_KEYS)
        expect(first == whole and second == whole, "rows differ with little memory")
        taken, _ = memory(daemons, "first")
        expect(shared < taken <= MEMORY, f"a job takes {taken} bytes of {MEMORY} when another has gone, and {shared} beside it")


def test(folder):
    share_memory(folder)
    outcomes = {}
    for servers, shards, counts in ((1, 1, (1, 2, 3)), (2, 2, (1, 3)), (3, 1, (2, 3))):
        place = os.path.join(folder, f"servers-{servers}")
        os.makedirs(place)
        with Daemons(place) as daemons:
            start(daemons, servers, "--shards", shards)
            for parts in counts:
                outcomes[servers, parts] = work(daemons, f"parts-{parts}", servers, parts, STEPS, os.path.join(place, f"rows-{parts}"))
            if servers == 1:
                half = work(daemons, "half", 1, 1, STEPS // 2, os.path.join(place, "half"))
    expect(half != outcomes[1, 1], "nothing was learned in the second half")
    outcomes["restarted"] = stop_half_way(folder, half)
    for key, rows in outcomes.items():
        expect(rows == outcomes[1, 1], f"{key} came to other rows than one program on one server")
    print(f"{len(rows)} bytes of rows are the same in {len(outcomes)} ways")


main(test)
