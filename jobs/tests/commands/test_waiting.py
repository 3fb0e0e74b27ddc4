"""Jobs wait, bounded, for what they need."""

import threading
import time
from datetime import date
from pathlib import Path

import psycopg
import pytest

from jobs.apply.apply import apply
from jobs.flows import work as commands
from jobs.ingest.load import ingest
from jobs.run import waiting
from jobs.run.ledger import recorded
from jobs.tests.acting import streamflow
from jobs.training.labels import NoLabels
from streamflow.errors import SchemaMissing, StoreUnavailable
from streamflow.feast.registry.open import open_store
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect, create_database, lock


def test_it_gives_up_at_once_where_nothing_was_said_about_waiting(
    monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        waiting.wait_for("database")
    assert time.monotonic() - began < 2


def test_it_waits_until_the_registry_is_applied(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("STREAMFLOW_WAIT_S", "60")
    monkeypatch.setattr(waiting, "EVERY_S", 0.1)
    caplog.set_level("INFO", "jobs")
    applying = threading.Timer(0.5, apply)
    applying.start()
    waiting.wait_for("registry")
    summary = commands.materialize_features(None, None, [])
    applying.join()
    assert "waiting for the registry" in caplog.messages
    for view in ("payments_agg_90d", "subs_profile", "support_agg_90d", "usage_agg_30d"):
        assert f"{view}_fv" in summary["message"]  # as one of no row


@pytest.mark.parametrize(
    "command",
    [
        ["materialize"],
        ["training-set", "--as-of", "2024-01-31", "--out", "memory://set.parquet"],
        ["features", "0002-ORFBO"],
        ["services"],
        ["audit"],
        ["wait"],
    ],
    ids=lambda words: words[0],
)
def test_a_first_apply_that_has_not_ended_is_not_taken_for_one_that_has(
    empty_database: str, command: list[str]
) -> None:
    with connect(autocommit=True) as connection:
        schema.migrate(connection)
    with open_store("auto"):
        pass  # makes the registry's tables, as an apply does when it begins
    refused = streamflow(*command)
    said = "error: project streamflow is not applied; run: streamflow apply"
    assert (refused.exit_code, refused.stderr.splitlines()[-1]) == (2, said)


def test_it_gives_up_when_the_time_is_up(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_WAIT_S", "1")
    monkeypatch.setattr(waiting, "EVERY_S", 0.2)
    began = time.monotonic()
    with pytest.raises(SchemaMissing, match="run: streamflow apply"):
        waiting.wait_for("registry")
    assert 1 <= time.monotonic() - began < 5


def test_a_training_set_waits_for_its_labels(
    database: str, small_months: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_WAIT_S", "60")
    monkeypatch.setattr(waiting, "EVERY_S", 0.1)

    def load() -> None:
        with recorded("ingest") as run:
            ingest(run, small_months / "month_000", date(2024, 1, 31))

    loading = threading.Timer(0.5, load)
    loading.start()
    out = str(tmp_path / "t.parquet")
    summary = commands.build_training_dataset(date(2024, 1, 31), "profile_v1", out)
    loading.join()
    assert summary["rows"]["written"] == 50
    order = "SELECT command FROM ops.runs ORDER BY started_at"
    with psycopg.connect() as connection:  # the months that it does not see ended after it began
        assert connection.execute(order).fetchall() == [("ingest",), ("training-set",)]


def test_without_labels_it_says_so_and_ends_well_where_that_is_allowed(
    database: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "t.parquet")
    with pytest.raises(NoLabels):
        commands.build_training_dataset(date(2024, 1, 31), "churn_v1", out)
    summary = commands.build_training_dataset(date(2024, 1, 31), "churn_v1", out, allow_empty=True)
    assert summary["outcome"] == "done"
    assert summary["message"] == (
        "nothing written: no labels of 2024-01-31; there are those of: no day"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_second_materialization_may_leave_the_work_to_the_first(database: str) -> None:
    with connect(autocommit=True) as first, lock(first, "materialize"):
        summary = commands.materialize_features(None, None, [], skip_if_running=True)
    assert summary["outcome"] == "done"
    assert summary["message"] == "another materialization is running, nothing to do"
    summary = commands.materialize_features(None, None, [], skip_if_running=True)
    assert "another materialization" not in summary["message"]


def test_a_lock_is_free_again_after_an_error(database: str) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), connect() as one, lock(one, "x"):
        one.execute("SELECT 1 / 0")
    with connect() as other, lock(other, "x", wait=False) as got:
        assert got == "free"


def test_another_database_is_created_once(database: str) -> None:
    name = f"{database}_prefect"
    try:
        assert create_database(name) is True
        assert create_database(name) is False
    finally:
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name}")
