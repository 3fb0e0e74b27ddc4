"""The database comes and goes, wholly or in parts, while the service runs."""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from api.tests.conftest import (
    TABLE,
    assert_problem,
    metric,
    ready,
    serving,
    statement,
    unready,
    wait_until,
)
from drills.proxy import Proxy

USER = "/features/7590-VHVEG"


@pytest.fixture(autouse=True)
def _short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting gives up after the shortest time there is."""
    monkeypatch.setenv("STREAMFLOW_CONNECT_TIMEOUT_S", "2")


def test_a_service_without_anything_applied_becomes_ready_by_itself(
    empty_database: str, small_months: Path
) -> None:
    from jobs.apply.apply import apply
    from jobs.ingest.load import ingest
    from jobs.materialization.materialize import materialize
    from jobs.run.ledger import recorded

    with serving() as client:
        assert client.get("/livez").status_code == 200
        wait_until(unready(client, "Nothing was applied to the database."))
        for path in ("/readyz", USER, "/services", "/services/churn_v1"):
            assert_problem(client.get(path), 503, "not-ready", "nothing was applied")
        users = {"user_ids": ["7590-VHVEG"]}
        assert_problem(client.post("/features", json=users), 503, "not-ready")
        assert "streamflow_api_ready 0.0" in client.get("/metrics").text

        apply()
        wait_until(lambda: ready(client), 5)
        wait_until(lambda: metric(client, "streamflow_api_ready") == 1)
        assert_problem(client.get(USER), 404, "unknown-user")

        with recorded("ingest") as run:
            ingest(run, small_months / "month_000", date(2024, 1, 31))
        with recorded("materialize", views=[]) as run:
            materialize(run)
        assert client.get(USER).json()["features"]["months_active"] == 1


def test_a_service_without_a_database_becomes_ready_by_itself(
    databases: Any,
    server: dict[str, str],
    loaded_template: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = f"test_{os.getpid()}_later"
    for variable, value in {**server, "PGDATABASE": later}.items():
        monkeypatch.setenv(variable, value)
    with serving() as client:
        wait_until(unready(client, "The database does not answer."))
        assert_problem(client.get(USER), 503, "not-ready", "does not answer")
        with databases.admin(server) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(later), sql.Identifier(loaded_template)
                )
            )
        try:
            wait_until(lambda: ready(client), 5)
            assert client.get(USER).status_code == 200
        finally:
            with databases.admin(server) as connection:
                databases.drop(connection, later)


def test_a_database_that_goes_away_is_a_problem_and_back_it_is_none(
    disconnect: Callable[[bool], None],
) -> None:
    with serving(cache_users=0) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        disconnect(False)
        began = time.monotonic()
        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(client.get, [USER] * 20))
        assert time.monotonic() - began < 8  # the timeout once, not for each after the other
        for answer in answers:
            assert_problem(answer, 503, "not-ready", "does not answer")
        wait_until(unready(client, "does not answer"), 5)
        assert client.get("/livez").status_code == 200
        began = time.monotonic()
        assert_problem(client.get(USER), 503, "not-ready")
        assert time.monotonic() - began < 2  # known to be away: no attempt of its own
        disconnect(True)
        wait_until(lambda: ready(client), 5)
        assert client.get(USER).json()["features"]["months_active"] == 1


def test_broken_connections_are_replaced_without_an_error(
    disconnect: Callable[[bool], None],
) -> None:
    with serving(registry_refresh_s=60, cache_users=0) as client:
        wait_until(lambda: ready(client))
        for path in (USER, "/readyz", USER):
            assert client.get(path).status_code == 200
            disconnect(True)
        users = {"user_ids": ["7590-VHVEG"]}
        assert client.post("/features", json=users).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("cache_users", [0, 10_000])
def test_connections_that_break_again_and_again_fail_no_request(
    disconnect: Callable[[bool], None], cache_users: int
) -> None:
    with serving(cache_users=cache_users) as client, ThreadPoolExecutor(8) as threads:
        wait_until(lambda: ready(client))
        goes_on = threading.Event()

        def ask(_: int) -> set[int]:
            statuses = set()
            while not goes_on.is_set():
                statuses.add(client.get(USER).status_code)
            return statuses

        asking = [threads.submit(ask, number) for number in range(8)]
        for _ in range(6):
            time.sleep(0.3)
            disconnect(True)
        goes_on.set()
        assert [one.result() for one in asking] == [{200}] * 8


@pytest.fixture
def proxy(server: dict[str, str], copy: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy in front of `copy`, to which PG* points."""
    with Proxy(server) as proxy:
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", str(proxy.port))
        yield proxy


@pytest.mark.slow
def test_a_database_that_falls_silent_is_a_problem_and_not_for_ever(proxy: Proxy) -> None:
    with serving(deadline_s=1.5, registry_refresh_s=60, cache_users=0) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        proxy.fall_silent()
        began = time.monotonic()
        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(client.get, [USER] * 20))
        assert time.monotonic() - began < 3
        for answer in answers:
            assert_problem(answer, 503, "not-ready", "did not answer in time")
        wait_until(unready(client, "does not answer"), 10)
        assert client.get("/livez").status_code == 200
        proxy.answer_new()
        wait_until(lambda: ready(client), 5)
        assert client.get(USER).status_code == 200


def test_connections_that_fall_silent_alone_are_replaced_within_the_request(proxy: Proxy) -> None:
    """The case of a node that died, when another one answers under the same name."""
    with serving(deadline_s=5, cache_users=0) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        proxy.fall_silent()
        proxy.answer_new()
        began = time.monotonic()
        assert client.get(USER).status_code == 200
        assert time.monotonic() - began < 3
        wait_until(lambda: ready(client), 5)
        statement("UPDATE ops.catalog SET version = version + 1")
        wait_until(lambda: metric(client, "streamflow_api_listening") == 1)
        assert client.get(USER).status_code == 200


def test_a_catalog_that_is_gone_is_a_problem(copy: str) -> None:
    with serving() as client:
        wait_until(lambda: ready(client))
        for gone, back in (
            (
                "ALTER TABLE ops.catalog RENAME TO elsewhere",
                "ALTER TABLE ops.elsewhere RENAME TO catalog",
            ),
            (
                "CREATE TABLE kept AS TABLE ops.catalog; DELETE FROM ops.catalog",
                "INSERT INTO ops.catalog (version, format, document)"
                " SELECT version, format, document FROM kept",
            ),
            ("ALTER SCHEMA ops RENAME TO elsewhere", "ALTER SCHEMA elsewhere RENAME TO ops"),
        ):
            statement(gone)
            wait_until(unready(client, "Nothing was applied to the database."), 5)
            assert_problem(client.get(USER), 503, "not-ready", "nothing was applied")
            assert_problem(client.get("/services"), 503, "not-ready", "nothing was applied")
            statement(back)
            wait_until(lambda: ready(client), 5)
            assert client.get(USER).status_code == 200


def test_a_missing_online_table_is_a_problem_until_it_is_back(copy: str) -> None:
    with serving(cache_users=0) as client:
        wait_until(lambda: ready(client))
        statement(f"ALTER TABLE {TABLE} RENAME TO elsewhere")
        assert_problem(client.get("/readyz"), 503, "not-ready", "online tables are not there yet")
        assert_problem(client.get(USER), 503, "not-ready", "online tables are not there yet")
        statement('ALTER TABLE online.elsewhere RENAME TO "streamflow:user_id"')
        assert client.get(USER).status_code == 200
        assert ready(client)


def test_a_missing_column_is_a_problem_of_its_own_services_alone(copy: str) -> None:
    column = '"support_agg_90d_fv:support_tickets_90d"'
    with serving() as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        statement(f"ALTER TABLE {TABLE} RENAME COLUMN {column} TO elsewhere")
        assert_problem(client.get("/readyz"), 503, "not-ready", "online tables are not there yet")
        assert_problem(client.get("/features/0002-ORFBO"), 503, "not-ready")
        assert client.get(f"{USER}?service=profile_v1").status_code == 200
        statement(f"ALTER TABLE {TABLE} RENAME COLUMN elsewhere TO {column}")
        assert client.get("/features/0002-ORFBO").status_code == 200
        assert ready(client)


def test_nothing_of_the_database_is_told(copy: str) -> None:
    with serving() as client:
        wait_until(lambda: ready(client))
        statement(f'ALTER TABLE {TABLE} RENAME COLUMN "subs_profile_fv:monthly_fee" TO v')
        response = client.get(USER)
        assert response.status_code >= 500
        internal = "column|relation|select|streamflow:user|asyncpg"
        assert not re.search(internal, response.text.lower())
