"""Jobs and Feast behind a real pooler in transaction mode, whose few servers are really shared."""

import threading
import time
from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import FeatureService, FeatureView, Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Int64

from drills import state
from drills.forks import Command, Forks
from drills.pooler import Pooler
from jobs.backup import databases as restore_database
from jobs.roles.set_up import Names
from jobs.run.earlier_runs import recent
from jobs.run.ledger import recorded
from jobs.tests.acting import databases_of, streamflow
from streamflow.errors import ConfigurationError, StoreUnavailable
from streamflow.feast.registry.open import open_store
from streamflow.postgres.connect import connect, lock


@pytest.fixture(params=["alone", "with an address beside it"])
def pooler(
    request: pytest.FixtureRequest, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pooler]:
    """Three servers for all that PG* lead to; perhaps PostgreSQL's own address is known, too."""
    with Pooler(server, size=3) as found:
        beside = found.direct if request.param != "alone" else {}
        for name, value in {**found.environment, **beside}.items():
            monkeypatch.setenv(name, value)
        yield found


def leftovers(count: int = 9) -> set[tuple[Any, ...]]:
    """Returns the session state that clients left in the pooler's server connections."""
    query = """
        SELECT current_setting('search_path'), current_setting('statement_timeout'),
               current_setting('transaction_read_only'), current_setting('work_mem'),
               (SELECT count(*) FROM pg_prepared_statements), pg_my_temp_schema() = 0 OR
               NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema())"""
    found = set()
    with (
        psycopg.connect(prepare_threshold=None) as one,
        psycopg.connect(prepare_threshold=None) as two,
        psycopg.connect(prepare_threshold=None) as three,
    ):
        for _ in range(count):
            found |= {c.execute(query).fetchone() or () for c in (one, two, three)}
            for c in (one, two, three):
                c.rollback()
    return found


def no_locks() -> None:
    """Returns when nobody holds a lock; one ends a moment after its connection was closed."""
    give_up = time.monotonic() + 10
    while found := state.held_locks():
        assert time.monotonic() < give_up, found
        time.sleep(0.05)


CLEAN = ('"$user", public', "0", "off", "4MB", 0, True)


@pytest.mark.slow
def test_the_story_of_a_month(
    empty_database: str, pooler: Pooler, small_months: Path, tmp_path: Path
) -> None:
    """Each command ends well with three connections, and leaves nothing to the next client."""
    out = str(tmp_path / "january.parquet")
    for arguments in (
        ("apply",),
        ("apply", "--plan"),
        ("ingest", str(small_months / "month_000"), "--as-of", "2024-01-31", "--materialize"),
        ("training-set", "--as-of", "2024-01-31", "--out", out),
        ("verify", out),
        ("ingest", str(small_months / "month_001"), "--as-of", "2024-02-29"),
        ("materialize",),
        ("audit", "--users", "20"),
        ("features", "0002-ORFBO"),
        ("runs",),
        ("apply",),
        ("db", "create", empty_database),
    ):
        done = streamflow(*arguments)
        assert done.exit_code == 0, (arguments, done.output)
    no_locks()
    assert leftovers() == {CLEAN}
    assert len(pooler.servers(empty_database)) <= 3


@pytest.mark.slow
def test_what_is_stored_and_served_is_the_same_as_without(
    empty_database: str,
    server: dict[str, str],
    small_months: Path,
    running: Forks,
    pytestconfig: pytest.Config,
) -> None:
    commands = [
        Command(["apply"]),
        Command(["ingest", str(small_months / "month_000"), "--as-of", "2024-01-31"]),
        Command(["materialize", "--start", "2024-01-01", "--end", "2024-02-01"]),
    ]
    found = []
    databases = databases_of(pytestconfig)
    with Pooler(server, size=3) as pooler:
        for environment in ({}, pooler.environment):
            with (
                pytest.MonkeyPatch.context() as patch,
                databases.database_of(server, "template0", patch),
            ):
                for command in commands:
                    ended = running.run(Command(command.arguments, environment))
                    assert [one.code for one in ended] == [0], ended[0].errors
                found.append(state.contents())
    assert state.differences(*found) == {}


def test_feasts_own_ways_work(database: str, pooler: Pooler, small_months: Path) -> None:
    """Feast's SDK reads and writes in each of its ways through the pooler."""
    done = streamflow("ingest", str(small_months / "month_000"), "--as-of", "2024-01-31")
    assert done.exit_code == 0, done.output
    with open_store() as store:
        users = [f"new-{number}" for number in range(40)]
        frame = pd.DataFrame(
            {
                "user_id": users,
                "failed_payments_90d": range(40),
                "as_of": datetime(2024, 2, 1, tzinfo=UTC),
                "loaded_at": datetime(2024, 2, 1, tzinfo=UTC),
            }
        )
        for _ in range(3):
            store.write_to_online_store("payments_agg_90d_fv", frame)
        read = store.get_online_features(
            ["payments_agg_90d_fv:failed_payments_90d"], [{"user_id": user} for user in users]
        ).to_dict()
        assert read["failed_payments_90d"] == list(range(40))
        entities = pd.DataFrame(
            {"user_id": ["0002-ORFBO"], "event_timestamp": [datetime(2024, 2, 1, tzinfo=UTC)]}
        )
        for _ in range(3):
            trained = store.get_historical_features(
                entities, ["subs_profile_fv:monthly_fee", "subs_profile_fv:net_service"]
            ).to_df()
            assert trained["monthly_fee"].tolist() == pytest.approx([65.6], abs=1e-5)
        source = store.get_feature_view("subs_profile_fv").batch_source
        assert dict(source.get_table_column_names_and_types(store.config))["user_id"] == "text"
    assert leftovers() == {CLEAN}


def test_a_source_without_a_schema_is_found_by_each_transaction(
    database: str, pooler: Pooler, small_months: Path, tmp_path: Path
) -> None:
    done = streamflow("ingest", str(small_months / "month_000"), "--as-of", "2024-01-31")
    assert done.exit_code == 0, done.output
    with open_store("auto") as store:
        source = PostgreSQLSource(
            name="bare_source",
            table="payments_agg_90d_snapshots",
            timestamp_field="as_of",
            created_timestamp_column="loaded_at",
        )
        bare = FeatureView(
            name="bare_fv",
            entities=[store.get_entity("user")],
            schema=[Field(name="failed_payments_90d", dtype=Int64)],
            ttl=timedelta(0),
            source=source,
        )
        store.apply([source, bare, FeatureService(name="bare_v1", features=[bare])])
    out = str(tmp_path / "bare.parquet")
    for arguments in (
        ("materialize", "--view", "bare_fv"),
        ("audit", "--service", "bare_v1", "--users", "50"),
        ("training-set", "--as-of", "2024-01-31", "--service", "bare_v1", "--out", out),
    ):
        done = streamflow(*arguments)
        assert done.exit_code == 0, (arguments, done.output)
    assert "50 values compared, no difference" in str(recent(2)[1]["message"])
    assert leftovers() == {CLEAN}


@pytest.mark.slow
def test_several_of_the_same_at_once(
    empty_database: str, pooler: Pooler, small_months: Path, running: Forks
) -> None:
    """They run one after the other; those that wait keep no connection from the one that works."""
    months = [
        Command(["ingest", str(small_months / f"month_00{number}"), "--as-of", day])
        for number, day in enumerate(["2024-01-31", "2024-02-29"])
    ]
    for commands in ([Command(["apply"])] * 2, months, [Command(["materialize"])] * 2):
        ended = running.run(*commands)
        assert [one.code for one in ended] == [0, 0], [one.errors for one in ended]
    no_locks()
    outcomes = [one["outcome"] for one in recent(6)]
    assert outcomes == ["done"] * 6


@pytest.mark.slow
def test_a_run_holds_its_lock_as_long_as_it_lives(
    database: str, pooler: Pooler, running: Forks, small_months: Path
) -> None:
    with recorded("ingest") as run:
        for _ in range(5):
            assert recent(1)[0]["outcome"] == "running"
    assert recent(1)[0]["outcome"] == "done"
    killed = Command(
        ["ingest", str(small_months / "month_000"), "--as-of", "2024-01-31"], kill_after_s=0.2
    )
    for _ in range(10):
        if running.run(killed)[0].code == -9 and recent(1)[0]["run"] > run.number:
            break
    assert recent(1)[0]["outcome"] in ("killed", "done")
    no_locks()


def test_a_lock_is_one_for_all(database: str, pooler: Pooler) -> None:
    got, waits, may_end = [], threading.Event(), threading.Event()

    def other() -> None:
        with connect(autocommit=True) as connection:
            with lock(connection, "apply", wait=False) as now:
                got.append(now)
            waits.set()
            with lock(connection, "apply") as then:
                assert may_end.is_set()
                got.append(then)

    with connect(autocommit=True) as connection, lock(connection, "apply") as first:
        assert first == "free"
        thread = threading.Thread(target=other)
        thread.start()
        assert waits.wait(20)
        for _ in range(3):  # each perhaps on another server
            connection.execute("SELECT 1")
        may_end.set()
    thread.join(20)
    assert got[0] == "busy"
    assert len(got) == 2
    no_locks()


def test_a_lock_that_was_lost_meanwhile_is_told(database: str, pooler: Pooler) -> None:
    def work() -> None:
        with connect(autocommit=True) as connection, lock(connection, "apply"):
            [(holder, *_)] = state.held_locks()
            connection.execute("SELECT pg_terminate_backend(%s)", [holder])

    with pytest.raises(StoreUnavailable, match=r"^PostgreSQL at "):
        work()


def test_roles_are_made_and_used(
    names: Names, database: str, server: dict[str, str], small_months: Path
) -> None:
    users = ["postgres", *astuple(names)]
    with Pooler(server, size=3, users=users) as pooler, pytest.MonkeyPatch.context() as patch:
        for name, value in pooler.environment.items():
            patch.setenv(name, value)
        roles = [f"--{part}={getattr(names, part)}" for part in vars(names)]
        for _ in range(2):
            done = streamflow("db", "roles", *roles)
            assert done.exit_code == 0, done.output
        january = ("ingest", str(small_months / "month_000"), "--as-of", "2024-01-31")
        for user, *arguments in (
            (names.owner, "apply"),
            (names.writer, *january),
            (names.writer, "materialize"),
        ):
            patch.setenv("PGUSER", user)
            done = streamflow(*arguments)
            assert done.exit_code == 0, done.output


def test_what_needs_a_session_is_refused_without_an_address(
    database: str, server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Pooler(server, size=3) as pooler:
        for name, value in pooler.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError, match="set STREAMFLOW_DIRECT_HOST"):
            restore_database.require_server()
        monkeypatch.setenv("PGOPTIONS", "-c work_mem=5MB")
        done = streamflow("runs")
        assert done.exit_code == 2
        assert "PGOPTIONS cannot be used with STREAMFLOW_POOLER=transaction" in done.stderr
        monkeypatch.delenv("PGOPTIONS")
        monkeypatch.delenv("STREAMFLOW_POOLER")
        done = streamflow("runs")
        assert done.exit_code == 2
        assert "set STREAMFLOW_POOLER=transaction" in done.stderr
