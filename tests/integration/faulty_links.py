"""Links that can be cut, stopped and slowed: TCP relays between the programs under test.

A daemon is told the relay's port in place of its peer's, so what goes between them passes here. Faults are those of
real networks: a connection that is reset, one that carries nothing while both ends believe in it, one that is slow.
Knows nothing of what is sent."""

import selectors
import socket
import struct
import threading
import time

BYTES_A_READ = 1 << 18


class Pipe:
    """One direction of a connection: bytes that were read and not yet written, each with the time it is due."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.waiting = []  # (due, bytes), in order

    def waits(self):
        return bool(self.waiting)


class Link:
    """A relay from the address `at` to `target`, each (host, port). All methods may be called from any thread."""

    def __init__(self, target, at=("127.0.0.1", 0)):
        self.target = target
        self.listener = socket.create_server(at)
        self.listener.setblocking(False)
        self.host, self.port = self.listener.getsockname()
        self.lock = threading.Lock()
        self.pipes = {}  # socket -> the pipe that it is the source of
        self.stopped = False
        self.delay_s = 0.0
        self.bell, self.rope = socket.socketpair()
        self.closing = False
        self.thread = threading.Thread(target=self._run, name=f"link {self.port}", daemon=True)
        self.thread.start()

    # ---- faults

    def cut(self, one=None):
        """Resets all connections, or one of them, by number; new ones are taken."""
        with self.lock:
            ends = list(self.pipes)
            for end in ends if one is None or not ends else [ends[one % len(ends)]]:
                self._reset(end)
        self._ring()

    def stop(self):
        """Carries nothing and takes no new connection until `go_on`; those that stand stay."""
        self.stopped = True
        self._ring()

    def go_on(self):
        self.stopped = False
        self._ring()

    def is_disturbed(self):
        return self.stopped or self.delay_s > 0

    def slow(self, seconds):
        """What comes from now on arrives so much later; 0: at once."""
        self.delay_s = seconds

    def close(self):
        self.closing = True
        self._ring()
        self.thread.join()
        for end in (self.listener, self.bell, self.rope):
            end.close()

    # ---- the relay's thread

    def _ring(self):
        self.rope.send(b"!")

    def _reset(self, connection):
        """Closes a connection and its other half without the usual goodbye."""
        pipe = self.pipes.pop(connection, None)
        if pipe is None:
            return
        self.pipes.pop(pipe.sink, None)
        for end in (connection, pipe.sink):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()

    def _take(self):
        try:
            near, _ = self.listener.accept()
        except BlockingIOError:
            return
        try:
            far = socket.create_connection(self.target, timeout=1)
        except OSError:
            near.close()
            return
        for end in (near, far):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pipes[near], self.pipes[far] = Pipe(near, far), Pipe(far, near)

    def _read(self, pipe):
        try:
            data = pipe.source.recv(BYTES_A_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            pipe.waiting.append((time.monotonic() + self.delay_s, data))
        else:
            self._reset(pipe.source)

    def _write(self, pipe, now):
        while pipe.waiting and pipe.waiting[0][0] <= now:
            due, data = pipe.waiting.pop(0)
            try:
                sent = pipe.sink.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._reset(pipe.source)
                return
            if sent < len(data):
                pipe.waiting.insert(0, (due, data[sent:]))
                return

    def _watch(self, selector):
        """Says what to sleep for; returns for how long at most."""
        due = []
        selector.register(self.bell, selectors.EVENT_READ)
        if self.stopped:
            return None
        selector.register(self.listener, selectors.EVENT_READ)
        now = time.monotonic()
        for connection, pipe in self.pipes.items():
            events = 0 if pipe.waits() and not self.delay_s else selectors.EVENT_READ
            back = self.pipes.get(pipe.sink)
            if back and back.waits() and back.waiting[0][0] <= now:
                events |= selectors.EVENT_WRITE
            if events:
                selector.register(connection, events)
            if pipe.waits() and pipe.waiting[0][0] > now:
                due.append(pipe.waiting[0][0] - now)
        return min(due) if due else None

    def _turn(self):
        with selectors.DefaultSelector() as selector:
            with self.lock:
                timeout = self._watch(selector)
            ready = selector.select(timeout)
        with self.lock:
            for key, events in ready:
                if key.fileobj is self.bell:
                    self.bell.recv(4096)
                elif key.fileobj is self.listener:
                    self._take()
                elif key.fileobj in self.pipes and events & selectors.EVENT_READ:
                    self._read(self.pipes[key.fileobj])
            now = time.monotonic()
            for pipe in list(self.pipes.values()):
                if not self.stopped and pipe.source in self.pipes:
                    self._write(pipe, now)

    def _run(self):
        while not self.closing:
            self._turn()
        with self.lock:
            for connection in list(self.pipes):
                self._reset(connection)
