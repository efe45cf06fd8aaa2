"""Connections between workers and shards that carry nothing any more, while both ends believe in them: a firewall has
forgotten them. The training goes on by new ones, to the same model. Needs root and iproute2."""

import os

import network
from cluster import newest_step, wait_for_step
from network import HostsCluster
from support import expect, main, make_digits, record_hashes, skip, train, wait_until, write_job

LEASE_MS = 1000
NOTICED_WITHIN_S = 60


def shard_port(cluster, server):
    """Where its only shard listens."""
    nodes = cluster.json("nodes")["nodes"]
    endpoints = [endpoint for node in nodes if node["name"] == server for endpoint in node["endpoints"]]
    return endpoints[0].rsplit(":", 1)[1]


def test(folder):
    missing = network.lacks()
    if missing:
        skip(f"no hosts can be made here: {missing}")
    data = os.path.join(folder, "digits")
    make_digits(data)
    whole = train(write_job(os.path.join(folder, "whole.yaml"), data, epochs=20), state=os.path.join(folder, "whole"))
    job = write_job(os.path.join(folder, "job.yaml"), data, epochs=20)
    records = record_hashes(job)
    with HostsCluster(folder, LEASE_MS) as cluster:
        cluster.start_all(servers=1, workers=1)
        name = cluster.json("submit", job)["job"]
        wait_for_step(records, 20)
        port = shard_port(cluster, "s0")
        expect(cluster.links["host of w0"].forget(port) == 1, "the worker has no connection to the shard")
        step = newest_step(records)
        wait_until(lambda: newest_step(records) > step + 50, "steps by another connection", NOTICED_WITHIN_S)
        result = cluster.json("wait", name, timeout=60)
        expect(result["status"] == "completed" and result["model_hash"] == whole["model_hash"],
               f"{result}, undisturbed {whole}")


main(test)
