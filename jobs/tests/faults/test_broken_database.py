"""A database that is read-only, has no connection left, or is slow: said so, nothing changed."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from drills import state
from drills.forks import Command, Ended, Forks
from drills.proxy import Proxy
from drills.results import Result, choose, record
from jobs.tests.acting import execute

pytestmark = pytest.mark.slow  # databases that are slow, full or away

SLOW_S = 5
TRAINING = ("training-set", "--as-of", "2024-01-31", "--out")


@pytest.fixture
def stocked(january: str, running: Forks) -> str:
    """A database with January, stored and served."""
    ended = running.run_one("materialize")
    assert ended.code == 0, ended.errors
    return january


@pytest.fixture
def jobs(small_months: Path, tmp_path: Path, new_feature: dict[str, str]) -> dict[str, Command]:
    """One command of each kind; in this order each has something to do."""
    february = ("ingest", str(small_months / "month_001"), "--as-of", "2024-02-29")
    out = tmp_path / "sets"
    out.mkdir()
    return {
        "apply": Command(["apply"], new_feature),
        "ingest": Command(february),
        "materialize": Command(["materialize"]),
        "training-set": Command([*TRAINING, str(out / "set.parquet")]),
    }


def one_clear_line(ended: Ended, said: str) -> None:
    """Asserts that the command failed with 1 and one line that says why."""
    assert ended.code == 1, ended.errors
    assert said in ended.message, ended.errors
    assert "Traceback" not in ended.errors
    assert ended.summary["outcome"] == "failed"


@contextmanager
def nothing_changes() -> Iterator[None]:
    """Asserts that the database is the same after a block."""
    before = state.contents()
    yield
    assert state.differences(state.contents(), before) == {}
    assert state.held_locks() == []


def all_heal(running: Forks, jobs: dict[str, Command]) -> float:
    """Asserts that every command works again; returns the seconds until the first one did."""
    began, first = time.monotonic(), 0.0
    for command in jobs.values():
        (ended,) = running.run(command)
        assert ended.code == 0, ended.errors
        first = first or time.monotonic() - began
    return first


def test_a_read_only_database(stocked: str, running: Forks, jobs: dict[str, Command]) -> None:
    with nothing_changes(), psycopg.connect(dbname="postgres", autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {stocked} SET default_transaction_read_only = on")
        for command in jobs.values():
            (ended,) = running.run(command)
            one_clear_line(ended, "is read-only")
        admin.execute(f"ALTER DATABASE {stocked} RESET default_transaction_read_only")
    recovered = all_heal(running, jobs)
    record(Result("read-only database", "each job once", len(jobs), 0, recovered, 0))


@pytest.fixture
def limited(stocked: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A role that may do everything here and is no superuser, whose connections are counted."""
    role = f"{stocked}_limited"
    execute(f"CREATE ROLE {role} LOGIN")
    execute(f"GRANT postgres TO {role}")
    yield role
    execute(f"DROP ROLE {role}")


def test_no_connection_left(limited: str, running: Forks, jobs: dict[str, Command]) -> None:
    """The server refuses a command's first connection, then its second, and so on."""
    codes: dict[str, list[int]] = {name: [] for name in jobs}
    for name, command in jobs.items():
        as_limited = Command(command.arguments, {**command.environment, "PGUSER": limited})
        for limit in range(8):
            execute(f"ALTER ROLE {limited} CONNECTION LIMIT {limit}")
            before = state.contents()
            (ended,) = running.run(as_limited)
            codes[name].append(ended.code)
            if ended.code == 0:
                break
            one_clear_line(ended, "too many connections for role")
            if name != "apply":  # Feast writes its registry piece by piece; the next run goes on
                assert state.differences(state.contents(), before) == {}
        assert codes[name][-1] == 0, codes
        assert codes[name][0] == 1, codes
    runs = sum(map(len, codes.values()))
    record(Result("connections exhausted, at every one a job needs", "", runs, 0, None, 0))


def test_a_database_too_slow_to_connect_to(
    stocked: str, running: Forks, jobs: dict[str, Command]
) -> None:
    with nothing_changes(), Proxy(os.environ, delay_s=SLOW_S) as slow:
        slowly = [
            Command(one.arguments, {**one.environment, **slow.environment}) for one in jobs.values()
        ]
        for ended in running.run(*slowly):
            one_clear_line(ended, "timeout")
            assert ended.seconds < 3 * SLOW_S
    recovered = all_heal(running, jobs)
    record(Result("each answer takes 5 s", "each job once", len(jobs), 0, recovered, 0))


@pytest.mark.parametrize("name", ["ingest", "training-set"])
def test_a_database_that_stands_still_for_a_while(
    name: str, stocked: str, running: Forks, jobs: dict[str, Command], tmp_path: Path
) -> None:
    """It stands still for less than connecting may take; the work waits and is done."""
    seconds = choose(2, SLOW_S - 1)
    with Proxy(os.environ, delay_s=0.001) as slow:
        running.start(Command(jobs[name].arguments, slow.environment))
        time.sleep(0.25)
        slow.stall(seconds)
        (ended,) = running.results()
    assert ended.code == 0, ended.errors
    assert ended.seconds >= seconds
    rows: dict[str, Any] = ended.summary["rows"]
    assert rows["read"] == {"ingest": 300, "training-set": 50}[name]
    record(Result(f"database stands still for {seconds} s", name, 1, 0, None, 0))
