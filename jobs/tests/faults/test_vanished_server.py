"""No connection of any command waits for ever for a server that vanished without a word."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from drills.network import Network
from drills.proxy import Watched
from jobs.backup.place import Place
from jobs.backup.requests import Request
from jobs.backup.restore import prepare
from jobs.tests.acting import streamflow
from jobs.tests.backup.test_restore import SCRIPTS, back_up
from streamflow.errors import StoreUnavailable
from streamflow.feast.connection import connect_as_feast
from streamflow.feast.offline import connect as offline_connection
from streamflow.feast.online.connect import options
from streamflow.feast.registry.open import open_store
from streamflow.postgres import options as connection_options
from streamflow.postgres.connect import connect

EXPECTED = {
    "SO_KEEPALIVE": 1,
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 25_000,
}


@pytest.fixture
def watched(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """A proxy in front of the server, through which all connections go."""
    with Watched(server) as proxy:
        for name, value in proxy.environment.items():
            monkeypatch.setenv(name, value)
        yield proxy


def assert_all_end(watched: Watched, fewest: int) -> None:
    """Asserts that so many connections were seen, and that the kernel ends a wait on each."""
    found, watched.options = watched.options, {}
    assert len(found) >= fewest
    assert [one for one in found.values() if one != EXPECTED] == []


@pytest.mark.slow
def test_every_connection_of_every_command_ends_with_its_server(
    empty_database: str, watched: Watched, small_months: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "january.parquet")
    for fewest, *arguments in (
        (7, "apply"),
        (2, "apply", "--plan"),
        (3, "ingest", str(small_months / "month_000"), "--as-of", "2024-01-31", "--materialize"),
        (3, "training-set", "--as-of", "2024-01-31", "--out", out),
        (2, "verify", out),
        (3, "materialize"),
        (4, "audit", "--users", "5"),
        (2, "features", "0002-ORFBO"),
        (1, "runs"),
        (1, "wait"),
        (1, "db", "create", os.environ["PGDATABASE"]),
    ):
        done = streamflow(*arguments)
        assert done.exit_code == 0, done.output
        assert_all_end(watched, fewest)


def test_every_connection_of_a_restore_does(
    january: str, drop_leftover_databases: None, tmp_path: Path, server: dict[str, str]
) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    name = back_up(backups, january)
    with Watched(server) as proxy, pytest.MonkeyPatch.context() as patch:
        for variable, value in proxy.environment.items():
            patch.setenv(variable, value)
        folder = tmp_path / "plan"
        folder.mkdir()
        asks = Request("2024-02-01 lost", Place(str(backups)), "streamflow")
        prepare(name, asks, {"streamflow": january}, True, folder)
        assert_all_end(proxy, 3)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_wait_for_an_answer_ends_with_the_server(
    database: str, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of connection that a job waits on ends with an error once the server is silent."""
    with Network(server) as network, open_store() as store, ThreadPoolExecutor(5) as threads:
        config = store.config
        for store_config in (config.offline_store, config.online_store):
            store_config.host, store_config.port = network.host, int(network.port)
        for name, value in network.environment.items():
            monkeypatch.setenv(name, value)
        waiting = threading.Semaphore(0)

        def wait(opened: Callable[[], Any]) -> None:
            with opened() as connection:
                execute = getattr(connection, "exec_driver_sql", connection.execute)
                waiting.release()
                execute("SELECT pg_sleep(600)")

        ways: tuple[Callable[[], Any], ...] = (
            connect,
            lambda: offline_connection.connect(config.offline_store),
            lambda: psycopg.connect(**options(config)),
            lambda: create_engine(config.registry.path).connect(),
            lambda: connect_as_feast(config.offline_store),
        )
        ended = [threads.submit(wait, one) for one in ways]
        for _ in ways:
            assert waiting.acquire(timeout=20)
        network.vanish()
        for one in ended:
            with pytest.raises((StoreUnavailable, psycopg.OperationalError, OperationalError)):
                one.result(timeout=90)


def test_what_libpq_is_told_on_a_command_line_is_the_same() -> None:
    """PostgreSQL's own programs have no Python; the chart's scripts repeat the numbers."""
    said = " ".join(f"{name}={value}" for name, value in connection_options.keepalives().items())
    for name in ("dump.sh", "restore.sh"):
        assert said in (SCRIPTS / name).read_text()
