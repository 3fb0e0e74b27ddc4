"""The database and the registry come, go and change while the service runs."""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from api.tests.conftest import assert_problem, ready, serving, unready, wait_until
from api.tests.proxy import Proxy
from feature_repo.store import open_store

USER = "/features/7590-VHVEG"


@pytest.fixture(autouse=True)
def _short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting gives up after the shortest time there is."""
    monkeypatch.setenv("STREAMFLOW_CONNECT_TIMEOUT_S", "2")


def statement(text: str) -> None:
    """Runs it in the database that PG* points at."""
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(text)  # type: ignore[call-overload]


@pytest.fixture
def disconnect(databases: Any, server: dict[str, str], copy: str) -> Callable[[bool], None]:
    """Ends all connections to `copy`, and lets new ones in or not."""

    def act(allow: bool) -> None:
        with databases.admin(server) as connection:
            connection.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
                    sql.Identifier(copy), sql.Literal(allow)
                )
            )
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [copy]
            )

    return act


def test_a_service_without_anything_applied_becomes_ready_by_itself(
    empty_database: str, small_months: Path
) -> None:
    from jobs.apply import apply
    from jobs.ingest import ingest
    from jobs.ledger import recorded
    from jobs.materialize import materialize

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
        assert "streamflow_api_ready 1.0" in client.get("/metrics").text
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
    with serving() as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        disconnect(False)
        began = time.monotonic()
        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(client.get, [USER] * 20))
        assert time.monotonic() - began < 4  # the timeout once, not for each after the other
        for answer in answers:
            assert_problem(answer, 503, "not-ready", "does not answer")
        wait_until(unready(client, "does not answer"), 5)
        assert client.get("/livez").status_code == 200
        began = time.monotonic()
        assert_problem(client.get(USER), 503, "not-ready")
        assert time.monotonic() - began < 0.5  # known to be away: no attempt of its own
        disconnect(True)
        wait_until(lambda: ready(client), 5)
        assert client.get(USER).json()["features"]["months_active"] == 1


def test_broken_connections_are_replaced_without_an_error(
    disconnect: Callable[[bool], None],
) -> None:
    with serving(registry_refresh_s=60) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        disconnect(True)
        assert client.get(USER).status_code == 200


@pytest.fixture
def proxy(server: dict[str, str], copy: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What PG* points at, in front of `copy`."""
    with Proxy(server) as proxy:
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", str(proxy.port))
        yield proxy


def test_a_database_that_falls_silent_is_a_problem_and_not_for_ever(proxy: Proxy) -> None:
    with serving(deadline_s=1.5, registry_refresh_s=60) as client:
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
        proxy.answer_new()
        wait_until(lambda: ready(client), 5)
        assert client.get(USER).status_code == 200


def test_connections_that_fall_silent_alone_are_replaced(proxy: Proxy) -> None:
    """As after the death of a node, when another one answers under the same name."""
    from feast import FeatureService

    with serving(deadline_s=1, registry_refresh_s=0.3) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        proxy.fall_silent()
        proxy.answer_new()
        assert_problem(client.get(USER), 503, "not-ready")
        wait_until(lambda: ready(client), 8)
        assert client.get(USER).status_code == 200
        with open_store("auto") as store:
            view = store.get_feature_view("today_fv")
            store.apply(FeatureService(name="later_v1", features=[view]), partial=True)
        wait_until(lambda: client.get(f"{USER}?service=later_v1").status_code == 200, 8)


def test_a_registry_that_is_gone_is_a_problem(copy: str) -> None:
    with serving(registry_refresh_s=0.3) as client:
        wait_until(lambda: ready(client))
        statement("ALTER SCHEMA registry RENAME TO elsewhere")
        wait_until(unready(client, "Nothing was applied to the database."), 5)
        assert_problem(client.get(USER), 503, "not-ready", "nothing was applied")
        statement("ALTER SCHEMA elsewhere RENAME TO registry")
        wait_until(lambda: ready(client), 5)
        assert client.get(USER).status_code == 200


def test_a_missing_online_table_is_a_problem_of_its_own_view_alone(copy: str) -> None:
    with serving() as client:
        wait_until(lambda: ready(client))
        statement("ALTER TABLE online.streamflow_support_agg_90d_fv RENAME TO elsewhere")
        assert_problem(client.get("/readyz"), 503, "not-ready", "online tables are not there yet")
        assert_problem(client.get(USER), 503, "not-ready")
        assert client.get(f"{USER}?service=profile_v1").status_code == 200
        statement("ALTER TABLE online.elsewhere RENAME TO streamflow_support_agg_90d_fv")
        assert client.get(USER).status_code == 200
        assert ready(client)


def test_readiness_answers_while_all_threads_read(
    copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.session import Session

    read, go_on = Session.read, threading.Event()

    def slow(self: Session, contract: Any, user_ids: list[str]) -> Any:
        if user_ids == ["7590-VHVEG"]:
            go_on.wait(10)
        return read(self, contract, user_ids)

    monkeypatch.setattr(Session, "read", slow)
    with serving(threads=2) as client, ThreadPoolExecutor(5) as threads:
        wait_until(lambda: ready(client))
        answers = [threads.submit(client.get, USER) for _ in range(5)]
        wait_until(lambda: "in_flight 6.0" in client.get("/metrics").text)
        assert ready(client)
        assert client.get("/livez").status_code == 200
        go_on.set()
        assert [one.result().status_code for one in answers] == [200] * 5


def test_a_request_that_waits_too_long_for_its_turn_is_told_so(
    copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.session import Session

    read, go_on = Session.read, threading.Event()

    def slow(self: Session, contract: Any, user_ids: list[str]) -> Any:
        if user_ids == ["slow"]:
            go_on.wait(10)
        return read(self, contract, user_ids)

    monkeypatch.setattr(Session, "read", slow)
    with serving(threads=1, deadline_s=1) as client, ThreadPoolExecutor(1) as threads:
        wait_until(lambda: ready(client))
        hanging = threads.submit(client.get, "/features/slow")
        time.sleep(0.2)
        assert_problem(hanging.result(), 503, "not-ready", "did not answer in time")
        go_on.set()
        assert client.get(USER).status_code == 200
        assert ready(client)


def test_nothing_of_the_database_is_told(copy: str) -> None:
    with serving() as client:
        wait_until(lambda: ready(client))
        statement("ALTER TABLE online.streamflow_subs_profile_fv RENAME COLUMN value TO v")
        response = client.get(USER)
        assert response.status_code >= 500
        assert not re.search(
            "column|relation|select|streamflow_subs|psycopg", response.text.lower()
        )
