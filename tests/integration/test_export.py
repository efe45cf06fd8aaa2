"""Tables are looked at and exported while they live on real servers: cairn tables, cairn export --table. The arrays are
read as anybody would, by NumPy's format; incremental exports put together are the whole one."""

import ast
import os
import struct
import subprocess

from support import Daemons, expect, main, program, wait_until

KEYS = 20000
DIMENSION = 8
EXPIRE_AFTER = 4  # of table late, as sparse_program has it
JOB = """\
name: shelf
tables:
  - dense: {name: common, size: 100000, initializer: ones, optimizer: sgd}
  - sparse: {name: users, dimension: 3}
train: {optimizer: adam}
cluster: {servers: 2}
"""


def read_npy(path):
    """Type, shape and numbers of an array file, version 1.0 of the format."""
    with open(path, "rb") as file:
        data = file.read()
    expect(data[:8] == b"\x93NUMPY\x01\x00", f"{path} is no NumPy array")
    end = 10 + struct.unpack("<H", data[8:10])[0]
    expect(end % 64 == 0 and data[end - 1:end] == b"\n", f"{path} has its header in another place")
    header = ast.literal_eval(data[10:end].decode("ascii"))
    expect(header["fortran_order"] is False, f"{path} is in Fortran's order")
    count = 1
    for extent in header["shape"]:
        count *= extent
    values = struct.unpack(f"<{count}{'Q' if header['descr'] == '<u8' else 'f'}", data[end:])
    return header["descr"], header["shape"], values


def read_rows(folder):
    """The rows of an exported sparse table: key -> (step, weights)."""
    kind, shape, keys = read_npy(os.path.join(folder, "keys.npy"))
    expect(kind == "<u8" and len(shape) == 1, f"keys are {kind} {shape}")
    kind, _, steps = read_npy(os.path.join(folder, "steps.npy"))
    expect(kind == "<u8" and len(steps) == len(keys), f"{len(steps)} steps of {len(keys)} keys")
    kind, shape, weights = read_npy(os.path.join(folder, "weights.npy"))
    expect(kind == "<f4" and shape == (len(keys), DIMENSION), f"weights are {kind} {shape}")
    rows = {key: (steps[i], weights[i * DIMENSION:(i + 1) * DIMENSION]) for i, key in enumerate(keys)}
    expect(len(rows) == len(keys), "a key came twice")
    return rows


def train(daemons, steps, output):
    """A program takes the job to a step; its rows of all keys, table by table."""
    done = subprocess.run([program("sparse_program"), "rows", "2", "0/1", str(steps), output, str(KEYS), "1000000"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=100,
                          env=dict(os.environ, CAIRN_COORDINATOR=daemons.endpoint), check=False)
    expect(done.returncode == 0, done.stdout + done.stderr)
    with open(output, "rb") as file:
        data = file.read()
    size = KEYS * DIMENSION
    numbers = struct.unpack(f"<{2 * size}f", data)
    return numbers[:size], numbers[size:]


def mix(x):
    mask = 2**64 - 1
    x = (x + 0x9e3779b97f4a7c15) & mask
    x = ((x ^ (x >> 30)) * 0xbf58476d1ce4e5b9) & mask
    x = ((x ^ (x >> 27)) * 0x94d049bb133111eb) & mask
    return x ^ (x >> 31)


def check_rows(rows, numbers):
    """The rows are those that the program has pulled."""
    places = {mix(i) if i % 2 else i: i for i in range(KEYS)}
    for key, (_, weights) in rows.items():
        place = places[key] * DIMENSION
        expect(weights == numbers[place:place + DIMENSION], f"row {key} is another one")


def export(daemons, table, folder, since=0):
    done = daemons.json("export", "rows", "--table", table, "--since", since, "--output", folder)
    rows = read_rows(folder)
    expect(done["rows"] == len(rows) and done["table"] == table and done["since"] == since, str(done))
    return rows, done["next_since"]


def increments(folder, daemons):
    """Exports at several steps, put together, are what a whole one is at the end."""
    merged = {"late": {}, "clipped": {}}
    since = {"late": 0, "clipped": 0}
    for steps in (3, 9, 10, 21):
        numbers = train(daemons, steps, os.path.join(folder, f"rows-{steps}"))
        for place, table in enumerate(("late", "clipped")):
            rows, following = export(daemons, table, os.path.join(folder, f"{table}-{steps}"), since[table])
            expect(following == steps, f"an export at step {steps} is to be followed by one since {following}")
            expect(all(since[table] <= step < steps for step, _ in rows.values()), "a row that has not changed")
            check_rows(rows, numbers[place])
            merged[table].update(rows)
            since[table] = following
    merged["late"] = {key: row for key, row in merged["late"].items() if row[0] + EXPIRE_AFTER >= 21}
    for table, rows in merged.items():
        whole, _ = export(daemons, table, os.path.join(folder, table + "-whole"))
        expect(whole == rows and len(rows) > 50, f"{len(rows)} rows of {table} put together, {len(whole)} at once")


def check_tables(daemons):
    told = daemons.json("tables", "rows")
    tables = {table["name"]: table for table in told["tables"]}
    clipped, late = tables["clipped"], tables["late"]
    expect(clipped["version"] == late["version"] == 21 and clipped["kind"] == "sparse", str(told))
    expect(clipped["rows"] > clipped["resident_rows"] > 0 and clipped["evictions"] > 0, str(clipped))
    expect(clipped["memory_bytes"] > 0 and clipped["swap_bytes"] > 0 and clipped["hits"] > 0, str(clipped))
    expect(late["candidates"] > 0, str(late))
    text = daemons.cairn("tables", "rows").stdout
    expect("clipped" in text and "HIT RATE" in text and "%" in text, text)


def fails(done, words):
    lines = done.stderr.strip().splitlines()
    expect(done.returncode == 1 and len(lines) == 1 and words in lines[0], f"{done.returncode}: {done.stderr}")


def dense_tables(folder, daemons):
    job = os.path.join(folder, "shelf.yaml")
    with open(job, "w", encoding="ascii") as file:
        file.write(JOB)
    name = daemons.json("submit", job)["job"]
    wait_until(lambda: daemons.json("status", name)["status"] == "running", "running tables")
    path = os.path.join(folder, "common.npy")
    done = daemons.json("export", name, "--table", "common", "--output", path)
    expect(done["size"] == 100000 and done["kind"] == "dense", str(done))
    kind, shape, values = read_npy(path)
    expect((kind, shape) == ("<f4", (100000,)) and set(values) == {1.0}, f"{kind} {shape}")
    link = os.path.join(folder, "pipe")  # as /dev/stdout is one
    os.symlink("/dev/full", link)
    fails(daemons.cairn("export", name, "--table", "common", "--output", link), "no regular file")
    expect(os.path.islink(link), "an export has removed what it could not write")
    table = {table["name"]: table for table in daemons.json("tables", name)["tables"]}["common"]
    expect(table["kind"] == "dense" and table["memory_bytes"] >= 400000 and table["rows"] == 0, str(table))
    done = daemons.json("export", name, "--table", "users", "--output", os.path.join(folder, "users"))
    expect(done["rows"] == 0 and done["next_since"] == 0, str(done))
    fails(daemons.cairn("export", name, "--table", "users", "--output", os.path.join(folder, "users")), "users")
    fails(daemons.cairn("export", name, "--table", "nobody"), "nobody")
    fails(daemons.cairn("export", name, "--table", "common", "--since", 1), "--since")
    fails(daemons.cairn("export", name), name)
    daemons.json("stop", name)
    fails(daemons.cairn("tables", name), name)


def test(folder):
    with Daemons(folder) as daemons:
        daemons.start_coordinator()
        for server in range(2):
            daemons.start_server(f"server-{server}", "--shards", 2, "--memory", "64K")
        increments(folder, daemons)
        check_tables(daemons)
        dense_tables(folder, daemons)


main(test)
