"""Connections stay open longer than a proxy's, and hold up no shutdown."""

import re
import signal
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from api.http.server import server_of
from api.settings import ApiSettings
from api.tests.conftest import serving
from api.tests.test_command import process

REQUEST = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
PROXIES_S = 60
"""Seconds for which nginx and AWS's load balancers keep an idle connection."""


def opened(client: httpx.Client) -> socket.socket:
    """A connection to the server, one request answered."""
    url = urlsplit(str(client.base_url))
    found = socket.create_connection((url.hostname, url.port), timeout=10)
    assert asked(found).startswith(b"HTTP/1.1 200 ")
    return found


def asked(connection: socket.socket) -> bytes:
    """The answer to a request on an open connection; empty where it is closed."""
    connection.sendall(REQUEST)
    return received(connection)


def received(connection: socket.socket) -> bytes:
    """One whole answer, which may come in several parts; empty where the connection is closed."""
    answer = connection.recv(65536)
    while answer:
        head, end, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if end and (length is None or len(body) >= int(length[1])):
            break
        answer += connection.recv(65536)
    return answer


def test_a_connection_is_kept_for_longer_than_a_proxy_keeps_it() -> None:
    configured = server_of(lambda *_: None, ApiSettings()).config.timeout_keep_alive
    assert configured >= PROXIES_S + 10


@pytest.mark.parametrize("path", ["/livez", "/features/nobody"])
def test_a_connection_is_closed_by_the_setting_and_not_before(path: str) -> None:
    with serving(keep_alive_s=0.5) as brief, serving(keep_alive_s=60) as long:
        ends, stays = opened(brief), opened(long)
        request = REQUEST.replace(b"/livez", path.encode())
        for one in (ends, stays):
            one.sendall(request)
            assert received(one)
        assert ends.recv(65536) == b""  # the server's end of it, without a word
        assert asked(stays).startswith(b"HTTP/1.1 200 ")
        for one in (ends, stays):
            one.close()


def test_each_request_begins_the_time_anew() -> None:
    with serving(keep_alive_s=1.5) as client:
        connection = opened(client)
        for _ in range(3):
            time.sleep(0.75)
            assert asked(connection).startswith(b"HTTP/1.1 200 ")
        connection.close()


IDLE: dict[str, bytes] = {
    "idle": b"",
    "half a header": b"GET /livez HTTP/1.1\r\nHo",
    "half a body": b"POST /features HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{",
}


@pytest.mark.slow
@pytest.mark.parametrize("sent", IDLE.values(), ids=IDLE)
def test_connections_that_nobody_uses_hold_up_no_end(loaded: str, sent: bytes) -> None:
    """It ends well before Kubernetes kills the pod (api.terminationGracePeriodSeconds)."""
    environment: dict[str, Any] = {"STREAMFLOW_API_DEADLINE_S": "1"}
    with process(**environment) as (started, client, _):
        connections = [opened(client) for _ in range(20)]
        for one in connections:
            one.sendall(sent)
        time.sleep(0.2)
        started.send_signal(signal.SIGTERM)
        _, rest = started.communicate(timeout=10)
        assert started.returncode == 0, rest
        assert "Traceback" not in rest
        for one in connections:
            one.close()


@pytest.mark.parametrize("length", [b"Content-Length: 99", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", [b"/features", b"/get-online-features", b"/features?contract=x"])
def test_a_body_that_does_not_come_is_not_waited_for(path: bytes, length: bytes) -> None:
    with serving(deadline_s=0.3) as client:
        connection = opened(client)
        connection.sendall(
            b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n%s\r\n\r\n"
            % (path, length)
        )
        answer = b""
        while part := connection.recv(65536):  # until the server has closed it
            answer += part
        connection.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 "), answer
    assert b"connection: close" in head.lower()
    assert b"application/problem+json" in head
    assert b"body did not come in time" in body
