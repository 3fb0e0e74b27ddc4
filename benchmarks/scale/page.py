"""Writes what was measured into docs/scale.md: a table, and pictures of what grows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.figures import number
from measurements.plot import draw_growth

BEGIN, END = "<!-- measured: make scale writes from here -->", "<!-- to here -->"
SECONDS, P99 = "scale-steps.svg", "scale-answers.svg"
GIB = 2**30
API = {
    "rate": "answers a second",
    "p50": "median, ms",
    "p99": "99th percentile, ms",
    "memory": "memory of the process, MB",
}
WRITERS = (
    "ingest",
    "materialize",
    "materialize again",
    "materialize, 1 % changed, by --start",
    "materialize, 1 % changed",
)
"""Commands that change rows of the database."""

Results = Mapping[str, Any]
"""`machine`, `started`, `commit`, and `sizes`: by users, what `steps.measure` gives."""


def write(docs: Path, results: Results) -> None:
    """Replaces the measured part of docs/scale.md, and its pictures."""
    page = docs / "scale.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{render(results)}\n{END}{after}")
    for name, title, series in pictures(results):
        (docs / "pictures" / name).write_text(draw_growth(title, "users", series))


def pictures(results: Results) -> list[tuple[str, str, dict[str, dict[float, float]]]]:
    """File name, title and seconds by line and users of each picture."""
    sizes = results["sizes"].items()
    steps: dict[str, dict[float, float]] = {}
    answers: dict[str, dict[float, float]] = {}
    for users, found in sizes:
        for step, one in found["steps"].items():
            steps.setdefault(step, {})[float(users)] = one["seconds"]
        for name in ("p50", "p99"):
            answers.setdefault(API[name].removesuffix(", ms"), {})[float(users)] = (
                found["api"][name] / 1000
            )
    return [
        (SECONDS, "Commands, by users", steps),
        (P99, "Answers for one user, 8 connections", answers),
    ]


def render(results: Results) -> str:
    """The tables, with the machine they were measured on."""
    machine, sizes = results["machine"], results["sizes"]
    heads = [f"{int(users):,} users" for users in sizes]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB;"
        f" PostgreSQL {machine['postgresql']} as it comes (`shared_buffers ="
        f" {machine['settings']['shared_buffers']}`) on the same machine."
        f" {results['started']}, commit `{results['commit']}`, load average before it began"
        f" {machine['load']}.",
        "",
        "Each cell: seconds; seconds of the processor, of the command + of PostgreSQL; peak memory"
        " in MB, of the command + of PostgreSQL's processes beside shared buffers.",
        "",
        *table("command", heads, {step: steps_of(sizes, step) for step in names(sizes, "steps")}),
        "",
        f"![Seconds of each command by users](pictures/{SECONDS})",
        "",
        *table("GiB of", heads, {one: bytes_of(sizes, one) for one in names(sizes, "bytes")}),
        "",
        *table("GiB of write-ahead log", heads, {step: wal_of(sizes, step) for step in WRITERS}),
        "",
        *table("one process of the API", heads, {API[one]: api_of(sizes, one) for one in API}),
        "",
        f"![Milliseconds of an answer by users](pictures/{P99})",
    ]
    return "\n".join(lines)


def names(sizes: Mapping[str, Any], part: str) -> list[str]:
    """The names of the measurements of a part, in their order."""
    return list(next(iter(sizes.values()))[part])


def table(first: str, heads: list[str], rows: Mapping[str, list[str]]) -> list[str]:
    """The lines of a table of Markdown."""
    return [
        f"| {' | '.join([first, *heads])} |",
        "|---" + "|---:" * len(heads) + "|",
        *(f"| {' | '.join([name, *cells])} |" for name, cells in rows.items()),
    ]


def steps_of(sizes: Mapping[str, Any], step: str) -> list[str]:
    """The cells of a command."""
    found = (one["steps"][step] for one in sizes.values())
    return [
        f"{number(one['seconds'])} s; {number(one['cpu'])} + {number(one['server_cpu'])};"
        f" {number(one['peak'])} + {number(one['server_peak'])}"
        for one in found
    ]


def bytes_of(sizes: Mapping[str, Any], name: str) -> list[str]:
    """The cells of a size, in GiB."""
    return [number(one["bytes"][name] / GIB) for one in sizes.values()]


def wal_of(sizes: Mapping[str, Any], step: str) -> list[str]:
    """The cells of what a command wrote to the write-ahead log, in GiB."""
    return [number(one["steps"][step]["wal"] / GIB) for one in sizes.values()]


def api_of(sizes: Mapping[str, Any], name: str) -> list[str]:
    """The cells of a figure of the API."""
    return [number(one["api"][name]) for one in sizes.values()]
