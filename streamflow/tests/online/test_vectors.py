"""Online features that are read without Feast are those that its SDK gives."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from feast import FeatureService, FeatureStore
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type
from feast.types import Int64, UnixTimestamp

from streamflow import settings
from streamflow.errors import StaleFeatures
from streamflow.feast.online import client
from streamflow.feast.online.values import reader
from streamflow.feast.registry.contracts import contract_of
from streamflow.online.pool import configure
from streamflow.online.values import UNREADABLE, python_value
from streamflow.online.vectors import Vector, read
from streamflow.postgres.connect import connect
from streamflow.registry.services import plain_service
from streamflow.registry.stores import own_stores
from streamflow.registry.views import VALUE_TYPES
from streamflow.tests.engine.test_engine import shop
from streamflow.tests.imports import imported_by
from streamflow.tests.registry.test_services import apply_services, kinds, store

__all__ = ["store"]  # a fixture
ID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
STORED: dict[str, list[Any]] = {
    "BYTES": [b"", b"\0a"],
    "STRING": ["", "é\n"],
    "INT32": [-(2**31), 7],
    "INT64": [2**63 - 1, 0],
    "DOUBLE": [1e300, -0.0],
    "FLOAT": [0.10000000149011612, 3.5],
    "BOOL": [True, False],
    "UNIX_TIMESTAMP": [0, -5, 1706659200],
    "PDF_BYTES": [b"%PDF"],
    "IMAGE_BYTES": [b"\x89"],
    "JSON": ['{"a": [1, null]}', "no JSON", '"text"'],
    "UUID": [ID],
    "TIME_UUID": [ID],
    "DECIMAL": ["1.10", "-0"],
}
"""By value type, values as the driver gives them."""


@pytest.mark.parametrize("value_type", VALUE_TYPES.values())
def test_a_value_is_the_one_of_feast(value_type: str) -> None:
    base, _, collection = value_type.rpartition("_")
    is_list = collection in ("LIST", "SET")
    given = STORED[base if is_list else value_type]
    for found in [[], given, given[:1]] if is_list else given:
        value = Value()
        reader(value_type)(value, found)
        theirs, ours = feast_value_type_to_python_type(value), python_value(value_type, found)
        assert (repr(ours), type(ours)) == (repr(theirs), type(theirs))
    assert python_value(value_type, None) is None


@pytest.mark.parametrize(
    ("value_type", "found"),
    [("UNIX_TIMESTAMP", 2**62), ("UUID", "x"), ("DECIMAL", "x"), ("DECIMAL_LIST", ["x"])],
)
def test_a_value_that_is_none_of_its_type_is_one_for_both(value_type: str, found: Any) -> None:
    with pytest.raises(UNREADABLE):
        reader(value_type)(Value(), found)
    with pytest.raises(UNREADABLE):
        python_value(value_type, found)


def both(store: FeatureStore, name: str, keys: list[dict[str, Any]]) -> tuple[list[Vector], ...]:
    """The vectors of keys as they are read here, and as Feast's SDK gives them."""
    stores = own_stores(settings.FEATURE_REPO)
    assert stores is not None
    with connect(autocommit=True) as connection:
        configure(connection)
        service = plain_service(connection, stores, name)
        assert service is not None
        assert set(service.key_types) == set(keys[0])
        return read(connection, service, keys), client.read(store, contract_of(store, name), keys)


def test_vectors_are_those_of_feast(store: FeatureStore) -> None:
    applied = apply_services(store)
    store.materialize(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC))
    names = {"twice": ("shop_id", "store"), "pair": ("shop_id", "region")}
    values: dict[str, list[Any]] = {
        "shop_id": [1, 2, 1, 99],
        "store": [2, 98, 1, 0],
        "region": ["s1", "s0", "s1", "s1"],
    }
    for name in applied:
        asked = names.get(name, ("shop_id",))
        keys = [{one: values[one][row] for one in asked} for row in range(4)]
        ours, theirs = both(store, name, keys)
        assert ours == theirs, name
        assert ours[0].found, name
        assert ours[3].found == (name in ("keyless", "twice")), name


@pytest.mark.parametrize("policy", ["serve", "null", "refuse"])
def test_what_is_too_old_is_served_by_the_policy_of_its_view(
    store: FeatureStore, policy: str
) -> None:
    old = kinds("old", {"price": Int64})
    old.ttl, old.tags = timedelta(days=1), {"ttl_policy": policy}
    store.apply([shop, old, FeatureService(name="aged", features=[old])])
    store.materialize(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC))
    if policy == "refuse":
        with pytest.raises(StaleFeatures):
            both(store, "aged", [{"shop_id": 1}])
        return
    ours, theirs = both(store, "aged", [{"shop_id": 1}])
    assert (ours[0].values["old:price"] is None) == (policy == "null")
    assert ours[0].values == theirs[0].values


def test_a_value_that_cannot_be_read_leaves_the_others(
    store: FeatureStore, caplog: pytest.LogCaptureFixture
) -> None:
    timed = kinds(
        "timed",
        {"when": UnixTimestamp, "price": Int64},
        table=None,
        query="SELECT *, ts AS when FROM source.kinds",
    )
    store.apply([shop, timed, FeatureService(name="timely", features=[timed])])
    store.materialize(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC))
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(f'UPDATE online."streamflow:shop_id bigint" SET "timed:when" = {2**62}')
    ours, theirs = both(store, "timely", [{"shop_id": 1}])
    assert ours == theirs
    assert ours[0].values["timed:when"] is None
    assert ours[0].values["timed:price"] is not None
    assert "none of its type" in caplog.text


@pytest.mark.usefixtures("database")
def test_the_command_imports_neither_feast_nor_pandas() -> None:
    imported = imported_by("features", "nobody", code=1)
    assert "psycopg" in imported
    assert not imported & {"feast", "pandas", "pyarrow", "numpy", "sqlalchemy", "prefect"}
