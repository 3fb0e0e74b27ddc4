"""Proxies in front of PostgreSQL, which stand for the network between it and the service."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from drills.proxy import BLOCK, Proxy

NOTIFICATION = b"A"
"""The type of the message of a notification."""


class TlsProxy(Proxy):
    """A proxy that makes a PostgreSQL port one with TLS."""

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


class DeafProxy(Proxy):
    """A proxy that delays or drops notifications, and passes on everything else at once.

    Args:
        server: the PG* variables of the server.
        drops: whether notifications are lost; may be changed at any time.
        late_s: how long they are held back, in their order, while all else goes on.
    """

    def __init__(self, server: Mapping[str, str], drops: bool = False, late_s: float = 0) -> None:
        super().__init__(server)
        self.drops, self.late_s = drops, late_s
        self.dropped = 0

    def pass_on(
        self, source: socket.socket, sink: socket.socket, generation: int, delayed: bool
    ) -> None:
        if source.family != socket.AF_UNIX:  # the client's way
            super().pass_on(source, sink, generation, delayed)
            return
        one_at_a_time = threading.Lock()
        with contextlib.suppress(OSError):
            for message in messages(source):
                if message[:1] != NOTIFICATION:
                    with one_at_a_time:
                        sink.sendall(message)
                elif self.drops:
                    self.dropped += 1
                elif self.late_s:
                    self.send_later(sink, message, one_at_a_time)
                else:
                    with one_at_a_time:
                        sink.sendall(message)
            sink.shutdown(socket.SHUT_WR)

    def send_later(
        self, sink: socket.socket, message: bytes, one_at_a_time: threading.Lock
    ) -> None:
        """Sends a message when its time has come; equal times keep the order."""

        def send() -> None:
            with contextlib.suppress(OSError), one_at_a_time:
                sink.sendall(message)

        threading.Timer(self.late_s, send).start()


def messages(source: socket.socket) -> Iterator[bytes]:
    """The messages of a server, whole and one after the other, until it hangs up."""
    buffer = b""
    is_first = True
    while data := source.recv(BLOCK):
        buffer += data
        if is_first and buffer[:1] in (b"N", b"S"):  # the answer whether there is TLS
            yield buffer[:1]
            buffer = buffer[1:]
        is_first = False
        while len(buffer) >= 5:
            size = 1 + int.from_bytes(buffer[1:5], "big")
            if len(buffer) < size:
                break
            yield buffer[:size]
            buffer = buffer[size:]
    if buffer:
        yield buffer
