"""Newest wins, whatever the order of rows and batches; all of a batch is written or nothing."""

import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.online import write as online_write
from streamflow.tests.online.projects import (
    T0,
    USER,
    Row,
    applied,
    feast_rows,
    prices,
    truncate,
    write,
)

EXAMPLES = settings(max_examples=50, deadline=None, derandomize=True, database=None)
DAY = timedelta(days=1)
Stored = dict[str, tuple[datetime, datetime | None, Any, Any]]
"""Event time, created time, price and name by user."""


@pytest.fixture(scope="module")
def store(module_database: str) -> Iterator[FeatureStore]:
    with applied(USER, prices()) as store:
        yield store


@pytest.fixture(autouse=True)
def empty(store: FeatureStore) -> None:
    truncate("online")


@pytest.fixture(params=["parameters", "copy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches in their own way, and in that of large ones."""
    if request.param == "copy":
        monkeypatch.setattr(online_write, "FEW", 0)


def stored() -> Stored:
    """The table as it is, times in UTC."""
    with psycopg.connect() as connection:
        return {
            user: row
            for user, *row in connection.execute(
                'SELECT user_id, "prices@event_ts", "prices@created_ts", "prices:price",'
                ' "prices:name" FROM online."shop:user_id"'
            ).fetchall()
        }


def row(
    user: str, event: datetime, price: Any = 1, created: datetime | None = None, **more: Any
) -> Row:
    return ({"user_id": user}, {"price": price, "name": "x", **more}, event, created)


def aware(instant: datetime | None) -> datetime | None:
    return instant and (instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant)


def age(row: Row) -> Any:
    _, _, event, created = row
    return (aware(event), created is not None, aware(created) or aware(event))


def ranked(values: dict[str, Any], names: Iterable[str]) -> list[Any]:
    """Features as they are compared: by name, null being the least."""
    none = {"price": 0, "name": ""}
    return [
        (values.get(name) is not None, values.get(name) or none[name]) for name in sorted(names)
    ]


def turn(row: Row) -> Any:
    """Returns a row's sort key in its batch: after older ones, and those with fewer features."""
    return (age(row), [name for name in ("price", "name") if name in row[1]])


def modelled(batches: Sequence[Sequence[Row]], force: bool) -> Stored:
    """Returns the state after the batches, taken row after row, a batch's oldest first."""
    found: dict[str, tuple[Any, dict[str, Any]]] = {}
    for batch in batches:
        begun: set[str] = set()
        for one in sorted(batch, key=turn):
            keys, given_, event, created = one
            user, before = keys["user_id"], found.get(keys["user_id"])
            kept = before[1] if before else {}
            rank = (age(one), ranked(given_, given_))
            if (
                before is None
                or (force and user not in begun)
                or rank >= (age(({}, {}, *before[0])), ranked(kept, given_))
            ):
                found[user] = ((event, created), kept | given_)
            begun.add(user)
    return {
        user: [aware(event), aware(created), had.get("price"), had.get("name")]  # type: ignore[misc]
        for user, ((event, created), had) in found.items()
    }


times = st.sampled_from(
    [T0, T0 + DAY, T0.replace(tzinfo=None) + DAY / 2, T0 + timedelta(microseconds=1)]
)
features = st.fixed_dictionaries(
    {}, optional={"price": st.none() | st.integers(0, 3), "name": st.sampled_from([None, "", "b"])}
)
rows = st.tuples(
    st.fixed_dictionaries({"user_id": st.sampled_from("abc")}), features, times, st.none() | times
)


@pytest.mark.slow
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("force", [False, True])
def test_any_batches_leave_what_their_rows_leave_one_by_one(
    store: FeatureStore, force: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.config.online_store, "force", force)

    @EXAMPLES
    @given(st.lists(st.lists(rows, max_size=6), max_size=5))
    def check(batches: list[list[Row]]) -> None:
        truncate("online")
        for batch in batches:
            write(store, "prices", batch)
        assert stored() == modelled(batches, force)

    check()


def test_whole_rows_may_come_in_any_order_and_split(store: FeatureStore) -> None:
    ages = st.tuples(times, times)

    @EXAMPLES
    @given(st.data())
    def check(data: st.DataObject) -> None:
        found = data.draw(st.lists(st.tuples(st.sampled_from("abc"), ages), unique_by=str))
        batch = [
            row(user, event, price, created) for price, (user, (event, created)) in enumerate(found)
        ]
        cut = data.draw(st.integers(0, len(batch)))
        truncate("online")
        write(store, "prices", batch[:cut])
        write(store, "prices", batch[cut:])
        newest = {one[0]["user_id"]: one for one in sorted(batch, key=age)}
        assert {user: kept[2] for user, kept in stored().items()} == {
            user: one[1]["price"] for user, one in newest.items()
        }

    check()


def test_of_equal_times_the_greater_row_stays_in_whatever_order_they_come(
    store: FeatureStore,
) -> None:
    rows = [row("u", T0, price, T0, name=name) for price, name in ((9, "a"), (8, None), (7, "b"))]
    for order in itertools.permutations(rows):
        for cut in range(3):
            truncate("online")
            write(store, "prices", order[:cut])
            write(store, "prices", order[cut:])
            assert stored() == {"u": [T0, T0, 7, "b"]}


def test_an_older_value_never_comes_back_with_a_newer_part_of_the_row(store: FeatureStore) -> None:
    write(store, "prices", [row("u", T0 + 5 * DAY, 5, name="five")])
    write(
        store,
        "prices",
        [
            ({"user_id": "u"}, {"price": 1}, T0 + DAY, None),
            ({"user_id": "u"}, {"name": "six"}, T0 + 6 * DAY, None),
        ],
    )
    assert stored() == {"u": [T0 + 6 * DAY, None, 5, "six"]}


def test_an_unchanged_row_is_not_written_again(store: FeatureStore) -> None:
    written = store._get_provider().online_store.rows_written
    before = written.get("prices", 0)
    for _ in range(3):
        write(store, "prices", [row("u", T0), row("v", T0)])
    assert written["prices"] - before == 2


def test_an_empty_batch_does_nothing(store: FeatureStore) -> None:
    said: list[int] = []
    online = store._get_provider().online_store
    online.online_write_batch(store.config, store.get_feature_view("prices"), [], said.append)
    assert said == [0]
    assert stored() == {}


@pytest.mark.slow
def test_a_large_batch(store: FeatureStore) -> None:
    count = 50_000
    said: list[int] = []
    view = store.get_feature_view("prices")
    data = feast_rows(view, [row(f"u{n % 49_000}", T0 + n * DAY / count, n) for n in range(count)])
    store._get_provider().online_store.online_write_batch(store.config, view, data, said.append)
    assert said == [count]
    found = stored()
    assert len(found) == 49_000
    assert found["u5"][2] == 49_005
    assert found["u48999"][2] == 48_999


def test_pandas_times_are_taken(store: FeatureStore) -> None:
    write(
        store,
        "prices",
        [
            row("u", pd.Timestamp("2024-01-31T00:00:00.000001"), created=pd.NaT),
            row(
                "v", pd.Timestamp("2024-01-31T02:00", tz="Europe/Vienna"), created=pd.Timestamp(T0)
            ),
        ],
    )
    assert {user: kept[:2] for user, kept in stored().items()} == {
        "u": [T0 + timedelta(microseconds=1), None],
        "v": [T0 + timedelta(hours=1), T0],
    }


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (row("v", T0, Value(string_val="1")), "row 2: feature price: string where int64 belongs"),
        (row("v", T0, Value(int32_val=1)), "row 2: feature price: int32 where int64 belongs"),
        (row("v", T0, name="a\0b"), "row 2: feature name: a text with a NUL character"),
        (row("a\0b", T0), "row 2: join key user_id has a NUL character"),
        (row(Value(int64_val=1), T0), "row 2: join key user_id is int64 where text belongs"),
        (row(None, T0), "row 2: join key user_id is null"),
        (row("v", pd.NaT), "row 2: it has no event time"),
        (({"driver_id": "v"}, {"price": 1}, T0, None), r"row 2: join keys \['driver_id'\] where"),
        (row("".join(map(chr, range(256, 4256))), T0), "index row"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_written(
    store: FeatureStore, bad: Row, said: str
) -> None:
    view = store.get_feature_view("prices")
    entity_keys = [
        EntityKey(
            join_keys=list(keys),
            entity_values=[
                one if isinstance(one, Value) else Value(string_val=one) if one else Value()
                for one in keys.values()
            ],
        )
        for keys, *_ in (row("u", T0), bad)
    ]
    rows = feast_rows(view, [row("u", T0), ({}, *bad[1:])])
    data = [(key, *one[1:]) for key, one in zip(entity_keys, rows, strict=True)]
    with pytest.raises(ValueError, match=f"feature view prices(, |: ){said}"):
        store._get_provider().online_write_batch(store.config, view, data, None)
    assert stored() == {}


@pytest.mark.slow
def test_two_writers_of_the_same_keys(store: FeatureStore) -> None:
    """They write parts of rows in turn, so that each has locks that the other wants."""
    users = [f"u{n}" for n in range(100)]
    errors: list[BaseException] = []

    def writes(first: int) -> None:
        try:
            for turn in range(first, 40, 2):
                batch = [row(user, T0 + turn * DAY, turn) for user in users]
                for one in batch[turn % 3 :: 2]:
                    del one[1]["name"]
                write(store, "prices", batch)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=writes, args=[first]) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert {tuple(kept[:3]) for kept in stored().values()} == {(T0 + 39 * DAY, None, 39)}


def test_a_writer_that_lost_in_a_deadlock_writes_again(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = threading.Barrier(2)
    met: set[int] = set()
    groups = online_write.write_part

    def slowly(*arguments: Any) -> int:
        count = groups(*arguments)
        if threading.get_ident() not in met:  # after the first part of the first attempt
            met.add(threading.get_ident())
            meeting.wait(30)
        return count

    monkeypatch.setattr(online_write, "write_part", slowly)

    def batch(price_of: str, name_of: str, when: datetime) -> list[Row]:
        return [
            ({"user_id": name_of}, {"name": "n"}, when, None),
            ({"user_id": price_of}, {"price": 1}, when, None),
        ]

    threads = [
        threading.Thread(target=write, args=[store, "prices", batch(*users, T0)])
        for users in (("u", "v"), ("v", "u"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored() == {"u": [T0, None, 1, "n"], "v": [T0, None, 1, "n"]}
