"""The blocks of docs/training-sets.md, lake.md and statistics.md, run in each page's order."""

import doctest
import io
import re
import shlex
from datetime import date
from pathlib import Path

import pytest

from jobs.ingest.load import ingest
from jobs.run.ledger import recorded
from jobs.tests.acting import done, streamflow

DOCS = Path(__file__).parents[1]
COMMANDS = {"training-sets.md": 5, "lake.md": 3, "statistics.md": 2}
"""The number of blocks of commands on each page."""


@pytest.mark.parametrize("page", COMMANDS)
def test_the_page_does_what_it_says(
    page: str,
    database: str,
    small_months: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMFLOW_LAKE_URL", str(tmp_path / "lake"))
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    blocks = re.findall(r"```(\w+)\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert [language for language, _ in blocks].count("console") == COMMANDS[page]
    known: dict[str, object] = {}
    for language, block in blocks:
        match language:
            case "csv":
                Path("offers.csv").write_text(block)
            case "console":
                run_commands(block)
            case "pycon":
                run_examples(block, known)


def run_commands(block: str) -> None:
    """Runs the commands of a block, each of which prints what stands below it."""
    for command, shown in re.findall(
        r"^\$ (.*(?:\n> .*)*)\n((?:[^$\n].*\n)*)", block, re.MULTILINE
    ):
        name, *arguments = shlex.split(re.sub(r"\\\n>|(?<=\n)>", "", command))
        assert name == "streamflow"
        pattern = ".*".join(map(re.escape, shown.rstrip("\n").rstrip("…").split("…")))
        assert re.match(pattern, done(streamflow(*arguments)).stdout), command


def run_examples(block: str, known: dict[str, object]) -> None:
    """Runs the lines of a Python session, each of which prints what stands below it."""
    test = doctest.DocTestParser().get_doctest(block, known, "page", None, 0)
    report = io.StringIO()
    result = doctest.DocTestRunner().run(test, out=report.write, clear_globs=False)
    known |= test.globs
    assert result.attempted
    assert not result.failed, report.getvalue()
