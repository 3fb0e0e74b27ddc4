"""A closed loop of HTTP requests in a process of its own: `run` here, `python -m benchmarks.load`.

Raw sockets, keep-alive, no more parsing than status and length, so that the generator costs
less than any server it measures. Its share of a core is among the figures.
"""

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import uvloop

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
RETRY_S = 0.01


def get(path: str) -> str:
    """A GET request as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def post(path: str, body: Any) -> str:
    """A POST request with a JSON body, as it goes over the wire."""
    text = json.dumps(body, separators=(",", ":"))
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text.encode())}\r\n\r\n{text}"
    )


def run(
    port: int, requests: Sequence[str], connections: int, seconds: float, warmup: float = 0.5
) -> dict[str, float]:
    """Sends `requests` over and over from `connections` connections, each waiting for its answer.

    Gives: rate (answers a second), p50 and p99 (ms), failed (answers other than 200), broken
    (connections that ended before an answer), gap (longest time in s without any answer) and
    cpu (the generator's share of a core).
    """
    given = {
        "port": port,
        "requests": list(requests),
        "connections": connections,
        "seconds": seconds,
        "warmup": warmup,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60 + 3 * (seconds + warmup),
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


class Load:
    """The state that all connections share: the requests to send and the answers' times."""

    def __init__(self, requests: Sequence[str]) -> None:
        self.requests = [request.encode() for request in requests]
        random.Random(7).shuffle(self.requests)
        self.next = 0
        self.ending = False
        self.clear()

    def clear(self) -> None:
        """Forgets the answers so far."""
        self.latencies: list[float] = []
        self.failed = self.broken = 0
        self.gap = 0.0
        self.last = time.perf_counter()

    def request(self) -> bytes:
        """The next request."""
        self.next = (self.next + 1) % len(self.requests)
        return self.requests[self.next]

    def answered(self, sent: float, ok: bool) -> None:
        """Takes down one answer."""
        now = time.perf_counter()
        self.latencies.append(now - sent)
        self.failed += not ok
        self.gap = max(self.gap, now - self.last)
        self.last = now

    def figures(self, seconds: float) -> dict[str, float]:
        """The figures of `seconds` of load."""
        ordered = sorted(self.latencies) or [float("nan")]
        self.gap = max(self.gap, time.perf_counter() - self.last)
        return {
            "rate": len(self.latencies) / seconds,
            "p50": ordered[len(ordered) // 2] * 1000,
            "p99": ordered[len(ordered) * 99 // 100] * 1000,
            "failed": self.failed,
            "broken": self.broken,
            "gap": self.gap,
        }


class Connection(asyncio.Protocol):
    """One connection: sends a request, waits for the whole answer, sends the next."""

    def __init__(self, load: Load, ended: asyncio.Future[None]) -> None:
        self.load, self.ended = load, ended
        self.transport: Any = None
        self.received = b""
        self.sent = 0.0
        self.waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the first request."""
        self.transport = transport
        self.send()

    def send(self) -> None:
        """Sends the next request, or ends when the time is over."""
        if self.load.ending:
            self.transport.close()
            return
        self.received, self.waiting, self.sent = b"", True, time.perf_counter()
        self.transport.write(self.load.request())

    def data_received(self, data: bytes) -> None:
        """Takes a piece of the answer."""
        self.received += data
        head = self.received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = LENGTH.search(self.received, 0, head)
        if length and len(self.received) >= head + 4 + int(length[1]):
            self.waiting = False
            self.load.answered(self.sent, self.received[9:12] == b"200")
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts an answer that never came."""
        self.load.broken += self.waiting
        if not self.ended.done():
            self.ended.set_result(None)


async def keep_connected(port: int, load: Load) -> None:
    """Keeps one connection until the time is over; a server that hung up is called again."""
    loop = asyncio.get_running_loop()
    while not load.ending:
        ended: asyncio.Future[None] = loop.create_future()
        try:
            await loop.create_connection(partial(Connection, load, ended), "127.0.0.1", port)
        except OSError:
            await asyncio.sleep(RETRY_S)
            continue
        await ended


async def measure(given: dict[str, Any]) -> dict[str, float]:
    """Warms up, measures, ends."""
    load = Load(given["requests"])
    clients = [
        asyncio.create_task(keep_connected(given["port"], load))
        for _ in range(given["connections"])
    ]
    await asyncio.sleep(given["warmup"])
    load.clear()
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(given["seconds"])
    found = load.figures(time.perf_counter() - began)
    found["cpu"] = (time.process_time() - cpu) / (time.perf_counter() - began)
    load.ending = True
    await asyncio.wait(clients, timeout=2)
    return found


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(json.load(sys.stdin)))))
