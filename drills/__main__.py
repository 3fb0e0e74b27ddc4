"""`python -m drills`: runs the long form of every drill and fills docs/reliability.md.

A drill is a test that the suite has in a short form. `--only local` runs one group of them and
prints its table instead.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from drills import report, results
from drills.report import Section
from jobs.ledger import commit

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "reliability.md"


@dataclass(frozen=True)
class Group:
    """Drills that need the same things."""

    title: str
    tests: tuple[str, ...]
    """Files, as pytest takes them; each test notes its rows with `results.record`."""


GROUPS = {
    "local": Group(
        "On one machine",
        (
            "jobs/tests/test_killed.py",
            "jobs/tests/test_at_once.py",
            "jobs/tests/test_at_once_backup.py",
            "jobs/tests/test_broken_database.py",
            "jobs/tests/test_broken_disk.py",
            "jobs/tests/test_broken_months.py",
            "jobs/tests/test_broken_time.py",
            "api/tests/test_broken_answers.py",
            "api/tests/test_fuzz_requests.py",
            "api/tests/test_schemathesis.py",
        ),
    ),
    "cluster": Group(
        "In a cluster",
        (
            "k8s-tests/test_faults.py",
            "k8s-tests/test_roles.py",
            "k8s-tests/test_backup.py",
            "k8s-tests/test_long_run.py",
        ),
    ),
}
"""In the order in which they run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for; 1 when a drill did not end as it should."""
    given = parser().parse_args(arguments)
    sections = [drilled(GROUPS[name]) for name in given.only or GROUPS]
    text = report.render(sections, commit())
    if given.only:
        print(text)
    else:
        report.put(DOCUMENT, text)
        print(f"written: {DOCUMENT.relative_to(ROOT)}")
    return int(any(one.broken for one in sections))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m drills", description=__doc__)
    found.add_argument(
        "--only", action="append", choices=list(GROUPS), help="this group; may be repeated"
    )
    return found


def drilled(group: Group) -> Section:
    """Runs a group's tests in their long form."""
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        noted = Path(folder) / "results.jsonl"
        noted.touch()
        os.environ[results.VARIABLE] = str(noted)
        code = pytest.main([f"--rootdir={ROOT}", *(str(ROOT / test) for test in group.tests)])
        rows = results.read(noted)
    minutes = (time.monotonic() - began) / 60
    return Section(group.title, rows, minutes, broken=code != 0)


if __name__ == "__main__":
    sys.exit(main())
