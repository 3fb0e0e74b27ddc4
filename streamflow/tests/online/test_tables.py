"""`apply` makes the online tables what the registry says, and locks nobody out meanwhile."""

from typing import Any

import psycopg
import pytest
from feast import Entity, Project, ValueType
from feast.types import Array, Float64, Int32, Int64, String

from streamflow.errors import ConfigurationError
from streamflow.feast.online.store import StreamflowOnlineStore
from streamflow.online import tables as online_tables
from streamflow.postgres import migrate as schema
from streamflow.tests.online.projects import (
    DRIVER,
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
    values,
    view_of,
    write,
)


def test_views_of_an_entity_share_a_table(feast_database: str) -> None:
    with applied(
        USER,
        DRIVER,
        prices(),
        view_of("sizes", {"size": Array(Int32)}, USER),
        view_of("trips", {"n": Int64}, USER, DRIVER),
        view_of("world", {"n": Int64}),
    ):
        assert {table: list(columns) for table, columns in tables().items()} == {
            "shop:user_id": [*sorted(PRICES | SIZES)],
            "shop:driver_id bigint,user_id": sorted(
                ["driver_id", "user_id", "trips@created_ts", "trips@event_ts", "trips:n"]
            ),
            "shop:__dummy_id": sorted(
                ["__dummy_id", "world@created_ts", "world@event_ts", "world:n"]
            ),
        }
        assert tables()["shop:user_id"] == PRICES | SIZES
        assert catalog() == (1, "shop")


SIZES = {
    "sizes@event_ts": "timestamp with time zone",
    "sizes@created_ts": "timestamp with time zone",
    "sizes:size": "integer[]",
}


def test_a_feature_is_added_and_the_others_keep_their_values(feast_database: str) -> None:
    with applied(USER, prices()) as store:
        one_price(store)
        apply(store, view_of("prices", {"price": Int64, "name": String, "new": Float64}, USER))
        assert tables()["shop:user_id"] == PRICES | {"prices:new": "double precision"}
        assert stored(store, "price", "name", "new") == [5, "x", None]


def test_a_feature_is_dropped(feast_database: str) -> None:
    with applied(USER, prices()) as store:
        one_price(store)
        apply(store, view_of("prices", {"name": String}, USER))
        assert "prices:price" not in tables()["shop:user_id"]
        assert stored(store, "name") == ["x"]


def test_a_feature_of_another_type_is_null_until_it_is_written(feast_database: str) -> None:
    with applied(USER, prices()) as store:
        one_price(store)
        apply(store, view_of("prices", {"price": Float64, "name": String}, USER))
        assert tables()["shop:user_id"]["prices:price"] == "double precision"
        assert stored(store, "price", "name") == [None, "x"]
        write(store, "prices", [({"user_id": "u"}, {"price": 1.5, "name": "x"}, T0, None)])
        assert stored(store, "price", "name") == [1.5, "x"]


def test_a_view_is_removed_and_its_sister_stays(feast_database: str) -> None:
    gone = view_of("sizes", {"size": Int64}, USER)
    with applied(USER, prices(), gone) as store:
        one_price(store)
        apply(store, objects_to_delete=[gone], partial=False)
        assert tables() == {"shop:user_id": PRICES}
        assert stored(store, "price") == [5]


def test_the_last_view_of_an_entity_takes_its_table_along(feast_database: str) -> None:
    gone = view_of("trips", {"n": Int64}, DRIVER)
    with applied(USER, DRIVER, prices(), gone) as store:
        apply(store, objects_to_delete=[gone], partial=False)
        assert tables() == {"shop:user_id": PRICES}


def test_a_view_that_leaves_the_online_store_takes_its_values_along(feast_database: str) -> None:
    with applied(USER, prices(), view_of("sizes", {"size": Int64}, USER)) as store:
        apply(store, view_of("sizes", {"size": Int64}, USER, online=False))
        assert tables() == {"shop:user_id": PRICES}


def test_a_disabled_view_keeps_its_values(feast_database: str) -> None:
    with applied(USER, prices()) as store:
        one_price(store)
        apply(store, prices(enabled=False))
        with pytest.raises(ValueError, match="is disabled"):
            stored(store, "price")
        apply(store, prices(enabled=True))
        assert stored(store, "price", "name") == [5, "x"]


def test_a_view_that_changes_its_entity_moves(feast_database: str) -> None:
    with applied(USER, DRIVER, prices(), view_of("sizes", {"size": Int64}, USER)) as store:
        apply(store, view_of("sizes", {"size": Int64}, DRIVER))
        assert tables() == {
            "shop:user_id": PRICES,
            "shop:driver_id bigint": {"driver_id": "bigint"} | {**SIZES, "sizes:size": "bigint"},
        }


def test_a_key_of_another_type_is_another_table(feast_database: str) -> None:
    with applied(USER, prices(), view_of("sizes", {"size": Int64}, USER)) as store:
        one_price(store)
        number = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
        apply(store, number, view_of("sizes", {"size": Int64}, number))
        assert set(tables()) == {"shop:user_id", "shop:user_id bigint"}
        assert stored(store, "price") == [5]  # a view that was not applied anew keeps its type

        apply(store, number, view_of("prices", {"price": Int64, "name": String}, number))
        assert set(tables()) == {"shop:user_id bigint"}
        one_price(store, user_id=7)
        assert values(store, ["prices:price"], {"user_id": [7]})["price"] == [5]


def test_an_apply_that_changes_nothing_leaves_tables_and_catalog(feast_database: str) -> None:
    with applied(USER, prices()) as store:
        before = oids()
        apply(store, USER, prices())
        assert oids() == before
        assert catalog() == (1, "shop")


def oids() -> list[Any]:
    """Returns system columns that every change of the online tables would change."""
    with psycopg.connect() as connection:
        return connection.execute(
            "SELECT c.oid, c.xmin::text, max(a.attnum) FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE relnamespace = 'online'::regnamespace GROUP BY 1, 2 ORDER BY 1"
        ).fetchall()


def test_projects_in_one_database_do_not_touch_each_other(feast_database: str) -> None:
    with (
        applied(Project(name="shop"), USER, prices()) as store,
        applied(Project(name="shop2"), USER, prices(), project="shop2") as other,
    ):
        one_price(store)
        assert tables() == {"shop:user_id": PRICES, "shop2:user_id": PRICES}
        assert catalog() == (1, "shop")
        assert values(other, ["prices:price"], {"user_id": ["u"]})["price"] == [None]

        apply(other, view_of("prices", {"price": Int64}, USER))
        with pytest.raises(ConfigurationError, match=r"has other projects \(shop\); nothing was"):
            other.teardown()
        assert tables().keys() == {"shop:user_id", "shop2:user_id"}
        other.apply([], objects_to_delete=[other.get_feature_view("prices")], partial=False)
        assert tables() == {"shop:user_id": PRICES}
        assert catalog() == (1, "shop")
        assert stored(store, "price") == [5]


def test_a_catalog_whose_project_was_torn_down_is_free(feast_database: str) -> None:
    with applied(USER, prices()) as store:
        store.teardown()
        assert tables() == {}
        assert catalog() == (2, "shop")
    with applied(Project(name="other"), USER, prices(), project="other"):
        assert catalog() == (3, "other")


def test_too_many_columns_are_an_error_that_says_what_to_do(
    feast_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with applied(USER, prices()) as store:
        monkeypatch.setattr(online_tables, "MOST_COLUMNS", 7)
        with pytest.raises(
            ConfigurationError, match=r"shop:user_id have 8 columns, a table can have 7: give some"
        ):
            apply(store, view_of("sizes", {"size": Int64}, USER))
        assert tables() == {"shop:user_id": PRICES}
        assert catalog() == (1, "shop")


def test_a_table_that_used_up_its_columns_is_copied(
    feast_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with applied(USER, prices()) as store:
        one_price(store)
        monkeypatch.setattr(online_tables, "MOST_COLUMNS", 6)
        for number, dtype in enumerate([Float64, Int64, Int32] * 2):
            apply(store, view_of("prices", {"price": dtype, "name": String}, USER))
            assert stored(store, "price", "name") == [None, "x"], number
            assert max(row[2] for row in oids()) <= 6
        apply(store, prices())
        with psycopg.connect(autocommit=True) as listener:
            listener.execute("LISTEN streamflow_online")
            one_price(store)
            told = [one.payload for one in listener.notifies(timeout=5, stop_after=1)]
        assert told == ["shop:user_id"]
        assert stored(store, "price", "name") == [5, "x"]
        with psycopg.connect() as connection:
            options = connection.execute(
                "SELECT reloptions FROM pg_class WHERE relname = 'shop:user_id'"
            ).fetchone()
        assert options == (["autovacuum_vacuum_scale_factor=0.05"],)


def test_a_key_that_has_no_exact_equality_is_refused(feast_database: str) -> None:
    weight = Entity(name="weight", join_keys=["kg"], value_type=ValueType.DOUBLE)
    with (
        opened(config_of()) as store,
        pytest.raises(
            ConfigurationError, match="feature view things: join key kg is DOUBLE; a key"
        ),
    ):
        apply(store, weight, view_of("things", {"n": Int64}, weight))
    assert tables() == {}


def test_a_registry_in_a_file_is_refused(feast_database: str) -> None:
    """Feast writes it after it called the store, which therefore could not know what it says."""
    config = config_of()
    config.registry.registry_type = "file"
    with pytest.raises(ConfigurationError, match="registry_type: sql"):
        StreamflowOnlineStore().update(config, [], [prices()], [], [USER], partial=True)


def test_our_schemas_come_by_themselves(feast_database: str) -> None:
    """Feast's own apply is the only one that a repository of somebody else has."""
    with psycopg.connect() as connection:
        connection.execute("DROP SCHEMA ops CASCADE")
        connection.execute("DROP SCHEMA online CASCADE")
    with opened(config_of()) as store:
        apply(store, USER, prices())
    assert tables() == {"shop:user_id": PRICES}
    assert catalog() == (1, "shop")


def test_an_older_schema_is_migrated(feast_database: str) -> None:
    with psycopg.connect() as connection:
        connection.execute("DROP TABLE ops.materializations CASCADE")
        connection.execute("UPDATE ops.schema_version SET sha256 = 'older'")
    with opened(config_of()) as store:
        apply(store, USER, prices())
    with psycopg.connect() as connection:
        assert schema.state(connection) == "current"
        connection.execute("SELECT FROM ops.materializations")
