"""A Prefect server for the tests of flows."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API URL of a Prefect server of the test's own."""
    with prefect_server(tmp_path_factory.mktemp("prefect"), free_port()) as url:
        yield url


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def prefect_server(home: Path, port: int) -> Iterator[str]:
    """A Prefect server with its data in a folder; gives its API's URL."""
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    start = ["server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", *start], env=environment, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}/api"
            wait_for(url, home / "server.log")
            yield url
        finally:
            server.terminate()
            server.wait(timeout=30)


def wait_for(url: str, log: Path) -> None:
    """Returns when the server answers."""
    give_up = time.monotonic() + 180
    while time.monotonic() < give_up:
        try:
            if httpx.get(f"{url}/health", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    raise AssertionError(log.read_text())
