"""Every call of Feast's SDK that reaches the online store does what Feast says it does."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import (
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
)
from feast.data_source import PushMode
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.labeling import LabelView
from feast.transformation.python_transformation import PythonTransformation
from feast.types import Int64, String

from streamflow.tests.online.projects import (
    T0,
    USER,
    applied,
    apply,
    catalog,
    prices,
    read,
    tables,
    values,
    view_of,
)

DAY = timedelta(days=1)
KEYS = {"user_id": ["u", "v"]}
SOURCE = PostgreSQLSource(
    name="history",
    table="source.history",
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
)


@pytest.fixture
def store(feast_database: str) -> Iterator[FeatureStore]:
    """A project whose view `prices` has a history, and is pushed to as well."""
    with psycopg.connect() as connection:
        connection.execute(
            "CREATE TABLE source.history (user_id text, price bigint, name text,"
            " event_timestamp timestamptz, created timestamptz)"
        )
        connection.execute(
            "INSERT INTO source.history VALUES"
            " ('u', 1, 'old', %(t)s, %(t)s), ('u', 2, 'new', %(t)s + interval '1 day', %(t)s),"
            " ('v', 3, NULL, %(t)s, %(t)s), ('v', 4, 'late', %(t)s + interval '9 days', %(t)s)",
            {"t": T0},
        )
    with applied(USER, pushed()) as store:
        yield store


def pushed(**options: Any) -> FeatureView:
    return prices(source=PushSource(name="pushes", batch_source=SOURCE), **options)


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"user_id": ["u"], "price": [7], "name": ["p"], "event_timestamp": [T0 + 2 * DAY]}
        | {"created": [T0]}
        | columns
    )


def both(store: FeatureStore) -> list[Any]:
    found = values(store, ["prices:price", "prices:name"], KEYS)
    return list(zip(found["price"], found["name"], strict=True))


def test_push(store: FeatureStore) -> None:
    store.push("pushes", frame(), to=PushMode.ONLINE)
    assert both(store) == [(7, "p"), (None, None)]
    store.push("pushes", frame(price=[8], event_timestamp=[T0]), to=PushMode.ONLINE)
    assert both(store) == [(7, "p"), (None, None)]
    asyncio.run(store.push_async("pushes", frame(price=[9]), to=PushMode.ONLINE))
    assert both(store) == [(9, "p"), (None, None)]
    assert read(store, ["prices:price"], KEYS)["price"][0][2] == T0 + 2 * DAY


def test_write_to_online_store(store: FeatureStore) -> None:
    store.write_to_online_store("prices", df=frame())
    assert both(store)[0] == (7, "p")
    inputs = frame(price=[8], name=[None], event_timestamp=[datetime(2024, 2, 3)])
    store.write_to_online_store("prices", inputs=inputs.to_dict(orient="list"))
    assert both(store)[0] == (8, None)
    assert read(store, ["prices:price"], KEYS)["price"][0][2] == datetime(2024, 2, 3, tzinfo=UTC)
    asyncio.run(store.write_to_online_store_async("prices", df=frame(price=[9])))
    assert both(store)[0] == (8, None)


def test_materialize_and_materialize_incremental(store: FeatureStore) -> None:
    store.materialize(T0 - DAY, T0 + DAY)
    assert both(store) == [(2, "new"), (3, None)]
    store.materialize_incremental(T0 + 10 * DAY)
    assert both(store) == [(2, "new"), (4, "late")]
    store.materialize(T0 - DAY, T0)  # a backfill brings no older value back
    assert both(store) == [(2, "new"), (4, "late")]
    store.config.online_store.force = True
    store.materialize(T0 - DAY, T0)
    assert both(store) == [(1, "old"), (3, None)]


def test_a_view_without_entities_is_written(store: FeatureStore) -> None:
    """Stock Feast writes its row under another key than it reads."""
    apply(store, view_of("world", {"price": Int64}, source=SOURCE))
    store.write_to_online_store("world", df=frame())
    found = values(store, ["world:price", "prices:price"], KEYS, full_feature_names=True)
    assert found["world__price"] == [7, 7]
    assert found["prices__price"] == [None, None]
    store.list_feature_views(allow_cache=True)
    store.write_to_online_store("world", df=frame(price=[8]))
    assert values(store, ["world:price"], KEYS)["price"] == [8, 8]


def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"double": [None if one is None else 2 * one for one in inputs["price"]]}


def on_demand(*keys: Field, **options: Any) -> OnDemandFeatureView:
    return OnDemandFeatureView(
        name="doubled",
        entities=[USER],
        sources=[pushed()],
        schema=[Field(name="double", dtype=Int64), *keys],
        feature_transformation=PythonTransformation(udf=doubled, udf_string="doubled"),
        mode="python",
        **options,
    )


@pytest.mark.parametrize("keys", [[], [Field(name="user_id", dtype=String)]])
def test_an_on_demand_view_that_is_written(store: FeatureStore, keys: list[Field]) -> None:
    apply(store, pushed(), on_demand(*keys, write_to_online_store=True))
    assert tables()["shop:user_id"]["doubled:double"] == "bigint"
    store.write_to_online_store("doubled", df=frame()[["user_id", "price"]])
    found = values(store, ["doubled:double", "prices:price"], KEYS)
    assert found == {"user_id": ["u", "v"], "double": [14, None], "price": [None, None]}
    store.materialize(T0 - DAY, T0 + 10 * DAY, feature_views=["prices", "doubled"])
    assert values(store, ["doubled:double"], KEYS)["double"] == [4, 8]


def test_an_on_demand_view_that_is_not_written_has_no_columns(store: FeatureStore) -> None:
    apply(store, on_demand())
    assert not [name for name in tables()["shop:user_id"] if name.startswith("doubled")]
    store.push("pushes", frame(), to=PushMode.ONLINE)
    assert values(store, ["doubled:double"], KEYS)["double"] == [14, None]


def test_labels_are_pushed(store: FeatureStore) -> None:
    labels = LabelView(
        name="labels",
        entities=[USER],
        source=PushSource(name="labelling", batch_source=SOURCE),
        schema=[
            Field(name="user_id", dtype=String),
            Field(name="price", dtype=Int64),
            Field(name="labeler", dtype=String),
        ],
    )
    apply(store, labels)
    store.push("labelling", frame(labeler=["me"]), to=PushMode.ONLINE)
    assert values(store, ["labels:price"], KEYS)["price"] == [7, None]


def test_a_feature_service_with_request_data(store: FeatureStore) -> None:
    def plus(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"sum": [a + b for a, b in zip(inputs["price"], inputs["more"], strict=True)]}

    asked = RequestSource(name="asked", schema=[Field(name="more", dtype=Int64)])
    summed = OnDemandFeatureView(
        name="summed",
        sources=[pushed(), asked],
        schema=[Field(name="sum", dtype=Int64)],
        feature_transformation=PythonTransformation(udf=plus, udf_string="plus"),
        mode="python",
    )
    apply(store, summed, FeatureService(name="both", features=[summed, pushed()[["name"]]]))
    store.push("pushes", frame(), to=PushMode.ONLINE)
    found = values(store, store.get_feature_service("both"), {"user_id": ["u"], "more": [5]})
    assert found == {"user_id": ["u"], "name": ["p"], "sum": [12]}


def test_apply_and_teardown(store: FeatureStore) -> None:
    apply(store, USER, pushed())
    apply(store, USER, pushed())
    assert catalog() == (1, "shop")
    store.teardown()
    assert tables() == {}
    assert catalog() == (2, "shop")


def test_searching_by_vectors_is_refused(store: FeatureStore) -> None:
    """Vectors need pgvector, which the typed tables do not use on purpose; Feast's base class then
    refuses a search by the error that is expected here, for every store without vectors.
    """
    online, view = store._get_provider().online_store, store.get_feature_view("prices")
    with pytest.raises(NotImplementedError, match="does not support online retrieval"):
        online.retrieve_online_documents_v2(store.config, view, ["price"], [1.0], 1)


def test_a_service_that_wants_precomputed_vectors_is_refused(store: FeatureStore) -> None:
    """Feast can make them on Redis alone; the read says so, as with stock PostgreSQL."""
    apply(store, FeatureService(name="pre", features=[pushed()], precompute_online=True))
    store.push("pushes", frame(), to=PushMode.ONLINE)
    with pytest.raises(RuntimeError, match="pre-computed vectors could not be read"):
        values(store, store.get_feature_service("pre"), KEYS)
