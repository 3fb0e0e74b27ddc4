"""A materialization by Spark that is disturbed: nothing half is written, and the next run heals."""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from drills import state
from jobs.run.earlier_runs import recent
from jobs.tests.acting import execute
from jobs.tests.faults.killed import GONE_S
from jobs.tests.lake.conftest import DAYS
from jobs.tests.lake.test_materialize_faults import file_of, written_at_once
from jobs.tests.lake.test_materialize_from_lake import (
    FROM_DATABASE,
    FROM_LAKE,
    failed,
    found,
    nothing_changes,
    online,
    rows,
)
from jobs.tests.spark.conftest import SPARK_ENGINE
from jobs.tests.spark.executors import killed_after_commit, killed_in_copy, refusing
from jobs.tests.spark.test_materialize_by_spark import staging_tables
from streamflow.lake.files import local_path
from streamflow.spark import materialize as by_spark
from streamflow.spark import newest, staging

pytestmark = pytest.mark.slow  # a session of Spark: a JVM, and Python for each task

VIEW = "usage_agg_30d_fv"
ONE_VIEW = (*FROM_LAKE, "--view", VIEW)
"""One view is enough for what happens to any, and takes a quarter of the time."""


@pytest.mark.parametrize("killed", [killed_in_copy, killed_after_commit])
def test_an_executor_that_is_killed_is_replaced_and_no_row_is_there_twice(
    spark: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed: Callable[..., Any],
) -> None:
    mark = tmp_path / "killed"
    monkeypatch.setattr(newest, "write", partial(killed, mark))
    counts = rows(*ONE_VIEW)
    assert (counts["read"], counts["written"]) == (100, 50)
    assert mark.exists()
    assert staging_tables() == []
    before = online()
    execute('DELETE FROM online."streamflow:user_id"')
    rows(*FROM_DATABASE, "--view", VIEW)
    assert online() == before


def test_an_executor_that_never_comes_back_leaves_the_values(
    spark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest, "write", refusing)
    with nothing_changes():
        assert "RuntimeError: no room on this node" in failed(*ONE_VIEW)
    assert staging_tables() == []


KILLED = """
import os, signal, sys
from jobs.__main__ import main
from streamflow.spark import materialize
def killed(*given):
    os.kill(os.getpid(), signal.SIGKILL)
materialize.inside = killed
sys.argv[1:] = sys.argv[1:]
main()
"""
"""A command that is killed when all views are staged, and none is merged."""


def test_a_driver_that_is_killed_changes_nothing_and_the_next_run_drops_its_tables(
    spark: Path,
) -> None:
    rows(*FROM_DATABASE[:1], "--end", DAYS[0])
    with nothing_changes():
        command = [sys.executable, "-c", KILLED, *ONE_VIEW]
        assert subprocess.run(command, check=False, timeout=120).returncode == -9
        give_up = time.monotonic() + GONE_S
        while state.held_locks():
            assert time.monotonic() < give_up, "a killed run still holds something"
            time.sleep(0.02)
    left = staging_tables()
    assert len(left) == 2
    assert rows(*ONE_VIEW)["written"] == 50
    assert staging_tables() == []
    assert [one["outcome"] for one in recent(2)] == ["done", "killed"]


def test_tables_of_a_living_run_are_never_dropped(database: str) -> None:
    with psycopg.connect(autocommit=True) as first, psycopg.connect(autocommit=True) as second:
        with staging.opened(first) as living:
            living.make(first, "a_view", {"user_id": "text"})
            there = staging_tables()
            with staging.opened(second) as other:
                other.make(second, "a_view", {"user_id": "text"})
                assert len(staging_tables()) == 4
            assert staging_tables() == there
        assert staging_tables() == []


def test_a_table_that_a_lost_task_still_writes_is_left_to_a_later_run(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "LOCK_WAIT_MS", 50)
    execute("CREATE UNLOGGED TABLE streamflow_staging.run_7_0 (user_id text)")
    with psycopg.connect(autocommit=True) as connection:
        with psycopg.connect() as task:
            task.execute("INSERT INTO streamflow_staging.run_7_0 VALUES ('x')")
            with staging.opened(connection):
                assert staging_tables() == ["run_7_0"]
        with staging.opened(connection):
            assert staging_tables() == []


def test_rows_that_a_server_lost_are_noticed_before_the_merge(
    spark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empties the staged tables, as a crash of the server does."""
    real = by_spark.stage

    def emptied(*given: Any) -> Any:
        staged = real(*given)
        for name in staging_tables():
            execute(f"TRUNCATE streamflow_staging.{name}")
        return staged

    with monkeypatch.context() as patch, nothing_changes():
        patch.setattr(by_spark, "stage", emptied)
        assert "Spark wrote 50 rows" in failed(*ONE_VIEW)
    assert rows(*ONE_VIEW)["written"] == 50


def test_a_server_that_goes_away_meanwhile_is_told(
    spark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = by_spark.stage

    def lost(connection: psycopg.Connection[Any], *given: Any) -> Any:
        execute(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        return real(connection, *given)

    with nothing_changes():
        monkeypatch.setattr(by_spark, "stage", lost)
        assert "terminating connection due to administrator" in failed(*ONE_VIEW)


def test_a_file_that_is_cut_meanwhile_is_the_error_of_its_view(
    spark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(local_path(file_of("usage_agg_30d_snapshots").location))
    whole, real = file.read_bytes(), by_spark.stage
    two_views = (*ONE_VIEW, "--view", "support_agg_90d_fv")

    def cut(*given: Any) -> Any:
        file.write_bytes(whole[:-9])
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(by_spark, "stage", cut)
        told = failed(*two_views)
    assert file.name in told
    assert "cannot be read" in told
    views = {view for (view,) in execute("SELECT view FROM ops.materializations")}
    assert views == {"support_agg_90d_fv"}
    with nothing_changes():
        assert f"snapshot export --as-of {DAYS[0]} --again" in failed(*ONE_VIEW)
    file.write_bytes(whole)
    assert rows(*ONE_VIEW)["written"] == 50


def test_one_from_each_engine_at_once_are_one_after_the_other(spark: Path) -> None:
    assert written_at_once([VIEW]) == [0, 0, 0, 50]


def test_an_older_month_does_not_replace_a_newer_one_of_the_database(spark: Path) -> None:
    rows(*FROM_DATABASE)
    before = found().online
    counts = rows("materialize", "--from", "lake", "--end", DAYS[0], "--view", VIEW)
    assert (counts["read"], counts["older"], counts["written"]) == (50, 50, 0)
    assert online() == before


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("spark.sql.session.timeZone: Asia/Tokyo", "has to be UTC"),
        ("spark.speculation: true", "each copy of a task is one more connection"),
        ("spark.executorEnv.PGPASSWORD: secret", "give executors the variable PGPASSWORD where"),
        ("spark.executor.memory: 3g", "a Spark session is there already whose is not set"),
    ],
)
def test_a_setting_that_cannot_be_had_is_refused(
    spark: Path, tmp_path: Path, line: str, told: str
) -> None:
    file = tmp_path / "spark_repo" / "feature_store.yaml"
    file.write_text(file.read_text().replace(SPARK_ENGINE, f"{SPARK_ENGINE}\n    {line}"))
    with nothing_changes():
        assert told in failed(*ONE_VIEW)
