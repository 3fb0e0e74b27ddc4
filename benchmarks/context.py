"""The context of all sections: databases, repositories, a worker, options, progress lines."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import data, postgres
from benchmarks.figures import OURS, STOCK
from benchmarks.postgres import Connection, Databases
from benchmarks.sides.worker import Worker

STARTED = time.monotonic()


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    sizes: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Users that are materialized."""
    rows: tuple[int, ...] = (8_000, 100_000, 1_000_000)
    """Entity rows of a training set."""
    rounds: int = 3
    """Number of times that each side does its work, the sides in turn."""
    seconds: float = 2.5
    """Length of each round of HTTP load."""
    users: int = 10_000
    """Users that are read online."""
    wide_users: int = 2_000
    """Users that are read online in the shape of 25 views x 10 features."""
    stock_most_users: int = 100_000
    """More users than these are not materialized by stock Feast."""
    stock_most_rows: int = 8_000
    """Larger training sets are not joined by stock Feast."""


@dataclass
class Context:
    """The state of one benchmark run."""

    databases: Databases
    home: Path
    """Folder for repositories and logs."""
    options: Options
    stack: ExitStack
    """Closes what the sections leave open, at the end of the run."""
    kept: dict[str, str] = field(default_factory=dict)
    """Databases that sections share, by what they are for."""
    _workers: dict[str, Worker] = field(default_factory=dict)
    _applied: dict[str, str] = field(default_factory=dict)

    def worker(self, side: str) -> Worker:
        """The process with Feast in it that works for a side."""
        if side not in self._workers:
            log = self.home / f"worker-{len(self._workers)}.log"
            self._workers[side] = self.stack.enter_context(Worker(log))
        return self._workers[side]

    def repo(self, side: str, shape: str) -> str:
        """The repository of a side."""
        return str(self.home / "repos" / f"{'ours' if side == OURS else 'stock'}-{shape}")

    def applied(self, shape: str, prepare: Callable[[Connection], None] | None) -> str:
        """A database without rows to which both sides applied `shape`; made once.

        Args:
            prepare: runs before, where the sources are not those of the project.
        """
        if shape not in self._applied:
            say(f"applying {shape} with both sides")
            name = self.databases.create(f"applied_{shape}")
            if prepare:
                with postgres.connect(name) as connection:
                    prepare(connection)
            for side in (OURS, STOCK):
                self.worker(side).run("apply", name, side=side, repo=self.repo(side, shape))
            self._applied[shape] = name
        return self._applied[shape]

    def loaded(self, shape: str, users: int, months: int) -> str:
        """A database with months of generated users, applied and not materialized."""
        say(f"loading {users:,} users x {months} months")
        template = self.applied(shape, None)
        name = self.databases.create(f"{shape}_{users}_{months}", template)
        with postgres.connect(name) as connection:
            data.load_months(connection, users, months)
        return name


def say(line: str) -> None:
    """A progress line, with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {line}", flush=True)
