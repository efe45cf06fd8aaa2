"""A cluster whose connections pass through links that can be cut, stopped and slowed: one from each node to the
coordinator, and one to each shard of each server, which all workers and other shards share.

Servers listen on a loopback address of their own, always at the same ports; what they advertise is another address,
where the links to their shards listen at those ports."""

import os

from cluster import Cluster, GONE
from faulty_links import Link

FIRST_PORT = 7001
SERVERS_MOST = 100


def loopback_addresses(server):
    """Where a server listens, and where it is reached: of this process alone."""
    high, low = os.getpid() >> 8 & 0xff, os.getpid() & 0xff
    return f"127.{1 + high % 254}.{low}.{1 + server}", f"127.{1 + high % 254}.{low}.{1 + SERVERS_MOST + server}"


class LinkedCluster(Cluster):
    def __init__(self, folder, lease_ms):
        super().__init__(folder, "tcp", lease_ms)
        self.links = {}  # name -> link: "w0 coordinator", "s1 shard 0"

    def __exit__(self, *arguments):
        for link in self.links.values():
            link.close()
        super().__exit__(*arguments)

    def links_up(self):
        """The names of links of nodes that are still there and that nothing was done to, in a fixed order."""
        return sorted(name for name, link in self.links.items()
                      if not link.is_disturbed() and self.nodes[name.split()[0]].state != GONE)

    def disturbed(self):
        return sorted(name for name, link in self.links.items() if link.is_disturbed())

    def coordinator_of(self, name):
        name += " coordinator"
        if name not in self.links:
            host, port = self.endpoint.removeprefix("tcp://").rsplit(":", 1)
            self.links[name] = Link((host, int(port)))
        return f"tcp://127.0.0.1:{self.links[name].port}"

    def _listen_arguments(self, server, shards):
        listen, advertise = loopback_addresses(int(server[1:]))
        for shard in range(shards):
            name = f"{server} shard {shard}"
            if name not in self.links:
                self.links[name] = Link((listen, FIRST_PORT + shard), (advertise, FIRST_PORT + shard))
        return "--listen", f"tcp://{listen}:{FIRST_PORT}", "--advertise", advertise
