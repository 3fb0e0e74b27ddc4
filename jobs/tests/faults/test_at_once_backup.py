"""Backup and restore beside an ingest: a month is in it whole or not at all."""

import json
import threading
from pathlib import Path

import psycopg
import pytest

from drills.forks import Command, Forks
from drills.results import Result, choose, record
from jobs.backup.restore import finish, prepare
from jobs.tests.acting import TABLES
from jobs.tests.backup.test_restore import assert_success, back_up, request_for, script
from jobs.tests.conftest import sampled

USERS, ROUNDS = choose(500, 2_000), choose(1, 3)
SNAPSHOTS = [f"source.{table}" for name, table in TABLES.items() if name != "users"]


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two months."""
    return sampled(tmp_path_factory, USERS, 2)


@pytest.fixture
def february(months: Path) -> Command:
    """The command that loads the second month."""
    return Command(["ingest", str(months / "month_001"), "--as-of", "2024-02-29"])


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """An empty folder for backups."""
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


def stored() -> set[int]:
    """Returns the row counts of the snapshot tables as a set: one number for whole months."""
    with psycopg.connect(autocommit=True) as connection:
        query = "SELECT count(*) FROM {}"
        return {connection.execute(query.format(one)).fetchone()[0] for one in SNAPSHOTS}  # type: ignore[index]


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_backup_beside_an_ingest(
    round_: int, january: str, running: Forks, february: Command, backups: Path
) -> None:
    works = [backups / f".{number}.tmp" for number in range(3)]
    running.start(february)
    for work in works:
        assert_success(script("dump.sh", work, "5", f"streamflow={january}"))
    (ended,) = running.results()
    assert ended.code == 0, ended.errors
    for work in works:
        noted = [json.loads(line) for line in (work / "streamflow.facts").read_text().splitlines()]
        rows = {one["rows"] for one in noted if one.get("table") in SNAPSHOTS}
        assert rows in ({USERS}, {2 * USERS})
    assert stored() == {2 * USERS}
    record(Result("three backups beside an `ingest`", f"{USERS:,} users", 4, 0, None, 0))


@pytest.mark.slow
@pytest.mark.usefixtures("drop_leftover_databases")
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_restore_beside_an_ingest(
    round_: int, january: str, running: Forks, february: Command, backups: Path, tmp_path: Path
) -> None:
    """The ingest ends with the database it began in, or with 1 and a line; then it is repeated."""
    name = back_up(backups, january)
    plan = tmp_path / "plan"
    plan.mkdir()
    asks = request_for(backups, "beside an ingest")
    prepare(name, asks, {"streamflow": january}, True, plan)
    assert_success(script("restore.sh", plan / "plan"))
    exchange = threading.Timer(0.05 + 0.1 * round_, lambda: finish(plan, asks))
    exchange.start()
    (ended,) = running.run(february)
    exchange.join()
    assert ended.code in (0, 1), ended.errors
    assert "Traceback" not in ended.errors
    if ended.code:
        assert ended.message.startswith("PostgreSQL")
    assert stored() in ({USERS}, {2 * USERS})
    (again,) = running.run(february)
    assert again.code == 0, again.errors
    assert stored() == {2 * USERS}
    record(Result("a restore beside an `ingest`", f"{USERS:,} users", 2, 0, again.seconds, 0))
