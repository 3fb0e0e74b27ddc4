"""Several commands at the same instant: one after the other or merged, and all end well."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from drills import state
from drills.forks import Command, Ended, Forks
from drills.results import Result, choose, record
from jobs.tests.conftest import Place, sampled

pytestmark = pytest.mark.slow  # several processes of each command at once

USERS, ROUNDS = choose(100, 1_000), choose(1, 3)
MONTHS = ("2024-01-31", "2024-02-29", "2024-03-31")
ONLINE = 'online."streamflow:user_id"'


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three months."""
    return sampled(tmp_path_factory, USERS, 3)


@pytest.fixture
def ingests(months: Path) -> list[Command]:
    """The commands that load the three months."""
    return [
        Command(["ingest", str(months / f"month_{number:03}"), "--as-of", day])
        for number, day in enumerate(MONTHS)
    ]


@pytest.fixture(autouse=True, params=range(ROUNDS))
def round_(request: pytest.FixtureRequest) -> int:
    """The number of the round, from 0; each test is done once in every round."""
    return int(request.param)


@pytest.fixture
def stored(running: Forks, database: str, ingests: list[Command]) -> None:
    """A database with the three months, of which nothing is served yet."""
    for command in ingests:
        assert_success(running.run(command))


@pytest.fixture
def expected(running: Forks, place: Place, template: str, ingests: list[Command]) -> dict[str, Any]:
    """The source tables and the online values of three months, loaded one after the other."""
    with place(template):
        for command in (*ingests, Command(["materialize"])):
            assert_success(running.run(command))
        return values()


def assert_success(ended: list[Ended]) -> None:
    """Asserts that all commands ended with 0."""
    assert [one.code for one in ended] == [0] * len(ended), [one.errors for one in ended]


def values() -> dict[str, Any]:
    """Returns all stored and served values, without the registry and its windows."""
    return {name: found for name, found in state.contents().items() if name != "registry"}


def record_success(fault: str, runs: int) -> None:
    """Notes a row of the drills' table without a failure."""
    record(Result(fault, f"{USERS:,} users", runs, 0, None, 0))


@contextmanager
def newer_only() -> Iterator[None]:
    """Asserts that no user's online values of any view become older during a block."""
    over, older = threading.Event(), list[tuple[Any, ...]]()

    def watch() -> None:
        seen: dict[str, tuple[datetime | None, ...]] = {}
        with psycopg.connect(autocommit=True) as connection:
            names = [
                name
                for (name,) in connection.execute(
                    "SELECT attname FROM pg_attribute"
                    f" WHERE attrelid = '{ONLINE}'::regclass AND attname LIKE '%@event_ts'"
                ).fetchall()
            ]
            columns = ", ".join(f'"{name}"' for name in names)
            query = f"SELECT user_id, {columns} FROM {ONLINE}"
            while not over.wait(0.01):
                for user, *times in connection.execute(query):
                    before = seen.get(user, (None,) * len(names))
                    if any(b and (not n or n < b) for b, n in zip(before, times, strict=True)):
                        older.append((user, before, times))
                    seen[user] = tuple(times)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert older == []


def test_ten_applies_of_two_definitions(
    running: Forks, place: Place, new_feature: dict[str, str]
) -> None:
    others = [Command(["apply"], new_feature if number % 2 else {}) for number in range(10)]
    found = {}
    for name, before in (("alone", []), ("after ten", others)):
        with place("template0"):
            assert_success(running.run(*before) if before else [])
            assert_success(running.run(Command(["apply"])))
            assert state.held_locks() == []
            found[name] = state.contents()
    assert state.differences(found["after ten"], found["alone"]) == {}
    record_success("ten `apply` of two definitions at once", 11)


@pytest.mark.usefixtures("stored")
def test_ten_materializations_of_overlapping_windows(
    round_: int, running: Forks, expected: dict[str, Any]
) -> None:
    chance = random.Random(round_)
    windows: list[tuple[str, ...]] = [("--end", "2024-04-01"), ()]
    for _ in range(8):
        start, end = sorted(chance.sample(range(1, 121), 2))
        windows.append(("--start", day(start), "--end", day(end)))
    chance.shuffle(windows)
    with newer_only():
        assert_success(running.run(*(Command(["materialize", *window]) for window in windows)))
    assert state.differences(values(), expected) == {}
    record_success("ten `materialize` of overlapping windows at once", 10)


def day(number: int) -> str:
    """A day of the first months of 2024."""
    return str(datetime.fromordinal(datetime(2023, 12, 31).toordinal() + number).date())


@pytest.mark.usefixtures("stored")
def test_a_backfill_beside_the_monthly_run(running: Forks, expected: dict[str, Any]) -> None:
    backfill = Command(["materialize", "--start", "2024-01-01", "--end", "2024-02-01"])
    with newer_only():
        assert_success(running.run(backfill, Command(["materialize"]), backfill))
    assert state.differences(values(), expected) == {}
    record_success("a backfill beside the monthly `materialize`", 3)


@pytest.mark.usefixtures("database")
def test_ingests_beside_materializations(
    running: Forks, ingests: list[Command], expected: dict[str, Any]
) -> None:
    materialize = Command(["materialize"])
    with newer_only():
        assert_success(running.run(*ingests, *[materialize] * 3, *ingests))
    assert_success(running.run(materialize))  # what came after the last of them
    assert state.differences(values(), expected) == {}
    record_success("six `ingest` beside three `materialize`", 10)


@pytest.mark.usefixtures("database")
def test_training_sets_of_two_services_to_one_file(
    running: Forks, ingests: list[Command], tmp_path: Path
) -> None:
    out = str(tmp_path / "set.parquet")
    assert_success(running.run(ingests[0]))
    services = ["churn_v1", "profile_v1"] * 3
    arguments = ("training-set", "--as-of", MONTHS[0], "--out", out, "--service")
    assert_success(running.run(*(Command([*arguments, service]) for service in services)))
    assert_success(running.run(Command(["verify", out])))
    assert sorted(state.files(tmp_path)) == ["set.parquet", "set.parquet.manifest.json"]
    record_success("six `training-set` of two services to one file at once", 7)
