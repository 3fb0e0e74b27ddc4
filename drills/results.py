"""Rows of measurements: a drill's test writes one, `python -m drills` makes a table of them.

The variable STREAMFLOW_DRILLS names the file of these lines. Where it is set, tests run in
their long form.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

VARIABLE = "STREAMFLOW_DRILLS"


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    fault: str
    load: str
    """The work that went on during the fault."""
    runs: int
    """Requests, or runs of a command."""
    failed: int
    """Number of them that ended otherwise than in success or the documented way."""
    recovered_s: float | None
    """Seconds from the end of the fault until everything was as without it; None for at once."""
    lost: int
    """Rows or files that an undisturbed run has and this one had not."""


def is_long() -> bool:
    """True if tests run in their long form, as drills."""
    return bool(os.environ.get(VARIABLE))


def choose(short: int, long: int) -> int:
    """Returns `short`, a small number, in the test suite and `long`, a larger one, in a drill."""
    return long if is_long() else short


def record(result: Result) -> None:
    """Notes a row of the table, in a drill; elsewhere nothing."""
    path = os.environ.get(VARIABLE)
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")


def record_load(
    fault: str, found: Mapping[str, Any], recovered_s: float | None = None, remark: str = ""
) -> None:
    """Prints what k8s-tests/kit/inside/load.py measured, and notes it with `record`."""
    print(f"{fault}: {found}")
    load = f"{found['rate']:g} requests a second{remark}"
    failed = sum(found["failed"].values())
    record(Result(fault, load, found["requests"], failed, recovered_s, lost=0))


def read(path: Path) -> list[Result]:
    """The rows that were noted, in their order."""
    return [Result(**json.loads(line)) for line in path.read_text().splitlines()]
