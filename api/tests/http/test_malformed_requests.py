"""Bytes that are no HTTP request are answered as every other mistake is."""

import json
import logging
import socket

import httpx
import pytest

from api.tests.test_command import process

NO_REQUESTS = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS to a port that has none
    "no method": b"FETCH! / HTTP/1.1\r\n\r\n",
    "no version": b"GET / HTTP/9.9\r\n\r\n",
    "no header": b"GET /livez HTTP/1.1\r\nHost: api\r\nno header\r\n\r\n",
    "two lengths": b"POST /features HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "no length": b"POST /features HTTP/1.1\r\nContent-Length: c0ffee\r\n\r\n",
}


def answer(client: httpx.Client, data: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Status line, headers and body that a new connection gets for these bytes until it ends."""
    port = client.base_url.port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = [
        (name, value) for name, _, value in (one.decode().lower().partition(": ") for one in lines)
    ]
    assert len({name for name, _ in headers}) == len(headers)  # each one once
    return status, dict(headers), body


@pytest.mark.parametrize("data", NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_it_is_a_problem_with_the_headers_of_every_answer(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    status, headers, body = answer(client, data)
    assert status == b"HTTP/1.1 400 Bad Request"
    assert headers["content-type"] == "application/problem+json"
    assert headers["content-length"] == str(len(body))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["connection"] == "close"
    request_id = headers["x-request-id"]
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "What came is no HTTP request.",
        "instance": f"urn:uuid:{request_id}",
    }
    (line,) = [one for one in caplog.records if one.name == "api.http.server"]
    assert (line.levelno, line.__dict__["request_id"]) == (logging.WARNING, request_id)


def test_others_on_the_same_connection_were_answered_before(client: httpx.Client) -> None:
    good = b"GET /livez HTTP/1.1\r\nHost: api\r\n\r\n"
    port = client.base_url.port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(good)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        connection.sendall(b"no request\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert connection.recv(1) == b""
    assert client.get("/livez").is_success


def test_the_command_serves_with_it(loaded: str) -> None:
    with process() as (_, client, _):
        _, headers, _ = answer(client, NO_REQUESTS["no HTTP"])
    assert headers["content-type"] == "application/problem+json"
    assert "server" not in headers
