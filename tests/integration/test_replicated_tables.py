"""Tables with replicas: servers are killed, started and drained while programs push and pull; nothing goes back, no step
that a program has seen the end of comes again, and all values are an undisturbed run's."""

import os
import struct
import subprocess

from support import Daemons, expect, last_json, less, main, program, tell_spare, wait_until

STEPS = less(450, 400)  # until after all that happens
ADD_AT = 150
MEMORY = 1 << 20  # less than the rows take


def begin(daemons, name, cluster, parts, steps, output, kind):
    return [subprocess.Popen([program("steady_program"), name, cluster, f"{part}/{parts}", str(steps), str(ADD_AT), f"{output}-{part}", kind],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=dict(os.environ, CAIRN_COORDINATOR=daemons.endpoint)) for part in range(parts)]


def end(processes, steps, output):
    """The bytes that all programs wrote, and how often the one that did so most attached."""
    attached = 0
    for process in processes:
        out, err = process.communicate(timeout=200)
        expect(process.returncode == 0, f"{process.args} exited {process.returncode}: {out}{err}")
        expect(f"at step {steps}, attached" in out, out)
        attached = max(attached, int(out.split("attached ")[1].split()[0]))
    values = {open(f"{output}-{part}", "rb").read() for part in range(len(processes))}
    expect(len(values) == 1, "programs of one job read other values")
    return values.pop(), attached


def step_of(daemons, name):
    """The step of the job's tables; 0 while nobody can tell."""
    done = daemons.cairn("tables", name, "--json")
    return min((table["version"] for table in last_json(done.stdout)["tables"]), default=0) if done.returncode == 0 else 0


def logs(daemons, name):
    return daemons.cairn("logs", name).stdout


def reach(daemons, name, step):
    wait_until(lambda: step_of(daemons, name) >= step, f"step {step} of {name}", 60)


def arrays(path):
    """The bytes of an array file behind its header."""
    with open(path, "rb") as file:
        data = file.read()
    return data[10 + struct.unpack("<H", data[8:10])[0]:]


def exported(daemons, name, folder):
    """What is seen of the sparse tables by those who do not train: key, last step and weights of each row; and that no row is
    counted twice, however many servers have it."""
    found = {}
    for table in daemons.json("tables", name)["tables"]:
        if table["kind"] != "sparse":
            continue
        output = os.path.join(folder, f"export-{table['name']}")
        done = daemons.cairn("export", name, "--table", table["name"], "--output", output)
        expect(done.returncode == 0, done.stderr)
        keys, steps, weights = (arrays(os.path.join(output, f"{part}.npy")) for part in ("keys", "steps", "weights"))
        count, width = len(keys) // 8, len(weights) // (len(keys) // 8)
        found[table["name"]] = sorted((keys[8 * i:8 * i + 8], steps[8 * i:8 * i + 8], weights[width * i:width * (i + 1)]) for i in range(count))
        if table["name"] != "fleeting":  # whose expired rows go when there is time
            expect(table["rows"] == count, f"{table['name']} of {name} has {table['rows']} rows, and {count} were exported")
    return found


def check_whole(daemons, name, values, wanted, folder):
    text = logs(daemons, name)
    expect("going back" not in text, f"{name} went back:\n{text}")
    expect(values == wanted[0], f"{name} came to other values than an undisturbed run")
    expect(exported(daemons, name, folder) == wanted[1], f"{name} exports other rows than an undisturbed run")


def alone(folder, kind):
    place = os.path.join(folder, f"alone-{kind}")
    os.makedirs(place)
    with Daemons(place) as daemons:
        daemons.start_coordinator()
        daemons.start_server("s0")
        output = os.path.join(place, "values")
        values, attached = end(begin(daemons, "alone", "{servers: 1}", 1, STEPS, output, kind), STEPS, output)
        expect(attached == 1, f"attached {attached} times to a server that nothing happened to")
        return values, exported(daemons, "alone", place)


def deaths(folder, kind, wanted):
    """A server dies, and another one when what the first had is on two servers again, by one that came; and once more. Those
    that come have little memory for rows. Then all daemons die: what is on their disks is all there is."""
    place = os.path.join(folder, f"deaths-{kind}")
    os.makedirs(place)
    with Daemons(place) as daemons:
        daemons.start_coordinator()
        for name in ("s0", "s1", "s2"):
            daemons.start_server(name, "--shards", 2)
        output = os.path.join(place, "values")
        processes = begin(daemons, "deaths", "{servers: 3, replicas: 2}", 2, STEPS, output, kind)
        for victim, step, heir in (("s0", 50, "s3"), ("s2", 120, "s4"), ("s3", ADD_AT + 50, "s5")):
            reach(daemons, "deaths", step)
            daemons.processes[victim].kill()
            wait_until(lambda: f"server {victim} was lost" in logs(daemons, "deaths"), f"{victim} to be missed", 30)
            daemons.start_server(heir, "--shards", 1, "--memory", MEMORY)
            wait_until(lambda: "every slot has 2 replicas" in logs(daemons, "deaths").partition(f"server {victim} was lost")[2],
                       f"replicas after {victim}'s end", 60)
        tell_spare(step_of(daemons, "deaths"), STEPS)
        values, attached = end(processes, STEPS, output)
        expect(attached >= 4, f"attached {attached} times though three servers died")
        check_whole(daemons, "deaths", values, wanted, place)
        for process in daemons.processes.values():
            process.kill()
            process.wait()
        daemons.start_coordinator()
        daemons.start_server("s1", "--shards", 2)
        for heir in ("s4", "s5"):
            daemons.start_server(heir, "--shards", 1, "--memory", MEMORY)
        again, _ = end(begin(daemons, "deaths", "{servers: 3, replicas: 2}", 1, STEPS, output, kind), STEPS, output)
        expect(again == values, "what the servers had on their disks is not what they had in memory")


def drain(folder, kind, wanted):
    """A server without replicas is emptied and let go; what it had goes to another one."""
    place = os.path.join(folder, f"drain-{kind}")
    os.makedirs(place)
    with Daemons(place) as daemons:
        daemons.start_coordinator()
        for name in ("s0", "s1"):
            daemons.start_server(name, "--shards", 2)
        output = os.path.join(place, "values")
        processes = begin(daemons, "drain", "{servers: 2}", 2, STEPS, output, kind)
        reach(daemons, "drain", 40)
        daemons.start_server("s2", "--shards", 1)
        daemons.wait_for_nodes(3)
        done = daemons.cairn("drain", "s0")
        expect(done.returncode == 0, done.stderr)
        expect(daemons.processes["s0"].wait(timeout=60) == 0, "the drained server did not end cleanly")
        expect(all(process.poll() is None for process in processes), "the server outlived the programs")
        tell_spare(step_of(daemons, "drain"), STEPS)
        values, attached = end(processes, STEPS, output)
        expect(attached > 1, "no program heard that slots had moved")
        check_whole(daemons, "drain", values, wanted, place)


def scaled(folder, kind, wanted):
    """One server, then three, then two."""
    place = os.path.join(folder, f"scaled-{kind}")
    os.makedirs(place)
    with Daemons(place) as daemons:
        daemons.start_coordinator()
        for name in ("s0", "s1", "s2"):
            daemons.start_server(name, "--shards", 2)
        daemons.wait_for_nodes(3)
        output = os.path.join(place, "values")
        processes = begin(daemons, "scaled", "{servers: 1}", 2, STEPS, output, kind)
        reach(daemons, "scaled", 20)
        daemons.scale_servers("scaled-1", 3)
        daemons.scale_servers("scaled-1", 2)
        expect(all(process.poll() is None for process in processes), "the programs were done before")
        tell_spare(step_of(daemons, "scaled"), STEPS)
        values, attached = end(processes, STEPS, output)
        expect(attached > 1, "no program heard that slots had moved")
        check_whole(daemons, "scaled", values, wanted, place)


def pairs(folder, kind, wanted):
    """Two of three replicas die at the same moment, and the coordinator with them."""
    place = os.path.join(folder, f"pairs-{kind}")
    os.makedirs(place)
    with Daemons(place) as daemons:
        daemons.start_coordinator()
        for name in ("s0", "s1", "s2"):
            daemons.start_server(name, "--shards", 2)
        output = os.path.join(place, "values")
        processes = begin(daemons, "pairs", "{servers: 3, replicas: 3}", 3, STEPS, output, kind)
        reach(daemons, "pairs", 60)
        listen = daemons.endpoint
        for victim in ("s0", "s2", "coordinator"):
            daemons.processes[victim].kill()
        daemons.processes["coordinator"].wait()
        daemons.start_coordinator(listen)
        tell_spare(step_of(daemons, "pairs"), STEPS)
        values, attached = end(processes, STEPS, output)
        expect(attached > 1, "no program noticed that two servers died")
        check_whole(daemons, "pairs", values, wanted, place)


def test(folder):
    for kind in less(("dense", "sparse"), ()):  # what one kind lacks of the other must not be missed when servers die
        deaths(folder, kind, alone(folder, kind))
    wanted = alone(folder, "both")
    for event in less((deaths, drain, scaled, pairs), (deaths, scaled, pairs)):  # what is scaled down is drained
        event(folder, "both", wanted)


main(test)
