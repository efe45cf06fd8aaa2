"""Bytes that are none of ours, on the ports of a coordinator and of shards in the middle of a training: raw noise,
and well-formed ZeroMQ messages with noise inside. The training goes on, to the same model."""

import os
import random
import socket
import struct

from support import Daemons, expect, less, main, make_digits, wait_until, write_job

SEED = 20
ROUNDS_MIN = 10
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)  # ZMTP 3.0


def frame(body, more=False, command=False):
    """One frame of ZMTP 3.0, with a long length where it needs one."""
    flags = (1 if more else 0) | (4 if command else 0)
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | 2]) + struct.pack(">Q", len(body)) + body


def ready(socket_type):
    """The command that opens a connection as a socket of that type."""
    def name(text):
        return bytes([len(text)]) + text

    def value(text):
        return struct.pack(">I", len(text)) + text
    return frame(name(b"READY") + name(b"Socket-Type") + value(socket_type) + name(b"Identity") + value(b""),
                 command=True)


def message(draw):
    """A message of some frames of noise; some begin like a client's, or like a header of ours."""
    frames = [draw.randbytes(draw.choice([0, 1, 7, 60, 300, 5000])) for _ in range(draw.randint(1, 5))]
    if draw.random() < 0.3:
        frames.insert(0, b"")
    if draw.random() < 0.5:
        frames[-1] = b"\x08\x01\x10" + bytes([draw.randint(0, 9)]) + frames[-1]
    if draw.random() < 0.02:
        frames = [b"x"] * 200
    return b"".join(frame(body, more=i + 1 < len(frames)) for i, body in enumerate(frames))


def noise(draw):
    """What one connection sends."""
    kind = draw.randrange(5)
    if kind == 0:
        return draw.randbytes(draw.randint(1, 4000))
    if kind == 1:
        return GREETING + draw.randbytes(draw.randint(1, 4000))
    if kind == 2:
        return b"GET / HTTP/1.1\r\nHost: cairn\r\n\r\n"
    if kind == 3:  # a frame that promises 2^62 bytes
        return GREETING + ready(b"DEALER") + b"\x02" + struct.pack(">Q", 1 << 62) + draw.randbytes(500)
    messages = b"".join(message(draw) for _ in range(20))
    return GREETING + ready(draw.choice([b"DEALER", b"REQ", b"ROUTER", b"SUB"])) + messages


def send_noise(address, draw):
    """Sends and reads what may come, until the other end closes or is silent for a moment."""
    with socket.create_connection(address, timeout=5) as connection:
        try:
            connection.sendall(noise(draw))
            connection.settimeout(0.02)
            while connection.recv(4096):
                pass
        except OSError:
            pass  # closed on us, or silent: both are fine


def address_of(endpoint):
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    return host, int(port)


def test(folder):
    make_digits(folder)
    job = write_job(os.path.join(folder, "job.yaml"), folder, epochs=less(24, 16))
    print(f"seed {SEED}", flush=True)
    draw = random.Random(SEED)
    with Daemons(folder) as daemons:
        daemons.start_coordinator()
        daemons.start_server("alpha", "--shards", 2)
        daemons.start_worker("one", "--threads", 1)
        daemons.start_worker("two", "--threads", 1)
        daemons.wait_for_nodes(3)
        quiet = daemons.json("wait", daemons.json("submit", job, "--workers", 2)["job"])
        expect(quiet["status"] == "completed", str(quiet))

        targets = [address_of(daemons.endpoint)]
        for node in daemons.json("nodes")["nodes"]:
            targets += [address_of(endpoint) for endpoint in node.get("endpoints") or []]
        expect(len(targets) == 3, f"expected a coordinator and two shards: {targets}")
        name = daemons.json("submit", job, "--workers", 2)["job"]
        wait_until(lambda: daemons.json("status", name)["step"] > 0, "a running job")
        rounds = 0
        while daemons.json("status", name)["status"] == "running":
            for target in targets:
                send_noise(target, draw)
            rounds += 1
        print(f"{rounds} rounds", flush=True)
        expect(rounds >= ROUNDS_MIN, f"the training was over after {rounds} rounds of noise")
        noisy = daemons.json("wait", name)
        expect(noisy["status"] == "completed", f"noise ended the job: {noisy}")
        expect(noisy["model_hash"] == quiet["model_hash"], "noise changed the model")
        for node in daemons.processes:
            expect(daemons.processes[node].poll() is None, f"{node} ended: {daemons.log(node)[-1000:]}")
        for node in ("one", "two", "alpha", "coordinator"):
            expect(daemons.terminate(node) == 0, f"{node} did not stop cleanly: {daemons.log(node)[-1000:]}")


main(test)
