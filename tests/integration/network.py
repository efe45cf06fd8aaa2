"""Hosts on a network: network namespaces, each with a real link to a bridge that only this process and its children
see. Links are taken down and up, and made slow; all that the kernel does then happens: packets are lost and sent again,
and nobody is told anything.

Where the kernel has no delays (netem), a slow link is a narrow one, with a queue that overflows (tbf)."""

import ctypes
import os
import shutil
import subprocess

from cluster import Cluster, GONE
from support import wait_until

CLONE_NEWNET = 0x40000000
BRIDGE = "bridge0"
ADDRESS = "10.77.0.{}"
HUB = 1                      # the last number in the address of this process; hosts have those from 2 on
SLOW_BYTES = 128 << 10       # what takes a delay through a narrow link
BURST_BYTES, QUEUE_MS = 16 << 10, 300


def _ip(*words):
    done = subprocess.run(["ip", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def lacks():
    """What is missing to have hosts here, or None. This process is then on a network of its own."""
    missing = [tool for tool in ("ip", "tc", "ss", "nsenter", "unshare") if shutil.which(tool) is None]
    if missing:
        return f"there is no {missing[0]}"
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWNET) != 0:
        return f"no network of one's own: {os.strerror(ctypes.get_errno())}"
    try:
        _ip("link", "set", "lo", "up")
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("address", "add", ADDRESS.format(HUB) + "/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        _ip("link", "add", "trial", "type", "veth", "peer", "name", "trial-end")
        _ip("link", "delete", "trial")
    except OSError as error:
        return str(error)
    return None


class Host:
    """A network namespace and its link, with the faults that links have (faulty_links.py). It lives as long as a
    process in it that waits for the end of its input."""

    def __init__(self, number):
        self.address = ADDRESS.format(number)
        self.near, self.far = f"hub{number}", f"host{number}"
        self.is_down = self.is_slow = False
        self.holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.place = ("nsenter", f"--net=/proc/{self.holder.pid}/ns/net")
        wait_until(self._is_apart, "a network namespace")
        _ip("link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", str(self.holder.pid))
        _ip("link", "set", self.near, "master", BRIDGE, "up")
        self._inside("ip", "address", "add", self.address + "/24", "dev", self.far)
        self._inside("ip", "link", "set", "lo", "up")
        self._inside("ip", "link", "set", self.far, "up")

    def _is_apart(self):
        return os.readlink(f"/proc/{self.holder.pid}/ns/net") != os.readlink("/proc/self/ns/net")

    def _inside(self, *words):
        subprocess.run([*self.place, *words], stdin=subprocess.DEVNULL, check=True)

    def _shape(self, *words):
        """Both ends of the link alike; whether that is to be had."""
        ends = [["tc", "qdisc", "replace", "dev", self.near, "root", *words],
                [*self.place, "tc", "qdisc", "replace", "dev", self.far, "root", *words]]
        return all(subprocess.run(end, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
                   for end in ends)

    def stop(self):
        _ip("link", "set", self.near, "down")
        self.is_down = True

    def go_on(self):
        _ip("link", "set", self.near, "up")
        self.is_down = False

    def cut(self, _which=None):
        """Down and up: what was on its way is lost, and no connection ends."""
        self.stop()
        self.go_on()

    def forget(self, port):
        """Nothing passes any more over the connections to a port that stand now, for good, and neither end is told; new
        ones are as ever. So it is when a firewall between them forgets."""
        shown = subprocess.run([*self.place, "ss", "--no-header", "--tcp", "--numeric", "dport", "=", f":{port}"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout
        ports = [line.split()[3].rsplit(":", 1)[1] for line in shown.splitlines()]
        for number in ports:
            self._inside("ip", "rule", "add", "ipproto", "tcp", "sport", number, "blackhole")
        return len(ports)

    def slow(self, seconds):
        self.is_slow = seconds > 0
        if self.is_slow and not self._shape("netem", "delay", f"{1000 * seconds:.0f}ms"):
            self._shape("tbf", "rate", f"{8 * SLOW_BYTES / seconds:.0f}bit", "burst", str(BURST_BYTES), "latency",
                        f"{QUEUE_MS}ms")
        elif not self.is_slow:
            self._shape("pfifo")

    def is_disturbed(self):
        return self.is_down or self.is_slow

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        subprocess.run(["ip", "link", "delete", self.near], stderr=subprocess.DEVNULL, check=False)


class HostsCluster(Cluster):
    """The coordinator is at the hub; every node has a host, and some share one: the second worker that of the first
    server."""

    def __init__(self, folder, lease_ms):
        super().__init__(folder, "tcp", lease_ms)
        self.links = {}  # host -> it: "host of s0"
        self.hosts_made = 0

    def __exit__(self, *arguments):
        super().__exit__(*arguments)
        for host in self.links.values():
            host.close()

    def host_of(self, name):
        return f"host of {'s0' if name == 'w1' else name}"

    def place_of(self, name):
        return () if name == "coordinator" else self._host(name).place

    def links_up(self):
        gone = {self.host_of(node.name) for node in self.nodes.values() if node.state == GONE}
        there = {self.host_of(node.name) for node in self.nodes.values() if node.state != GONE}
        return sorted(name for name, host in self.links.items() if not host.is_disturbed() and name not in gone - there)

    def disturbed(self):
        return sorted(name for name, host in self.links.items() if host.is_disturbed())

    def _host(self, node):
        name = self.host_of(node)
        if name not in self.links:
            self.hosts_made += 1
            self.links[name] = Host(HUB + self.hosts_made)
        return self.links[name]

    def _listen(self, name):
        return f"tcp://{ADDRESS.format(HUB) if name == 'coordinator' else self._host(name).address}:0"
