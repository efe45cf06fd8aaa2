"""Ctrl-C at `cairn train`: what fails after it is told as a failure, and it is heard while a finished run is replaced."""

import os
import shutil
import signal
import subprocess

from support import descendants, expect, last_json, main, make_digits, program, run, train, wait_until, write_job

# A coordinator that notes when it is told to end, and does not. The real one goes with it.
STUBBORN = """\
#!/usr/bin/env python3
import ctypes, signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: open({told!r}, "w").close())
subprocess.Popen([{real!r}, *sys.argv[1:]], preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL)).wait()
while True:
    signal.pause()
"""


def start(cairn, job, state):
    """`cairn train` for people; all that it says goes to one file beside its state."""
    with open(state + ".out", "wb") as out:
        return subprocess.Popen([cairn, "train", job, "--state", state], stdin=subprocess.DEVNULL, stdout=out,
                                stderr=out)


def said(state):
    with open(state + ".out", encoding="utf-8", errors="replace") as file:
        return file.read()


def child(process, name):
    """The process number of a child, by its program."""
    for pid in descendants(process.pid):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                if file.read().strip() == name[:15]:
                    return pid
        except OSError:  # it has ended
            continue
    return None


def is_pending(pid, number):
    """Whether a stopped process has been sent a signal."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        pending = [int(line.split()[1], 16) for line in file if line.startswith("ShdPnd:")]
    return pending[0] >> (number - 1) & 1


def running_steps(state):
    path = os.path.join(state, "coordinator", "endpoint")
    if not os.path.exists(path):
        return 0
    with open(path, encoding="ascii") as file:
        done = run("cairn", "jobs", "--json", "--coordinator", file.read().strip())
    jobs = last_json(done.stdout)["jobs"] if done.returncode == 0 else []
    return jobs[-1]["step"] if jobs and jobs[-1]["status"] == "running" else 0


def a_failure_after_it(folder):
    """The coordinator does not hear of the stop, and a server that is killed then cannot start again."""
    job = write_job(os.path.join(folder, "long.yaml"), folder, epochs=1000)
    state = os.path.join(folder, "failed")
    process = start(program("cairn"), job, state)
    try:
        wait_until(lambda: running_steps(state) > 20, "some steps")
        coordinator = child(process, "cairn-coordinator")
        os.kill(coordinator, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "stopping after the step in hand" in said(state), "the stop")
        server = os.path.join(state, "server-0")
        os.rename(server, server + "-away")
        with open(server, "w", encoding="ascii") as file:
            file.write("in the way\n")
        os.kill(child(process, "cairn-worker"), signal.SIGKILL)  # a new one has no coordinator to take leave of
        os.kill(child(process, "cairn-server"), signal.SIGKILL)
        wait_until(lambda: is_pending(coordinator, signal.SIGTERM), "the end of the run")
        os.kill(coordinator, signal.SIGCONT)
        code = process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    last = said(state).strip().splitlines()[-1]
    expect(code == 1, f"exit code {code}: {said(state)}")
    expect(last.startswith("cairn train: cairn-server server-0 ended by itself"), said(state))
    expect("stopped; " not in said(state), f"a failure was told as a stop: {said(state)}")


def while_a_run_is_replaced(folder):
    """The finished run's coordinator takes long to end."""
    job = write_job(os.path.join(folder, "short.yaml"), folder, epochs=1)
    state, programs, told = (os.path.join(folder, name) for name in ("replaced", "programs", "told"))
    whole = train(job, state=state)
    os.mkdir(programs)
    for name in ("cairn", "cairn-server", "cairn-worker"):
        shutil.copy(program(name), programs)
    stubborn = os.path.join(programs, "cairn-coordinator")
    with open(stubborn, "w", encoding="ascii") as file:
        file.write(STUBBORN.format(real=program("cairn-coordinator"), told=told))
    os.chmod(stubborn, 0o755)
    process = start(os.path.join(programs, "cairn"), job, state)
    try:
        wait_until(lambda: os.path.exists(told), "the former coordinator's end")
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    expect(code == 130 and "stopped before training began" in said(state), f"{code}: {said(state)}")
    resumed = train(job, "--resume", state=state)
    expect(resumed["model_hash"] == whole["model_hash"], "the finished run is gone")


def test(folder):
    make_digits(folder)
    a_failure_after_it(folder)
    while_a_run_is_replaced(folder)


main(test)
