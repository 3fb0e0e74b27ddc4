"""The document: one table for each section, with ratios, medians, spread and targets."""

from collections.abc import Mapping
from typing import Any

from benchmarks.figures import OURS, Row, Section, number, section_of

INTRODUCTION = """\
# Benchmarks
Ours, stock Feast 0.67 and the floor (the same work as the barest SQL or ASGI function) side by
side in one run on the same generated data, server and settings; HTTP reads also beside stock Feast
on Redis, where `redis-server` is installed. `make bench` measures and writes this file;
`make bench ONLY=http SIZES=1000,10000` a part of it, elsewhere.

A cell is the median, with the lowest and the highest of its rounds where there are several.
`×` is how many times as good ours is as the column before, as the median over the rounds: 15× is
fifteen times as fast, 0.7× is slower. A target stands beside its ratio, ✓ for met and ✗ for missed.
"""


def render(results: Mapping[str, Any]) -> str:
    """The document of a run's results."""
    sections = [section_of(one) for one in results["sections"]]
    parts = [INTRODUCTION, machine(results), *map(of_section, sections), missed(sections)]
    return "\n".join(parts)


def machine(results: Mapping[str, Any]) -> str:
    """Renders the section on the machine that was measured, with the date."""
    found = results["machine"]
    settings = ", ".join(f"`{name} = {value}`" for name, value in found["settings"].items())
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return f"""\
## Machine
{found["processor"]}, {found["cores"]} cores, {found["memory_gb"]} GB, {found["system"]}; Python \
{found["python"]}, {packages}.
PostgreSQL {found["postgresql"]} on the same machine, as it comes: {settings}.
{floor(found["floor"])}

{results["started"]}, {results["minutes"]:.0f} minutes, commit `{results["commit"]}`; load average \
before it began {found["load"]}{busy(found["load"])}.
"""


def floor(found: Mapping[str, float | str]) -> str:
    """Renders the machine's own floor, as it was just before the sections."""
    rows = found["rows_per_s"]
    read = (
        f"rows were not read ({rows})"
        if isinstance(rows, str)
        else f"PostgreSQL gives {number(rows)} rows of two columns a second by primary key"
        " (pgbench, prepared statements)"
    )
    return (
        f"Its own floor, from 8 connections: {read}, and uvicorn"
        f" {number(float(found['answers_per_s']))} answers a second of a bare ASGI function that"
        " answers a constant."
    )


def busy(load: float) -> str:
    """A warning where the machine had other things to do."""
    return "" if load < 1.5 else " (**not quiet**: absolute figures are worse than they could be)"


def of_section(section: Section) -> str:
    """Renders one section: notes, table, picture."""
    if section.failed:
        return f"## {section.title}\nNot measured: {section.failed}\n"
    lines = [f"## {section.title}"]
    if section.rows:
        peers = [peer for peer in section.peers if any(has(row, peer) for row in section.rows)]
        heads = ["work", OURS, *(head for peer in peers for head in (peer, "×"))]
        lines += [f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|"]
        lines += [of_row(row, peers) for row in section.rows]
        lines.append("")
    if section.picture:
        name, title, _ = section.picture.split("|")
        lines += [f"![{title}: seconds by size](pictures/{name})", ""]
    lines += [f"- {note}" for note in section.notes]
    return "\n".join(lines) + "\n"


def has(row: Row, side: str) -> bool:
    """True if a row has samples of a side or the reason why it has none."""
    return side in row.samples or side in row.missing


def of_row(row: Row, peers: list[str]) -> str:
    """Renders one line of a table."""
    cells = [row.work, cell(row, OURS)]
    if row.at_most is not None and (median := row.median(OURS)) is not None:
        mark = "✓" if median <= row.at_most else "✗"
        cells[1] += f" {mark} at most {amount(row.at_most, row.unit)}"
    for peer in peers:
        cells += [cell(row, peer), ratio(row, peer)]
    return f"| {' | '.join(cells)} |"


def cell(row: Row, side: str) -> str:
    """Renders the figures of one side of a row."""
    samples = row.samples.get(side)
    median = row.median(side)
    if not samples or median is None:
        return row.missing.get(side, "")
    spread = ""
    if len(samples) > 1:
        spread = f" ({number(min(samples))}–{number(max(samples))})"
    note = f", {row.missing[side]}" if side in row.missing else ""
    return amount(median, row.unit) + spread + note


def amount(value: float, unit: str) -> str:
    """A figure with its unit."""
    return f"{number(value)} {unit}"


def ratio(row: Row, peer: str) -> str:
    """Renders how many times as good as a peer ours is, and the target."""
    found = row.ratio(peer)
    if found is None:
        return ""
    text = f"{found:.0f}×" if found >= 20 else f"{found:.2g}×"
    if peer not in row.targets:
        return text
    target = row.targets[peer]
    mark = "✓" if found >= target else "✗"
    return f"**{text}** {mark} {target:.2g}×"


def missed(sections: list[Section]) -> str:
    """All targets that were not reached, or not measured."""
    found = [line for section in sections for row in section.rows for line in row.misses()]
    found += [
        f"{row.work}: {side} {why}"
        for section in sections
        for row in section.rows
        for side, why in row.missing.items()
        if not why.startswith("not run")
    ]
    found += [f"{section.title}: {section.failed}" for section in sections if section.failed]
    lines = [f"- {line}" for line in found] or ["None."]
    return "\n".join(["## Targets that were missed", *lines]) + "\n"
