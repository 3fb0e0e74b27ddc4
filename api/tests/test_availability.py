"""The database and the registry come, go and change while the service runs."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from api.tests.conftest import assert_problem, odd_objects, serving, wait_until
from conftest import admin, database_of, drop
from feature_repo.store import open_store

USER = "/features/7590-VHVEG"


@pytest.fixture(autouse=True)
def _short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting gives up after the shortest time there is."""
    monkeypatch.setenv("STREAMFLOW_CONNECT_TIMEOUT_S", "2")


@pytest.fixture
def copy(
    server: dict[str, str], loaded_template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The name of a database with features that a test may spoil; PG* points at it."""
    with database_of(server, loaded_template, monkeypatch) as name:
        yield name


def ready(client: httpx.Client) -> bool:
    return client.get("/readyz").status_code == 200


def unready(client: httpx.Client, detail: str) -> Callable[[], bool]:
    return lambda: detail in client.get("/readyz").json().get("detail", "")


def statement(text: str) -> None:
    """Runs it in the database that PG* points at."""
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(text)  # type: ignore[call-overload]


def disconnect(server: dict[str, str], name: str, allow: bool) -> None:
    """Ends all connections to the database, and lets new ones in or not."""
    with admin(server) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
                sql.Identifier(name), sql.Literal(allow)
            )
        )
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )


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
    server: dict[str, str], loaded_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {**server, "PGDATABASE": "test_later"}.items():
        monkeypatch.setenv(variable, value)
    with serving() as client:
        wait_until(unready(client, "The database does not answer."))
        assert_problem(client.get(USER), 503, "not-ready", "does not answer")
        with admin(server) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE test_later TEMPLATE {}").format(
                    sql.Identifier(loaded_template)
                )
            )
        try:
            wait_until(lambda: ready(client), 5)
            assert client.get(USER).status_code == 200
        finally:
            with admin(server) as connection:
                drop(connection, "test_later")


def test_a_database_that_goes_away_is_a_problem_and_back_it_is_none(
    server: dict[str, str], copy: str
) -> None:
    with serving() as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        disconnect(server, copy, allow=False)
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
        disconnect(server, copy, allow=True)
        wait_until(lambda: ready(client), 5)
        assert client.get(USER).json()["features"]["months_active"] == 1


def test_broken_connections_are_replaced_without_an_error(
    server: dict[str, str], copy: str
) -> None:
    with serving(registry_refresh_s=60) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).status_code == 200
        disconnect(server, copy, allow=True)
        assert client.get(USER).status_code == 200


def test_a_database_that_falls_silent_is_a_problem_and_not_for_ever(
    server: dict[str, str], copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(server) as proxy:
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", str(proxy.port))
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
            # As after a node's death: new connections work, old ones stay silent.
            proxy.answer_new()
            wait_until(lambda: ready(client), 5)
            assert client.get(USER).status_code == 200


def test_a_service_applied_by_another_process_is_served_within_seconds(database: str) -> None:
    with serving() as client:
        wait_until(lambda: ready(client))
        path = f"{USER}?service=copies_v1"
        assert_problem(client.get(path), 422, "unknown-name", "known: churn_v1, profile_v1.")
        with open_store("auto") as store:
            store.apply(odd_objects(), partial=True)
        took = wait_until(lambda: client.get(path).status_code != 422, 8)
        assert took < 6
        assert_problem(client.get(path), 404, "unknown-user")
        assert client.get("/services/copies_v1").json()["features"][0]["view"] == "subs_copy_fv"


def test_a_changed_and_a_removed_service_are_noticed(copy: str) -> None:
    from feast import FeatureService

    with serving(registry_refresh_s=0.3) as client:
        wait_until(lambda: ready(client))
        before = client.get(f"{USER}?service=copies_v1").json()
        with open_store("auto") as store:
            views = [store.get_feature_view(one) for one in ("today_fv", "subs_copy_fv")]
            store.apply(FeatureService(name="copies_v1", features=views), partial=True)
        changed: dict[str, Any] = {}

        def is_changed() -> bool:
            changed.update(client.get(f"{USER}?service=copies_v1").json())
            return changed["metadata"]["contract"] != before["metadata"]["contract"]

        wait_until(is_changed, 3)
        assert list(before["features"]) == ["user_id", "months_active"]
        assert list(changed["features"]) == ["user_id", "score", "months_active"]
        with open_store("auto") as store:
            store.delete_feature_service("copies_v1")
            store.delete_feature_view("subs_copy_fv")
        answers = []

        def is_removed() -> bool:
            answers.append(client.get(f"{USER}?features=subs_copy_fv:months_active"))
            return answers[-1].status_code == 422

        wait_until(is_removed, 3)
        assert {answer.status_code for answer in answers} <= {200, 422, 503}
        assert_problem(client.get("/services/copies_v1"), 404, "unknown-name")
        assert client.get(USER).status_code == 200


def test_without_the_default_service_others_are_served_but_it_is_not_ready(copy: str) -> None:
    with serving(service="absent_v1") as client:
        wait_until(unready(client, "no feature service absent_v1"))
        assert_problem(client.get("/readyz"), 503, "not-ready", "the registry has no feature serv")
        assert_problem(client.get(USER), 422, "unknown-name", "'absent_v1'")
        assert client.get(f"{USER}?service=profile_v1").status_code == 200


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


class Proxy:
    """A port in front of PostgreSQL's socket that can fall silent without closing anything."""

    def __init__(self, server: dict[str, str]) -> None:
        self.target = f"{server['PGHOST']}/.s.PGSQL.{server['PGPORT']}"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.silent = False
        self.generation = 0
        self.sockets = [self.listener]

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def fall_silent(self) -> None:
        """Nothing passes any more; new connections are taken and not answered."""
        self.silent, self.generation = True, self.generation + 1

    def answer_new(self) -> None:
        """New connections work; those from before stay silent."""
        self.silent = False

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.sockets.append(client)
                if not self.silent:
                    self.connect(client)

    def connect(self, client: socket.socket) -> None:
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(self.target)
        self.sockets.append(upstream)
        for source, sink in ((client, upstream), (upstream, client)):
            threading.Thread(
                target=self.pass_on, args=[source, sink, self.generation], daemon=True
            ).start()

    def pass_on(self, source: socket.socket, sink: socket.socket, generation: int) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if generation == self.generation:
                    sink.sendall(data)
            if generation == self.generation:
                sink.shutdown(socket.SHUT_WR)
