"""A source that broke is the error of its view, whichever way it goes; the others are done."""

from typing import Any

import psycopg
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, PushSource, StreamFeatureView, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Int64

from streamflow.errors import SourceMismatch
from streamflow.tests.feast.whole_projects import materialize, team

pytestmark = [
    pytest.mark.usefixtures("feast_database"),
    pytest.mark.filterwarnings("ignore:Stream feature views are:RuntimeWarning"),
]
SHOP = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)


def source(name: str) -> PostgreSQLSource:
    return PostgreSQLSource(
        name=f"{name}_source", table=f"source.{name}", timestamp_field="ts",
        created_timestamp_column="at",
    )  # fmt: skip


def view(name: str, kind: Any = FeatureView, of: Any = None) -> Any:
    schema = [Field(name="price", dtype=Int64)]
    return kind(name=name, entities=[SHOP], schema=schema, source=of or source(name))


def made(*names: str, price: str = "7::bigint") -> None:
    with psycopg.connect() as connection:
        for name in names:
            connection.execute(
                f"CREATE TABLE source.{name} AS SELECT 1::bigint AS shop_id, {price} AS price,"
                " timestamptz '2024-01-01' AS ts, now() AS at"
            )


def served(store: FeatureStore, name: str) -> Any:
    answer = store.get_online_features([f"{name}:price"], [{"shop_id": 1}])
    return answer.to_dict()["price"][0]


BREAKS = {
    "a feature": (
        "ALTER TABLE source.broken RENAME price TO prise",
        "data source broken_source has no column price (did you mean prise?);"
        " it has shop_id, prise, ts, at",
    ),
    "a key": (
        "ALTER TABLE source.broken DROP shop_id",
        "data source broken_source has no column shop_id; it has price, ts, at",
    ),
    "a time": (
        "ALTER TABLE source.broken ALTER ts TYPE text",
        "timestamp_field ts of data source broken_source is text and no time (date or timestamp"
        " without time zone or timestamp with time zone)",
    ),
    "a table": (
        "DROP TABLE source.broken",
        'data source broken_source cannot be read: relation "source.broken" does not exist',
    ),
}


@pytest.mark.parametrize("kind", ["plain", "stream", "feast"])
@pytest.mark.parametrize(("broken", "said"), BREAKS.values(), ids=BREAKS)
def test_view_source_and_column_are_named(broken: str, said: str, kind: str) -> None:
    made("broken", price="7::numeric" if kind == "feast" else "7::bigint")
    made("whole")
    name = "feature view broken"
    one = view("broken")
    if kind == "stream":
        pushed = PushSource(name="pushed", batch_source=source("broken"))
        name, one = f"stream {name}", view("broken", StreamFeatureView, pushed)
    with team(SHOP, one, view("whole")) as store:
        with psycopg.connect() as connection:
            connection.execute(broken)
        with pytest.raises(SourceMismatch) as refused:
            materialize(store, "broken", "whole")
        assert str(refused.value) == f"{name}: {said}"
        assert served(store, "whole") == 7
