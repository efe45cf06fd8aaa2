"""Servers that die, come and go while a model trains: with replicas nothing is trained again, and the bits are those of
an undisturbed job."""

import os
import random
import sys

from support import Daemons, expect, less, main, make_digits, tell_spare, train, wait_until, write_job

EPOCHS = less(30, 24)  # until after all that happens
# In one round of exchanging sums, and in two.
NORMS = {"clips": "{adam: {learning_rate: 0.005, global_clipnorm: 1}}",
         "lamb": "{lamb: {learning_rate: 0.005, clipnorm: 1}}"}


def write(folder, name, cluster, **changes):
    path = write_job(os.path.join(folder, name + ".yaml"), folder, **changes)
    with open(path, encoding="ascii") as file:
        text = file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write(text.replace("cluster: {threads_per_worker: 1}", f"cluster: {{threads_per_worker: 1, {cluster}}}"))
    return path


def step_of(daemons, job):
    return daemons.json("status", job)["step"]


def go_on(daemons, job, steps):
    """Waits until a job has done so many more steps."""
    begin = step_of(daemons, job)
    wait_until(lambda: step_of(daemons, job) >= begin + steps, f"{steps} more steps after {begin}", 60)


def logs(daemons, job):
    return daemons.cairn("logs", job).stdout


def finish(daemons, job, wanted):
    status = daemons.json("status", job)
    tell_spare(status["step"], status["final_step"])
    result = daemons.json("wait", job, timeout=240)
    expect(result["status"] == "completed", str(result))
    expect(result["model_hash"] == wanted, f"another model: {result['model_hash']}, undisturbed {wanted}\n" + logs(daemons, job))
    expect(" as incarnation 2" not in logs(daemons, job), "the job went back:\n" + logs(daemons, job))


def deaths(folder, wanted, **changes):
    """Two servers are killed one after the other; a third takes the place of the first."""
    job = write(folder, "deaths", "servers: 2, replicas: 2, workers: 2", **changes)
    home = os.path.join(folder, "deaths")
    os.mkdir(home)
    with Daemons(home) as daemons:
        daemons.start_coordinator("tcp://127.0.0.1:0", "--lease", 2000)
        for name in ("s1", "s2"):
            daemons.start_server(name, "--shards", 2)
        for name in ("w1", "w2"):
            daemons.start_worker(name)
        name = daemons.json("submit", job)["job"]
        wait_until(lambda: step_of(daemons, name) > 20, "a running job", 60)
        daemons.processes["s1"].kill()
        wait_until(lambda: "server s1 was lost" in logs(daemons, name), "the loss to be noticed", 30)
        go_on(daemons, name, 20)
        daemons.start_server("s3", "--shards", 2)
        wait_until(lambda: "server s3 joins" in logs(daemons, name), "the new server to be taken on", 30)
        wait_until(lambda: is_restored(logs(daemons, name), "s1"), "fresh replicas", 60)
        go_on(daemons, name, 30)
        daemons.processes["s2"].kill()
        wait_until(lambda: "server s2 was lost" in logs(daemons, name), "the second loss to be noticed", 30)
        finish(daemons, name, wanted)


def is_restored(text, victim):
    """Whether all is on two servers again since one of them was lost."""
    return "every slot has 2 replicas" in text.partition(f"server {victim} was lost")[2]


def storm(folder, wanted, seed, **changes):
    """Servers and workers are killed by chance, each time once what the last one had is on two servers again."""
    chance = random.Random(seed)
    job = write(folder, "storm", "servers: 3, replicas: 2, workers: 2", **changes)
    home = os.path.join(folder, "storm")
    os.mkdir(home)
    print(f"storm: seed {seed}", flush=True)
    with Daemons(home) as daemons:
        daemons.start_coordinator("tcp://127.0.0.1:0", "--lease", 2000)
        servers, workers = ["s0", "s1", "s2"], ["w0", "w1"]
        for name in servers:
            daemons.start_server(name, "--shards", chance.randint(1, 3))
        for name in workers:
            daemons.start_worker(name)
        name = daemons.json("submit", job)["job"]
        wait_until(lambda: step_of(daemons, name) > 10, "a running job", 60)
        for turn in range(3, 7):
            victim = servers.pop(chance.randrange(3))
            daemons.processes[victim].kill()
            if chance.random() < 0.5:
                daemons.processes[workers[0]].kill()
                workers = [workers[1], f"w{turn}"]
                daemons.start_worker(workers[1])
            servers.append(f"s{turn}")
            daemons.start_server(servers[-1], "--shards", chance.randint(1, 3))
            wait_until(lambda: is_restored(logs(daemons, name), victim), f"replicas after {victim}'s end", 60)
        finish(daemons, name, wanted)


def drain(folder, wanted, **changes):
    """A server without replicas is emptied and let go; what it had goes to another one."""
    job = write(folder, "drain", "servers: 2, workers: 2", **changes)
    home = os.path.join(folder, "drain")
    os.mkdir(home)
    with Daemons(home) as daemons:
        daemons.start_coordinator()
        for name in ("s1", "s2"):
            daemons.start_server(name, "--shards", 2)
        for name in ("w1", "w2"):
            daemons.start_worker(name)
        name = daemons.json("submit", job)["job"]
        wait_until(lambda: step_of(daemons, name) > 20, "a running job", 60)
        daemons.start_server("s3", "--shards", 1)
        daemons.wait_for_nodes(5)
        done = daemons.cairn("drain", "s1")
        expect(done.returncode == 0, done.stderr)
        expect(daemons.processes["s1"].wait(timeout=60) == 0, "the drained server did not end cleanly")
        go_on(daemons, name, 5)
        finish(daemons, name, wanted)


def scaled(folder, wanted, **changes):
    """One server, then three, then two."""
    job = write(folder, "scaled", "workers: 2", **changes)
    home = os.path.join(folder, "scaled")
    os.mkdir(home)
    with Daemons(home) as daemons:
        daemons.start_coordinator()
        for name in ("s1", "s2", "s3"):
            daemons.start_server(name, "--shards", 2)
        for name in ("w1", "w2"):
            daemons.start_worker(name)
        daemons.wait_for_nodes(5)
        name = daemons.json("submit", job)["job"]
        wait_until(lambda: step_of(daemons, name) > 20, "a running job", 60)
        daemons.scale_servers(name, 3)
        daemons.scale_servers(name, 2)
        go_on(daemons, name, 5)
        finish(daemons, name, wanted)


def undisturbed(folder, **changes):
    """The hash of the model of one server."""
    job = write(folder, "alone", "workers: 2", **changes)
    return train(job, state=os.path.join(folder, "alone"), timeout=240)["model_hash"]


EVENTS = (deaths, drain, scaled)


def norms(folder, optimizer, events):
    """Updates that need norms over all servers, whoever has what."""
    os.mkdir(folder)
    make_digits(folder)
    changes = {"epochs": 24, "optimizer": optimizer}
    wanted = undisturbed(folder, **changes)
    for event in events:
        event(folder, wanted, **changes)


def test(folder):
    # What takes two rounds has that of one in it, the storm has deaths without norms, and what is scaled down is drained:
    # under sanitizers each event once.
    for name, events in (("clips", (deaths,)), ("lamb", less(EVENTS, (scaled,)))):
        norms(os.path.join(folder, name), NORMS[name], events)
    make_digits(folder)
    wanted = undisturbed(folder, epochs=EPOCHS)
    for event in less((drain, scaled), ()):
        event(folder, wanted, epochs=EPOCHS)
    storm(folder, wanted, int(sys.argv[1]) if len(sys.argv) > 1 else 1, epochs=EPOCHS)


main(test)
