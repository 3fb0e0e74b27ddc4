"""What a drill measured: its test writes a line, `python -m drills` makes the table of them.

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
    """What was going on meanwhile."""
    runs: int
    """Requests, or runs of a command."""
    failed: int
    """How many of them ended otherwise than in success or the documented way."""
    recovered_s: float | None
    """Seconds from the end of the fault until everything was as without it; None for at once."""
    lost: int
    """Rows or files that an undisturbed run has and this one had not."""


def is_long() -> bool:
    """Whether tests run in their long form."""
    return bool(os.environ.get(VARIABLE))


def choose(short: int, long: int) -> int:
    """How many of something: few in the test suite, many in a drill."""
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
    """As `record`, of what k8s-tests/kit/load.py found; prints it, too."""
    print(f"{fault}: {found}")
    load = f"{found['rate']:g} requests a second{remark}"
    failed = sum(found["failed"].values())
    record(Result(fault, load, found["requests"], failed, recovered_s, lost=0))


def read(path: Path) -> list[Result]:
    """The rows that were noted, in their order."""
    return [Result(**json.loads(line)) for line in path.read_text().splitlines()]
