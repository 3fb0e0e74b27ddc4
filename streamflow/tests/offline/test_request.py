"""Tests of requests: keys, aliases, names, columns that pass through, errors."""

import warnings
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import feast.utils
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureService, Field, OnDemandFeatureView
from feast.errors import (
    EntityDFNotDateTime,
    EntityTimestampInferenceException,
    FeastEntityDFMissingColumnsError,
    FeastOfflineStoreUnsupportedDataSource,
    InvalidEntityType,
)
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.infra.offline_stores.file_source import FileSource
from feast.transformation.pandas_transformation import PandasTransformation
from feast.types import Int64

from streamflow.tests.offline.projects import (
    FEATURES,
    HOUR,
    T0,
    asked,
    execute,
    query_of,
    row,
    store_of,
    table,
    values,
    view_of,
)

pytestmark = pytest.mark.usefixtures("feast_database")
BOTH = pytest.mark.parametrize("as_sql", [False, True], ids=["frame", "query"])


def entity_rows(frame: pd.DataFrame, as_sql: bool) -> pd.DataFrame | str:
    """Entity rows in one of the two forms."""
    return query_of(frame) if as_sql else frame


@BOTH
def test_keys_of_several_columns_are_compared_one_by_one(tmp_path: Path, as_sql: bool) -> None:
    table("v", [row("1", T0, 1, item_id=12), row("11", T0, 2, item_id=2)])
    store = store_of(tmp_path, view_of("v", ["user_id", "item_id"]))
    frame = asked(("1", T0), ("11", T0), ("1", T0), ("11", T0)).assign(item_id=[12, 2, 2, 12])
    job = store.get_historical_features(entity_rows(frame, as_sql), ["v:clicks"])
    assert values(job, "clicks") == [1, 2, None, None]


@BOTH
def test_a_key_may_be_called_otherwise_in_the_request(tmp_path: Path, as_sql: bool) -> None:
    table("v", [row("a", T0, 1), row("b", T0, 2)])
    view = view_of("v")
    service = FeatureService(
        name="s",
        features=[
            view.with_name("buyer").with_join_key_map({"user_id": "buyer_id"})[["clicks"]],
            view.with_name("seller").with_join_key_map({"user_id": "seller_id"})[["clicks"]],
        ],
    )
    store = store_of(tmp_path, view, service)
    frame = asked(("a", T0), ("b", T0)).rename(columns={"user_id": "buyer_id"})
    frame["seller_id"] = ["b", "c"]
    job = store.get_historical_features(
        entity_rows(frame, as_sql), service, full_feature_names=True
    )
    assert values(job, "buyer__clicks", "seller__clicks") == [(1, 2), (2, None)]


@BOTH
def test_views_of_different_entities_and_of_none_are_joined_at_once(
    tmp_path: Path, as_sql: bool
) -> None:
    table("users", [row("a", T0, 1)])
    table("items", [row(None, T0, 2, item_id=7)])
    table("pairs", [row("a", T0, 3, item_id=7)])
    table("alone", [row(None, T0, 4), row(None, T0 + HOUR, 5)])
    views = [
        view_of("users"),
        view_of("items", ["item_id"]),
        view_of("pairs", ["user_id", "item_id"]),
        view_of("alone", []),
    ]
    store = store_of(tmp_path, *views)
    frame = asked(("a", T0), ("a", T0 + HOUR), ("b", T0 - HOUR)).assign(item_id=[7, 8, 7])
    names = [f"{view.name}:clicks" for view in views]
    job = store.get_historical_features(entity_rows(frame, as_sql), names, full_feature_names=True)
    found = values(job, *(name.replace(":", "__") for name in names))
    assert found == [(1, 2, 3, 4), (1, None, None, 5), (None, None, None, None)]


@BOTH
def test_a_source_may_call_its_columns_otherwise(tmp_path: Path, as_sql: bool) -> None:
    table("v", columns='"User" text, "When" timestamptz, "Made" timestamptz, "N ""1""" bigint')
    execute("""INSERT INTO source.v VALUES ('a', '2024-01-01', '2024-01-01', 1),
        ('a', '2024-01-01', '2024-01-02', 2)""")
    source = PostgreSQLSource(
        name="v",
        query="SELECT * FROM source.v WHERE '{}%s' <> ':x' -- a comment }{\n",
        timestamp_field="at",
        created_timestamp_column="made",
        field_mapping={"User": "user_id", "When": "at", "Made": "made", 'N "1"': "clicks"},
    )
    store = store_of(tmp_path, view_of("v", source=source))
    job = store.get_historical_features(entity_rows(asked(("a", T0)), as_sql), ["v:clicks"])
    assert values(job, "user_id", "clicks") == [("a", 2)]


@BOTH
def test_names_may_be_longer_than_postgresql_s(tmp_path: Path, as_sql: bool) -> None:
    name = "a" * 60
    table("v", [row("a", T0, 1, score=0.5)])
    store = store_of(tmp_path, view_of(name, table="source.v"))
    refs = [f"{name}:clicks", f"{name}:score"]
    frame = entity_rows(asked(("a", T0)), as_sql)
    job = store.get_historical_features(frame, refs, full_feature_names=True)
    assert values(job, f"{name}__clicks", f"{name}__score") == [(1, 0.5)]


def test_columns_of_a_frame_come_back_as_they_were(tmp_path: Path) -> None:
    table("v", [row("a", T0, 1)])
    store = store_of(tmp_path, view_of("v"))
    frame = asked(("a", T0), ("b", T0)).assign(
        day=[date(2024, 1, 1), None],
        naive=pd.Series([date(2024, 1, 1), date(2024, 1, 2)], dtype=object),
        price=[Decimal("1.10"), None],
        kind=pd.Categorical(["x", "y"]),
        tags=[["p", None], None],
        big=pd.array([2**63 - 1, None], dtype="Int64"),
        label=[True, None],
        **{"odd \" '%s": ["", "\\."]},
    )
    found = store.get_historical_features(frame, ["v:clicks"]).to_arrow()
    before = pa.Table.from_pandas(frame, preserve_index=False)
    for name in frame.columns.drop("event_timestamp"):
        assert found[name].combine_chunks() == before[name].combine_chunks(), name
    assert found.column_names == [*frame.columns, "clicks"]
    assert found["event_timestamp"].type == pa.timestamp("us", tz="UTC")


def test_columns_of_a_query_come_back_as_they_were(tmp_path: Path) -> None:
    table("v", [row("a", T0, 1)])
    store = store_of(tmp_path, view_of("v"))
    query = """SELECT date '2024-01-01' AS day, timestamp '2024-01-01 01:02' AS naive,
        'a' AS user_id, '{1,NULL}'::bigint[] AS tags, timestamptz '2024-02-01' AS event_timestamp,
        9223372036854775807 AS big, 'x' AS "odd "" '%s" ; """
    found = store.get_historical_features(query, ["v:clicks"]).to_arrow()
    (one,) = found.to_pylist()
    assert one == {
        "day": date(2024, 1, 1),
        "naive": datetime(2024, 1, 1, 1, 2),
        "user_id": "a",
        "tags": [1, None],
        "event_timestamp": pd.Timestamp("2024-02-01", tz="UTC"),
        "big": 2**63 - 1,
        "odd \" '%s": "x",
        "clicks": 1,
    }


@pytest.mark.parametrize(
    "times",
    [
        [date(2024, 1, 31), date(2024, 2, 1)],
        ["2024-01-31", "2024-02-01T00:00:00+00:00"],
        [np.datetime64("2024-01-31T00:00:00.000000999", "ns"), np.datetime64("2024-02-01", "ns")],
        pd.to_datetime(["2024-01-30T19:00-05:00", "2024-01-31T19:00-05:00"]),
    ],
    ids=["dates", "text", "nanoseconds", "another zone"],
)
def test_times_of_a_frame_may_be_written_otherwise(tmp_path: Path, times: Any) -> None:
    table("v", [row("a", T0.replace(hour=0), 1), row("a", T0, 2)])
    store = store_of(tmp_path, view_of("v"))
    frame = pd.DataFrame({"user_id": ["a", "a"], "event_timestamp": times})
    found = store.get_historical_features(frame, ["v:clicks"])
    assert values(found, "clicks") == [1, 2]
    assert values(found, "event_timestamp")[0] == T0.replace(hour=0)


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
def test_the_only_column_with_times_is_the_time(tmp_path: Path, kind: str) -> None:
    table("v", [row("a", T0.replace(hour=0), 1)])
    store = store_of(tmp_path, view_of("v"))
    query = f"SELECT 'a' AS user_id, '2024-01-31'::{kind} AS moment"
    assert values(store.get_historical_features(query, ["v:clicks"]), "clicks") == [1]


@pytest.mark.parametrize(
    "entities",
    [
        pd.DataFrame(columns=["user_id", "item_id", "event_timestamp"]),
        pd.DataFrame({"user_id": [], "item_id": [], "event_timestamp": []}),
        asked().assign(item_id=pd.Series([], dtype="int64")),
        "SELECT ''::text AS user_id, 1 AS item_id, now() AS event_timestamp WHERE false",
    ],
)
def test_no_entity_rows_give_no_rows(tmp_path: Path, entities: Any) -> None:
    table("v", [row("a", T0, 1, item_id=1)])
    store = store_of(tmp_path, view_of("v", ["user_id", "item_id"]))
    found = store.get_historical_features(entities, ["v:clicks", "v:score"]).to_arrow()
    assert found.num_rows == 0
    assert set(found.column_names[:3]) == {"user_id", "item_id", "event_timestamp"}
    assert found.column_names[3:] == ["clicks", "score"]
    assert found.schema.field("clicks").type == pa.int64()
    assert found.schema.field("score").type == pa.float32()


def test_keys_that_pandas_made_floats_are_integers_again(tmp_path: Path) -> None:
    table("v", [row(None, T0, 1, item_id=3)])
    store = store_of(tmp_path, view_of("v", ["item_id"]))
    frame = pd.DataFrame({"item_id": [3, None], "event_timestamp": [T0, T0]})
    assert values(store.get_historical_features(frame, ["v:clicks"]), "clicks") == [1, None]


@BOTH
@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"event_timestamp": "x"}, EntityTimestampInferenceException, "named event_timestamp"),
        ({"user_id": "x"}, FeastEntityDFMissingColumnsError, r"\['user_id'\] were missing"),
    ],
)
def test_a_column_that_is_missing_is_named(
    tmp_path: Path, as_sql: bool, change: dict[str, str], error: type[Exception], said: str
) -> None:
    table("v")
    store = store_of(tmp_path, view_of("v"))
    frame = asked(("a", T0)).rename(columns=change)
    if "event_timestamp" in change:
        frame["x"] = "no time"
    with pytest.raises(error, match=said):
        store.get_historical_features(entity_rows(frame, as_sql), ["v:clicks"]).to_arrow()


def test_what_is_no_request_is_refused(tmp_path: Path) -> None:
    table("v")
    store = store_of(tmp_path, view_of("v"))
    numbers = pd.DataFrame({"user_id": ["a"], "event_timestamp": [1]})
    for frame in (numbers, numbers.assign(event_timestamp="soon")):
        with pytest.raises(EntityDFNotDateTime):
            store.get_historical_features(frame, ["v:clicks"])
    with pytest.raises(InvalidEntityType):
        store.get_historical_features([("a", T0)], ["v:clicks"])
    twice = "SELECT 'a' AS user_id, now() AS event_timestamp, 1 AS x, 2 AS x"
    with pytest.raises(ValueError, match="several columns named x"):
        store.get_historical_features(twice, ["v:clicks"]).to_arrow()


def test_a_source_of_another_kind_is_refused(tmp_path: Path) -> None:
    source = FileSource(name="f", path=str(tmp_path), timestamp_field="at")
    view = view_of("v", source=source)
    store = store_of(tmp_path, view_of("w"))
    with pytest.raises(FeastOfflineStoreUnsupportedDataSource, match="FileSource"):
        store._get_provider().get_historical_features(
            store.config, [view], ["v:clicks"], asked(("a", T0)), store.registry, "shop", False
        )


def total_of(name: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Computes `NAME_total` of two views' clicks."""

    def total(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({f"{name}_total": inputs["v_clicks"] + inputs["w_clicks"]})

    return total


@pytest.mark.parametrize("full", [False, True])
def test_the_order_of_columns_is_that_of_no_hash(
    tmp_path: Path, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Feast adds the inputs of on-demand views from sets, whose order differs in each process."""
    for name in ("v", "w"):
        table(name, [row("a", T0, 1, score=0.5, note="x")])
    views = [
        view_of(
            name,
            features={f"{name}_{one}": kind for one, kind in FEATURES.items()},
            source=PostgreSQLSource(
                name=f"{name}_source",
                table=f"source.{name}",
                timestamp_field="at",
                field_mapping={one: f"{name}_{one}" for one in FEATURES},
            ),
        )
        for name in ("v", "w")
    ]
    computed = [
        OnDemandFeatureView(
            name=name,
            sources=views,
            schema=[Field(name=f"{name}_total", dtype=Int64)],
            feature_transformation=PandasTransformation(udf=total_of(name), udf_string=name),
            mode="pandas",
        )
        for name in ("one", "two")
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view", RuntimeWarning)
        store = store_of(tmp_path, *views, *computed)
    grouped = feast.utils._group_feature_refs
    columns = []
    for order in permutations(range(4)):

        def shuffled(*given: Any, order: tuple[int, ...] = order) -> Any:
            plain, on_demand = grouped(*given)
            plain = [
                (view, sorted(names, key=lambda one: (order[len(one) % 4], one)))
                for view, names in plain
            ]
            return plain[:: 1 if order[0] % 2 else -1], on_demand

        monkeypatch.setattr(feast.utils, "_group_feature_refs", shuffled)
        job = store.get_historical_features(
            asked(("a", T0)),
            ["two:two_total", "w:w_score", "v:v_note", "one:one_total"],
            full_feature_names=full,
        )
        columns.append(job.to_arrow().column_names)
    assert columns == columns[:1] * len(columns)
    names = [one.rpartition("__")[2] for one in columns[0]]
    # View by view as they were asked for; behind what was asked of one, its inputs in its order.
    assert names[2:5] == ["w_score", "w_clicks", "w_note"]
    assert names[5:8] == ["v_note", "v_clicks", "v_score"]
    assert names[8:] == ["two_total", "one_total"]
