"""kill -9 of every job at random moments, then the same again: as if nothing had been."""

import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest

from drills import state
from drills.forks import Command, Forks
from drills.results import Result, choose, is_long, record
from jobs.tests.conftest import Place, sampled
from jobs.tests.faults.killed import (
    GONE_S,
    JOBS,
    JobResults,
    differences,
    kill,
    left_running,
    moments,
    results_of,
)

pytestmark = pytest.mark.slow  # processes are killed at every moment

USERS, KILLS = choose(100, 2_000), choose(4, 20)


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two months."""
    return sampled(tmp_path_factory, USERS, 2)


@pytest.mark.parametrize("name", JOBS)
def test_a_killed_job_done_again_leaves_what_an_undisturbed_one_does(
    name: str,
    running: Forks,
    months: Path,
    tmp_path: Path,
    place: Place,
    template: str,
    new_feature: dict[str, str],
) -> None:
    job, count = JOBS[name], 0
    environment = new_feature if name == "apply of a new feature" else {}
    begin = tmp_path / "begin"
    begin.mkdir()

    def command(words: str, folder: Path, kill_after_s: float | None = None) -> Command:
        arguments = shlex.split(words.format(months=months, folder=folder))
        return Command(arguments, environment, kill_after_s)

    def run(words: str, folder: Path) -> float:
        (ended,) = running.run(command(words, folder))
        assert ended.code == 0, ended.errors
        return ended.seconds

    @contextmanager
    def fresh(start: str) -> Iterator[Path]:
        nonlocal count
        count += 1
        with place(start):
            yield Path(shutil.copytree(begin, tmp_path / f"run-{count}"))

    with place(template) as prepared:
        for words in job.before:
            (ended,) = running.run(Command(words.format(months=months, folder=begin).split()))
            assert ended.code == 0, ended.errors
        start = "template0" if job.empty else prepared
        expected, seconds = undisturbed(fresh, run, job.command, start)
        before = state.files(begin)
        outcomes, recovered = [], 0.0
        for moment in moments(name, seconds, KILLS):
            with fresh(start) as folder:
                killed = kill(running, command(job.command, folder, moment))
                assert killed.ended.code in (-9, 0), killed.ended.errors
                assert killed.outcome in ("killed", "done", "")
                nothing_half(state.files(folder), before, expected.files)
                began = time.monotonic()
                run(job.command, folder)
                recovered = max(recovered, killed.freed_s + time.monotonic() - began)
                assert left_running() == 0
                assert differences(results_of(folder), expected) == {}, (
                    f"{killed} at {moment:.3f} s"
                )
                outcomes.append(killed.outcome)
    if is_long():  # a few moments may all be too early on a busy machine
        assert "killed" in outcomes, outcomes
    fault = f"`kill -9` of {name}, at random moments; then the same again"
    record(Result(fault, f"{USERS:,} users", len(outcomes), 0, recovered, 0))


def undisturbed(
    fresh: Callable[[str], AbstractContextManager[Path]],
    run: Callable[[str, Path], float],
    words: str,
    start: str,
) -> tuple[JobResults, float]:
    """Returns what two undisturbed runs leave, which is the same, and the faster one's seconds."""
    found, seconds = [], []
    for _ in range(2):
        with fresh(start) as folder:
            seconds.append(run(words, folder))
            found.append(results_of(folder))
    assert differences(*found) == {}
    return found[0], min(seconds)


def nothing_half(found: dict[str, str], before: dict[str, str], whole: dict[str, str]) -> None:
    """Asserts that a file under a final name is the former one or the whole new one."""
    for path, digest in whole.items():
        assert found.get(path) in (before.get(path), digest), path


@pytest.mark.parametrize(
    ("name", "table"),
    [("ingest", "source.labels_snapshots"), ("materialize", 'online."streamflow:user_id"')],
)
def test_a_job_killed_while_it_waits_does_not_go_on_waiting(
    running: Forks, months: Path, place: Place, template: str, name: str, table: str
) -> None:
    """The server notices, although the session's statement never ends."""
    with place(template), psycopg.connect() as holder:
        holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        words = JOBS[name].command.format(months=months, folder="")
        killed = kill(running, Command(words.split(), kill_after_s=choose(2, 5)))
        assert (killed.ended.code, killed.outcome) == (-9, "killed")
        assert killed.freed_s < GONE_S
