"""Rows that are dated further ahead than the database's clock allows: 2099, by mistake."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import FeatureStore, PushSource
from feast.data_source import PushMode

from streamflow.online import write as online_write
from streamflow.tests.offline.projects import store_of, table
from streamflow.tests.offline.projects import view_of as offline_view
from streamflow.tests.online.projects import T0, USER, applied, prices, truncate, write

FAR = datetime(2099, 1, 1, tzinfo=UTC)
SAID = r"row 2: its time 2099-01-01T00:00:00\+00:00 is after .* STREAMFLOW_MAX_AHEAD_S"


@pytest.fixture(scope="module")
def project(module_database: str) -> Iterator[FeatureStore]:
    with applied(USER, prices()) as found:
        yield found


@pytest.fixture
def store(project: FeatureStore) -> FeatureStore:
    """A project whose view `prices` has no rows."""
    truncate("online")
    online = project._get_provider().online_store
    for counted in (online.rows_given, online.rows_written, online.rows_older, online._held):
        counted.clear()
    return project


def row(user: str, event: datetime, price: int = 0, created: datetime | None = None) -> Any:
    return ({"user_id": user}, {"price": price, "name": ""}, event, created)


def stored() -> dict[str, tuple[Any, ...]]:
    """Event time and price of each user."""
    with psycopg.connect() as connection:
        found = connection.execute(
            'SELECT user_id, "prices@event_ts", "prices:price" FROM online."shop:user_id"'
        )
        return {user: values for user, *values in found}


def pin(store: FeatureStore, user: str) -> None:
    """Stores a row of 2099, as an earlier version let it in."""
    write(store, "prices", [row(user, T0, 99)])
    with psycopg.connect() as connection:
        connection.execute(
            'UPDATE online."shop:user_id" SET "prices@event_ts" = %s WHERE user_id = %s',
            [FAR, user],
        )


@pytest.mark.parametrize("few", [0, 16])
@pytest.mark.parametrize("created", [False, True])
def test_a_batch_with_a_row_too_far_ahead_is_refused(
    store: FeatureStore, few: int, created: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online_write, "FEW", few)
    far = row("b", T0, 2, FAR) if created else row("b", FAR, 2)
    with pytest.raises(ValueError, match=f"^feature view prices, {SAID}"):
        write(store, "prices", [row("a", T0, 1), far, row("c", FAR, 3)])
    assert stored() == {}


def test_the_database_s_clock_and_the_setting_decide(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect() as connection:
        ((now,),) = connection.execute("SELECT clock_timestamp()").fetchall()
    hour = timedelta(hours=1)
    write(store, "prices", [row("a", now + 23 * hour)])
    with pytest.raises(ValueError, match="row 1: its time"):
        write(store, "prices", [row("b", now + 25 * hour)])
    monkeypatch.setenv("STREAMFLOW_MAX_AHEAD_S", str(26 * 3600))
    write(store, "prices", [row("b", now + 25 * hour)])
    monkeypatch.setenv("STREAMFLOW_MAX_AHEAD_S", "0")
    with pytest.raises(ValueError, match=r"allows \(0 s\)"):
        write(store, "prices", [row("c", now + hour)])
    assert sorted(stored()) == ["a", "b"]


@pytest.mark.parametrize("few", [0, 16])
def test_rows_that_are_kept_back_are_counted_and_what_pins_their_keys_is_said_once(
    store: FeatureStore, few: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(online_write, "FEW", few)
    write(store, "prices", [row("a", T0 + timedelta(days=2), 1)])
    pin(store, "b")
    online = store._get_provider().online_store
    given, written, older = online.counts("prices")
    batch = [row("a", T0, 5), row("b", T0, 6), row("c", T0, 7), row("c", T0, 7)]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            write(store, "prices", batch)
    assert online.counts("prices") == (given + 8, written + 1, older + 2 * 2)
    assert {user: found[1] for user, found in stored().items()} == {"a": 1, "b": 99, "c": 7}
    (said,) = [one for one in caplog.records if "kept back" in one.message]
    assert (said.view, said.rows) == ("prices", 1)  # type: ignore[attr-defined]


def test_what_pins_a_key_gives_way_to_force(store: FeatureStore) -> None:
    pin(store, "b")
    store.config.online_store.force = True
    try:
        write(store, "prices", [row("b", T0, 6)])
        with pytest.raises(ValueError, match="row 1: its time 2099"):
            write(store, "prices", [row("b", FAR, 6)])
    finally:
        store.config.online_store.force = False
    assert stored() == {"b": [T0, 6]}


def frame(*times: datetime) -> pd.DataFrame:
    count = len(times)
    columns = {"user_id": [f"u{n}" for n in range(count)], "item_id": 1, "at": times}
    rest = {"created": T0, "clicks": range(count), "score": 0.5, "note": "x"}
    return pd.DataFrame({**columns, **rest})


@pytest.mark.parametrize("column", ["at", "created"])
def test_rows_too_far_ahead_are_not_written_to_a_source(
    feast_database: str, tmp_path: Path, column: str
) -> None:
    table("v")
    store = store_of(tmp_path, offline_view("v"))
    rows = frame(T0, T0).assign(**{column: [T0, FAR]})
    said = f"^feature view v, row 2, column {column}: 2099-01-01.* STREAMFLOW_MAX_AHEAD_S"
    with pytest.raises(ValueError, match=said):
        store.write_to_offline_store("v", rows)
    store.write_to_offline_store("v", frame(T0, T0))
    with psycopg.connect() as connection:
        assert connection.execute("SELECT count(*) FROM source.v").fetchone() == (2,)


def test_neither_are_those_of_a_push(feast_database: str, tmp_path: Path) -> None:
    """Rows of a push, which Feast writes online first and then to the source."""
    table("v")
    batch = offline_view("v").batch_source
    view = offline_view("v", source=PushSource(name="pushed", batch_source=batch))
    store = store_of(tmp_path, view)
    with pytest.raises(ValueError, match="feature view v, row 1, column at: 2099"):
        store.push("pushed", frame(FAR), to=PushMode.OFFLINE)
