"""The table of docs/reliability.md, between two marks; the text around it is written by hand."""

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from drills.results import Result

BEGIN, END = "<!-- drills: begin -->", "<!-- drills: end -->"
HEAD = "| fault | load | requests/runs | failed | recovered after | data lost |"


@dataclass(frozen=True)
class Section:
    """What one group of drills gave."""

    title: str
    results: Sequence[Result]
    minutes: float
    broken: bool
    """Whether a drill did not end as it should."""


def render(sections: Iterable[Section], commit: str) -> str:
    """The tables, with when and on what they were measured."""
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    parts = [f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit `{commit}`, {machine}."]
    for one in sections:
        state = "**not all ended as they should**" if one.broken else "all ended as they should"
        parts += ["", f"### {one.title}", f"{one.minutes:.0f} minutes; {state}.", "", HEAD]
        parts.append("|---|---|---:|---:|---:|---:|")
        parts += [row(result) for result in merged(one.results)]
    return "\n".join(parts)


def merged(results: Iterable[Result]) -> list[Result]:
    """One row for each fault and load, in their order."""
    found: dict[tuple[str, str], Result] = {}
    for one in results:
        key = (one.fault, one.load)
        other = found.get(key)
        found[key] = one if other is None else both(other, one)
    return list(found.values())


def both(a: Result, b: Result) -> Result:
    """The sum of two rows of the same fault, with the longer recovery."""
    times = [one.recovered_s for one in (a, b) if one.recovered_s is not None]
    return Result(
        fault=a.fault,
        load=a.load,
        runs=a.runs + b.runs,
        failed=a.failed + b.failed,
        recovered_s=max(times, default=None),
        lost=a.lost + b.lost,
    )


def row(result: Result) -> str:
    """One line of the table."""
    recovered = "at once" if result.recovered_s is None else f"{result.recovered_s:.1f} s"
    cells = [result.fault, result.load, f"{result.runs:,}", f"{result.failed:,}", recovered]
    return f"| {' | '.join(cells)} | {result.lost:,} |"


def put(document: Path, text: str) -> None:
    """Puts the tables in the place of the former ones.

    Raises:
        ValueError: the document has not both marks.
    """
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{document}: the marks {BEGIN} and {END} are not both there")
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
