"""While `apply` changes the online tables, readers and writers notice nothing and lose nothing."""

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from feast import FeatureStore, RepoConfig
from feast.types import Float64, Int32, Int64, String

from streamflow.errors import StoreUnavailable
from streamflow.online import tables as online_tables
from streamflow.tests.online.projects import (
    PRICES,
    T0,
    USER,
    applied,
    apply,
    catalog,
    config_of,
    one_price,
    opened,
    prices,
    stored,
    tables,
    view_of,
    write,
)


def test_no_row_is_lost_that_is_written_while_a_table_is_copied(
    feast_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online_tables, "MOST_COLUMNS", 5)
    monkeypatch.setattr(online_tables, "LOCK_WAIT_MS", 10_000)
    with applied(USER, prices()) as store, psycopg.connect() as writer:
        one_price(store)
        writer.execute("""INSERT INTO online."shop:user_id" (user_id) VALUES ('late')""")
        copying = threading.Thread(
            target=apply, args=[store, view_of("prices", {"price": Int32, "name": String}, USER)]
        )
        copying.start()
        wait_until(waits_for_a_lock)
        writer.commit()
        copying.join()
        found = writer.execute('SELECT user_id FROM online."shop:user_id" ORDER BY 1').fetchall()
        assert found == [("late",), ("u",)]


def waits_for_a_lock() -> bool:
    with psycopg.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE NOT l.granted AND c.relname = 'shop:user_id'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
    return row is not None and row[0] > 0


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came to be")


@pytest.fixture
def long_reader(feast_database: str) -> Iterator[tuple[FeatureStore, psycopg.Connection]]:
    """A project, and a transaction that has read its table and does not end."""
    with applied(USER, prices()) as store, psycopg.connect() as reader:
        reader.execute('SELECT FROM online."shop:user_id"')
        yield store, reader


def test_an_apply_waits_for_a_long_reader_in_short_turns(
    long_reader: tuple[FeatureStore, psycopg.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, reader = long_reader
    monkeypatch.setattr(online_tables, "LOCK_WAIT_MS", 10)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            reader.commit()

    # For this module alone: threads of other tests sleep as well.
    monkeypatch.setattr(online_tables, "time", SimpleNamespace(sleep=pause))
    apply(store, view_of("prices", {"price": Int64}, USER))
    assert pauses == [0.01] * 3
    assert "prices:name" not in tables()["shop:user_id"]


def test_an_apply_gives_up_when_a_reader_never_ends(
    long_reader: tuple[FeatureStore, psycopg.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, reader = long_reader
    monkeypatch.setattr(online_tables, "LOCK_WAIT_MS", 10)
    monkeypatch.setattr(online_tables, "ATTEMPTS", 3)
    with pytest.raises(
        StoreUnavailable,
        match=f"in use by process {reader.info.backend_pid} .* stay as they were: apply again",
    ):
        apply(store, view_of("prices", {"price": Int64}, USER))
    assert tables() == {"shop:user_id": PRICES}
    assert catalog() == (1, "shop")
    reader.commit()
    apply(store, view_of("prices", {"price": Int64}, USER))
    assert catalog() == (2, "shop")


@pytest.mark.slow
@pytest.mark.parametrize("refresh", [True, False])
def test_readers_notice_nothing_of_applies(feast_database: str, refresh: bool) -> None:
    """Readers use the newest definitions, or ones from before all the applies."""
    done = threading.Event()
    errors: list[BaseException] = []
    seen: list[list[Any]] = []

    def reads(config: RepoConfig) -> None:
        features = ["price"] if refresh else ["price", "name", "changing"]
        try:
            with opened(config) as store:
                while not done.is_set() or len(seen) < 10:
                    if refresh:
                        store.refresh_registry()
                    seen.append(stored(store, *features))
        except BaseException as error:
            errors.append(error)

    def changing(dtype: Any) -> Any:
        return view_of("prices", {"price": Int64, "name": String, "changing": dtype}, USER)

    with applied(USER, changing(String)) as store:
        write(store, "prices", [({"user_id": "u"}, {"price": 5, "name": "x"}, T0, None)])
        reader = threading.Thread(target=reads, args=[config_of()])
        reader.start()
        for number in range(20):
            apply(
                store,
                prices() if number % 4 == 3 else changing([Int64, Float64, String][number % 4]),
            )
        done.set()
        reader.join()
    assert errors == []
    assert {tuple(row) for row in seen} == {(5,) if refresh else (5, "x", None)}
