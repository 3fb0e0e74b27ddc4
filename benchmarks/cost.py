"""Measures what a whole command costs: time, and processor and memory of it and of the server."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil

from benchmarks import postgres

EVERY_S = 0.5
"""Seconds between two looks at the memory of the server's processes."""
MB = 2**20


class Cost(NamedTuple):
    """The cost of a process."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def cost(command: list[str], environment: dict[str, str]) -> Cost:
    """Runs Python with these arguments and gives what that cost; a failure is an error."""
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=subprocess.DEVNULL, stderr=said
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {said.read()[-500:]}")
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


class ServerCost:
    """The cost of the server's processes for what was done in a block."""

    cpu_seconds = 0.0
    peak_mb = 0.0
    """Memory that is their own: neither shared buffers nor files that the system keeps."""


@contextmanager
def server_cost() -> Iterator[ServerCost]:
    """Measures the PostgreSQL of PG*, which runs on this machine, while the block runs."""
    with postgres.connect() as connection:
        server = psutil.Process(connection.info.backend_pid).parent()
    assert server is not None  # a backend is a child of its server
    found, ended = ServerCost(), threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY_S):
            found.peak_mb = max(found.peak_mb, own_memory_mb(server))

    before = cpu_seconds(server)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()
        found.cpu_seconds = cpu_seconds(server) - before


def cpu_seconds(server: psutil.Process) -> float:
    """Seconds of the processor that it and all its processes had, those that ended among them."""
    own = server.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for one in server.children():
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return float(total)


def own_memory_mb(server: psutil.Process) -> float:
    """Memory in MB that is of its processes alone, in all."""
    total = 0
    for one in server.children():
        try:
            total += one.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total / MB
