"""The HTTP servers that are measured, each a process of its own on 127.0.0.1."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from benchmarks import load, postgres

START_S = 180
POLL_S = 0.01
MB = 2**20
FLOOR_APP = (sys.executable, "-m", "benchmarks.sides.floor_app", "--port", "{port}")


class Server:
    """A server that runs until the end of the block.

    Args:
        command: `{port}` in it becomes a free port.
        database: what it reads.
        log: file for what it prints.
        more: further environment variables.
    """

    def __init__(self, command: Sequence[str], database: str, log: Path, **more: str) -> None:
        self.port = free_port()
        self._log = log.open("w")
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            [part.format(port=self.port) for part in command],
            stdout=self._log,
            stderr=self._log,
            env=postgres.environment(database, **more),
            start_new_session=True,  # so that its workers end with it
        )

    def wait(self, request: str) -> float:
        """Waits until `request` is answered with 200; gives the seconds since the start.

        Raises:
            TimeoutError: it never is.
        """
        while time.perf_counter() < self.started + START_S and self._process.poll() is None:
            try:
                if self._answer(request)[0] == 200:
                    return time.perf_counter() - self.started
            except OSError:
                pass
            time.sleep(POLL_S)
        raise TimeoutError(f"{self._log.name}: no answer after {START_S} s, or it ended")

    def ask(self, request: str) -> tuple[int, Any]:
        """The status and the JSON of one answer."""
        status, content = self._answer(request)
        return status, json.loads(content) if status == 200 else None

    def _answer(self, request: str) -> tuple[int, bytes]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request.encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.read()

    def load(
        self,
        requests: Sequence[str],
        connections: int,
        seconds: float,
        arrivals: float | None = None,
        beside: Sequence["Server"] = (),
    ) -> dict[str, float]:
        """Sends a load of requests to the server, as `load.run` does.

        Args:
            beside: further servers, each of which has its share of the connections.
        """
        all_servers = (self, *beside)
        ports = [server.port for server in all_servers]
        ids = [server._process.pid for server in all_servers]
        return load.run(ports, requests, connections, seconds, arrivals=arrivals, servers=ids)

    def memory_mb(self) -> float:
        """Resident memory of the process and its children, in MB."""
        own = psutil.Process(self._process.pid)
        return sum(one.memory_info().rss for one in (own, *own.children(recursive=True))) / MB

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()


def ours(
    database: str, logs: Path, repo: str, cache_users: int = 0, log: str = "api", **more: str
) -> Server:
    """Starts our API, one process as `python -m api` starts it."""
    return Server(
        [sys.executable, "-m", "api", "--port", "{port}"],
        database,
        logs / f"{log}-{cache_users}.log",
        STREAMFLOW_FEATURE_REPO=repo,
        STREAMFLOW_API_CACHE_USERS=str(cache_users),
        **more,
    )


def stock(
    database: str, logs: Path, repo: str, restarts: bool = False, log: str = "feast-serve.log"
) -> Server:
    """Starts `feast serve` with one worker.

    Args:
        restarts: leave Feast's default, by which the worker ends after a thousand requests.
    """
    feast = str(Path(sys.executable).with_name("feast"))
    serve = [feast, "--chdir", repo, "serve", "--port", "{port}", "--no-access-log"]
    kept = [] if restarts else ["--max-requests", "0", "--max-requests-jitter", "0"]
    return Server([*serve, *kept], database, logs / log)


def explorer(database: str, logs: Path) -> Server:
    """Starts the explorer, one process as `python -m explorer` starts it."""
    command = [sys.executable, "-m", "explorer", "--port", "{port}"]
    return Server(command, database, logs / "explorer.log")


def bare(database: str, logs: Path, table: str, *options: str) -> Server:
    """Starts the floor of the HTTP service, benchmarks/sides/floor_app.py."""
    return Server([*FLOOR_APP, "--table", table, *options], database, logs / "bare.log")


def constant(database: str, logs: Path) -> Server:
    """Starts the same server with an ASGI function that answers a constant."""
    return Server(FLOOR_APP, database, logs / "constant.log")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
