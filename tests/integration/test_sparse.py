"""Sparse tables on real servers: all rows end as the same bits for any number of servers, shards and programs."""

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
    for key, rows in outcomes.items():
        expect(rows == outcomes[1, 1], f"{key} came to other rows than one program on one server")
    print(f"{len(rows)} bytes of rows are the same in {len(outcomes)} ways")


main(test)
