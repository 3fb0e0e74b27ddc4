"""A port in front of PostgreSQL's socket whose answers take time, as over a bad network."""

import contextlib
import os
import socket
import threading
import time

BLOCK = 65_536


class Slow:
    """Passes everything on, later; `port` is on 127.0.0.1.

    Args:
        delay_s: how long each block is held back, on its way to the server.
    """

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.target = f"{os.environ['PGHOST']}/.s.PGSQL.{os.environ['PGPORT']}"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.stalled_until = 0.0
        self.sockets = [self.listener]

    def __enter__(self) -> "Slow":
        threading.Thread(target=self._accept, daemon=True).start()
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

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
                self.sockets += [client, server]
                for source, sink, delayed in ((client, server, True), (server, client, False)):
                    arguments = [source, sink, delayed]
                    threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, delayed: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(BLOCK):
                wait = max(self.stalled_until - time.monotonic(), self.delay_s if delayed else 0.0)
                if wait > 0:
                    time.sleep(wait)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
