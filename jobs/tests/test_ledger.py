"""The run ledger tells what ran and how it ended, also when nobody could say so any more."""

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import psycopg
import pytest

from feature_repo.errors import InputRefused, SchemaMissing, StoreUnavailable
from jobs.ingest import ingest
from jobs.ledger import recent, recorded


def test_a_run_has_window_counts_duration_and_versions(database: str, small_months: Path) -> None:
    with recorded("ingest", directory="month_000") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    (row,) = recent(5)
    assert (row["run"], row["command"], row["outcome"]) == (1, "ingest", "done")
    assert (row["read"], row["written"], row["unchanged"], row["refused"]) == (300, 300, 0, 0)
    assert row["window_end"].isoformat() == "2024-01-31T00:00:00+00:00"
    assert row["duration"].total_seconds() > 0
    assert row["version"].startswith("0.1.0 ")
    summary = run.summary()
    assert summary["rows"] == {
        "read": 300,
        "written": 300,
        "late": 0,
        "unchanged": 0,
        "refused": 0,
        "older": 0,
    }
    assert summary["window"] == {"start": "2024-01-31T00:00:00Z", "end": "2024-01-31T00:00:00Z"}


def test_a_refused_month_is_written_down(database: str, tmp_path: Path) -> None:
    with pytest.raises(InputRefused), recorded("ingest") as run:
        ingest(run, tmp_path, date(2024, 1, 31))
    (row,) = recent(5)
    assert (row["outcome"], row["refused"], row["written"]) == ("refused", 6, 0)
    assert row["message"] == "6 faults, nothing was stored"
    assert run.summary()["outcome"] == "refused"


def test_a_failure_is_written_down_with_its_reason(database: str) -> None:
    with pytest.raises(ZeroDivisionError), recorded("materialize"):
        _ = 1 / 0
    (row,) = recent(5)
    assert (row["outcome"], row["message"]) == ("failed", "division by zero")


def test_a_run_whose_connection_was_cut_is_closed_on_a_new_one(database: str) -> None:
    def cut_and_fail() -> None:
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        raise RuntimeError("the work failed too")

    with pytest.raises(RuntimeError), recorded("materialize"):
        cut_and_fail()
    (row,) = recent(5)
    assert (row["outcome"], row["message"]) == ("failed", "the work failed too")


def test_a_killed_run_is_shown_as_killed_and_a_live_one_as_running(database: str) -> None:
    code = (
        "import sys; from jobs.ledger import recorded\n"
        "with recorded('ingest') as run: print(run.number, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    assert [row["outcome"] for row in recent(5)] == ["running"]
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    with psycopg.connect(autocommit=True) as connection:  # the server notices within moments
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert [row["outcome"] for row in recent(5)] == ["killed"]


def test_without_a_schema_nothing_runs(empty_database: str) -> None:
    with pytest.raises(SchemaMissing, match="run: streamflow apply"), recorded("ingest"):
        pytest.fail("the body must not run")


def test_without_a_server_nothing_runs(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")
    with pytest.raises(StoreUnavailable), recorded("ingest"):
        pytest.fail("the body must not run")
