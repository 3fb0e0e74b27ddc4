"""Retrieval jobs: exact values, batches, on-demand features, SQL, connections."""

import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from feast import FeatureStore, Field, OnDemandFeatureView, RequestSource
from feast.dqm.errors import ValidationFailed
from feast.transformation.pandas_transformation import PandasTransformation
from feast.types import Float64, Int64

from streamflow.errors import (
    ConfigurationError,
    QueryFailed,
    SourceMismatch,
    StoreUnavailable,
)
from streamflow.offline import arrow as offline_arrow
from streamflow.tests.offline.projects import (
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
REFS = ["v:clicks", "v:score", "v:note"]
BIG = 2**53 + 1


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """A view with values that a float64 or a careless reader would change."""
    table(
        "v",
        [
            row("a", T0, BIG, score=0.1, note=""),
            row("b", T0, None, score=float("nan"), note=None),
            row("c", T0, -(2**63), score=float("-inf"), note="\\N"),
        ],
    )
    return store_of(tmp_path, view_of("v"))


FOUR = asked(("a", T0), ("b", T0), ("c", T0), ("nobody", T0))


@pytest.mark.parametrize("entities", [FOUR, query_of(FOUR)], ids=["frame", "query"])
def test_values_are_exact(store: FeatureStore, entities: Any) -> None:
    found = store.get_historical_features(entities, REFS).to_arrow()
    assert found["clicks"].to_pylist() == [BIG, None, -(2**63), None]
    assert found.schema.field("clicks").type == pa.int64()
    assert found.schema.field("score").type == pa.float32()
    a, b, c, nobody = found["score"].to_pylist()
    assert (a, c, nobody) == (float(np.float32(0.1)), float("-inf"), None)
    assert np.isnan(b)
    assert found["note"].to_pylist() == ["", None, "\\N", None]
    assert found["event_timestamp"].to_pylist() == [T0] * 4


def test_integers_beside_nulls_stay_integers_in_a_frame(store: FeatureStore) -> None:
    frame = store.get_historical_features(FOUR, REFS).to_df()
    assert frame["clicks"].dtype == pd.Int64Dtype()
    assert frame["clicks"].tolist() == [BIG, pd.NA, -(2**63), pd.NA]
    assert store.get_historical_features(FOUR[:1], REFS).to_df()["clicks"].dtype == np.int64


class Types:
    """A validation reference that compares the types of two data frames."""

    def __init__(self, types: pd.Series) -> None:
        self.types = types

    def validate(self, dataset: pd.DataFrame) -> Any:
        """Succeeds where the types are the same."""
        return SimpleNamespace(is_success=dataset.dtypes.equals(self.types), report=None)


@pytest.mark.parametrize("way", ["to_arrow", "to_df"])
def test_rows_are_held_against_a_reference_as_the_frame_that_made_it(
    store: FeatureStore, way: str
) -> None:
    job = store.get_historical_features(FOUR, REFS)
    same = SimpleNamespace(profile=Types(job.to_df().dtypes))
    assert len(getattr(job, way)(validation_reference=same)) == 4
    other = SimpleNamespace(profile=Types(job.to_df()[["clicks"]].dtypes))
    with pytest.raises(ValidationFailed):
        getattr(job, way)(validation_reference=other)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 65_536])
@pytest.mark.parametrize("entities", [FOUR, query_of(FOUR)], ids=["frame", "query"])
def test_batches_are_the_table_in_pieces(
    store: FeatureStore, entities: Any, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_arrow, "BATCH_ROWS", size)
    job = store.get_historical_features(entities, ["v:clicks", "v:note"])
    with job.to_record_batches() as reader:
        batches = list(reader)
    assert [len(one) for one in batches] == [size] * (4 // size) + [4 % size] * (4 % size > 0)
    expected = job.to_arrow()
    assert pa.Table.from_batches(batches) == expected
    assert expected["note"].num_chunks == 1  # Feast's materialization reads only the first


def total(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"total": inputs["clicks"] + inputs["more"], "half": inputs["more"] / 2})


@pytest.mark.parametrize("rows", [0, 3])
@pytest.mark.parametrize("full", [False, True])
def test_features_on_demand_are_computed_from_the_rows(
    tmp_path: Path, rows: int, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = view_of("v")
    table("v", [row("a", T0, 1), row("b", T0, 2)])
    computed = OnDemandFeatureView(
        name="computed",
        sources=[view, RequestSource(name="asked", schema=[Field(name="more", dtype=Int64)])],
        schema=[Field(name="total", dtype=Int64), Field(name="half", dtype=Float64)],
        feature_transformation=PandasTransformation(udf=total, udf_string="total"),
        mode="pandas",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view", RuntimeWarning)
        store = store_of(tmp_path, view, computed)
    frame = asked(("a", T0), ("b", T0), ("a", T0))[:rows].assign(more=[10, 20, 30][:rows])
    refs = ["computed:total", "computed:half", "v:clicks"]
    job = store.get_historical_features(frame, refs, full_feature_names=full)
    at_once = job.to_arrow()
    assert [one.name for one in job.on_demand_feature_views] == ["computed"]
    name = "computed__total" if full else "total"
    assert at_once[name].to_pylist() == [11, 22, 31][:rows]
    monkeypatch.setattr(offline_arrow, "BATCH_ROWS", 2)
    with job.to_record_batches() as reader:
        streamed = reader.read_all()
    assert streamed.column_names == at_once.column_names
    assert streamed.schema.types[-2:] == [pa.int64(), pa.float64()]
    assert streamed.to_pylist() == at_once.to_pylist()


def test_the_sql_of_a_query_runs_by_itself(store: FeatureStore) -> None:
    job = store.get_historical_features(query_of(FOUR), ["v:clicks"])
    with psycopg.connect() as connection:
        found = connection.execute(job.to_sql()).fetchall()
    assert [one[-1] for one in found] == [BIG, None, -(2**63), None]
    assert 'JOIN source.v AS s ON s."user_id" = e."c1"' in job.to_sql()


def test_nothing_is_left_behind(store: FeatureStore) -> None:
    job = store.get_historical_features(FOUR, REFS)
    job.to_arrow()
    with job.to_record_batches() as reader:
        next(iter(reader))
    with pytest.raises(ZeroDivisionError), job.to_record_batches() as reader:
        1 / 0  # noqa: B018
    with psycopg.connect() as connection:
        others = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
        tables = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relname LIKE 'streamflow_entity%'"
        ).fetchone()
    assert (others, tables) == ((0,), (0,))


def test_reading_a_source_cannot_write(tmp_path: Path) -> None:
    table("v", [row("a", T0, 1)])
    execute(
        "CREATE FUNCTION source.f() RETURNS text LANGUAGE sql"
        " AS $$ INSERT INTO source.v (user_id) VALUES ('x') RETURNING 'a' $$"
    )
    source = "(SELECT source.f() AS user_id, at, created, clicks FROM source.v)"
    store = store_of(tmp_path, view_of("w", table=source))
    job = store.get_historical_features(asked(("a", T0)), ["w:clicks"])
    with pytest.raises(StoreUnavailable, match="cannot execute INSERT in a read-only transaction"):
        job.to_arrow()


def test_an_error_in_the_middle_of_the_rows_is_raised(tmp_path: Path) -> None:
    table("v", [row("a", T0, 1), row("b", T0, 0)])
    source = "(SELECT user_id, at, created, 1 / clicks AS clicks FROM source.v)"
    store = store_of(tmp_path, view_of("w", table=source))
    job = store.get_historical_features(asked(("a", T0), ("b", T0)), ["w:clicks"])
    with pytest.raises(QueryFailed, match=r"^feature view w: division by zero$"):
        job.to_arrow()
    with pytest.raises(QueryFailed, match="division by zero"), job.to_record_batches() as reader:
        reader.read_all()


def test_a_time_that_arrow_cannot_hold_is_refused(tmp_path: Path) -> None:
    table("v")
    store = store_of(tmp_path, view_of("v"))
    rows = "SELECT 'a' AS user_id, now() AS event_timestamp, timestamptz 'infinity' AS until"
    with pytest.raises(ValueError, match="infinite or too far away"):
        store.get_historical_features(rows, ["v:clicks"]).to_arrow()


def test_a_query_that_takes_too_long_is_given_up(store: FeatureStore) -> None:
    query = "SELECT 'a' AS user_id, now() AS event_timestamp FROM pg_sleep(30)"
    with pytest.raises(StoreUnavailable, match="statement timeout"):
        store.get_historical_features(query, REFS).to_arrow(timeout=1)


def test_a_database_that_is_not_there_is_one_error(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute("DROP TABLE source.v")
    with pytest.raises(SourceMismatch, match=r"relation \"source.v\" does not exist"):
        store.get_historical_features(FOUR, REFS).to_arrow()
    store.config.offline_store.port = 1
    with pytest.raises(StoreUnavailable, match="PostgreSQL: connection"):
        store.get_historical_features(FOUR, REFS).to_arrow()


def test_a_role_that_may_only_read_can_train(store: FeatureStore, tmp_path: Path) -> None:
    database = os.environ["PGDATABASE"]
    role = f"trainer_{database}"
    execute(
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA source TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA source TO {role}",
        f"REVOKE ALL ON DATABASE {database} FROM public",
        f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role}",
    )
    try:
        config = store.config.offline_store
        config.user = role
        for entities in (FOUR, query_of(FOUR)):
            job = store.get_historical_features(entities, REFS)
            assert values(job, "clicks")[0] == BIG
        execute(f"REVOKE TEMPORARY ON DATABASE {database} FROM {role}")
        with pytest.raises(ConfigurationError, match="grant TEMPORARY on the database"):
            store.get_historical_features(FOUR, REFS).to_arrow()
        embedding = store_of(tmp_path, entity_select_mode="embed_query", user=role)
        job = embedding.get_historical_features(query_of(FOUR), REFS)
        assert values(job, "clicks")[0] == BIG
    finally:
        execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")
