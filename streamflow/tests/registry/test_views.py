"""Views read from the registry without Feast: as Feast has them, or left to Feast."""

import warnings
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from feast import FeatureStore, FeatureView, Field, FileSource, StreamFeatureView
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.transformation.python_transformation import PythonTransformation
from feast.types import Array, Float32, Float64, Int32, Int64, Map, Set, String, UnixTimestamp

from streamflow import settings
from streamflow.feast.engine.plan import plain_view
from streamflow.feast.registry.open import open_store
from streamflow.postgres.connect import connect
from streamflow.registry.plain import PlainView
from streamflow.registry.stores import own_stores
from streamflow.registry.views import plain_views
from streamflow.tests.engine.test_engine import other, shop, view
from streamflow.tests.imports import imported_by

TYPES = {"a": Int32, "b": Array(Float32), "c": Set(String), "d": UnixTimestamp, "e": Float64}


@pytest.fixture
def store(database: str) -> Iterator[FeatureStore]:
    """The feature store of a database with the project applied and a table for the views."""
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE source.kinds (shop_id bigint, other_id text, ts timestamptz,"
            " at timestamptz, x integer, a integer, b real[], c text[], d timestamptz,"
            " e double precision, price bigint, m jsonb)"
        )
    with open_store() as found:
        yield found


def read(*names: str) -> list[PlainView] | None:
    """The views as they are read without Feast."""
    stores = own_stores(settings.FEATURE_REPO)
    assert stores is not None
    with connect() as connection:
        return plain_views(connection, stores, names)


def kinds(name: str, fields: dict[str, Any], **options: Any) -> FeatureView:
    """A view over source.kinds."""
    return view(name, fields, **{"table": "source.kinds", **options})


def test_views_are_those_that_feast_has(store: FeatureStore) -> None:
    store.apply([shop, other])
    added = [
        kinds("typed", TYPES),
        kinds(
            "mapped", {"mine": Int64, "theirs": Int32}, field_mapping={"x": "mine", "a": "theirs"}
        ),
        kinds("no_created", {"price": Int64}, created_timestamp_column=""),
        kinds("nobody", {"price": Int64}, entity=None),
        kinds("asked", {"price": Int64}, table=None, query="SELECT * FROM source.kinds -- all\n"),
        FeatureView(
            name="two_keys",
            entities=[other, shop],
            schema=[Field(name="price", dtype=Int64)],
            source=kinds("pair", {}).batch_source,
            ttl=timedelta(days=1),
            tags={"one": "1", "two": "2"},
        ),
    ]
    store.apply(added)
    registered = sorted(store.list_feature_views(), key=lambda one: one.name)
    assert {one.name for one in added} < {one.name for one in registered}
    assert read() == [plain_view(store.config, one) for one in registered]
    assert read("typed", "mapped", "typed") == [
        plain_view(store.config, store.get_feature_view(name)) for name in ("mapped", "typed")
    ]


def test_what_is_offline_or_disabled_is_none_of_all(store: FeatureStore) -> None:
    offline, disabled = kinds("offline", {"price": Int64}), kinds("disabled", {"price": Int64})
    offline.online, disabled.enabled = False, False
    before = read()
    store.apply([shop, offline, disabled])
    assert read() == before
    assert read("offline") is None
    assert read("disabled") is None
    assert read("nowhere") is None


@pytest.mark.parametrize("kind", ["a message", "a file", "computed", "stream", "kept on demand"])
def test_what_feast_computes_is_left_to_it(store: FeatureStore, kind: str) -> None:
    assert read() is not None
    plain = kinds("plain", {"price": Int64})
    transformed = PythonTransformation(dict, "dict")
    store.apply([shop, plain])
    if kind == "a message":
        store.apply([kinds("left", {"m": Map})])
    elif kind == "a file":
        left = kinds("left", {"price": Int64})
        left.batch_source = FileSource(name="f", path="nowhere.parquet", timestamp_field="ts")
        store.registry.apply_feature_view(left, store.project)
    elif kind == "computed":
        left = kinds("left", {"price": Int64})
        left.feature_transformation = transformed
        store.registry.apply_feature_view(left, store.project)
    elif kind == "stream":
        with warnings.catch_warnings(action="ignore"):  # of an experimental class
            left = StreamFeatureView(
                name="left",
                entities=[shop],
                schema=[Field(name="price", dtype=Int64)],
                source=plain.batch_source,
                timestamp_field="ts",
            )
        store.registry.apply_feature_view(left, store.project)
    else:
        left = OnDemandFeatureView(
            name="left",
            entities=[shop],
            sources=[plain],
            schema=[Field(name="twice", dtype=Int64)],
            feature_transformation=transformed,
            mode="python",
            write_to_online_store=True,
        )
        store.registry.apply_feature_view(left, store.project)
    assert read() is None
    assert read("left") is None
    found = read("plain")
    assert found is not None
    assert [one.name for one in found] == ["plain"]


def test_the_command_imports_neither_feast_nor_pandas(database: str) -> None:
    imported = imported_by("materialize")
    assert "psycopg" in imported
    assert not imported & {"feast", "pandas", "pyarrow", "numpy", "sqlalchemy", "prefect"}
