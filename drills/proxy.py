"""A port in front of PostgreSQL's socket that is slow or falls silent, as a network does."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

BLOCK = 65_536


class Proxy:
    """Passes everything on, later or not at all, without closing anything.

    Args:
        server: the PG* variables of the server; PGHOST is the folder of its socket.
        delay_s: how long each block is held back, on its way to the server.
        address: where to listen.
    """

    def __init__(
        self, server: Mapping[str, str], delay_s: float = 0.0, address: str = "127.0.0.1"
    ) -> None:
        self.target = f"{server['PGHOST']}/.s.PGSQL.{server['PGPORT']}"
        self.delay_s = delay_s
        self.listener = socket.create_server((address, 0))
        self.port = int(self.listener.getsockname()[1])
        self.stalled_until = 0.0
        self.silent = False
        self.generation = 0
        self.sockets = [self.listener]

    def __enter__(self) -> Self:
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead through this port."""
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port)}

    def stall(self, seconds: float) -> None:
        """Lets nothing pass for so long, once."""
        self.stalled_until = time.monotonic() + seconds

    def fall_silent(self) -> None:
        """Nothing passes any more; new connections are taken and not answered."""
        self.silent, self.generation = True, self.generation + 1

    def answer_new(self) -> None:
        """New connections work; those from before stay silent."""
        self.silent = False

    def accept(self) -> None:
        """Takes connections until the port is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.sockets.append(client)
                if not self.silent:
                    self.connect(client)

    def connect(self, client: socket.socket) -> None:
        """Connects a client with the server, both ways."""
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(self.target)
        self.sockets.append(upstream)
        for source, sink, delayed in ((client, upstream, True), (upstream, client, False)):
            arguments = [source, sink, self.generation, delayed]
            threading.Thread(target=self.pass_on, args=arguments, daemon=True).start()

    def pass_on(
        self, source: socket.socket, sink: socket.socket, generation: int, delayed: bool
    ) -> None:
        """One way of a connection, until its end or until those of its generation are silent."""
        with contextlib.suppress(OSError):
            while data := source.recv(BLOCK):
                self.on_data(source)
                wait = max(self.stalled_until - time.monotonic(), self.delay_s if delayed else 0.0)
                if wait > 0:
                    time.sleep(wait)
                if generation == self.generation:
                    sink.sendall(data)
            if generation == self.generation:
                sink.shutdown(socket.SHUT_WR)

    def on_data(self, source: socket.socket) -> None:
        """Hook that is called when data came from one side of a connection."""


class Watched(Proxy):
    """A proxy that notes the socket options of those clients that are in this very process."""

    def __init__(self, server: Mapping[str, str]) -> None:
        super().__init__(server)
        self.options: dict[int, dict[str, int]] = {}
        """By the client's port, as it was when the client sent something last."""

    def on_data(self, source: socket.socket) -> None:
        """Looks at the client's own end of the connection."""
        if source.family != socket.AF_INET:
            return
        port = source.getpeername()[1]
        for file in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                if not os.readlink(file).startswith("socket:"):
                    continue
                with socket.socket(fileno=os.dup(int(file.name))) as own:
                    if own.family == socket.AF_INET and own.getsockname()[1] == port:
                        self.options[port] = options_of(own)


def options_of(own: socket.socket) -> dict[str, int]:
    """Returns the socket options by which the kernel gives up a connection to a silent peer."""
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    found = {name: own.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names}
    return {"SO_KEEPALIVE": own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), **found}
