"""The tables of docs/reliability.md, between two marks; the text around is written by hand."""

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from drills.results import Result

BEGIN, END = "<!-- drills: begin -->", "<!-- drills: end -->"
HEADING = "### "
HEAD = "| fault | load | requests/runs | failed | recovered after | data lost |"


@dataclass(frozen=True)
class Section:
    """The results of one group of drills."""

    title: str
    results: Sequence[Result]
    minutes: float
    broken: bool
    """True if a drill did not end as it should."""


def render(section: Section, commit: str) -> str:
    """A section of the document, with when and on what it was measured."""
    state = "**not all ended as they should**" if section.broken else "all ended as they should"
    where = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit `{commit}`, {where}"
    lines = [f"{HEADING}{section.title}", f"{section.minutes:.0f} minutes, {when}; {state}.", ""]
    lines += [HEAD, "|---|---|---:|---:|---:|---:|"]
    return "\n".join([*lines, *(row(result) for result in merged(section.results))])


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


def put(document: Path, sections: Sequence[str], titles: Iterable[str]) -> None:
    """Puts sections in the place of the former ones of their titles; the others stay.

    Args:
        titles: of all sections that there may be, in their order.

    Raises:
        ValueError: the document has not both marks.
    """
    before, begin, rest = document.read_text().partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{document}: the marks {BEGIN} and {END} are not both there")
    found = {}
    for one in [*(HEADING + former for former in inside.split(HEADING)[1:]), *sections]:
        title, _, _ = one.removeprefix(HEADING).partition("\n")
        found[title] = one.strip()
    text = "\n\n".join(found[title] for title in titles if title in found)
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
