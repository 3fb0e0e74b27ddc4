"""A port in front of PostgreSQL that asks for TLS, as a server over a network does."""

import contextlib
import socket
import ssl
from pathlib import Path

from drills.proxy import Proxy


class TlsProxy(Proxy):
    """A proxy with TLS between a client and the port."""

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
