"""Sparse tables on real servers: all rows end as the same bits for any number of servers, shards and programs, also
when the job was stopped half-way and all daemons were started again."""

import os
import subprocess

from support import Daemons, expect, main, program

STEPS = 40


def work(daemons, name, servers, parts, steps, output):
    """Several programs take the job to a step; the bytes of all rows."""
    processes = [subprocess.Popen([program("sparse_program"), name, str(servers), f"{part}/{parts}", str(steps), f"{output}-{part}"],
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


def test(folder):
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
