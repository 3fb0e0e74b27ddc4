"""A run of a command that changes data, with its results."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from jobs.run.instants import iso
from jobs.run.versions import versions
from streamflow.errors import Fault


@dataclass
class Counts:
    """Rows of one run: each one read was written, unchanged, refused or older.

    A materialization refuses rows that are dated too far ahead, and goes on with the others;
    docs/runs.md says of each command what it counts.
    """

    read: int = 0
    written: int = 0
    late: int = 0
    """Rows that came after their time: a later month was loaded before them."""
    unchanged: int = 0
    refused: int = 0
    older: int = 0
    """In a materialization: rows that are not the newest of their user."""

    def add(self, other: "Counts") -> None:
        """Adds `other` to this."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Run:
    """A run and its results; its command fills in `counts`, `window`, `message` and `details`."""

    command: str
    parameters: dict[str, Any]
    window: tuple[datetime | None, datetime | None] = (None, None)
    number: int = 0
    outcome: str = "running"
    message: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    """Further entries of the JSON line."""
    faults: Sequence[Fault] = ()
    """The first faults for which the run was refused."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """Of a training set: what identifies it."""
    counts: Counts = field(default_factory=Counts)
    started: float = field(default_factory=time.monotonic)
    duration_ms: int = 0

    def summary(self) -> dict[str, Any]:
        """The run as the one JSON line that ends every command."""
        start, end = self.window
        return {
            "run": self.number or None,
            "command": self.command,
            "outcome": self.outcome,
            "window": {"start": iso(start), "end": iso(end)},
            "rows": asdict(self.counts),
            "duration_ms": self.duration_ms,
            "versions": versions(),
            **({"message": self.message} if self.message else {}),
            **self.details,
        }


def failed(command: str, message: str) -> dict[str, Any]:
    """The summary of a command that failed before it could enter the ledger."""
    return Run(command, {}, outcome="failed", message=message).summary()
