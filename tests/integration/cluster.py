"""A cluster of real daemons that a test disturbs: nodes that are killed, stopped for a while, drained, added and
started again with the same arguments on the same data. It knows what it did to whom, so that it can tell a node that
ended by itself from one that was made to."""

import os
import signal
import time

from small_disk import SmallDisk
from support import Daemons, expect, wait_until

UP, DOWN, PAUSED, LEAVING, GONE, NO_ROOM = "up", "down", "paused", "leaving", "gone", "without room"
HEEDS_SIGNALS_S = 1  # after its start, at the latest
FULL_TEXT = "No space left on device"


class Node:
    def __init__(self, name, kind, start):
        self.name, self.kind, self.start = name, kind, start
        self.state, self.since = DOWN, 0.0
        self.started = 0.0
        self.may_leave = False  # it was asked to, and may have work until then, or refuse

    def become(self, state):
        self.state, self.since = state, time.monotonic()

    def has_left(self, code):
        """Whether a node that was told to leave ended as it should. One that has hardly begun does not yet heed signals."""
        is_deaf = self.since - self.started < HEEDS_SIGNALS_S
        if self.may_leave and code == 0:
            return True
        return self.state == LEAVING and (code == 0 or (is_deaf and code == -signal.SIGTERM))


class Cluster(Daemons):
    """Nodes by name: "coordinator", "s0", "s1", ..., "w0", "w1", ...; no name is used for another node."""

    def __init__(self, folder, transport, lease_ms):
        super().__init__(folder)
        self.transport, self.lease_ms = transport, lease_ms
        self.nodes = {}
        self.disks = {}  # name -> the small disk that the node's directory is on
        self.workers_made = self.servers_made = 0

    def __exit__(self, *arguments):
        super().__exit__(*arguments)
        for disk in self.disks.values():
            disk.close()

    def use_small_disk(self, name, mib):
        """For the directory of a node that is still to be started."""
        self.disks[name] = SmallDisk(os.path.join(self.folder, name), mib)

    def full(self):
        """The names of nodes whose disks are full."""
        return sorted(name for name, disk in self.disks.items() if disk.is_full())

    def links_up(self):
        return []

    def disturbed(self):
        """The names of links that something was done to."""
        return []

    def start_all(self, servers, workers, shards=1):
        self._add("coordinator", "coordinator", self._start_coordinator)
        for _ in range(servers):
            self.add_server(shards)
        for _ in range(workers):
            self.add_worker()

    def add_server(self, shards=1):
        name = f"s{self.servers_made}"
        self.servers_made += 1
        self._add(name, "server", lambda: self.start_server(name, "--shards", shards, *self._listen_arguments(name, shards)))
        return name

    def add_worker(self):
        name = f"w{self.workers_made}"
        self.workers_made += 1
        self._add(name, "worker", lambda: self.start_worker(name, "--threads", 1))
        return name

    def up(self, kind):
        """The names of a kind that nothing was done to, in a fixed order."""
        return sorted(node.name for node in self.nodes.values() if node.kind == kind and node.state == UP)

    def in_state(self, *states):
        return sorted(node.name for node in self.nodes.values() if node.state in states)

    # ---- what is done to a node

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()
        self.nodes[name].become(DOWN)

    def start_again(self, name):
        self.nodes[name].started = time.monotonic()
        self.nodes[name].may_leave = False
        self.nodes[name].start()
        self.nodes[name].become(UP)

    def pause(self, name):
        self.processes[name].send_signal(signal.SIGSTOP)
        self.nodes[name].become(PAUSED)

    def resume(self, name):
        self.processes[name].send_signal(signal.SIGCONT)
        self.nodes[name].become(UP)

    def ask_to_leave(self, name):
        """SIGTERM: it is to end with exit code 0 once its work is taken from it."""
        self.processes[name].send_signal(signal.SIGTERM)
        self.nodes[name].become(LEAVING)

    def is_told_to_leave(self, name):
        """Somebody else asked it to."""
        self.nodes[name].become(LEAVING)

    # ---- what is seen of them

    def check(self):
        """Takes notice of nodes that left. A node that ended by itself is a failure, unless its disk is full and it
        says so."""
        for node in self.nodes.values():
            code = self.processes[node.name].poll() if node.name in self.processes else None
            if node.state in (DOWN, GONE, NO_ROOM) or code is None:
                continue
            if node.name in self.full() and code == 1 and FULL_TEXT in self.log_end(node.name):
                node.become(NO_ROOM)
                continue
            expect(node.has_left(code),
                   f"{node.name}, which was {node.state}, ended with exit code {code}: {self.log_end(node.name)}")
            node.become(GONE)

    def log_end(self, name, length=1500):
        return self.log(name)[-length:]

    # ---- starting

    def _add(self, name, kind, start):
        self.nodes[name] = Node(name, kind, start)
        self.start_again(name)

    def _listen_arguments(self, server, _shards):
        return "--listen", self._listen(server)

    def _listen(self, name):
        return f"ipc://{self.folder}/{name}.socket" if self.transport == "ipc" else "tcp://127.0.0.1:0"

    def _start_coordinator(self):
        """At the endpoint that it had, if it had one."""
        if self.endpoint is None:
            self.start_coordinator(self._listen("coordinator"), "--lease", self.lease_ms)
        else:
            self.start("coordinator", "cairn-coordinator", "--listen", self.endpoint, "--data",
                       os.path.join(self.folder, "coordinator"), "--lease", str(self.lease_ms))


def newest_step(folder):
    """The newest step in a folder of records of hashes, -1 before there is one."""
    newest = -1
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        with open(os.path.join(folder, name), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            lines = file.read().split(b"\n")[:-1]
        words = lines[-1].split() if lines else []
        if len(words) > 3 and words[1] in (b"exact", b"copy"):
            newest = max(newest, int(words[0]))
    return newest


def wait_for_step(folder, step, seconds=30):
    """Until a step is recorded in a folder of records of hashes."""
    wait_until(lambda: newest_step(folder) >= step, f"step {step} in {folder}", seconds)
