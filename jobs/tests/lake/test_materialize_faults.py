"""`materialize --from lake` that is disturbed: nothing half is written, and the next run heals."""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast import Field, PushSource, StreamFeatureView
from feast.types import Int64, String

from drills import state
from drills.pooler import Pooler
from jobs.materialization.materialize import OriginName, materialize
from jobs.run.earlier_runs import recent
from jobs.run.ledger import recorded
from jobs.tests.acting import execute, streamflow
from jobs.tests.commands.test_once import lines
from jobs.tests.faults.killed import GONE_S
from jobs.tests.lake.conftest import DAYS
from jobs.tests.lake.test_materialize_from_lake import (
    FROM_DATABASE,
    FROM_LAKE,
    failed,
    found,
    nothing_changes,
    online,
    rows,
)
from streamflow import settings, snapshots
from streamflow.feast.registry.open import open_store
from streamflow.lake import catalog
from streamflow.lake import export as lake_export
from streamflow.lake import materialize as from_lake
from streamflow.lake.files import local_path
from streamflow.lake.table import LakeFile, LakeTable

KILLED = """
import os, signal, sys
from jobs.__main__ import main
from streamflow.lake import materialize
moment, *sys.argv[1:] = sys.argv[1:]
real, calls = getattr(materialize, moment), []
def killed(*given):
    done = real(*given)
    calls.append(done)
    if moment == "inside" or len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
setattr(materialize, moment, killed)
main()
"""
"""A command that is killed when three views are staged, or when all are merged."""


@pytest.mark.parametrize("moment", ["stage", "inside"])
def test_a_run_that_is_killed_changes_nothing(loaded: Path, moment: str) -> None:
    rows(*FROM_DATABASE[:1], "--end", DAYS[0])
    with nothing_changes():
        command = [sys.executable, "-c", KILLED, moment, *FROM_LAKE]
        assert subprocess.run(command, check=False, timeout=60).returncode == -9
        give_up = time.monotonic() + GONE_S
        while state.held_locks() or temporary_tables():
            assert time.monotonic() < give_up, "a killed run still holds something"
            time.sleep(0.02)
    assert rows(*FROM_LAKE)["written"] == 200
    assert [one["outcome"] for one in recent(2)] == ["done", "killed"]


def temporary_tables() -> list[tuple[Any, ...]]:
    """The temporary tables of all sessions."""
    return execute("SELECT relname FROM pg_class WHERE relpersistence = 't'")


def test_a_server_that_goes_away_meanwhile_is_told(
    loaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = from_lake.copy_in

    def lost(connection: psycopg.Connection[Any], *given: Any) -> int:
        if "usage_agg" in given[0].as_string(None):
            execute(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        return real(connection, *given)

    with nothing_changes():
        monkeypatch.setattr(from_lake, "copy_in", lost)
        told = failed(*FROM_LAKE)
        assert told.startswith("error: PostgreSQL: terminating connection due to admin")


def file_of(table: str) -> LakeFile:
    """A table's file of January."""
    with catalog.opened() as tables:
        version = LakeTable.load(tables, table)
        assert version is not None
        return version.files()[0]


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_file_that_is_not_what_was_stored_is_refused(loaded: Path, harm: str) -> None:
    file = Path(local_path(file_of("usage_agg_30d_snapshots").location))
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    else:
        file.unlink()
    with nothing_changes():
        told = failed(*FROM_LAKE)
    assert file.name in told
    assert f"streamflow snapshot export --as-of {DAYS[0]} --again" in told


def test_a_file_of_as_many_bytes_is_the_error_of_its_view(loaded: Path) -> None:
    file = Path(local_path(file_of("usage_agg_30d_snapshots").location))
    whole = file.read_bytes()
    file.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    assert "the lake cannot be read" in failed(*FROM_LAKE)
    views = {view for (view,) in execute("SELECT view FROM ops.materializations")}
    assert views == {"payments_agg_90d_fv", "subs_profile_fv", "support_agg_90d_fv"}
    file.write_bytes(whole)
    assert rows(*FROM_LAKE)["written"] == 50


def written_at_once(views: Sequence[str] = ()) -> list[int]:
    """The rows that four runs at once write, two from each origin, in ascending order."""
    errors: list[BaseException] = []

    def go(origin: OriginName) -> None:
        try:
            with recorded("materialize", origin=origin) as run:
                materialize(run, views=views, origin=origin)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=go, args=[one]) for one in ("lake", "database") * 2]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert errors == []
    written = execute("SELECT rows_written FROM ops.runs WHERE command = 'materialize'")
    return sorted(rows for (rows,) in written)


def test_one_from_each_origin_at_once_are_one_after_the_other(loaded: Path) -> None:
    assert written_at_once() == [0, 0, 0, 200]


def test_one_version_is_read_although_another_comes(
    loaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(*FROM_DATABASE)
    before, real = online(), from_lake.stage

    def meanwhile(*given: Any) -> Any:
        monkeypatch.setattr(from_lake, "stage", real)
        execute("UPDATE source.usage_agg_30d_snapshots SET skips_7d = skips_7d + 1")
        execute("UPDATE source.subscriptions_profile_snapshots SET months_active = 0")
        lake_export.export(snapshots.load(settings.streamflow().feature_repo))
        return real(*given)

    monkeypatch.setattr(from_lake, "stage", meanwhile)
    line = lines(streamflow(*FROM_LAKE))[-1]
    assert (line["rows"]["written"], online()) == (0, before)
    assert rows(*FROM_LAKE)["written"] == 100


def test_through_a_pooler_it_is_the_same(
    loaded: Path, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(*FROM_DATABASE)
    expected = found().online
    execute('DELETE FROM online."streamflow:user_id"')
    with Pooler(server, size=3) as pooler, pytest.MonkeyPatch.context() as patch:
        for name, value in pooler.environment.items():
            patch.setenv(name, value)
        assert rows(*FROM_LAKE)["written"] == 200
    assert online() == expected


@pytest.mark.filterwarnings("ignore:.*experimental feature:RuntimeWarning")
@pytest.mark.parametrize("what", ["computed", "of Feast's", "unknown", "no lake"])
def test_what_the_lake_cannot_give_is_refused_before_anything_is_written(
    loaded: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    told, more = "", []
    if what == "computed":
        told = "feature view usage_agg_30d_fv cannot be read from the lake"
        with open_store() as store:
            view = store.get_feature_view("usage_agg_30d_fv")
            query = view.batch_source._postgres_options._query
            view.batch_source._postgres_options._query = f"{query} WHERE skips_7d > 0"
            store.apply([view.batch_source, view])
    elif what == "of Feast's":
        told = "Feast is needed to compute or to read some of them"
        with open_store() as store:
            payments = store.get_feature_view("payments_agg_90d_fv")
            fields = {"user_id": String, "failed_payments_90d": Int64}
            stream = StreamFeatureView(
                name="payments_stream",
                entities=[store.get_entity("user")],
                source=PushSource(name="payments", batch_source=payments.batch_source),
                schema=[Field(name=name, dtype=dtype) for name, dtype in fields.items()],
            )
            store.apply([stream])
    elif what == "unknown":
        told, more = "unknown feature view 'nothing'", ["--view", "nothing"]
    else:
        told = "there is no lake: set STREAMFLOW_LAKE_URL"
        monkeypatch.delenv("STREAMFLOW_LAKE_URL")
    with nothing_changes():
        assert told in failed(*FROM_LAKE, *more)
