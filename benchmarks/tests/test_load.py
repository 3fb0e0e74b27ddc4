"""Tests of the load generator against a server that counts, refuses and hangs up."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import generator, load

SLOW_S = 0.1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/hang-up":
            self.close_connection = True
            return
        if self.path == "/slow":
            time.sleep(SLOW_S)
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


@contextmanager
def running(handler: type[Handler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running(Handler) as found:
        yield found


def test_every_answer_of_200_is_counted_and_timed(port: int) -> None:
    found = load.run([port], [load.get("/"), load.post("/", {"a": "ü"})], 4, 0.3, 0.1)
    assert found["rate"] > 50
    assert 0 < found["p50"] <= found["p99"] < 300
    assert (found["failed"], found["broken"]) == (0, 0)


def test_other_answers_are_failures(port: int) -> None:
    found = load.run([port], [load.get("/unknown")], 2, 0.2, 0)
    assert found["failed"] > 0
    assert found["failed"] == pytest.approx(found["rate"] * 0.2, rel=0.2)


def test_a_connection_without_an_answer_is_broken_and_made_anew(port: int) -> None:
    found = load.run([port], [load.get("/"), load.get("/hang-up")], 2, 0.3, 0)
    assert found["broken"] > 2
    assert found["rate"] > 10


def test_a_server_that_is_away_leaves_one_long_gap() -> None:
    found = load.run([1], [load.get("/")], 2, 0.3, 0)
    assert found["rate"] == 0
    assert found["gap"] == pytest.approx(0.3, abs=0.1)


def test_a_server_that_takes_longer_than_the_load_has_its_first_answer_counted(port: int) -> None:
    found = load.run([port], [load.get("/slow")], 1, SLOW_S / 4, 0)
    assert 0 < found["rate"] <= 1 / SLOW_S
    assert found["p50"] >= 1000 * SLOW_S
    assert (found["failed"], found["broken"]) == (0, 0)


def test_a_server_that_never_answers_ends_the_load_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generator, "SLOWEST_S", 0.2)
    given = {"requests": [load.get("/")], "connections": 1, "seconds": 0.1, "warmup": 0}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given |= {"ports": [silent.getsockname()[1]], "arrivals": None, "servers": []}
        found = asyncio.run(generator.measure(given))
    assert found["rate"] == 0
    assert found["gap"] >= 0.3


def test_requests_arrive_at_a_rate_whatever_becomes_of_the_answers(port: int) -> None:
    found = load.run([port], [load.get("/")], 4, 1, 0.1, arrivals=100)
    assert found["rate"] == pytest.approx(100, rel=0.2)
    assert 0 < found["p50"] <= found["p99"] <= found["p999"] < 300


def test_a_request_that_waits_for_a_connection_is_late(port: int) -> None:
    found = load.run([port], [load.get("/slow")], 2, 1, 0, arrivals=100)
    assert found["rate"] == pytest.approx(2 / SLOW_S, rel=0.4)
    assert found["p50"] > 2000 * SLOW_S


def test_a_generator_that_was_held_up_counts_from_when_requests_were_due() -> None:
    found = generator.Load([load.get("/")], is_open=True)

    async def held_up() -> None:
        arriving = asyncio.create_task(generator.arrive(found, 100))
        await asyncio.sleep(0)
        time.sleep(SLOW_S)  # as a machine does that has other work
        await asyncio.sleep(0.005)
        found.ending = True
        await arriving

    asyncio.run(held_up())
    first, second, third, *_ = found.due
    assert second - first == pytest.approx(0.01, abs=generator.TICK_S)
    assert third - second == pytest.approx(0.01, abs=0.0001)


def test_the_servers_cpu_is_measured(port: int) -> None:
    found = load.run([port], [load.get("/")], 4, 0.3, 0.1, servers=[os.getpid()])
    assert 10 < found["server_cpu"] < 100_000
    assert load.run([port], [load.get("/")], 1, 0.1)["server_cpu"] == 0


def test_the_connections_are_spread_evenly_over_several_servers() -> None:
    asked: list[list[object]] = [[], []]

    def counts(number: int) -> type[Handler]:
        class Counts(Handler):
            def setup(self) -> None:
                super().setup()
                asked[number].append(self.client_address)

        return Counts

    with running(counts(0)) as first, running(counts(1)) as second:
        found = load.run([first, second], [load.get("/")], 6, 0.3, 0)
    assert found["rate"] > 50
    assert [len(clients) for clients in asked] == [3, 3]
