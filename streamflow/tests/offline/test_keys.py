"""Entity rows whose keys have another type than the source's, and columns named like features."""

import uuid
import warnings
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, ValueType
from feast.errors import FeatureNameCollisionError
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import EntitySelectMode
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.transformation.pandas_transformation import PandasTransformation
from feast.types import Int64, String

from streamflow.errors import ConfigurationError, KeyMismatch
from streamflow.tests.offline.projects import (
    T0,
    asked,
    config_of,
    execute,
    query_of,
    row,
    store_of,
    table,
    values,
    view_of,
)

pytestmark = pytest.mark.usefixtures("module_database")
MODES = pytest.mark.parametrize("mode", ["temp_table", "embed_query"])
ONE = uuid.UUID(int=1)


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory, module_database: str) -> FeatureStore:
    """A project with a view `v` over source.things, whose key `k` is of any type."""
    execute("CREATE TYPE source.mood AS ENUM ('glad', 'sad')", "CREATE DOMAIN source.number AS int")
    store = FeatureStore(config=config_of(tmp_path_factory.mktemp("things")))
    entity = Entity(name="thing", join_keys=["k"], value_type=ValueType.UNKNOWN)
    source = PostgreSQLSource(name="things", table="source.things", timestamp_field="at")
    schema = [Field(name="k", dtype=String), Field(name="n", dtype=Int64)]
    store.apply([entity, FeatureView(name="v", entities=[entity], schema=schema, source=source)])
    return store


def keyed(store: FeatureStore, kind: str, key: str, mode: str = "temp_table") -> FeatureStore:
    """The project, its source with one row, of the key `key` of type `kind`."""
    execute(
        "DROP TABLE IF EXISTS source.things",
        f"CREATE TABLE source.things AS SELECT '{key}'::{kind} AS k,"
        " timestamptz '2024-01-01' AS at, 1::bigint AS n",
    )
    store.config.offline_store.entity_select_mode = EntitySelectMode(mode)
    return store


def rows_of(keys: Any) -> pd.DataFrame:
    """Entity rows with these keys."""
    return pd.DataFrame({"k": keys, "event_timestamp": [T0] * len(keys)})


def joined(store: FeatureStore, entities: Any) -> list[Any]:
    """The feature of each entity row."""
    return values(store.get_historical_features(entities, ["v:n"]), "n")


FRAMES = {
    "text for bigint": ("bigint", "7", ["7", None, "8"]),
    "text for smallint": ("smallint", "-7", ["-7", None, "99999"[:2]]),
    "integers for text": ("text", "7", [7, None, 8]),
    "integers for varchar": ("varchar(9)", "7", [7, 8, 9]),
    "integers for char": ("char(5)", "7", [7, 8, 9]),
    "integers for numeric": ("numeric(9, 2)", "7", [7, None, 8]),
    "decimals for bigint": ("bigint", "7", [Decimal("7.0"), None, Decimal("7.5")]),
    "decimals for text": ("text", "7.50", [Decimal("7.50"), None, Decimal("7.51")]),
    "whole floats for bigint": ("bigint", "7", [7.0, None, 8.0]),
    "whole floats for text": ("text", "7", [7.0, None, 8.0]),
    "uuids for uuid": ("uuid", str(ONE), [ONE, None, uuid.UUID(int=2)]),
    "uuids for text": ("text", str(ONE), [ONE, None, uuid.UUID(int=2)]),
    "text for uuid": ("uuid", str(uuid.UUID(int=255)), [str(uuid.UUID(int=255)).upper(), None]),
    "dates for text": ("text", "2024-01-31", [date(2024, 1, 31), None]),
    "text for date": ("date", "2024-01-31", ["2024-01-31", None]),
    "dates for timestamptz": ("timestamptz", "2024-01-31 00:00Z", [date(2024, 1, 31), None]),
    "truths for text": ("text", "true", [True, None, False]),
    "text for boolean": ("boolean", "true", ["true", None, "false"]),
    "categories for bigint": ("bigint", "7", pd.Categorical(["7", None, "8"])),
    "mixed for bigint": ("bigint", "7", [7, None, "8"]),
    "mixed for bigint, text first": ("bigint", "7", ["7", 8, None]),
    "mixed for text": ("text", "7", [np.int64(7), "x", None]),
    "mixed floats for text": ("text", "7", [7.0, "x", float("nan")]),
    "nothing for bigint": ("bigint", "7", [None, None]),
    "the largest for text": ("text", str(2**63 - 1), [2**63 - 1, 0]),
    "the largest for bigint": ("bigint", str(2**63 - 1), [str(2**63 - 1), "0"]),
}


@pytest.mark.parametrize(("kind", "key", "keys"), FRAMES.values(), ids=FRAMES)
def test_keys_of_a_frame_are_converted_where_nothing_is_lost(
    things: FeatureStore, kind: str, key: str, keys: Any
) -> None:
    store = keyed(things, kind, key)
    first = None if keys[0] is None else 1
    frame = rows_of(keys)
    assert joined(store, frame) == [first] + [None] * (len(keys) - 1)
    found = store.get_historical_features(frame, ["v:n"]).to_df()
    if not isinstance(keys, list) or len({type(one) for one in keys if one is not None}) == 1:
        assert [str(one) for one in found["k"].dropna()] == [
            str(one) for one in frame["k"].dropna()
        ]


QUERIES = {
    "text for bigint": ("bigint", "7", "'7'"),
    "bigint for text": ("text", "7", "7::bigint"),
    "integer for bigint": ("bigint", "7", "7::integer"),
    "numeric for bigint": ("bigint", "7", "7.00::numeric"),
    "float for bigint": ("bigint", "7", "7::float8"),
    "uuid for text": ("text", str(ONE), f"'{ONE}'::uuid"),
    "text for uuid": ("uuid", str(ONE), f"'{ONE}'"),
    "date for text": ("text", "2024-01-31", "date '2024-01-31'"),
    "varchar for text": ("text", "7", "'7'::varchar(3)"),
    "char for text": ("text", "7", "'7'::char(3)"),
    "name for bigint": ("bigint", "7", "'7'::name"),
    "text for an enum": ("source.mood", "glad", "'glad'"),
    "an enum for text": ("text", "glad", "'glad'::source.mood"),
    "text for a domain": ("source.number", "7", "'7'"),
    "a domain for text": ("text", "7", "7::source.number"),
}


@MODES
@pytest.mark.parametrize(("kind", "key", "given"), QUERIES.values(), ids=QUERIES)
def test_keys_of_a_query_are_converted_where_nothing_is_lost(
    things: FeatureStore, kind: str, key: str, given: str, mode: str
) -> None:
    store = keyed(things, kind, key, mode)
    query = (
        f"SELECT {given} AS k, now() AS event_timestamp"
        f" UNION ALL SELECT NULL, now() UNION ALL SELECT {given}, '2023-01-01'"
    )
    assert joined(store, query) == [1, None, None]
    job = store.get_historical_features(query, ["v:n"])
    if mode == "embed_query":
        execute("SET search_path = source", f"CREATE TEMPORARY TABLE kept AS {job.to_sql()}")


LOST = {
    "text that is no number": ("bigint", "7", ["7", "seven"], "text", "bigint", "'seven'"),
    "text with a zero before": ("bigint", "7", ["007"], "text", "bigint", "'007'"),
    "text with a blank": ("bigint", "7", ["7", " 7"], "text", "bigint", "' 7'"),
    "text with a fraction": ("integer", "7", ["7.0"], "text", "integer", "'7.0'"),
    "text too large": ("smallint", "7", ["40000"], "text", "smallint", "'40000'"),
    "text with a quote": ("bigint", "7", ['it\'s "7"'], "text", "bigint", """'it\\'s "7"'"""),
    "empty text": ("bigint", "7", [""], "text", "bigint", "''"),
    "text that is no uuid": ("uuid", str(ONE), ["x"], "text", "uuid", "'x'"),
    "an integer for uuid": ("uuid", str(ONE), [1], "bigint", "uuid", "'1'"),
    "a truth for bigint": ("bigint", "1", [True], "boolean", "bigint", "'true'"),
    "an integer for boolean": ("boolean", "t", [1], "bigint", "boolean", "'1'"),
    "another form of truth": ("boolean", "t", ["yes"], "text", "boolean", "'yes'"),
    "an integer for a date": ("date", "2024-01-31", [20240131], "bigint", "date", "'20240131'"),
    "a date for bigint": ("bigint", "1", [date(2024, 1, 31)], "date", "bigint", "'2024-01-31'"),
    "another form of date": (
        "date",
        "2024-01-31",
        ["31 Jan 2024"],
        "text",
        "date",
        "'31 Jan 2024'",
    ),
    "a fraction for bigint": ("bigint", "7", [7.5], "double precision", "bigint", "'7.5'"),
    "mixed": ("bigint", "7", [7, "x"], "text", "bigint", "'x'"),
    "bytes for bigint": ("bigint", "7", [b"7"], "bytea", "bigint", r"'\\x37'"),
}


@pytest.mark.parametrize(
    ("kind", "key", "keys", "theirs", "ours", "value"), LOST.values(), ids=LOST
)
def test_a_key_that_would_be_lost_is_named_with_both_types(
    things: FeatureStore,
    kind: str,
    key: str,
    keys: list[Any],
    theirs: str,
    ours: str,
    value: str,
) -> None:
    frame = rows_of(keys)
    mixed = len({type(one) for one in keys}) > 1  # a query has one type
    queries = [] if mixed else [("temp_table", query_of(frame)), ("embed_query", query_of(frame))]
    for mode, entities in [("temp_table", frame), *queries]:
        store = keyed(things, kind, key, mode)
        with pytest.raises(KeyMismatch) as refused:
            joined(store, entities)
        assert str(refused.value) == (
            f"column k of the entity rows is {theirs} and k of feature view v (data source things)"
            f" is {ours}: {value} cannot be converted without loss"
        )


def test_views_of_different_types_are_joined_by_the_same_key(tmp_path: Path) -> None:
    table("v", [{"user_id": "7", "at": T0, "clicks": 1}, {"user_id": "x", "at": T0, "clicks": 2}])
    columns = "user_id bigint, at timestamptz, created timestamptz, clicks bigint"
    table("w", [{"user_id": 7, "at": T0, "clicks": 3}], columns)
    service = FeatureService(
        name="s",
        features=[
            view_of("v")[["clicks"]],
            view_of("w").with_name("other").with_join_key_map({"user_id": "number"})[["clicks"]],
        ],
    )
    store = store_of(tmp_path, view_of("v"), view_of("w"), service)
    refs = ["v:clicks", "w:clicks"]
    for frame in (asked(("7", T0), (None, T0)), asked((7, T0), (None, T0))):
        job = store.get_historical_features(frame, refs, full_feature_names=True)
        assert values(job, "v__clicks", "w__clicks") == [(1, 3), (None, None)]
    job = store.get_historical_features(
        asked(("x", T0)).assign(number="7"), service, full_feature_names=True
    )
    assert values(job, "v__clicks", "other__clicks") == [(2, 3)]
    with pytest.raises(KeyMismatch, match="'x' cannot be converted without loss"):
        store.get_historical_features(asked(("x", T0)), refs, full_feature_names=True).to_df()


def test_several_keys_are_converted_each(tmp_path: Path) -> None:
    table("v", [row("1", T0, 1, item_id=12), row("11", T0, 2, item_id=2)])
    store = store_of(tmp_path, view_of("v", ["user_id", "item_id"]))
    frame = pd.DataFrame(
        {"user_id": [1, 11, 1], "item_id": ["12", "2", "2"], "event_timestamp": [T0] * 3}
    )
    assert values(store.get_historical_features(frame, ["v:clicks"]), "clicks") == [1, 2, None]


@pytest.mark.parametrize("as_sql", [False, True], ids=["frame", "query"])
def test_many_rows_of_one_entity_are_converted_as_well(tmp_path: Path, as_sql: bool) -> None:
    table("v", [row("7", T0, 1)])
    store = store_of(tmp_path, view_of("v"))
    frame = pd.DataFrame({"user_id": [7] * 20 + [8], "event_timestamp": [T0] * 21})
    entities = (
        "SELECT 7 + n / 20 AS user_id, timestamptz '2024-01-31 12:00Z' AS event_timestamp"
        " FROM generate_series(0, 20) AS n"
    )
    job = store.get_historical_features(entities if as_sql else frame, ["v:clicks"])
    assert values(job, "clicks") == [1] * 20 + [None]


# Columns named like features.


def colliding(folder: Path, mode: str = "temp_table") -> FeatureStore:
    """A view `v` with the features clicks, score and note, and one on demand from it, `total`."""
    table("v", [row("a", T0, 1)])
    view = view_of("v")
    computed = OnDemandFeatureView(
        name="computed",
        sources=[view],
        schema=[Field(name="total", dtype=Int64)],
        feature_transformation=PandasTransformation(
            udf=lambda rows: pd.DataFrame({"total": rows["clicks"]}), udf_string="x"
        ),
        mode="pandas",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view", RuntimeWarning)
        return store_of(folder, view, computed, entity_select_mode=mode)


@MODES
@pytest.mark.parametrize(
    ("column", "refs", "full"),
    [
        ("clicks", ["v:clicks"], False),
        ("total", ["computed:total"], False),
        ("clicks", ["computed:total"], False),
        ("v__clicks", ["v:clicks"], True),
        ("computed__total", ["computed:total"], True),
        ("clicks", ["computed:total"], True),  # which the function would get twice
    ],
)
def test_a_column_named_like_a_feature_is_refused(
    tmp_path: Path, column: str, refs: list[str], full: bool, mode: str
) -> None:
    store = colliding(tmp_path, mode)
    frame = asked(("a", T0)).assign(**{column: 99})

    def ask(entities: Any, way: str) -> Any:
        job = store.get_historical_features(entities, refs, full_feature_names=full)
        found = getattr(job, way)()
        return found.__enter__() if way == "to_record_batches" else found

    for entities in (frame, query_of(frame)):
        for way in ("to_df", "to_arrow", "to_sql", "to_record_batches"):
            with pytest.raises(FeatureNameCollisionError) as refused:
                ask(entities, way)
            assert isinstance(refused.value, ConfigurationError)
            assert str(refused.value).startswith(
                f"the entity rows have a column named like a feature: {column}; "
            )
            assert ("full_feature_names=True" in str(refused.value)) is not full


def test_with_its_view_before_it_the_name_is_no_clash(tmp_path: Path) -> None:
    store = colliding(tmp_path)
    frame = asked(("a", T0))
    for entities in (frame.assign(clicks=99), query_of(frame.assign(clicks=99))):
        job = store.get_historical_features(entities, ["v:clicks"], full_feature_names=True)
        assert values(job, "clicks", "v__clicks") == [(99, 1)]
    refs = ["computed:total"]
    job = store.get_historical_features(frame.assign(total=98), refs, full_feature_names=True)
    assert job.to_df()[["total", "computed__total"]].values.tolist() == [[98, 1]]


def test_a_join_key_named_like_another_view_s_feature_is_refused(tmp_path: Path) -> None:
    table("v", [row("a", T0, 1)])
    table("w", [row("a", T0, 2, item_id=7)])
    views = [view_of("v"), view_of("w", ["item_id"], features={"user_id": String})]
    store = store_of(tmp_path, *views)
    frame = asked(("a", T0)).assign(item_id=7)
    with pytest.raises(FeatureNameCollisionError, match="named like a feature: user_id"):
        store.get_historical_features(frame, ["v:clicks", "w:user_id"]).to_df()
