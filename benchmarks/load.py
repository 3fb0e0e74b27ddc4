"""Loads of HTTP requests, which a process of its own sends: benchmarks/generator.py."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


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
    ports: Sequence[int],
    requests: Sequence[str],
    connections: int,
    seconds: float,
    warmup: float = 0.5,
    arrivals: float | None = None,
    servers: Sequence[int] = (),
) -> dict[str, float]:
    """Sends `requests` over and over from `connections` connections.

    Args:
        ports: of the servers; each has as many of the connections as the others.
        arrivals: requests a second that are due, whatever becomes of the answers; one that no
            connection is free for waits, and that counts. None for a closed loop, in which each
            connection sends when it has its answer.
        servers: ids of the processes whose CPU is measured.

    Returns:
        rate (answers a second), p50, p99 and p999 (ms), failed (answers other than 200), broken
        (connections that ended before an answer), gap (longest time in s without any answer),
        cpu (the generator's share of a core) and server_cpu (of the servers and their children, in
        microseconds an answer).
    """
    given = {
        "ports": list(ports),
        "requests": list(requests),
        "connections": connections,
        "seconds": seconds,
        "warmup": warmup,
        "arrivals": arrivals,
        "servers": list(servers),
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.generator"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60 + 3 * (seconds + warmup),
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found
