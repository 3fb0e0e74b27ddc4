"""Reads for Feast's SDK: one round trip per table, and what stock Feast answers otherwise."""

import asyncio
import tempfile
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import psycopg
import pytest
from feast import FeatureService, FeatureStore
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64, Int64, String

from streamflow.errors import SchemaMissing
from streamflow.online.plan import bounded, quoted
from streamflow.tests.online.projects import (
    DRIVER,
    T0,
    USER,
    applied,
    apply,
    config_of,
    feast_rows,
    opened,
    prices,
    read,
    truncate,
    values,
    view_of,
    write,
)

SIZES = view_of("sizes", {"z": Int64, "a": Int64, "m": String}, USER)
TRIPS = view_of("trips", {"n": Int64}, DRIVER)
JOINT = view_of("joint", {"n": Int64}, USER, DRIVER)


@pytest.fixture(scope="module")
def store(module_database: str) -> Iterator[FeatureStore]:
    everything = FeatureService(
        name="everything",
        features=[
            prices(),
            TRIPS.with_name("other").with_join_key_map({"driver_id": "other_id"}),
            SIZES,
            TRIPS.with_name("mine"),
            JOINT,
        ],
    )
    objects = [USER, DRIVER, prices(), SIZES, TRIPS, JOINT, everything]
    with applied(*objects, max_conn=1) as store:
        yield store


@pytest.fixture(autouse=True)
def rows(store: FeatureStore) -> None:
    truncate("online")
    write(store, "prices", [({"user_id": "u"}, {"price": 5, "name": "x"}, T0, None)])
    write(store, "sizes", [({"user_id": "u"}, {"z": 1, "a": 2, "m": "3"}, T0, None)])
    write(store, "trips", [({"driver_id": n}, {"n": 10 * n}, T0, None) for n in (1, 2)])
    write(store, "joint", [({"user_id": "u", "driver_id": 1}, {"n": 7}, T0, None)])


ASKED = {"user_id": ["u", "v"], "driver_id": [1, 2], "other_id": [2, 3]}


def round_trips(store: FeatureStore, **options: Any) -> int:
    """Returns the number of messages that the client waited for, in a read of all views."""
    service = store.get_feature_service("everything")
    connections = store._get_provider().online_store._connections
    read(store, service, ASKED, full_feature_names=True)
    with tempfile.TemporaryFile("w+b") as trace:
        connections.run(store.config, lambda one: one.pgconn.trace(trace.fileno()))
        read(store, service, ASKED, full_feature_names=True, **options)
        connections.run(store.config, lambda one: one.pgconn.untrace())
        trace.seek(0)
        return sum(b"\tReadyForQuery\t" in line for line in trace)


@pytest.mark.parametrize("later", [False, True])
def test_one_round_trip_for_each_table(store: FeatureStore, later: bool) -> None:
    for _ in range(6):
        round_trips(store)  # until the queries are prepared
    assert round_trips(store, later=later) == 3


def test_prepared_queries_are_used_again(store: FeatureStore) -> None:
    connections = store._get_provider().online_store._connections
    prepared = "SELECT statement, generic_plans + custom_plans FROM pg_prepared_statements"

    def used() -> dict[str, int]:
        found = connections.run(store.config, lambda one: one.execute(prepared).fetchall())
        return {query: count for query, count in found if "online" in query}

    for drivers in ([1, 2], [2**40, 1], [-5, 70_000]):  # whatever the size of the numbers
        for _ in range(5):
            values(store, ["trips:n"], {"driver_id": drivers})
    before = used()
    values(store, ["trips:n"], {"driver_id": [3]})
    after = used()
    assert before.keys() == after.keys()
    assert sum(after.values()) == sum(before.values()) + 1
    alone = f'SELECT "driver_id", {bounded(quoted("trips@event_ts"))}, "trips:n" FROM'
    assert len([query for query in after if query.startswith(alone)]) == 1


def test_aliases_keep_their_keys_whatever_the_order_of_the_request(store: FeatureStore) -> None:
    """Stock Feast takes the last of both names for the aliased one."""
    service = store.get_feature_service("everything")
    for names in (["other_id", "driver_id", "user_id"], ["driver_id", "user_id", "other_id"]):
        keys = {name: ASKED[name] for name in names}
        found = values(store, service, keys, full_feature_names=True)
        assert found["other__n"] == [20, None]
        assert found["mine__n"] == [10, 20]
        assert found["joint__n"] == [7, None]


def test_views_come_in_the_requests_order_and_features_in_their_views(store: FeatureStore) -> None:
    found = values(store, store.get_feature_service("everything"), ASKED, full_feature_names=True)
    assert [name for name in found if "__" in name] == [
        "prices__price",
        "prices__name",
        "other__n",
        "sizes__z",
        "sizes__a",
        "sizes__m",
        "mine__n",
        "joint__n",
    ]


def test_a_feature_never_written_of_a_row_that_exists_is_there_and_null(
    store: FeatureStore,
) -> None:
    """Stock Feast says that it was not found."""
    write(store, "prices", [({"user_id": "w"}, {"price": 5}, T0, None)])
    found = read(store, ["prices:name"], {"user_id": ["w"]})["name"]
    assert found == [(b"", FieldStatus.PRESENT, T0)]


def test_the_version_of_each_view_is_said_where_it_is_asked_for(store: FeatureStore) -> None:
    for call in (store.get_online_features, get_later(store)):
        answer = call(
            ["prices:price", "sizes:a"],
            {"user_id": ["u"]},
            include_feature_view_version_metadata=True,
        )
        said = answer.proto.metadata.feature_view_metadata
        assert [(one.name, one.version) for one in said] == [("prices", 0), ("sizes", 0)]


def get_later(store: FeatureStore) -> Any:
    return lambda *args, **options: asyncio.run(store.get_online_features_async(*args, **options))


def test_a_missing_or_null_join_key_is_named(store: FeatureStore) -> None:
    with pytest.raises(KeyError, match=r"Missing join key values for keys: \['driver_id'\]"):
        values(store, ["joint:n"], {"user_id": ["u"]})
    with pytest.raises(ValueError, match="join key user_id is null"):
        values(store, ["prices:price"], {"user_id": ["u", None]})
    with pytest.raises(KeyError, match="Missing join key"):
        values(store, ["prices:price"], {"user_id": []})


def test_a_key_that_no_row_can_have_is_not_found(store: FeatureStore) -> None:
    found = values(store, ["prices:price"], {"user_id": ["u", "u\0", "\0"]})
    assert found["price"] == [5, None, None]
    assert values(store, ["prices:price"], {"user_id": ["\0"]})["price"] == [None]


def test_rows_of_dictionaries_and_many_of_them(store: FeatureStore) -> None:
    rows = [{"user_id": "u" if n % 3 else f"x{n}"} for n in range(3000)]
    found = values(store, ["prices:price"], rows)["price"]
    assert found == [5 if n % 3 else None for n in range(3000)]


@pytest.mark.parametrize("later", [False, True])
def test_the_read_of_one_view(store: FeatureStore, later: bool) -> None:
    online = store._get_provider().online_store
    view = store.get_feature_view("prices")
    keys = [row[0] for row in feast_rows(view, [({"user_id": u}, {}, T0, None) for u in "uvu"])]

    def read_prices(keys: list[EntityKey], *features: list[str]) -> Any:
        if later:
            return asyncio.run(online.online_read_async(store.config, view, keys, *features))
        return online.online_read(store.config, view, keys, *features)

    whole = {"price": Value(int64_val=5), "name": Value(string_val="x")}
    assert read_prices(keys) == [(T0, whole), (None, None), (T0, whole)]
    assert read_prices(keys)[0][0].tzinfo is UTC
    assert read_prices(keys[:1], ["price"]) == [(T0, {"price": Value(int64_val=5)})]
    assert read_prices([]) == []
    with pytest.raises(KeyError, match="Feature cost not found in feature view prices"):
        read_prices(keys, ["cost"])


def test_a_feature_that_the_tables_do_not_have_yet_is_null(feast_database: str) -> None:
    """A feature or a whole view is registered while the tables do not have it yet."""
    with applied(USER, prices()) as store:
        write(store, "prices", [({"user_id": "u"}, {"price": 5, "name": "x"}, T0, None)])
        wider = view_of("prices", {"price": Float64, "name": String, "new": Int64}, USER)
        apply(store, wider, SIZES)
        with psycopg.connect() as connection:
            connection.execute(
                'ALTER TABLE online."shop:user_id" DROP COLUMN "prices:new",'
                ' DROP COLUMN "sizes@event_ts", ALTER COLUMN "prices:price" TYPE bigint USING 5'
            )
        for _ in range(8):  # also when the query would be prepared
            found = read(
                store, ["prices:new", "prices:price", "prices:name", "sizes:a"], {"user_id": ["u"]}
            )
            assert [one[0][:2] for one in found.values()] == [
                (Value(string_val="u").SerializeToString(), FieldStatus.PRESENT),
                (b"", FieldStatus.PRESENT),
                (Value(string_val="x").SerializeToString(), FieldStatus.PRESENT),
                (b"", FieldStatus.PRESENT),
                (b"", FieldStatus.NOT_FOUND),
            ]


def test_a_table_that_was_never_applied_is_an_error(feast_database: str) -> None:
    with opened(config_of()) as store, applied(USER, prices()):
        with psycopg.connect() as connection:
            connection.execute('DROP TABLE online."shop:user_id"')
        with pytest.raises(SchemaMissing, match="run: streamflow apply"):
            values(store, ["prices:price"], {"user_id": ["u"]})
