"""A port in front of PostgreSQL that can fall silent, as a network does."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path


class Proxy:
    """A port in front of PostgreSQL's socket that can fall silent without closing anything."""

    def __init__(self, server: dict[str, str]) -> None:
        self.target = f"{server['PGHOST']}/.s.PGSQL.{server['PGPORT']}"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.silent = False
        self.generation = 0
        self.sockets = [self.listener]

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def fall_silent(self) -> None:
        """Nothing passes any more; new connections are taken and not answered."""
        self.silent, self.generation = True, self.generation + 1

    def answer_new(self) -> None:
        """New connections work; those from before stay silent."""
        self.silent = False

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.sockets.append(client)
                if not self.silent:
                    self.connect(client)

    def connect(self, client: socket.socket) -> None:
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(self.target)
        self.sockets.append(upstream)
        for source, sink in ((client, upstream), (upstream, client)):
            threading.Thread(
                target=self.pass_on, args=[source, sink, self.generation], daemon=True
            ).start()

    def pass_on(self, source: socket.socket, sink: socket.socket, generation: int) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if generation == self.generation:
                    sink.sendall(data)
            if generation == self.generation:
                sink.shutdown(socket.SHUT_WR)


class TlsProxy(Proxy):
    """The same with TLS between a client and the port, as a server over a network has it."""

    def __init__(self, server: dict[str, str], certificate: Path) -> None:
        super().__init__(server)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)

    def connect(self, client: socket.socket) -> None:
        assert len(client.recv(8)) == 8  # the client's question whether there is TLS
        client.sendall(b"S")
        with contextlib.suppress(OSError):  # a client that does not trust it goes away
            secured = self.context.wrap_socket(client, server_side=True)
            self.sockets.append(secured)
            super().connect(secured)
