"""A database with materialized features, and the real server in front of it."""

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from api.app import create_app
from api.http.server import server_of
from api.postgres.session import Overdue, Session
from api.settings import ApiSettings
from streamflow.catalog.model import FORMAT, READ, Catalog, parse

TABLE = 'online."streamflow:user_id"'
"""The online table of all views that have user_id alone as join key."""


@pytest.fixture(scope="session")
def databases(pytestconfig: pytest.Config) -> Any:
    """The module of the root conftest.py, for its helpers; several modules have its name."""
    return pytestconfig.pluginmanager.get_plugin(str(pytestconfig.rootpath / "conftest.py"))


@pytest.fixture(scope="session")
def loaded_template(
    databases: Any, server: dict[str, str], template: str, small_months: Path
) -> Iterator[str]:
    """A database with month_000 and some odd views materialized, to be copied."""
    from api.tests.odd_objects import odd_objects
    from jobs.ingest.load import ingest
    from jobs.materialization.materialize import materialize
    from jobs.run.ledger import recorded
    from streamflow.feast.registry.open import open_store

    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, template, monkeypatch) as name,
    ):
        with open_store("auto") as store:
            store.apply(odd_objects(), partial=True)
        with recorded("ingest") as run:
            ingest(run, small_months / "month_000", date(2024, 1, 31))
        with recorded("materialize", views=[]) as run:
            materialize(run)
        yield name


@pytest.fixture(scope="module")
def loaded(databases: Any, server: dict[str, str], loaded_template: str) -> Iterator[str]:
    """The name of a database with features; PG* points at it."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, loaded_template, monkeypatch) as name,
    ):
        yield name


@pytest.fixture(scope="session")
def rich_template(databases: Any, server: dict[str, str], loaded_template: str) -> Iterator[str]:
    """A database like `loaded_template` with the objects and rows of feast_objects.py besides."""
    from api.tests.feast import feast_objects
    from streamflow.feast.registry.open import open_store

    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, loaded_template, monkeypatch) as name,
    ):
        with open_store("auto") as store:
            profile = store.get_feature_view("subs_profile_fv")
            store.apply(feast_objects.objects(profile), partial=True)
            feast_objects.write(store)
        yield name


@pytest.fixture(scope="module")
def rich(databases: Any, server: dict[str, str], rich_template: str) -> Iterator[str]:
    """The name of a database with views of many kinds; PG* points at it."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, rich_template, monkeypatch) as name,
    ):
        yield name


@pytest.fixture(scope="module")
def client(loaded: str) -> Iterator[httpx.Client]:
    """Talks to a server in front of `loaded`."""
    with serving() as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        yield client


@pytest.fixture(scope="module")
def rich_client(rich: str) -> Iterator[httpx.Client]:
    """Talks to a server in front of `rich`."""
    with serving() as client:
        wait_until(lambda: ready(client))
        yield client


@pytest.fixture
def copy(
    databases: Any, server: dict[str, str], loaded_template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The name of a database with features that a test may spoil; PG* points at it."""
    with databases.database_of(server, loaded_template, monkeypatch) as name:
        yield name


@contextmanager
def serving(app: Any = None, **settings: Any) -> Iterator[httpx.Client]:
    """The real server on a free port, with these settings; yields a client of it."""
    chosen = ApiSettings(**settings)
    server = server_of(app or create_app(chosen), chosen)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=[[listener]], name="server")
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            # A pool that closes what is beyond its number may close what another thread reads.
            unbounded = httpx.Limits(max_connections=None, max_keepalive_connections=None)
            with httpx.Client(base_url=url, timeout=30, limits=unbounded) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def statement(text: str) -> None:
    """Run a statement in the database that PG* points at."""
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(text)  # type: ignore[call-overload]


def rewrite(change: Callable[[Catalog], Catalog], sql: str = "", format_: int = FORMAT) -> int:
    """Make another catalog in one transaction with the statements `sql`; returns its version."""
    with psycopg.connect() as connection:
        row = connection.execute(f"{READ} FOR UPDATE").fetchone()  # type: ignore[call-overload]
        assert row is not None
        document = change(parse(row[0], FORMAT, row[2])).document()
        connection.execute(sql)  # type: ignore[call-overload]
        connection.execute(
            "UPDATE ops.catalog SET version = version + 1, format = %s, document = %s",
            [format_, document],
        )
        return int(row[0]) + 1


def metric(client: httpx.Client, line: str) -> float:
    """The value of one line of /metrics, 0 where it is not there yet."""
    found = re.search(rf"^{re.escape(line)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@contextmanager
def held(
    monkeypatch: pytest.MonkeyPatch, key: str, past_deadline: bool = False
) -> Iterator[threading.Event]:
    """Holds every query that asks for `key`, as a slow database would, until the event is set."""
    fetch, go_on = Session.fetch, threading.Event()

    async def slow(self: Session, query: str, arguments: Any, ends: float) -> Any:
        while arguments and key in arguments[0] and not go_on.is_set():
            if asyncio.get_running_loop().time() > ends and not past_deadline:
                raise Overdue
            await asyncio.sleep(0.01)
        return await fetch(self, query, arguments, ends)

    monkeypatch.setattr(Session, "fetch", slow)
    try:
        yield go_on
    finally:
        go_on.set()


def ready(client: httpx.Client) -> bool:
    """True if /readyz answers 200."""
    return client.get("/readyz").status_code == 200


def unready(client: httpx.Client, detail: str) -> Callable[[], bool]:
    """A condition to wait for: /readyz gives that reason."""
    return lambda: detail in client.get("/readyz").json().get("detail", "")


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> float:
    """Wait until `holds` is true; returns the seconds that it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it never came"
        time.sleep(0.05)
    return time.monotonic() - began


INTERNAL = (
    "asyncpg",
    "psycopg",
    "sqlalchemy",
    "feast.",
    "traceback",
    "select ",
    "postgres",
    ".s.pgsql",
    "pool",
)


def assert_problem(
    response: httpx.Response, status: int, name: str | None, detail: str = ""
) -> dict[str, Any]:
    """Require that a response is this problem and has nothing internal; returns its body.

    Args:
        name: of one of our kinds; None for one that HTTP itself defines.
    """
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == (f"urn:streamflow:problem:{name}" if name else "about:blank")
    assert body["status"] == status
    assert body["title"]
    assert body["instance"] == f"urn:uuid:{response.headers['x-request-id']}"
    assert detail.lower() in body["detail"].lower()
    assert body["detail"].endswith(".")
    assert not [word for word in INTERNAL if word in response.text.lower()], response.text
    assert (response.headers.get("retry-after", "") != "") is (status in (429, 503))
    if status == 503:
        assert response.headers["retry-after"] == "1"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    return body
