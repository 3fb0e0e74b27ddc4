"""Sends HTTP requests and times their answers, as `load.run` asks for on standard input.

Raw sockets, keep-alive, no more parsing than status and length, so that the generator costs
less than any server it measures. Its share of a core is among the figures.
"""

import asyncio
import json
import random
import re
import sys
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

import psutil
import uvloop

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
RETRY_S = 0.01
MICROSECONDS = 1e6
SLOWEST_S = 10
"""A first answer is waited for so long after the load's time: a rate of nothing says nothing."""
TICK_S = 0.002
"""A timer may be so late, which is none of the server's time."""


class Load:
    """The state that all connections share: the requests to send and the answers' times."""

    def __init__(self, requests: Sequence[str], is_open: bool) -> None:
        """
        Args:
            is_open: requests are sent when they are due, else whenever a connection is free.
        """
        self.requests = [request.encode() for request in requests]
        random.Random(7).shuffle(self.requests)
        self.next = 0
        self.ending = False
        self.is_open = is_open
        self.due: deque[float] = deque()
        """When the requests that no connection was free for were due."""
        self.free: list[Connection] = []
        self.connected: set[Connection] = set()
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

    def is_in_flight(self) -> bool:
        """True if a request was sent that has no answer yet."""
        return any(connection.waiting for connection in self.connected)

    def take(self, connection: "Connection") -> None:
        """Gives a free connection something to send, now or when it is due."""
        if not self.is_open:
            connection.send(time.perf_counter())
        elif self.due:
            connection.send(self.due.popleft())
        else:
            self.free.append(connection)

    def arrive(self, due: float) -> None:
        """Sends a request that is due, or has it wait for a connection."""
        if self.free:
            self.free.pop().send(due)
        else:
            self.due.append(due)

    def figures(self, seconds: float) -> dict[str, float]:
        """The figures of `seconds` of load."""
        waiting = time.perf_counter()
        ordered = sorted([*self.latencies, *(waiting - one for one in self.due)]) or [float("nan")]
        self.gap = max(self.gap, time.perf_counter() - self.last)
        return {
            "rate": len(self.latencies) / seconds,
            "p50": ordered[len(ordered) // 2] * 1000,
            "p99": ordered[len(ordered) * 99 // 100] * 1000,
            "p999": ordered[len(ordered) * 999 // 1000] * 1000,
            "failed": self.failed,
            "broken": self.broken,
            "gap": self.gap,
        }


class Connection(asyncio.Protocol):
    """One connection: sends a request, waits for the whole answer, is free for the next."""

    def __init__(self, load: Load, ended: asyncio.Future[None]) -> None:
        self.load, self.ended = load, ended
        self.transport: Any = None
        self.received = b""
        self.sent = 0.0
        self.waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Is free for the first request."""
        self.transport = transport
        self.load.connected.add(self)
        self.load.take(self)

    def send(self, due: float) -> None:
        """Sends the next request, or ends when the time is over."""
        if self.load.ending:
            self.transport.close()
            return
        self.received, self.waiting, self.sent = b"", True, due
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
            self.load.take(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts an answer that never came."""
        self.load.broken += self.waiting
        self.load.connected.discard(self)
        if self in self.load.free:
            self.load.free.remove(self)
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


async def arrive(load: Load, rate: float) -> None:
    """Has requests arrive at a rate; those that become due in one tick of the timer together."""
    due = time.perf_counter()
    while not load.ending:
        now = time.perf_counter()
        while due <= now:
            load.arrive(now if now - due < TICK_S else due)
            due += 1 / rate
        await asyncio.sleep(due - now)


async def measure(given: dict[str, Any]) -> dict[str, float]:
    """Warms up, measures, ends."""
    load = Load(given["requests"], given["arrivals"] is not None)
    clients = [
        asyncio.create_task(keep_connected(port, load))
        for port in islice(cycle(given["ports"]), given["connections"])
    ]
    if load.is_open:
        clients.append(asyncio.create_task(arrive(load, given["arrivals"])))
    await asyncio.sleep(given["warmup"])
    load.clear()
    waited = given["seconds"] + SLOWEST_S
    began, cpu, used = time.perf_counter(), time.process_time(), cpu_of(given["servers"])
    await asyncio.sleep(given["seconds"])
    while load.is_in_flight() and not load.latencies and load.last + waited > time.perf_counter():
        await asyncio.sleep(RETRY_S)
    found = load.figures(time.perf_counter() - began)
    found["cpu"] = (time.process_time() - cpu) / (time.perf_counter() - began)
    used = cpu_of(given["servers"]) - used
    found["server_cpu"] = MICROSECONDS * used / max(len(load.latencies), 1)
    load.ending = True
    for connection in load.free:
        connection.transport.close()
    await asyncio.wait(clients, timeout=2)
    for connection in load.connected:
        connection.transport.abort()
    return found


def cpu_of(servers: Sequence[int]) -> float:
    """Seconds of CPU that processes and their children have used; 0 for none."""
    parents = [psutil.Process(server) for server in servers]
    children = [child for parent in parents for child in parent.children(recursive=True)]
    times = [process.cpu_times() for process in (*parents, *children)]
    return float(sum(used.user + used.system for used in times))


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(json.load(sys.stdin)))))
