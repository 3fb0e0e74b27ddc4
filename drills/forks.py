"""Commands of `streamflow` as processes that start at once and are killed at a given moment.

A process of its own loads Feast and everything else, and forks for every command, so that a
moment falls into the command's work and not into seconds of imports, and ten that are started
together run together. Each child is a whole `streamflow` (or `feast`) with its arguments,
environment, folder, output and exit code.
"""

import atexit
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

from drills import clock

POLL_S = 0.001
LOADED = (
    *("feast.cli.cli", "feast.feature_store", "feast.repo_operations", "feast.infra.registry.sql"),
    *("feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source",),
    *(
        "streamflow.feast.engine.engine",
        "streamflow.feast.offline.store",
        "streamflow.feast.online.store",
    ),
    *(
        "jobs.__main__",
        "jobs.apply.apply",
        "jobs.ingest.load",
        "jobs.materialization.materialize",
        "jobs.training.verify",
    ),
)


@dataclass(frozen=True)
class Command:
    """One command and what is done to it."""

    arguments: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    kill_after_s: float | None = None
    """Seconds from its start to its SIGKILL."""
    clock_s: int = 0
    """By how much its clock is ahead of the machine's."""
    largest_file: int | None = None
    """In bytes; a write past it fails, as on a full disk."""
    folder: str | None = None
    """The working directory; None for that of whoever starts the command."""
    program: Literal["streamflow", "feast"] = "streamflow"


@dataclass(frozen=True)
class Ended:
    """The result of a command that ended: exit code, time and output."""

    code: int
    """Its exit code; -9 for a killed one."""
    seconds: float
    out: str
    errors: str

    @property
    def summary(self) -> dict[str, Any]:
        """The JSON line that ends a run."""
        found: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return found

    @property
    def all_output(self) -> str:
        """All that it printed, standard output first."""
        return self.out + self.errors

    @property
    def message(self) -> str:
        """The line that says what was wrong; empty where nothing was."""
        found = [line for line in self.errors.splitlines() if line.startswith("error: ")]
        return found[0].removeprefix("error: ") if found else ""


class Forks:
    """The process that forks; commands run in this one's environment and add their own."""

    def __init__(self, folder: Path, *also: str) -> None:
        """
        Args:
            folder: for what commands print.
            also: modules to load besides those that every command needs.
        """
        self.folder = folder
        self.count = 0
        self.started: list[Path] = []
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", "-m", "drills.forks", *also],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *commands: Command) -> None:
        """Starts commands at the same instant."""
        if self.started:  # by a test that failed meanwhile
            self.results()
        self.started = [self.folder / f"{self.count + n}" for n in range(len(commands))]
        self.count += len(commands)
        for output, suffix in product(self.started, OUTPUTS):
            output.with_suffix(suffix).touch()  # one may be killed before it could
        # Asking git for the commit takes longer than some work.
        given = {**os.environ, "STREAMFLOW_COMMIT": "drill"}
        orders = [
            {**asdict(one), "environment": {**given, **one.environment}, "output": str(output)}
            for one, output in zip(commands, self.started, strict=True)
        ]
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(orders) + "\n")
        self.process.stdin.flush()

    def results(self) -> list[Ended]:
        """Waits until all that were started have ended."""
        assert self.process.stdout is not None
        ended, started = json.loads(self.process.stdout.readline()), self.started
        self.started = []
        return [
            Ended(one["code"], one["seconds"], *(f.with_suffix(s).read_text() for s in OUTPUTS))
            for one, f in zip(ended, started, strict=True)
        ]

    def run(self, *commands: Command) -> list[Ended]:
        """Runs commands at the same time."""
        self.start(*commands)
        return self.results()

    def in_turns(self, commands: Sequence[Command], at_once: int = 4) -> list[Ended]:
        """Runs commands, at most `at_once` at the same time."""
        turns = (commands[at : at + at_once] for at in range(0, len(commands), at_once))
        return [ended for turn in turns for ended in self.run(*turn)]

    def run_one(self, *arguments: str, **options: Any) -> Ended:
        """Runs one command."""
        return self.run(Command(arguments, **options))[0]

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate(timeout=30)


OUTPUTS = (".out", ".err")


@contextlib.contextmanager
def forks(folder: Path, *also: str) -> Iterator[Forks]:
    """A process that forks, with arguments as `Forks` has them; ended afterwards."""
    found = Forks(folder, *also)
    try:
        yield found
    finally:
        found.close()


def serve() -> None:
    """Reads orders, a JSON line each, and answers how they ended."""
    import importlib

    for name in (*LOADED, *sys.argv[1:]):
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(carried_out(json.loads(line))), flush=True)


def carried_out(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Forks for every order, kills those that are to be killed, and waits for all."""
    began = time.monotonic()
    children = {fork(order): number for number, order in enumerate(orders)}
    moments = {pid: orders[number]["kill_after_s"] for pid, number in children.items()}
    ended: dict[int, dict[str, Any]] = {}
    while len(ended) < len(orders):
        now = time.monotonic() - began
        for pid, number in children.items():
            if number in ended:
                continue
            if moments[pid] is not None and now >= moments[pid]:
                os.kill(pid, signal.SIGKILL)
                moments[pid] = None
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                code = os.waitstatus_to_exitcode(status)
                ended[number] = {"code": code, "seconds": now}
        time.sleep(POLL_S)
    return [ended[number] for number in range(len(orders))]


def fork(order: dict[str, Any]) -> int:
    """Starts one command; gives its process's id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        redirect(Path(order["output"]))
        os.environ.clear()
        os.environ.update(order["environment"])
        time.tzset()
        if order["clock_s"]:
            clock.shift(order["clock_s"])
        if order["largest_file"] is not None:
            resource.setrlimit(
                resource.RLIMIT_FSIZE, (order["largest_file"], resource.RLIM_INFINITY)
            )
        if order["folder"]:
            os.chdir(order["folder"])
        code = called(order["program"], order["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            end()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def end() -> None:
    """Ends the process's threads and exit handlers, such as those that send the last spans."""
    threading._shutdown()  # type: ignore[attr-defined]  # as Python itself does at its end
    atexit._run_exitfuncs()


def redirect(output: Path) -> None:
    """Lets this process write into files of its own and read nothing."""
    for number, suffix in enumerate(OUTPUTS, 1):
        os.dup2(os.open(output.with_suffix(suffix), os.O_WRONLY), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def called(program: str, arguments: Sequence[str]) -> int:
    """Runs a command line in this process; gives its exit code."""
    from feast.cli.cli import cli

    from jobs.__main__ import main

    sys.argv = [program, *arguments]
    try:
        cli() if program == "feast" else main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


if __name__ == "__main__":
    serve()
