"""Tests that the online tables keep versions of views apart where the registry does."""

from typing import Any

import pytest
from feast import FeatureStore
from feast.errors import FeatureViewVersionNotFound
from feast.types import Float64, Int64, String

from streamflow.feast.registry.compile import compiled
from streamflow.tests.online.projects import (
    DRIVER,
    T0,
    USER,
    applied,
    apply,
    prices,
    tables,
    values,
    view_of,
    write,
)

KEYS = {"user_id": ["u"]}


def second(**options: Any) -> Any:
    """`prices` with another type and another feature."""
    return view_of("prices", {"price": Float64, "size": String}, USER, **options)


def write_price(store: FeatureStore, **row: Any) -> None:
    write(store, "prices", [({"user_id": "u"}, row, T0, None)])


def test_each_version_keeps_its_values(feast_database: str) -> None:
    with applied(USER, prices(), versioned=True) as store:
        write_price(store, price=5, name="x")
        apply(store, second())
        assert values(store, ["prices:price", "prices:size"], KEYS)["price"] == [None]
        write_price(store, price=1.5, size="L")
        apply(store, view_of("prices", {"price": Int64}, USER))
        write_price(store, price=6)

        assert values(store, ["prices:price"], KEYS)["price"] == [6]
        found = values(
            store,
            [
                "prices@v0:price",
                "prices@v0:name",
                "prices@v1:price",
                "prices@v1:size",
                "prices:price",
            ],
            KEYS,
            full_feature_names=True,
        )
        assert found == {
            "user_id": ["u"],
            "prices@v0__price": [5],
            "prices@v0__name": ["x"],
            "prices@v1__price": [1.5],
            "prices@v1__size": ["L"],
            "prices__price": [6],
        }
        assert {name: kind for name, kind in tables()["shop:user_id"].items() if ":" in name} == {
            "prices:price": "bigint",
            "prices:name": "text",
            "prices@v1:price": "double precision",
            "prices@v1:size": "text",
            "prices@v2:price": "bigint",
        }
        with pytest.raises(FeatureViewVersionNotFound):
            values(store, ["prices@v7:price"], KEYS)


def test_an_older_version_is_made_current_again(feast_database: str) -> None:
    with applied(USER, prices(), versioned=True) as store:
        write_price(store, price=5, name="x")
        apply(store, second())
        write_price(store, price=1.5, size="L")
        pinned = store.get_feature_view("prices")
        pinned.version = "v0"
        apply(store, pinned)
        assert values(store, ["prices:price", "prices:name"], KEYS)["name"] == ["x"]
        assert values(store, ["prices@v1:size"], KEYS)["size"] == ["L"]
        assert compiled(store).views["prices"].event_column == "prices@event_ts"


def test_a_version_that_is_not_current_yet_can_be_read(feast_database: str) -> None:
    with applied(USER, prices(), versioned=True) as store:
        apply(store, second(), no_promote=True)
        assert values(store, ["prices@v1:size"], KEYS)["size"] == [None]


def test_a_version_of_another_entity_is_in_its_own_table(feast_database: str) -> None:
    with applied(USER, DRIVER, prices(), versioned=True) as store:
        write_price(store, price=5, name="x")
        apply(store, view_of("prices", {"price": Int64}, DRIVER))
        write(store, "prices", [({"driver_id": 1}, {"price": 6}, T0, None)])
        assert values(store, ["prices@v0:price"], KEYS)["price"] == [5]
        assert values(store, ["prices:price"], {"driver_id": [1]})["price"] == [6]


def test_a_deleted_view_takes_all_its_versions_along(feast_database: str) -> None:
    with applied(USER, prices(), versioned=True) as store:
        apply(store, second())
        apply(store, objects_to_delete=[second()], partial=False)
        assert tables() == {}


def test_without_versions_there_is_one_set_of_columns(feast_database: str) -> None:
    with applied(USER, prices()) as store:
        apply(store, second())
        assert {name: kind for name, kind in tables()["shop:user_id"].items() if ":" in name} == {
            "prices:price": "double precision",
            "prices:size": "text",
        }
