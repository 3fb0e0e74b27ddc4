"""Rows of one source in a window, saved datasets, and requests without entity rows."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from feast import Field, OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
    SavedDatasetPostgreSQLStorage,
)
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.transformation.pandas_transformation import PandasTransformation
from feast.types import Int64

from streamflow.feast.offline.store import StreamflowOfflineStore
from streamflow.tests.offline.projects import (
    HOUR,
    T0,
    TICK,
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

pytestmark = [
    pytest.mark.usefixtures("feast_database"),
    pytest.mark.filterwarnings("ignore:.*experimental feature:RuntimeWarning"),
]
BIG = 2**53 + 1
ROWS = [
    row("a", T0, 1, created=T0),
    row("a", T0, BIG, created=T0 + HOUR),
    row("a", T0, 3, created=None),
    row("a", T0 - HOUR, 4, created=T0 + 9 * HOUR),
    row("b", T0 - HOUR, None, created=T0),
    row("c", T0 + TICK, 6, created=T0),
]


def pulled(folder: Path, kind: str, *window: datetime | None, **options: Any) -> RetrievalJob:
    """Returns a job that pulls `source.v`, rows of users with their clicks, from our store."""
    pull = getattr(StreamflowOfflineStore, f"pull_{kind}_from_table_or_query")
    given: dict[str, Any] = {
        "config": config_of(folder),
        "data_source": PostgreSQLSource(name="v", table="source.v", timestamp_field="at"),
        "join_key_columns": ["user_id"],
        "feature_name_columns": ["clicks"],
        "timestamp_field": "at",
        "created_timestamp_column": "created",
        "start_date": window[0],
        "end_date": window[1],
    }
    job: RetrievalJob = pull(**{**given, **options})
    return job


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_the_latest_row_of_each_entity(
    tmp_path: Path, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", zone)
    table("v", ROWS)
    naive = T0.replace(tzinfo=None)
    for start, end in ((T0 - HOUR, T0), (naive - HOUR, naive)):
        job = pulled(tmp_path, "latest", start, end)
        assert sorted(values(job, "user_id", "clicks")) == [("a", BIG), ("b", None)]
    assert job.to_arrow().column_names == ["user_id", "clicks", "at", "created"]
    assert values(pulled(tmp_path, "latest", T0 - HOUR, T0 - TICK), "user_id") == ["a", "b"]
    alone = pulled(tmp_path, "latest", T0 - HOUR, T0, join_key_columns=[])
    assert values(alone, "clicks", "__dummy_id") == [(BIG, "")]
    every = pulled(tmp_path, "latest", T0 - HOUR, T0, feature_name_columns=[])
    assert every.to_arrow().num_rows == 2
    assert every.to_arrow().column_names[-3:] == ["clicks", "score", "note"]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, 6),
        (T0, None, 4),
        (None, T0, 5),
        (None, T0 - TICK, 2),
        (T0, T0, 3),
        (T0.replace(tzinfo=None), T0.replace(tzinfo=None), 3),
    ],
)
def test_all_rows_of_a_window(
    tmp_path: Path, start: datetime | None, end: datetime | None, expected: int
) -> None:
    table("v", ROWS)
    found = pulled(tmp_path, "all", start, end).to_arrow()
    assert found.num_rows == expected
    assert found.column_names == ["user_id", "clicks", "at", "created"]
    assert found.schema.field("at").type == pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_days_and_naive_times_are_pulled_as_utc(
    tmp_path: Path, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", zone)
    table("v", columns="user_id text, at date, created timestamp, clicks bigint")
    execute("INSERT INTO source.v VALUES ('a', '2024-01-31', '2024-01-31 01:02:03', 1)")
    day = datetime(2024, 1, 31, tzinfo=UTC)
    expected = [(day, datetime(2024, 1, 31, 1, 2, 3, tzinfo=UTC))]
    for what in ("all", "latest"):
        assert values(pulled(tmp_path, what, day, day), "at", "created") == expected
        assert pulled(tmp_path, what, day + TICK, day + HOUR).to_arrow().num_rows == 0
        assert pulled(tmp_path, what, day - HOUR, day - TICK).to_arrow().num_rows == 0


def test_views_without_entities_can_be_materialized(tmp_path: Path) -> None:
    rows = ((HOUR, 1), (0 * HOUR, BIG), (HOUR / 2, 3))
    table("alone", [row(None, T0 - age, clicks, created=T0) for age, clicks in rows])
    store = store_of(tmp_path, view_of("alone", [], features={"clicks": Int64}))
    store.materialize(T0 - HOUR, T0)
    answer = store.get_online_features(["alone:clicks"], [{"__dummy_id": ""}]).to_dict()
    assert answer["clicks"] == [BIG]


def test_without_entity_rows_each_time_and_entity_is_a_row(tmp_path: Path) -> None:
    table("v", ROWS)
    table("w", [row("a", T0 - 9 * HOUR, 70), row("a", T0 - 2 * TICK, 71), row("z", T0, 72)])
    table("x", [row("a", T0, 80, item_id=5)])
    views = [view_of("v"), view_of("w", ttl=HOUR), view_of("x", ["user_id", "item_id"])]
    store = store_of(tmp_path, *views)
    window = {"start_date": T0 - HOUR, "end_date": T0}

    one = store.get_historical_features(features=["v:clicks"], **window)
    names = ("event_timestamp", "user_id", "created_timestamp", "clicks")
    assert values(one, *names) == [
        (T0 - HOUR, "a", T0 + 9 * HOUR, 4),
        (T0 - HOUR, "b", T0, None),
        (T0, "a", T0 + HOUR, BIG),
    ]
    assert one.to_arrow().column_names == list(names)
    assert one.metadata.keys == ["user_id"]
    assert one.metadata.max_event_timestamp == T0

    refs = ["v:clicks", "w:clicks", "x:clicks"]
    several = store.get_historical_features(features=refs, full_feature_names=True, **window)
    columns = [ref.replace(":", "__") for ref in refs]
    assert values(several, "event_timestamp", "user_id", "item_id", *columns) == [
        (T0 - HOUR, "a", None, 4, None, None),
        (T0 - HOUR, "b", None, None, None, None),
        (T0 - 2 * TICK, "a", None, 4, 71, None),
        (T0, "a", 5, BIG, 71, 80),
        (T0, "a", None, BIG, 71, None),
        (T0, "z", None, None, 72, None),
    ]


@pytest.mark.parametrize("as_sql", [False, True], ids=["frame", "query"])
def test_a_dataset_is_saved_and_read_again(tmp_path: Path, as_sql: bool) -> None:
    table("v", ROWS)
    store = store_of(tmp_path, view_of("v"))
    frame = asked(("a", T0), ("b", T0), ("a", T0 - HOUR)).assign(label=[True, None, False])
    entities = query_of(frame) if as_sql else frame
    job = store.get_historical_features(entities, ["v:clicks", "v:score"])
    storage = SavedDatasetPostgreSQLStorage(table_ref="source.kept")
    store.create_saved_dataset(job, "kept", storage)
    found = store.get_saved_dataset("kept").to_df().sort_values("clicks", ignore_index=True)
    assert found["clicks"].tolist() == [4, BIG, pd.NA]
    assert found["user_id"].tolist() == ["a", "a", "b"]
    assert found["score"].dtype == "float32"
    with psycopg.connect() as connection:
        labels = connection.execute("SELECT label FROM source.kept ORDER BY clicks").fetchall()
    assert labels == [(False,), (True,), (None,)]

    with pytest.raises(SavedDatasetLocationAlreadyExists, match=r"source\.kept"):
        store.create_saved_dataset(job, "kept", storage)
    fewer = store.get_historical_features(frame[:1], ["v:clicks"])
    store.create_saved_dataset(fewer, "kept", storage, allow_overwrite=True)
    assert len(store.get_saved_dataset("kept").to_df()) == 1
    with pytest.raises(ValueError, match="SavedDatasetFileStorage is no table in PostgreSQL"):
        job.persist(SavedDatasetFileStorage(path="x"))


def test_a_dataset_with_features_on_demand_is_saved(tmp_path: Path) -> None:
    table("v", ROWS)
    view = view_of("v")
    computed = OnDemandFeatureView(
        name="computed",
        sources=[view],
        schema=[Field(name="double", dtype=Int64)],
        feature_transformation=PandasTransformation(
            udf=lambda inputs: pd.DataFrame({"double": inputs["clicks"] * 2}), udf_string="double"
        ),
        mode="pandas",
    )
    store = store_of(tmp_path, view, computed)
    query = query_of(asked(("a", T0 - HOUR)))
    job = store.get_historical_features(query, ["computed:double", "v:clicks"])
    job.persist(SavedDatasetPostgreSQLStorage(table_ref="kept"))
    with psycopg.connect() as connection:
        kept = connection.execute('SELECT clicks, "double" FROM source.kept').fetchall()
    assert kept == [(4, 8)]


@pytest.mark.parametrize("as_sql", [False, True], ids=["frame", "query"])
def test_a_dataset_that_cannot_be_kept_whole_is_not_saved(tmp_path: Path, as_sql: bool) -> None:
    name = "n" * 60
    table("v", ROWS)
    store = store_of(tmp_path, view_of(name, table="source.v"))
    frame = asked(("a", T0))
    job = store.get_historical_features(
        query_of(frame) if as_sql else frame, [f"{name}:clicks"], full_feature_names=True
    )
    with pytest.raises(ValueError, match=f"after 63 bytes: {name}__clicks"):
        job.persist(SavedDatasetPostgreSQLStorage(table_ref="source.kept"))
    with psycopg.connect() as connection:
        assert connection.execute("SELECT to_regclass('source.kept')").fetchone() == (None,)


def test_what_a_request_is_about_is_known_without_its_rows(tmp_path: Path) -> None:
    table("v", ROWS)
    store = store_of(tmp_path, view_of("v"))
    frame = asked(("a", T0), ("b", T0 + HOUR)).assign(label=1)
    for entities in (frame, query_of(frame)):
        facts = store.get_historical_features(entities, ["v:clicks"]).metadata
        assert facts.features == ["v:clicks"]
        assert facts.keys == ["user_id", "label"]
        assert (facts.min_event_timestamp, facts.max_event_timestamp) == (T0, T0 + HOUR)
    nothing = store.get_historical_features(query_of(frame[:0]), ["v:clicks"]).metadata
    assert nothing.min_event_timestamp is None
