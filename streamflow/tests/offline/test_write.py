"""Writing features and logs of features, and what the store says of a source."""

import math
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.infra.offline_stores.file_source import FileLoggingDestination
from feast.types import Array, Float32, Float64, Int64, Map, String, UnixTimestamp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from streamflow.errors import SourceMismatch
from streamflow.feast.offline.write import PostgreSQLLoggingDestination
from streamflow.offline.copy import copy_in, postgres_type
from streamflow.tests.offline.projects import T0, asked, row, store_of, table, view_of

pytestmark = pytest.mark.usefixtures("feast_database")
BIG = 2**53 + 1


def contents(name: str = "v") -> list[tuple[Any, ...]]:
    """The rows of `source.NAME`."""
    with psycopg.connect() as connection:
        query = sql.SQL("SELECT * FROM {} ORDER BY 1, 2").format(sql.Identifier("source", name))
        return connection.execute(query).fetchall()


def frame(**more: Any) -> pd.DataFrame:
    """Two rows for `source.v`, in the table's order of columns."""
    columns = {
        "user_id": ["a", "b"],
        "item_id": [1, 2],
        "at": [T0, T0],
        "created": [T0, pd.NaT],
        "clicks": pd.array([BIG, None], dtype="Int64"),
        "score": np.array([0.1, np.inf], dtype=np.float32),
        "note": ["", None],
    }
    return pd.DataFrame({**columns, **more})


def test_rows_are_appended_exactly(tmp_path: Path) -> None:
    table("v", [row("z", T0, 1)])
    store = store_of(tmp_path, view_of("v"))
    store.write_to_offline_store("v", frame()[list(reversed(frame().columns))])
    assert contents() == [
        ("a", 1, T0, T0, BIG, 0.1, ""),
        ("b", 2, T0, None, None, float("inf"), None),
        ("z", None, T0, None, 1, None, None),
    ]
    told: list[int] = []
    view = store.get_feature_view("v")
    store._get_provider().offline_write_batch(
        store.config, view, pa.Table.from_pandas(frame()), told.append
    )
    assert told == [2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.drop(columns="note"), r"source\.v: missing columns: note$"),
        (lambda rows: rows.assign(x=1), r"source\.v: unknown columns: x$"),
        (lambda rows: rows[sorted(rows.columns)], "have to be in the order user_id, item_id, at"),
    ],
)
def test_other_columns_are_refused(tmp_path: Path, change: Any, said: str) -> None:
    table("v")
    store = store_of(tmp_path, view_of("v"))
    rows = pa.Table.from_pandas(change(frame()), preserve_index=False)
    with pytest.raises(ValueError, match=said):
        store._get_provider().ingest_df_to_offline_store(store.get_feature_view("v"), rows)
    assert contents() == []


def test_all_rows_are_written_or_none(tmp_path: Path) -> None:
    table(
        "v",
        columns="user_id text, at timestamptz, created timestamptz, clicks int CHECK"
        " (clicks < 9), score real, note varchar(3)",
    )
    store = store_of(tmp_path, view_of("v"))
    good = frame(clicks=[1, 2]).drop(columns="item_id")
    for bad in (good.assign(clicks=[1, 9]), good.assign(note=["ok", "long"])):
        with pytest.raises((psycopg.Error, ValueError)):
            store.write_to_offline_store("v", bad)
    assert contents() == []
    store.write_to_offline_store("v", good)
    assert [one[3] for one in contents()] == [1, 2]


def test_the_names_of_the_field_mapping_will_do(tmp_path: Path) -> None:
    table("v", columns='"User" text, at timestamptz, "N" bigint')
    source = PostgreSQLSource(
        name="v",
        table="source.v",
        timestamp_field="at",
        field_mapping={"User": "user_id", "N": "clicks"},
    )
    store = store_of(tmp_path, view_of("v", source=source))
    store.write_to_offline_store("v", pd.DataFrame({"User": ["a"], "at": [T0], "N": [1]}))
    assert contents() == [("a", T0, 1)]


def test_a_source_that_is_a_query_cannot_be_written(tmp_path: Path) -> None:
    table("v")
    query = PostgreSQLSource(name="q", query="SELECT * FROM source.v", timestamp_field="at")
    store = store_of(tmp_path, view_of("v", source=query))
    with pytest.raises(ValueError, match="q reads a query, and only a table can be written to"):
        store.write_to_offline_store("v", frame())


NEAREST = 0.10000000149011612
WRITTEN = {
    "a float in double precision": ("double precision", Float64, [np.float32(0.1)], NEAREST),
    "a Float32 in double precision": ("double precision", Float32, [np.float32(0.1)], NEAREST),
    "a double as a Float32": ("double precision", Float32, [0.1], NEAREST),
    "a double as a Float32 in real": ("real", Float32, [0.1], NEAREST),
    "a double in numeric": ("numeric", Float64, [0.1], 0.1),
    "the least float": ("double precision", Float32, [np.float32(1e-45)], 1.401298464324817e-45),
    "a whole double": ("bigint", Int64, [2.0**53], 2**53),
    "small integers": ("integer", Int64, [5], 5),
    "floats": ("double precision[]", Array(Float32), [[0.1]], [NEAREST]),
    "a text": ("varchar(3)", String, ["ab "], "ab "),
    "an instant": ("timestamptz(0)", UnixTimestamp, [T0], T0),
    "JSON": ("jsonb", Map, ['{"a": 1}'], '{"a": 1}'),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_what_was_written_is_trained_on(tmp_path: Path, kind: str) -> None:
    column, dtype, values, expected = WRITTEN[kind]
    assert written(tmp_path, column, dtype, pa.array(values)) == [expected]


@pytest.mark.parametrize("sign", [1, -1])
def test_nan_keeps_its_sign(tmp_path: Path, sign: int) -> None:
    for dtype, kind in ((Float64, "double precision"), (Float32, "real")):
        nan = pa.array([math.copysign(math.nan, sign), None])
        (found, null) = written(tmp_path, kind, dtype, nan)
        assert (math.isnan(found), math.copysign(1, found), null) == (True, sign, None)


REFUSED = {
    "a double in real": ("real", Float64, [0.5, 0.1], "row 2, column f: 0.1 would become another"),
    "a bigint in real": ("real", Int64, [2**24 + 1], "row 1, column f: 16777217 would become"),
    "a bigint in double precision": ("double precision", Int64, [2**53 + 1], "would become"),
    "a double in numeric": ("numeric(5,2)", Float64, [0.125], "would become another"),
    "doubles in real": ("real[]", Array(Float64), [[0.1]], "would become another"),
    "a text in char": ("char(3)", String, ["ab "], "row 1, column f: ab  would become another"),
    "an instant in date": ("date", UnixTimestamp, [T0], "would become another"),
    "out of a column's range": ("integer", Int64, [1, 2**31], "row 2, column f: .*out of range"),
    "out of Float32's range": (
        "double precision",
        Float32,
        [1.0, 1e300],
        "row 2, column f: 1e.300",
    ),
    "no whole number": ("bigint", Int64, [0.5], 'row 1, column f: invalid input .*"0.5"'),
    "too long": ("varchar(3)", String, ["abcd"], "row 1, column f: value too long"),
    "a null in a list": (
        "bigint[]",
        Array(Int64),
        [[1], [1, None]],
        "row 2, column f: .*null elem",
    ),
    "a null among texts": ("text[]", Array(String), [None, [None]], "row 2, column f: .*null elem"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_column_cannot_hold_is_refused(tmp_path: Path, kind: str) -> None:
    column, dtype, values, said = REFUSED[kind]
    with pytest.raises(ValueError, match=f"^feature view v, .*{said}"):
        written(tmp_path, column, dtype, pa.array(values))
    assert contents() == []


def written(folder: Path, column: str, dtype: Any, values: pa.Array) -> list[Any]:
    """Writes values of a feature into a column of that type; gives what is trained on then."""
    table("v", columns=f"user_id text, at timestamptz, f {column}")
    view = view_of("v", features={"f": dtype}, created="")
    store = store_of(folder, view)
    users = [f"u{number}" for number in range(len(values))]
    times = pa.array([T0] * len(values), pa.timestamp("us", "UTC"))
    rows = pa.table([pa.array(users), times, values], names=["user_id", "at", "f"])
    store._get_provider().offline_write_batch(store.config, view, rows, None)
    job = store.get_historical_features(asked(*((user, T0) for user in users)), ["v:f"])
    found: list[Any] = job.to_arrow()["f"].to_pylist()
    return found


ANY = {
    "b": pa.array([True, None]),
    "i8": pa.array([1, None], pa.int8()),
    "u64": pa.array([2**64 - 1, None], pa.uint64()),
    "f16": pa.array([np.float16(0.5), None], pa.float16()),
    "f64": pa.array([5e-324, None]),
    "bytes": pa.array([b"\0\xff'", None]),
    "day": pa.array([date(1, 1, 1), None]),
    "day64": pa.array([date(2024, 1, 1), None], pa.date64()),
    "naive": pa.array([datetime(2024, 1, 1, 2, 3, 4, 5), None], pa.timestamp("us")),
    "ns": pa.array([999, None], pa.timestamp("ns", "Europe/Berlin")),
    "price": pa.array([Decimal("1.10"), None]),
    "kind": pa.array(["x", None]).dictionary_encode(),
    "texts": pa.array([['a"b', "", None, "NULL", "\\", "{,}"], None]),
    "floats": pa.array([[0.1, float("nan")], None], pa.list_(pa.float32())),
    "times": pa.array([[T0], None], pa.list_(pa.timestamp("us", "UTC"))),
    "nested": pa.array([[[1, 2], [3, 4]], None]),
    "nothing": pa.array([None, None]),
    "object": pa.array([{"a": 1, "b": "ü"}, None]),
    "map": pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string())),
}


def test_every_type_of_arrow_has_one_of_postgresql() -> None:
    types = {name: postgres_type(one.type) for name, one in ANY.items()}
    table("v", columns=", ".join(f"{name} {kind}" for name, kind in types.items()))
    rows = pa.record_batch(list(ANY.values()), list(ANY))
    with psycopg.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        assert copy_in(connection, sql.Identifier("source", "v"), rows.schema.names, [rows]) == 2
        found, nulls = connection.execute("SELECT * FROM source.v").fetchall()
    assert set(nulls) == {None}
    one = dict(zip(ANY, found, strict=True))
    assert str(one.pop("floats")) == "[0.1, nan]"
    assert one.pop("ns") == datetime(1970, 1, 1, tzinfo=UTC)
    assert one.pop("map") == {"k": "v"}
    assert one == {name: column[0].as_py() for name, column in ANY.items() if name in one} | {
        "day64": date(2024, 1, 1)
    }
    with pytest.raises(TypeError, match=r"no PostgreSQL type for Arrow's duration\[s\]"):
        postgres_type(pa.duration("s"))


texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(
            texts,
            st.none() | texts,
            st.none() | st.floats(),
            st.none() | st.lists(st.none() | texts, max_size=3),
        ),
        max_size=5,
    )
)
def test_any_text_and_number_arrives_as_it_was(feast_database: str, rows: list[Any]) -> None:
    table("v", columns="a text, b text, c double precision, d text[]")
    kinds = [pa.string(), pa.string(), pa.float64(), pa.list_(pa.string())]
    columns = zip(*rows, strict=True) if rows else [[]] * 4
    arrays = [pa.array(one, kind) for one, kind in zip(columns, kinds, strict=True)]
    batch = pa.record_batch(arrays, [*"abcd"])
    with psycopg.connect() as connection:
        copy_in(connection, sql.Identifier("source", "v"), [*"abcd"], [batch])
        found = connection.execute("SELECT * FROM source.v").fetchall()
    assert repr(found) == repr(rows)


def logs(service: FeatureService, users: list[str]) -> pa.Table:
    """Returns log rows of answers with `v:clicks`, as a feature server writes them."""
    count = len(users)
    return pa.table(
        {
            "user_id": users,
            "v__clicks": pa.array([BIG] * count),
            "v__clicks__timestamp": pa.array([T0] * count, pa.timestamp("s", "UTC")),
            "v__clicks__status": pa.array([1] * count, pa.int32()),
            "__log_timestamp": pa.array([T0] * count, pa.timestamp("us", "UTC")),
            "__log_date": pa.array([T0.date()] * count),
            "__request_id": pa.array([f"r-{user}" for user in users]),
        }
    )


def service_of(*features: str) -> FeatureService:
    """A service that logs into `source.log`."""
    destination = PostgreSQLLoggingDestination(table_name="source.log")
    return FeatureService(
        name="s",
        features=[view_of("v")[list(features)]],
        logging_config=LoggingConfig(destination=destination, sample_rate=0.5),
    )


def test_served_features_are_logged_and_read_again(tmp_path: Path) -> None:
    table("v")
    service = service_of("clicks")
    store = store_of(tmp_path, view_of("v"), service)
    known = store.get_feature_service("s")
    assert known.logging_config.destination.table_name == "source.log"
    assert known.logging_config.sample_rate == 0.5
    store.write_logged_features(logs(service, ["a"]), known)
    folder = tmp_path / "logs"
    folder.mkdir()
    pq.write_table(logs(service, ["b", "c"]), folder / "1.parquet")
    store.write_logged_features(folder, known)
    found = store._get_provider().retrieve_feature_service_logs(
        known, T0, T0, store.config, store.registry
    )
    read = found.to_arrow().sort_by("user_id")
    assert read["user_id"].to_pylist() == ["a", "b", "c"]
    assert read["v__clicks"].to_pylist() == [BIG] * 3
    assert set(read.column_names) == set(logs(service, []).column_names)


def test_a_log_is_widened_by_a_new_feature(tmp_path: Path) -> None:
    table("v")
    store = store_of(tmp_path, view_of("v"), service_of("clicks"))
    store.write_logged_features(logs(None, ["a"]), store.get_feature_service("s"))
    store.apply([service_of("clicks", "note")])
    wider = logs(None, ["b"]).append_column("v__note", pa.array(["new"]))
    store.write_logged_features(wider, store.get_feature_service("s"))
    with psycopg.connect() as connection:
        found = connection.execute("SELECT user_id, v__note FROM source.log ORDER BY 1").fetchall()
    assert found == [("a", None), ("b", "new")]


def test_who_may_only_insert_logs_into_a_table_that_is_there(
    tmp_path: Path, feast_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table("v")
    store = store_of(tmp_path, view_of("v"), service_of("clicks"))
    store.write_logged_features(logs(None, ["a"]), store.get_feature_service("s"))
    role = f"inserts_into_{feast_database}"
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(f'CREATE ROLE "{role}"')
        connection.execute(f'GRANT USAGE ON SCHEMA source TO "{role}"')
        connection.execute(f'GRANT SELECT, INSERT ON source.log TO "{role}"')
        try:
            with monkeypatch.context() as patch:
                patch.setenv("PGOPTIONS", f"-c role={role}")
                store.write_logged_features(logs(None, ["b"]), store.get_feature_service("s"))
        finally:
            connection.execute(f'DROP OWNED BY "{role}"')
            connection.execute(f'DROP ROLE "{role}"')
        found = connection.execute("SELECT user_id FROM source.log ORDER BY 1").fetchall()
    assert found == [("a",), ("b",)]


def test_first_logs_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    table("v")
    store = store_of(tmp_path, view_of("v"), service_of("clicks"))
    service = store.get_feature_service("s")
    threads = [
        threading.Thread(target=store.write_logged_features, args=(logs(None, [user]), service))
        for user in "abcdef"
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(contents("log")) == 6


def test_a_log_goes_to_postgresql_only(tmp_path: Path) -> None:
    table("v")
    service = service_of("clicks")
    service.logging_config = LoggingConfig(destination=FileLoggingDestination(path="x"))
    store = store_of(tmp_path, view_of("v"), service)
    with pytest.raises(ValueError, match="FileLoggingDestination is no table in PostgreSQL"):
        store.write_logged_features(logs(service, ["a"]), service)


def test_a_source_is_described_and_checked(tmp_path: Path) -> None:
    table("v", columns="user_id varchar(9), at date, n numeric, tags text[]")
    store = store_of(tmp_path)
    provider = store._get_provider()
    source = PostgreSQLSource(name="v", table="source.v", timestamp_field="at")
    described = provider.get_table_column_names_and_types_from_data_source(store.config, source)
    assert list(described) == [
        ("user_id", "character varying"),
        ("at", "date"),
        ("n", "numeric"),
        ("tags", "text[]"),
    ]
    provider.validate_data_source(store.config, source)
    unused = PostgreSQLSource(
        name="v", table="source.v", timestamp_field="at", field_mapping={"ts_1": "ts"}
    )
    provider.validate_data_source(store.config, unused)
    wrong = PostgreSQLSource(
        name="v", table="source.v", timestamp_field="when", field_mapping={"m": "x", "n": "y"}
    )
    with pytest.raises(SourceMismatch, match=r"^data source v has no column when; it has user"):
        provider.validate_data_source(store.config, wrong)
    gone = PostgreSQLSource(name="w", table="source.w", timestamp_field="at")
    for ask in (
        provider.validate_data_source,
        provider.get_table_column_names_and_types_from_data_source,
    ):
        with pytest.raises(SourceMismatch, match=r'^data source w .*"source\.w" does not exist$'):
            ask(store.config, gone)
