"""A job with tables on daemons started by hand: it runs without workers until it is stopped, goes on where its state
is, and every command says what fits it."""

import os

from support import Daemons, expect, main, run, wait_until, write_job, make_digits

JOB = """\
name: shelf
tables:
  - sparse: {name: users, dimension: 16, initializer: {random_uniform: {minval: -0.1}}, admit_after: 2}
  - dense: {name: common, size: 100000, optimizer: sgd}
train: {optimizer: adam, microbatches: 4}
cluster: {servers: 2}
"""


def is_running(daemons, name):
    return daemons.json("status", name)["status"] == "running"


def fails_with_a_line(done, words):
    lines = done.stderr.strip().splitlines()
    expect(done.returncode != 0 and len(lines) == 1 and words in lines[0], f"{done.returncode}: {done.stderr}")


def test(folder):
    job = os.path.join(folder, "shelf.yaml")
    with open(job, "w", encoding="ascii") as file:
        file.write(JOB)
    table = run("cairn", "check", job)
    expect(table.returncode == 0 and "users" in table.stdout and "200 a row" in table.stdout, table.stdout)
    fails_with_a_line(run("cairn", "train", job), "cairn submit")

    with Daemons(folder) as daemons:
        daemons.start_coordinator()
        fails_with_a_line(daemons.cairn("submit", job, "--workers", 2), "drop --workers")
        name = daemons.json("submit", job)["job"]
        expect("2 more servers" in daemons.json("status", name)["reason"], "it does not say what it waits for")
        for server in ("alpha", "beta"):
            daemons.start_server(server, "--shards", 2)
        wait_until(lambda: is_running(daemons, name), "running tables")
        status = daemons.json("status", name)
        expect(status["tables"] == 2 and status["servers"] == 2 and status["workers"] == 0, str(status))
        for command in ("status", "jobs"):
            text = daemons.cairn(command, *([name] if command == "status" else [])).stdout
            expect("running" in text and "0/0" not in text and "workers 0" not in text, text)
        expect("clients can connect" in daemons.cairn("logs", name).stdout, "logs do not say that it runs")
        fails_with_a_line(daemons.cairn("export", name), name)

        # A training beside it on the same servers.
        make_digits(folder)
        daemons.start_worker("one")
        other = daemons.json("submit", write_job(os.path.join(folder, "job.yaml"), folder, epochs=1))["job"]
        expect(daemons.json("wait", other)["status"] == "completed", "a training beside tables did not complete")
        expect(is_running(daemons, name), "a training beside them ended the tables")

        # It outlives the coordinator, and ends when it is told to.
        expect(daemons.terminate("coordinator") == 0, "the coordinator did not stop cleanly")
        daemons.start_coordinator(daemons.endpoint)
        wait_until(lambda: daemons.cairn("logs", name).stdout.count("is back at work") == 2, "both servers, back at work")
        expect(is_running(daemons, name) and daemons.json("status", name)["incarnation"] == 1, "the tables did not go on as they were")
        stopped = daemons.json("stop", name)
        expect(stopped["status"] == "stopped" and stopped["committed_step"] == 0, str(stopped))
        expect(daemons.json("wait", name)["status"] == "stopped", "wait does not know the end")

        # A lost server is waited for (any will do, as nothing is committed), and the job goes on by itself.
        expect(daemons.json("submit", job, "--resume")["job"] == name, "a resume made another job")
        wait_until(lambda: is_running(daemons, name), "resumed tables")
        daemons.processes["beta"].kill()
        daemons.processes["beta"].wait()
        wait_until(lambda: daemons.json("status", name).get("reason") == "waits for 1 more server", "the loss to be known")
        daemons.start_server("beta", "--shards", 2)
        wait_until(lambda: is_running(daemons, name), "tables after the loss of a server")
        for server in ("alpha", "beta"):
            expect(daemons.terminate(server) == 0, f"{server} did not stop cleanly: {daemons.log(server)[-500:]}")


main(test)
