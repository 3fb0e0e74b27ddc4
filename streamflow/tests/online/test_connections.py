"""The store's connections break, run out and end without a failed read or one that is left."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from feast import FeatureStore

from streamflow.errors import StoreUnavailable
from streamflow.feast.online.connect import pool_options
from streamflow.online import pool as online_pool
from streamflow.online.pool import Settings
from streamflow.tests.online.projects import (
    T0,
    USER,
    applied,
    config_of,
    feast_rows,
    opened,
    prices,
    read,
    values,
    write,
)

KEYS = {"user_id": ["u"]}


@pytest.fixture
def store(feast_database: str) -> Iterator[FeatureStore]:
    with applied(USER, prices()) as store:
        write(store, "prices", [({"user_id": "u"}, {"price": 5, "name": "x"}, T0, None)])
        yield store


def price(store: FeatureStore) -> Any:
    return values(store, ["prices:price"], KEYS)["price"]


def connections(store: FeatureStore) -> Any:
    return store._get_provider().online_store._connections


def settings_of(store: FeatureStore) -> Settings:
    """The settings of its pool."""
    return partial(pool_options, store.config)


def test_no_read_fails_when_all_backends_are_killed(store: FeatureStore) -> None:
    fill(store, 5)
    for _ in range(3):
        kill()
        assert price(store) == [5]
        assert asyncio.run(later(store)) == [5]


def test_no_write_fails_when_all_backends_are_killed(store: FeatureStore) -> None:
    fill(store, 5)
    kill()
    write(store, "prices", [({"user_id": "u"}, {"price": 6, "name": "x"}, T0, None)])
    assert price(store) == [6]


def test_a_read_whose_backend_is_killed_meanwhile_is_done_again(store: FeatureStore) -> None:
    killed: list[int] = []

    def work(connection: psycopg.Connection) -> Any:
        if not killed:
            killed.append(connection.info.backend_pid)
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return connection.info.backend_pid

    assert connections(store).run(settings_of(store), work) not in killed


async def later(store: FeatureStore) -> Any:
    found = await store.get_online_features_async(["prices:price"], KEYS)
    return found.to_dict()["price"]


def fill(store: FeatureStore, count: int) -> None:
    """Opens `count` connections at once."""
    together = threading.Barrier(count)

    def wait(connection: psycopg.Connection) -> None:
        together.wait(30)

    threads = [
        threading.Thread(target=connections(store).run, args=[settings_of(store), wait])
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def kill() -> None:
    """Ends every other connection to the database."""
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_reads_wait_for_a_free_connection(feast_database: str) -> None:
    with applied(USER, prices(), max_conn=1) as store:
        held, go = threading.Event(), threading.Event()

        def hold(connection: psycopg.Connection) -> None:
            held.set()
            go.wait(30)

        holder = threading.Thread(target=connections(store).run, args=[settings_of(store), hold])
        holder.start()
        held.wait(30)
        answers: list[Any] = []
        reader = threading.Thread(target=lambda: answers.append(price(store)))
        reader.start()
        reader.join(0.1)
        assert answers == []
        go.set()
        reader.join()
        holder.join()
        assert answers == [[None]]


def test_a_read_that_gets_no_connection_says_why(
    feast_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_CONNECT_TIMEOUT_S", "1")
    with applied(USER, prices(), max_conn=1) as store:

        def read_inside(connection: psycopg.Connection) -> None:
            with pytest.raises(
                StoreUnavailable,
                match="no connection to the online store within 1 s; 1 of at most 1 are open",
            ):
                price(store)

        connections(store).run(settings_of(store), read_inside)
        assert price(store) == [None]


def test_a_server_that_is_not_there_is_an_error_that_says_so(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_CONNECT_TIMEOUT_S", "1")
    with (
        opened(config_of(port=1)) as elsewhere,
        pytest.raises(StoreUnavailable, match="no connection to the online store within 1 s"),
    ):
        price(elsewhere)


@pytest.mark.parametrize("error", [psycopg.errors.DivisionByZero, KeyboardInterrupt])
def test_an_error_gives_the_connection_back(feast_database: str, error: type) -> None:
    def fail(connection: psycopg.Connection) -> None:
        if error is KeyboardInterrupt:
            raise KeyboardInterrupt
        connection.execute("SELECT 1 / 0")

    with applied(USER, prices(), max_conn=2) as store:
        for _ in range(5):
            with pytest.raises(error):
                connections(store).run(settings_of(store), fail)
            assert price(store) == [None]
        stats = connections(store)._pool.get_stats()
        assert stats["pool_available"] == stats["pool_size"] <= 2


def test_work_that_always_fails_ends(store: FeatureStore) -> None:
    attempts: list[int] = []

    def work(connection: psycopg.Connection) -> None:
        attempts.append(connection.info.backend_pid)
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(StoreUnavailable, match="terminating connection"):
        connections(store).run(settings_of(store), work)
    assert len(attempts) == online_pool.ATTEMPTS


def test_the_time_zone_of_the_role_changes_nothing(
    feast_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    naive = T0.replace(tzinfo=None)
    monkeypatch.delenv("PGTZ", raising=False)
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {feast_database} SET TimeZone = 'America/New_York'")
        monkeypatch.delenv("PGTZ", raising=False)
    with applied(USER, prices()) as store:
        monkeypatch.delenv("PGTZ", raising=False)
        zone = connections(store).run(
            settings_of(store), lambda one: one.info.parameter_status("TimeZone")
        )
        assert zone == "UTC"
        write(store, "prices", [({"user_id": "u"}, {"price": 5, "name": "x"}, naive, naive)])
        assert read(store, ["prices:price"], KEYS)["price"][0][2] == T0
        view, online = store.get_feature_view("prices"), store._get_provider().online_store
        ((when, _),) = online.online_read(
            store.config,
            view,
            [key for key, *_ in feast_rows(view, [({"user_id": "u"}, {}, T0, None)])],
        )
        assert when == T0


def test_threads_share_a_pool(store: FeatureStore) -> None:
    store._get_provider().online_store.release()
    answers: list[Any] = []
    start = threading.Barrier(8)

    def reads() -> None:
        start.wait(30)
        answers.extend(price(store) for _ in range(20))

    threads = [threading.Thread(target=reads) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[5]] * 160
    assert open_connections("streamflow") <= store.config.online_store.max_conn + 2


def test_a_closed_store_leaves_no_connection(feast_database: str) -> None:
    """The store is closed as Feast's server does, and as ours does, and opened again between."""
    with applied(USER, prices()) as store:
        asyncio.run(store.initialize())
        assert asyncio.run(later(store)) == [None]
        assert asyncio.run(later(store)) == [None]  # in another event loop
        asyncio.run(store.close())
        assert price(store) == [None]
        store._get_provider().online_store.release()
        store._get_provider().online_store.release()
        assert price(store) == [None]
    gc.collect()  # a connection that was forgotten warns
    assert open_connections() == 0


def open_connections(name: str = "") -> int:
    with psycopg.connect(autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND (%(name)s = '' OR application_name = %(name)s)",
            {"name": name},
        ).fetchone()
    assert row is not None
    return int(row[0])
