"""`python -m benchmarks`: measures, then writes docs/benchmarks.md and its pictures.

A run of a part (`--only`, `--sizes`, …) writes beside its results instead, because the document
is of one whole run.
"""

import argparse
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import postgres, report
from benchmarks.context import Context, Options, say
from benchmarks.figures import Section, section_of
from benchmarks.sections import (
    arrivals,
    computed,
    explored,
    footprint,
    lake,
    materialize,
    month_statistics,
    online_read,
    refusals,
    serving,
    training_set,
    wide,
    workers,
)
from benchmarks.sides import machine_floor, repos
from jobs.run.versions import commit
from measurements.plot import draw_growth
from streamflow import settings

ROOT = Path(__file__).parent.parent
SECTIONS: dict[str, Callable[[Context], Section]] = {
    "materialize": materialize.measure,
    "training-set": training_set.measure,
    "lake": lake.measure,
    "statistics": month_statistics.measure,
    "sdk": online_read.measure,
    "http": serving.measure,
    "workers": workers.measure,
    "arrivals": arrivals.measure,
    "refusals": refusals.measure,
    "wide": wide.measure,
    "computed": computed.measure,
    "explored": explored.measure,
    "process": footprint.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what the command line asks for; 1 when a section could not be measured."""
    given = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all it started ends, too
    home = settings.streamflow().home / "benchmarks"
    home.mkdir(parents=True, exist_ok=True)
    whole = not given.only and options_of(given) == Options()
    out = ROOT / "docs" if whole else home
    results = measured(home, options_of(given), given.only or list(SECTIONS))
    (home / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    write(out, results)
    say(f"written: {out.name}/benchmarks.md")
    return int(any(section["failed"] for section in results["sections"]))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    known = Options()
    found = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    found.add_argument("--only", type=names, help=f"some of {','.join(SECTIONS)}")
    found.add_argument("--sizes", type=counts, default=known.sizes, help="users to materialize")
    found.add_argument("--rows", type=counts, default=known.rows, help="rows of training sets")
    found.add_argument("--users", type=int, default=known.users, help="users that are read online")
    found.add_argument("--rounds", type=int, default=known.rounds, help="of each side, in turn")
    found.add_argument("--seconds", type=float, default=known.seconds, help="of a round of load")
    return found


def names(text: str) -> list[str]:
    """Names of sections, separated by commas."""
    found = text.split(",")
    if unknown := set(found) - SECTIONS.keys():
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(SECTIONS)}")
    return found


def counts(text: str) -> tuple[int, ...]:
    """Numbers separated by commas, from small to large."""
    return tuple(sorted(int(one) for one in text.split(",")))


def options_of(given: argparse.Namespace) -> Options:
    """The options of the command line."""
    return Options(
        sizes=given.sizes,
        rows=given.rows,
        users=given.users,
        rounds=given.rounds,
        seconds=given.seconds,
    )


def measured(home: Path, options: Options, chosen: list[str]) -> dict[str, Any]:
    """Measures the sections `chosen`; the results mark a section that failed."""
    began, started = time.monotonic(), datetime.now(UTC)
    sections = []
    with ExitStack() as stack:
        databases = stack.enter_context(postgres.databases(home))
        repos.make(home / "repos")
        found = postgres.machine()
        say("the machine's own floor")
        found["floor"] = machine_floor.measure(databases, home)
        context = Context(databases, home, options, stack)
        for name in chosen:
            say(name)
            try:
                section = SECTIONS[name](context)
            except Exception as error:
                traceback.print_exc()
                section = Section(name, [], failed=f"{type(error).__name__}: {error}"[:300])
            sections.append(section.document())
    return {
        "started": f"{started:%Y-%m-%d %H:%M} UTC",
        "minutes": (time.monotonic() - began) / 60,
        "commit": commit(),
        "machine": found,
        "sections": sections,
    }


def write(out: Path, results: dict[str, Any]) -> None:
    """Writes the document and its pictures into the folder `out`."""
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    (out / "benchmarks.md").write_text(report.render(results))
    for section in map(section_of, results["sections"]):
        if section.picture and section.series:
            name, title, size_name = section.picture.split("|")
            picture = draw_growth(title, size_name, section.series)
            (out / "pictures" / name).write_text(picture)


if __name__ == "__main__":
    sys.exit(main())
