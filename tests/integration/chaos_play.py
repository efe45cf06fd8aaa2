"""One schedule of chaos played on a cluster of its own: at its steps faults are done, later undone, and what the job
and its nodes do meanwhile is watched. A run that stands still, a node that ends by itself and a job that fails for no
good reason are failures; whether the model is the right one is for others to say (chaos_run.py)."""

import json
import os
import subprocess
import sys
import time

import small_disk
from chaos_schedule import LEASE_MS
from cluster import Cluster, DOWN, FULL_TEXT, LEAVING, NO_ROOM, PAUSED, newest_step
from linked_cluster import LinkedCluster
from network import HostsCluster
from support import expect, last_json, program, run

SLOW = 4 if os.environ.get("CAIRN_SANITIZE") else 1
NO_PROGRESS_S = 60 * SLOW        # without a new step, while nothing is down
LEAVES_WITHIN_S = 60 * SLOW
ASKED_AGAIN_S = 15               # a drain that a coordinator may have forgotten as it died
PATIENCE_S = 20                  # with a command that is refused: the coordinator may not know all nodes again yet
DISK_MIB = 24
INSTEAD = ("kill worker", "kill server", "kill coordinator")  # of a fault that would meet nobody


def cluster_of(folder, schedule):
    kinds = {"links": LinkedCluster, "hosts": HostsCluster}
    if schedule.transport in kinds:
        return kinds[schedule.transport](folder, LEASE_MS)
    return Cluster(folder, schedule.transport, LEASE_MS)


class Command:
    """A `cairn` command beside the test. While the coordinator is away it fails, and is given again. One that may be
    refused is a fault, which has come to be only when it is not."""

    def __init__(self, cluster, *words, fault=None):
        self.cluster, self.words, self.fault, self.may_be_refused = cluster, words, fault, fault is not None
        self.is_refused = False
        self.give_up_at = time.monotonic() + PATIENCE_S
        self.start()

    def start(self):
        self.again_at = None
        self.process = subprocess.Popen([program("cairn"), *self.words, "--json", "--coordinator",
                                         self.cluster.endpoint], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def result(self):
        """Its JSON object once it has printed one, else None."""
        if self.again_at is not None:
            if time.monotonic() > self.again_at:
                self.start()
            return None
        if self.process.poll() is None:
            return None
        out, err = self.process.communicate()
        if out.strip():
            return last_json(out)
        is_away = "no answer" in err or "did not report" in err
        is_late = not is_away and time.monotonic() > self.give_up_at
        expect(self.process.returncode == 1 and (self.may_be_refused or not is_late),
               f"cairn {' '.join(self.words)} exited {self.process.returncode}: {err}")
        self.is_refused = is_late
        self.again_at = time.monotonic() + 0.2
        return None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Play:
    """One schedule on a cluster of its own."""

    def __init__(self, folder, schedule, job):
        self.schedule, self.job = schedule, job
        self.records = os.path.splitext(job)[0] + ".h5.hashes"
        self.cluster = cluster_of(folder, schedule)
        self.faults = list(schedule.faults)
        self.later = []  # (moment, what, name): what undoes a fault
        self.commands = []
        self.drained = {}  # name -> when that was asked for last
        self.step, self.step_at = -1, time.monotonic()
        self.longest_still_s = 0  # without a new step, while nothing was down
        self.events = []
        self.met = []    # kinds of faults, as they were done
        self.failed_for_room = 0
        self.is_resumed_by = None
        self.began = time.monotonic()

    def note(self, text):
        self.events.append(f"{time.monotonic() - self.began:7.2f} s, step {self.step}: {text}")

    # ---- faults

    def candidates(self, kind):
        """Whom a fault of this kind may meet now; the last worker that is up does not leave."""
        what, kind = kind.split()
        if kind == "link":
            return self.cluster.links_up()
        up = self.cluster.up(kind)
        if what == "fill":
            return [name for name in up if name in self.cluster.disks and not self.cluster.disks[name].is_full()]
        if what == "move":
            return [name for name in up if not self.cluster.nodes[name].may_leave]
        return up[1:] if what in ("terminate", "drain") else up

    def kind_of(self, *kinds):
        """What a fault is: the first of these that would meet somebody now."""
        for kind in kinds:
            if kind in ("scale", "add worker", "add server") or self.candidates(kind):
                return kind
        return "add worker"

    def act(self, fault):
        kind = self.kind_of(fault.kind, *INSTEAD)
        if kind != fault.kind:
            self.note(f"{fault.kind}: there is none, so {kind}")
            fault.kind = kind
        if fault.kind == "scale":
            self.commands.append(Command(self.cluster, "scale", self.name, "--workers", str(fault.workers)))
            self.note(f"scale to {fault.workers}")
        elif fault.kind == "add worker":
            self.note(f"add worker {self.cluster.add_worker()}")
        elif fault.kind == "add server":
            self.note(f"add server {self.cluster.add_server(self.schedule.shards)}")
        elif fault.kind == "move server":
            self.move_server(fault)
            return  # take_commands() sees whether it is met
        else:
            candidates = self.candidates(fault.kind)
            self.do(fault, candidates[fault.which % len(candidates)])
        self.met.append(fault.kind)

    def do(self, fault, name):
        what = fault.kind.split()[0]
        by = f" by {1000 * fault.delay_s:.0f} ms" if what == "slow" else ""
        self.note(f"{what} {name}{by} for {fault.seconds:.2f} s")
        if what == "kill":
            self.cluster.kill(name)
        elif what == "pause":
            self.cluster.pause(name)
        elif what == "terminate":
            self.cluster.ask_to_leave(name)
        elif what == "drain":
            self.drain(name)
            self.cluster.is_told_to_leave(name)
        elif what == "fill":
            self.fill(fault, name)
        elif what == "cut":
            self.cluster.links[name].cut(fault.which if fault.which % 2 else None)
        elif what == "stop":
            self.cluster.links[name].stop()
        else:
            self.cluster.links[name].slow(fault.delay_s)
        if what not in ("terminate", "drain", "cut"):
            self.later.append((time.monotonic() + fault.seconds, what, name))

    def move_server(self, fault):
        """What one server has is to go to one that comes; a coordinator may find that this cannot be done now."""
        candidates = self.candidates(fault.kind)
        name = candidates[fault.which % len(candidates)]
        self.note(f"add server {self.cluster.add_server(self.schedule.shards)}, drain {name}")
        self.cluster.nodes[name].may_leave = True
        self.commands.append(Command(self.cluster, "drain", name, fault=fault))

    def fill(self, fault, name):
        """What has blocks already does not notice; so every other node is to start on it too."""
        self.cluster.disks[name].fill()
        if fault.which % 2:
            self.cluster.kill(name)
            self.cluster.start_again(name)

    def drain(self, name):
        self.drained[name] = time.monotonic()
        for command in [command for command in self.commands if command.words == ("drain", name)]:
            command.close()
            self.commands.remove(command)
        self.commands.append(Command(self.cluster, "drain", name))

    def undo(self, what, name):
        if what == "kill":
            self.note(f"{name} is started again")
            self.cluster.start_again(name)
        elif what == "pause":
            self.note(f"{name} is going on")
            self.cluster.resume(name)
        elif what == "fill":
            self.free(name)
        else:
            self.note(f"{name} is as it was")
            self.cluster.links[name].slow(0)
            self.cluster.links[name].go_on()

    def free(self, name):
        self.note(f"there is room for {name}, which was {self.cluster.nodes[name].state}")
        self.cluster.disks[name].free()
        self.cluster.check()
        if name in self.cluster.in_state(NO_ROOM):
            self.cluster.start_again(name)

    # ---- the loop

    def newest_step(self):
        return newest_step(self.records)

    def look(self):
        """What the records say; a run that stands still while all are there is a failure."""
        step, now = self.newest_step(), time.monotonic()
        self.longest_still_s = max(self.longest_still_s, now - self.step_at)
        if step > self.step:
            self.step, self.step_at = step, now
        if self.cluster.in_state(DOWN, PAUSED, NO_ROOM) or self.cluster.disturbed():
            self.step_at = now
        expect(now - self.step_at < NO_PROGRESS_S, f"no new step for {NO_PROGRESS_S} s, at step {self.step}")
        for name in self.cluster.in_state(LEAVING):
            since = now - self.cluster.nodes[name].since
            expect(since < LEAVES_WITHIN_S, f"{name} was told to leave {since:.0f} s ago and is still there")
            if now - self.drained.get(name, now) > ASKED_AGAIN_S:
                self.drain(name)

    def take_commands(self):
        for command in list(self.commands):
            name = command.words[1]
            if command.may_be_refused:  # it may have been started again since
                self.cluster.nodes[name].may_leave = True
            if command.words[0] == "drain" and name not in self.cluster.in_state(LEAVING) and not command.may_be_refused:
                command.close()  # it has gone, so nobody need answer
                self.commands.remove(command)
            elif command.is_refused:
                self.cluster.nodes[name].may_leave = False
                self.commands.remove(command)
                instead = self.kind_of(*INSTEAD)
                self.note(f"{name} cannot be spared, so {instead}")
                command.fault.kind = instead
                self.act(command.fault)
            elif command.result() is not None:
                self.commands.remove(command)
                if command.may_be_refused:
                    self.note(f"{name} is drained")
                    self.met.append(command.fault.kind)

    def turn(self):
        self.cluster.check()
        self.look()
        self.take_commands()
        for item in [item for item in self.later if item[0] <= time.monotonic()]:
            self.later.remove(item)
            self.undo(*item[1:])
        if self.faults and self.faults[0].step <= self.step:
            self.act(self.faults.pop(0))

    def start(self):
        if self.schedule.has_small_disks and small_disk.possible():
            for name in ["coordinator", *(f"s{number}" for number in range(self.schedule.servers))]:
                self.cluster.use_small_disk(name, DISK_MIB)
        self.cluster.start_all(self.schedule.servers, self.schedule.workers, self.schedule.shards)
        self.name = self.cluster.json("submit", self.job)["job"]
        self.end = Command(self.cluster, "wait", self.name)

    def resume(self, result):
        """A job that failed: for want of room, or for no good reason. There is room later."""
        expect(FULL_TEXT in result.get("reason", "") and "fill server" in self.met, f"it ended as {json.dumps(result)}")
        self.note(f"the job failed: {result['reason']}")
        self.failed_for_room += 1
        for item in [item for item in self.later if item[1] == "fill"]:
            self.later.remove(item)
            self.undo(*item[1:])
        self.step_at = time.monotonic()
        self.commands.append(Command(self.cluster, "submit", self.job, "--resume"))
        self.is_resumed_by = self.commands[-1]

    def ended(self):
        """The job's result when it has ended for good."""
        if self.is_resumed_by is not None:
            if self.is_resumed_by not in self.commands:
                self.is_resumed_by = None
                self.end = Command(self.cluster, "wait", self.name)
            return None
        result = self.end.result()
        if result is None or result["status"] != "failed":
            return result
        self.resume(result)
        return None

    def run(self):
        """Until the job has ended; its result."""
        self.start()
        deadline = time.monotonic() + (60 + 6 * len(self.faults)) * SLOW
        result = None
        while result is None:
            expect(time.monotonic() < deadline, "the job did not end in time")
            self.turn()
            result = self.ended()
            time.sleep(0.005)
        return result

    def expect_all_met(self):
        """All faults came to be, but for servers of which nobody had said yet, when the job ended, whether they can be
        drained."""
        open_moves = sum(command.may_be_refused for command in self.commands)
        expect(len(self.met) + open_moves == len(self.schedule.faults),
               f"{len(self.met)} of {len(self.schedule.faults)} faults came to be, {open_moves} are still to be answered")

    def status(self):
        """What the coordinator says of the job when it has ended."""
        for what, name in [(what, name) for _, what, name in self.later if name.endswith("coordinator")]:
            self.undo(what, name)
        return self.cluster.json("status", self.name)

    def close(self):
        for command in [*self.commands, *([self.end] if hasattr(self, "end") else [])]:
            command.close()

    def log_end(self, name):
        return self.cluster.log_end(name)

    def tell(self, failure):
        """All that is needed to understand a failure."""
        lines = [f"{self.schedule}", "what happened:", *self.events, f"failed: {failure}"]
        for name in self.cluster.in_state(PAUSED):
            self.cluster.resume(name)
        if self.cluster.nodes.get("coordinator") and self.cluster.up("coordinator") and hasattr(self, "name"):
            lines += ["cairn logs:", run("cairn", "logs", self.name, "--coordinator", self.cluster.endpoint).stdout[-6000:],
                      run("cairn", "status", self.name, "--coordinator", self.cluster.endpoint).stdout]
        for name in self.cluster.nodes:
            lines += [f"---- the end of {name}'s log:", self.log_end(name)]
        print("\n".join(lines), file=sys.stderr, flush=True)
