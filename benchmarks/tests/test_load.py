"""Tests of the load generator against a server that counts, refuses and hangs up."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import load


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/hang-up":
            self.close_connection = True
            return
        self.answer(404 if self.path == "/unknown" else 200, b"x" * 100_000)

    def do_POST(self) -> None:
        self.answer(200, self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_every_answer_of_200_is_counted_and_timed(port: int) -> None:
    found = load.run(port, [load.get("/"), load.post("/", {"a": "ü"})], 4, 0.3, 0.1)
    assert found["rate"] > 50
    assert 0 < found["p50"] <= found["p99"] < 300
    assert (found["failed"], found["broken"]) == (0, 0)


def test_other_answers_are_failures(port: int) -> None:
    found = load.run(port, [load.get("/unknown")], 2, 0.2, 0)
    assert found["failed"] > 0
    assert found["failed"] == pytest.approx(found["rate"] * 0.2, rel=0.2)


def test_a_connection_without_an_answer_is_broken_and_made_anew(port: int) -> None:
    found = load.run(port, [load.get("/"), load.get("/hang-up")], 2, 0.3, 0)
    assert found["broken"] > 2
    assert found["rate"] > 10


def test_a_server_that_is_away_leaves_one_long_gap() -> None:
    found = load.run(1, [load.get("/")], 2, 0.3, 0)
    assert found["rate"] == 0
    assert found["gap"] == pytest.approx(0.3, abs=0.1)
