"""A Redis server of the run's own, for stock Feast's online store: the `redis-server` of PATH."""

import importlib.util
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from benchmarks.sides.servers import free_port

PROGRAM = "redis-server"
PACKAGES = ("redis", "hiredis")
"""Python packages that stock Feast reads Redis with, those of its extra `redis`. That asks for a
redis below 8; 7.4 answered as fast as the 8.1 that is pinned here (within 2 % over 8 rounds)."""
IN_MEMORY = ("--save", "", "--appendonly", "no")
START_S, END_S, POLL_S = 10, 10, 0.01


def lacking() -> str:
    """The part that is not installed here, in words; empty if there is everything."""
    if shutil.which(PROGRAM) is None:
        return f"no {PROGRAM}"
    packages = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    return f"no Python package {' and '.join(packages)}" if packages else ""


@contextmanager
def started() -> Iterator[int]:
    """Runs a server without persistence until the end of the block; gives its port on 127.0.0.1.

    Raises:
        TimeoutError: it does not answer, or it ended.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [PROGRAM, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, *IN_MEMORY],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait(process, port)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait(process: subprocess.Popen[bytes], port: int) -> None:
    """Waits until the server answers."""
    from redis import Redis
    from redis.exceptions import ConnectionError as NotYet

    began = time.monotonic()
    with Redis(port=port) as client:
        while time.monotonic() < began + START_S and process.poll() is None:
            try:
                client.ping()
            except NotYet:
                time.sleep(POLL_S)
            else:
                return
    raise TimeoutError(f"{PROGRAM} does not answer after {START_S} s, or it ended")


def versions(port: int) -> str:
    """The versions of the server and of the packages that read it."""
    from redis import Redis

    with Redis(port=port) as client:
        server: str = client.info("server")["redis_version"]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"Redis {server}, {packages}"
