"""`python -m drills`: runs the long form of every drill and fills docs/reliability.md.

A drill is a test that the suite has in a short form. `--only local` runs one group of them and
leaves the tables of the others.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from drills import report, results
from drills.report import Section
from jobs.run.versions import commit

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "reliability.md"


@dataclass(frozen=True)
class Group:
    """A group of drills that run in one process and make one section of the document."""

    title: str
    tests: tuple[str, ...]
    """Files, as pytest takes them; each test notes its rows with `results.record`."""


GROUPS = {
    "local": Group(
        "On one machine",
        (
            "jobs/tests/faults/test_killed.py",
            "jobs/tests/faults/test_at_once.py",
            "jobs/tests/faults/test_at_once_backup.py",
            "jobs/tests/faults/test_broken_database.py",
            "jobs/tests/faults/test_broken_disk.py",
            "jobs/tests/faults/test_broken_months.py",
            "jobs/tests/faults/test_broken_time.py",
            "api/tests/http/test_broken_answers.py",
            "api/tests/http/test_fuzz_requests.py",
            "api/tests/http/test_schemathesis.py",
        ),
    ),
    "faults": Group("In a cluster, under load", ("k8s-tests/live/test_faults.py",)),
    "upkeep": Group(
        "In a cluster, by its operator",
        ("k8s-tests/live/test_roles.py", "k8s-tests/live/test_backup.py"),
    ),
    "size": Group("In a cluster, with a million users", ("k8s-tests/live/test_size.py",)),
    "long-run": Group("In a cluster, for half an hour", ("k8s-tests/live/test_long_run.py",)),
}
"""The groups of drills, in the order of the document."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for; 1 when a drill did not end as it should."""
    given = parser().parse_args(arguments)
    with TemporaryDirectory() as folder:
        if given.only:
            sections = [Drill(GROUPS[name], Path(folder) / name).ended() for name in given.only]
        else:
            sections = everything(Path(folder))
    texts = [report.render(one, commit()) for one in sections]
    report.put(DOCUMENT, texts, [one.title for one in GROUPS.values()])
    print("\n\n".join([*texts, f"written: {DOCUMENT.relative_to(ROOT)}"]))
    return int(any(one.broken for one in sections))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m drills", description=__doc__)
    found.add_argument(
        "--only", action="append", choices=list(GROUPS), help="this group; may be repeated"
    )
    return found


def everything(folder: Path) -> list[Section]:
    """Runs all groups on one cluster: the faults alone, then the long run beside the others.

    It mostly waits, and they leave its nodes alone. What it prints comes at its end.
    """
    found = {"faults": Drill(GROUPS["faults"], folder / "faults", keep=True).ended()}
    with (folder / "long-run.txt").open("w+") as said:
        print(f"{GROUPS['long-run'].title}: runs beside what follows", flush=True)
        beside = Drill(GROUPS["long-run"], folder / "long-run", keep=True, output=said)
        found["upkeep"] = Drill(GROUPS["upkeep"], folder / "upkeep", keep=True).ended()
        found["size"] = Drill(GROUPS["size"], folder / "size", keep=True).ended()
        found["local"] = Drill(GROUPS["local"], folder / "local").yielding().ended()
        found["long-run"] = beside.ended()
        said.seek(0)
        print(said.read())
    cluster = ROOT / "k8s-tests" / "kit" / "cluster.py"
    subprocess.run([sys.executable, cluster, "down", "--name=streamflow-test"], check=False)
    return [found[name] for name in GROUPS]


class Drill:
    """A group's tests in their long form, in a process of their own."""

    def __init__(
        self, group: Group, noted: Path, keep: bool = False, output: TextIO | None = None
    ) -> None:
        """Begins; `noted` gets the rows, `output` what is printed; `keep` leaves the cluster."""
        noted.touch()
        self._group, self._noted, self._began = group, noted, time.monotonic()
        # In the order of the document; in its long form, a test may take half an hour.
        command = [sys.executable, "-m", "pytest", f"--rootdir={ROOT}"]
        command += ["-p", "no:randomly", "--timeout=3600"]
        command += [str(ROOT / test) for test in group.tests] + ["--keep-cluster"] * keep
        environment = {**os.environ, results.VARIABLE: str(noted)}
        self._process = subprocess.Popen(command, env=environment, stdout=output)

    def yielding(self) -> "Drill":
        """Leaves the processor to what is measured beside it."""
        os.setpriority(os.PRIO_PROCESS, self._process.pid, 10)
        return self

    def ended(self) -> Section:
        """Waits for the end and returns the group's results."""
        broken = self._process.wait() != 0
        minutes = (time.monotonic() - self._began) / 60
        return Section(self._group.title, results.read(self._noted), minutes, broken)


if __name__ == "__main__":
    sys.exit(main())
