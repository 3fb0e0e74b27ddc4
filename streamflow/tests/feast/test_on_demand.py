"""Views of expressions in Feast: defined, applied, trained on and read by its SDK."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, RequestSource, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import (
    Bool,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
)

from streamflow import training
from streamflow.errors import ConfigurationError, SpineRefused
from streamflow.expressions.evaluate import compiled
from streamflow.expressions.parse import parsed
from streamflow.feast import sql_feature_view
from streamflow.feast.online.client import read
from streamflow.feast.registry.contracts import contract_of, contract_of_service
from streamflow.postgres.connect import connect
from streamflow.tests.expressions.at_random import COLUMNS, TYPES, rows_at_random, same
from streamflow.tests.feast.whole_projects import materialize, team

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature:RuntimeWarning")

T0 = datetime(2024, 1, 31, tzinfo=UTC)
DTYPES = {
    "Int32": Int32,
    "Int64": Int64,
    "Float32": Float32,
    "Float64": Float64,
    "Bool": Bool,
    "String": String,
    "UnixTimestamp": UnixTimestamp,
}
ASKED = {"quoted": "Float64", "days": "Int32"}
EXPRESSIONS = {
    "ratio": ("Float64", "d / NULLIF(b, 0)"),
    "share": ("Float32", "f / g * g"),
    "count": ("Int64", "COALESCE(i, 0) + CASE WHEN t THEN b ELSE j END"),
    "age": ("Float64", "EXTRACT(epoch FROM w - u)"),
    "later": ("UnixTimestamp", "GREATEST(u, w)"),
    "said": ("String", "COALESCE(NULLIF(s, 'a'), r)"),
    "is_long": ("Bool", "length(s) > 2 OR s IS NULL"),
    "whole": ("Int32", "CAST(e AS integer)"),
    "growth": ("Float64", "ln(abs(d)) + exp(e)"),
    "above": ("Float64", "quoted - d"),
    "per_day": ("Float64", "LEAST(d, e) / days"),
}
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)


def objects() -> list[Any]:
    """A view with a feature of each type, one computed from it and from a request, a service."""
    view = FeatureView(
        name="facts",
        entities=[USER],
        ttl=timedelta(0),
        source=PostgreSQLSource(name="facts", table="facts", timestamp_field="at"),
        schema=[Field(name=name, dtype=DTYPES[type_]) for name, type_ in TYPES.items()],
    )
    asked = RequestSource(
        name="asked", schema=[Field(name=name, dtype=DTYPES[one]) for name, one in ASKED.items()]
    )
    computed = sql_feature_view(
        name="computed",
        sources=[view, asked],
        schema=[
            Field(name=name, dtype=DTYPES[one], description=f"The {name}.")
            for name, (one, _) in EXPRESSIONS.items()
        ],
        expressions={name: text for name, (_, text) in EXPRESSIONS.items()},
    )
    return [USER, view, computed, FeatureService(name="model", features=[view[["d"]], computed])]


def store_rows(count: int) -> list[dict[str, Any]]:
    """Fills the table of the view with rows at random, and returns them with request values."""
    rows = rows_at_random(count, 7)
    kinds = ", ".join(f"{name} {kind}" for name, (_, kind) in COLUMNS.items())
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE facts (user_id text, at timestamptz, {kinds})")  # type: ignore[call-overload]
        with cursor.copy("COPY facts FROM STDIN") as copy:
            for number, row in enumerate(rows):
                copy.write_row([f"u{number}", T0, *row.values()])
    return [row | {"quoted": row["e"], "days": row["j"]} for row in rows]


def expected(row: dict[str, Any]) -> dict[str, Any]:
    """The features of a row by the evaluation that is held against PostgreSQL elsewhere."""
    return {
        name: compiled(parsed(text, TYPES | ASKED, type_))(row)
        for name, (type_, text) in EXPRESSIONS.items()
    }


@pytest.fixture
def shop(database: str) -> Iterator[FeatureStore]:
    """A project with those objects over no rows yet."""
    store_rows(0)
    with team(*objects()) as store:
        yield store


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_training_set_and_sdk_give_the_same_bits(database: str, count: int) -> None:
    rows = store_rows(count)
    spine = pa.table(
        {
            "user_id": [f"u{number}" for number in range(count)],
            "event_timestamp": pa.array([T0] * count, pa.timestamp("us", "UTC")),
            "quoted": pa.array([row["quoted"] for row in rows], pa.float64()),
            "days": pa.array([row["days"] for row in rows], pa.int32()),
        }
    )
    with team(*objects()) as store:
        materialize(store, "facts")
        with training.build(spine, "model", store=store) as made:
            trained = made.read_all().to_pylist()
        keys = [
            {"user_id": f"u{number}", "quoted": row["quoted"], "days": row["days"]}
            for number, row in enumerate(rows)
            if row["quoted"] is not None and row["days"] is not None
        ]
        served = read(store, contract_of(store, "model"), keys)
    assert len(trained) == count
    for row, found in zip(rows, trained, strict=True):
        for name, value in expected(row).items():
            assert same(in_seconds(found[name]), value), (name, row)
    by_key = {one["user_id"]: one for one in trained}
    assert len(served) > count / 2
    for vector in served:
        assert vector.as_of == {"facts": T0, "computed": T0}
        for name in EXPRESSIONS:
            both = vector.values[f"computed:{name}"], by_key[vector.key["user_id"]][name]
            assert same(*map(in_seconds, both)), (name, vector.key)


@pytest.fixture
def visits(database: str) -> Iterator[FeatureStore]:
    """A project whose features are what a request says, of three types."""
    store_rows(0)
    types = {"is_member": Bool, "at": UnixTimestamp, "items": Int64}
    asked = RequestSource(name="visit", schema=[Field(name=n, dtype=t) for n, t in types.items()])
    computed = sql_feature_view(
        name="said",
        sources=[asked],
        schema=[Field(name=f"{name}_said", dtype=one) for name, one in types.items()],
        expressions={f"{name}_said": name for name in types},
    )
    view = objects()[1]
    model = FeatureService(name="visit_v1", features=[view[["d"]], computed])
    with team(USER, view, computed, model) as store:
        yield store


def said(store: FeatureStore, spine: Any) -> list[tuple[Any, ...]]:
    """The computed features of the spine's rows."""
    with training.build(spine, "visit_v1", store=store) as made:
        rows = made.read_all().to_pylist()
    return [(row["is_member_said"], row["at_said"], row["items_said"]) for row in rows]


def test_values_of_a_request_may_be_text_in_a_spine(visits: FeatureStore, tmp_path: Path) -> None:
    lines = ["user_id,event_timestamp,is_member,at,items"]
    lines += ["a,2024-01-31,false,2024-01-31T09:00:00+09:00,1", "b,2024-01-31,true,,"]
    spine = tmp_path / "visits.csv"
    spine.write_text("\n".join(lines))
    assert said(visits, str(spine)) == [(False, T0, 1), (True, None, None)]


def test_a_date_is_its_midnight(visits: FeatureStore) -> None:
    spine = "SELECT 'a' AS user_id, now() AS event_timestamp, false AS is_member, 1 AS items, "
    assert said(visits, f"{spine} date '2024-01-31' AS at") == [(False, T0, 1)]


def test_a_value_of_another_type_is_refused_by_name(visits: FeatureStore) -> None:
    spine = pa.table(
        {
            "user_id": ["a"],
            "event_timestamp": [T0],
            "is_member": [True],
            "at": [T0],
            "items": [2.5],
        }
    )
    with pytest.raises(SpineRefused, match=r"^column items: 2\.5 is no Int64$"):
        said(visits, spine)


def in_seconds(value: Any) -> Any:
    """An instant as expressions have it."""
    return int(value.timestamp()) if isinstance(value, datetime) else value


def test_a_registry_gives_the_expressions_back(shop: FeatureStore) -> None:
    service = shop.get_feature_service("model")
    computed = shop.get_on_demand_feature_view("computed")
    assert contract_of_service(service, [computed]) == contract_of_service(
        objects()[-1], objects()[2:3]
    )
    again = computed.feature_transformation
    assert again == objects()[2].feature_transformation
    assert again.udf.columns["ratio"] == ("Float64", "d / NULLIF(b, 0)", "The ratio.")


def test_another_expression_is_another_contract(shop: FeatureStore) -> None:
    before = contract_of(shop, "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXPRESSIONS, "ratio", ("Float64", "d / b"))
        after = contract_of_service(objects()[-1], objects()[2:3])
    assert [one.name for one in before.features] == [one.name for one in after.features]
    assert before.hash != after.hash


@pytest.mark.parametrize(
    ("columns", "expressions", "why"),
    [
        ({"x": Int64}, {}, "x has no expression"),
        ({"x": Int64}, {"x": "b", "y": "b"}, "y has no field in the schema"),
        ({"x": Int64}, {"x": "foo(b)"}, "feature x: FOO(b) (position 1): foo is not among"),
        ({"x": Int64}, {"x": "d"}, "feature x: gives Float64, and the feature is Int64: CAST("),
        ({"x": Int64}, {"x": "nosuch"}, "feature x: nosuch (position 1): there is none"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_where_it_is_defined(
    columns: dict[str, Any], expressions: dict[str, str], why: str
) -> None:
    view = objects()[1]
    schema = [Field(name=name, dtype=dtype) for name, dtype in columns.items()]
    with pytest.raises(ConfigurationError) as refused:
        sql_feature_view(name="v", sources=[view], schema=schema, expressions=expressions)
    assert str(refused.value).startswith("on-demand feature view v")
    assert why in str(refused.value)


def test_a_source_without_a_schema_is_refused(tmp_path: Path) -> None:
    bare = FeatureView(
        name="bare",
        entities=[USER],
        source=PostgreSQLSource(name="b", table="b", timestamp_field="at"),
    )
    with pytest.raises(ConfigurationError, match="source bare declares no schema"):
        sql_feature_view(
            name="v", sources=[bare], schema=[Field(name="x", dtype=Int64)], expressions={"x": "1"}
        )
