"""Training sets from rows of one's own: any form, any types, point-in-time, in their order."""

import doctest
import io
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore

from streamflow import training
from streamflow.errors import (
    ConfigurationError,
    KeyMismatch,
    QueryRefused,
    SpineRefused,
    StreamflowError,
    UnknownName,
)
from streamflow.offline import arrow as offline_arrow
from streamflow.offline.spine import files
from streamflow.tests.offline import projects
from streamflow.tests.offline.projects import HOUR, T0, row, store_of, table, view_of

SCORE = struct.unpack("f", struct.pack("f", 65.6))[0]
DAY = datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Views by a text, by an integer and by both, and services of them."""
    table(
        "users",
        [row("1", T0, 1, score=65.6, note="a"), row("1", T0 + HOUR, 2, score=0.1), row("7", T0, 7)],
    )
    table("items", [{"item_id": n, "at": T0, "clicks": 10 * n} for n in (1, 2, 7)])
    table("pairs", [{"user_id": "1", "item_id": 2, "at": T0, "clicks": 12}])
    users = view_of("users")
    items = view_of("items", ["item_id"])
    pairs = view_of("pairs", ["user_id", "item_id"])
    return store_of(
        tmp_path_factory.mktemp("project"),
        users,
        items,
        pairs,
        FeatureService(name="by_user", features=[users]),
        FeatureService(name="by_item", features=[items[["clicks"]]]),
        FeatureService(name="by_both", features=[users[["score"]], pairs[["clicks"]]]),
        FeatureService(name="same_names", features=[users[["clicks"]], items[["clicks"]]]),
    )


def spine(*users: Any, at: Any = DAY, **more: Any) -> pa.Table:
    """Rows of users at one time."""
    return pa.table({"user_id": list(users), "event_timestamp": [at] * len(users), **more})


def clicks(store: FeatureStore, rows: Any, service: str = "by_user", **how: Any) -> list[Any]:
    """A feature of the training set."""
    found = training.build(rows, service, store=store, **how).read_all()
    return list(found["clicks"].to_pylist())


def test_it_is_the_spine_with_what_was_known_at_each_time(store: FeatureStore) -> None:
    rows = pa.table(
        {
            "label": pa.array([True, False, None, True]),
            "user_id": ["1", "7", "nobody", "1"],
            "event_timestamp": [T0, DAY, DAY, T0 - HOUR],
        }
    )
    found = training.build(rows, "by_user", store=store).read_all()
    assert found.column_names == [*rows.column_names, "clicks", "score", "note"]
    assert found["label"].to_pylist() == [True, False, None, True]
    assert found["clicks"].to_pylist() == [1, 7, None, None]
    assert found["score"].to_pylist() == [SCORE, None, None, None]
    assert found.schema.field("score").type == pa.float32()
    assert found.schema.field("event_timestamp").type == pa.timestamp("us", "UTC")


def test_every_form_of_a_spine_gives_the_same(store: FeatureStore, tmp_path: Path) -> None:
    rows = spine("7", "1", "7", n=[3, 1, 2])
    pq.write_table(rows, tmp_path / "s.parquet")
    rows.to_pandas().to_csv(tmp_path / "s.csv", index=False)
    query = (
        "SELECT user_id, '2024-02-01'::timestamptz AS event_timestamp, n"
        " FROM (VALUES ('7', 3), ('1', 1), ('7', 2)) AS v (user_id, n)"
    )
    forms: list[Any] = [
        rows,
        rows.to_pandas(),
        rows.to_reader(),
        tmp_path / "s.parquet",
        str(tmp_path / "s.csv"),
        f"file://{tmp_path}/s.parquet",
        query,
        f"-- the labels\n  {query.replace('SELECT user_id', 'select user_id', 1)};\n",
        f"WITH q AS ({query}) SELECT * FROM q",
    ]
    for form in forms:
        found = training.build(form, "by_user", store=store).read_all()
        assert found["clicks"].to_pylist() == [7, 2, 7], form
        assert found["n"].to_pylist() == [3, 1, 2], form
        assert found["event_timestamp"].to_pylist() == [DAY] * 3, form


KEYS = {
    "text": pa.array(["7", "1"]),
    "large text": pa.array(["7", "1"], pa.large_string()),
    "a view of text": pa.array(["7", "1"], pa.string_view()),
    "integers": pa.array([7, 1]),
    "small integers": pa.array([7, 1], pa.int8()),
    "unsigned": pa.array([7, 1], pa.uint64()),
    "doubles": pa.array([7.0, 1.0]),
    "decimals": pa.array([Decimal(7), Decimal(1)], pa.decimal128(5, 0)),
    "categories": pa.array(["7", "1"]).dictionary_encode(),
    "categories of integers": pa.array([7, 1]).dictionary_encode(),
}


@pytest.mark.parametrize("service", ["by_user", "by_item"])
@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_keys_of_any_type_find_their_rows(
    store: FeatureStore, keys: pa.Array, service: str
) -> None:
    name = "user_id" if service == "by_user" else "item_id"
    rows = pa.table({name: keys, "event_timestamp": [DAY] * 2})
    assert clicks(store, rows, service) == ([7, 2] if service == "by_user" else [70, 10])


@pytest.mark.parametrize("frame", ["category", "int64", "string", "object", "Int64"])
def test_keys_of_a_data_frame_find_their_rows(store: FeatureStore, frame: str) -> None:
    values: list[Any] = [7, 1] if frame in ("int64", "Int64") else ["7", "1"]
    rows = pd.DataFrame({"user_id": pd.Series(values, dtype=frame), "event_timestamp": DAY})
    assert clicks(store, rows) == [7, 2]


@pytest.mark.parametrize(
    ("key", "said"),
    [("007", "'007' cannot be converted"), ("x", "'x' cannot"), ("1.5", "'1.5' cannot")],
)
def test_a_key_that_would_become_another_is_refused(
    store: FeatureStore, key: str, said: str
) -> None:
    rows = pa.table({"item_id": ["1", key], "event_timestamp": [DAY] * 2})
    with pytest.raises(KeyMismatch, match=said):
        clicks(store, rows, "by_item")


def test_a_querys_keys_are_converted_or_refused(store: FeatureStore) -> None:
    query = "SELECT {} AS item_id, timestamptz '2024-02-01' AS event_timestamp"
    for key in ("7", "'7'", "7::numeric", "'7'::varchar"):
        assert clicks(store, query.format(key), "by_item") == [70]
    with pytest.raises(KeyMismatch, match="'007' cannot be converted"):
        clicks(store, query.format("'007'"), "by_item")


def test_a_query_may_stay_inside_the_query(store: FeatureStore, tmp_path: Path) -> None:
    """Nothing is created then, for a role that may not, or a standby."""
    users = view_of("users")
    embedding = store_of(
        tmp_path,
        users,
        FeatureService(name="by_user", features=[users]),
        entity_select_mode="embed_query",
    )
    query = "SELECT {} AS user_id, timestamptz '2024-02-01' AS event_timestamp, 1.5 AS n"
    found = training.build(query.format("7"), "by_user", store=embedding).read_all()
    assert found.select(["n", "clicks"]).to_pylist() == [{"n": 1.5, "clicks": 7}]
    with pytest.raises(SpineRefused, match="row 1: no join key in column user_id"):
        clicks(embedding, query.format("NULL::text"))


TOKYO = datetime(2024, 1, 31, 21)  # T0 on a clock there
TIMES = {
    "s": pa.array([T0], pa.timestamp("s", "UTC")),
    "ms": pa.array([T0], pa.timestamp("ms", "UTC")),
    "us": pa.array([T0], pa.timestamp("us", "UTC")),
    "ns": pa.array([T0], pa.timestamp("ns", "UTC")),
    "naive": pa.array([T0.replace(tzinfo=None)], pa.timestamp("us")),
    "naive ns": pa.array([T0.replace(tzinfo=None)], pa.timestamp("ns")),
    "Tokyo": pa.array([T0], pa.timestamp("us", "Asia/Tokyo")),
    "text": pa.array(["2024-01-31 12:00:00"]),
    "text with a zone": pa.array(["2024-01-31T21:00:00+09:00"]),
    "large text": pa.array(["2024-01-31T12:00:00Z"], pa.large_string()),
    "categories": pa.array(["2024-01-31T12:00:00Z"]).dictionary_encode(),
}


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
def test_times_of_any_type_are_that_instant(store: FeatureStore, times: pa.Array) -> None:
    rows = pa.table({"user_id": ["1"], "event_timestamp": times})
    found = training.build(rows, "by_user", store=store).read_all()
    assert found["event_timestamp"].to_pylist() == [T0]
    assert found["clicks"].to_pylist() == [1]


def test_a_date_is_its_midnight_in_utc(store: FeatureStore) -> None:
    rows = pa.table(
        {"user_id": ["1", "1"], "event_timestamp": [date(2024, 1, 31), date(2024, 2, 1)]}
    )
    assert clicks(store, rows) == [None, 2]


def test_nanoseconds_never_look_ahead(store: FeatureStore) -> None:
    before = pa.array([int(T0.timestamp()) * 10**9 - 1]).cast(pa.timestamp("ns", "UTC"))
    assert clicks(store, pa.table({"user_id": ["1"], "event_timestamp": before})) == [None]


def test_the_column_of_times_may_have_another_name(store: FeatureStore) -> None:
    rows = pa.table({"user_id": ["1"], "event_timestamp": ["not looked at"], "seen": [T0]})
    assert clicks(store, rows, timestamp_column="seen") == [1]
    query = "SELECT '1' AS user_id, 5 AS event_timestamp, '2024-01-31 12:00'::timestamp AS seen"
    assert clicks(store, query, timestamp_column="seen") == [1]


def test_other_columns_stay_as_they_are(store: FeatureStore) -> None:
    long = "ß" * 63
    kept = {
        "größe": pa.array([1], pa.uint8()),
        long: pa.array([Decimal("1.10")], pa.decimal128(20, 2)),
        "": pa.array(["no name"]),
        "日付": pa.array([T0], pa.timestamp("ns", "Asia/Tokyo")),
        "a{b}%s\"'": pa.array([[1, None]], pa.list_(pa.int16())),
        "struct": pa.array([{"a": 1}]),
        "bytes": pa.array([b"\0\xff"]),
        "nothing": pa.nulls(1),
        "half": pa.array([1.5], pa.float16()),
        "n": pa.array(
            [
                2**62 + 1,
            ],
            pa.int64(),
        ),
        "text\0": pa.array(["a\0b"]),
    }
    rows = pa.table({**kept, "user_id": ["1"], "event_timestamp": [DAY]})
    found = training.build(rows, "by_user", store=store).read_all()
    assert found.select(list(kept)).equals(rows.select(list(kept)))


def test_categories_become_their_values(store: FeatureStore) -> None:
    rows = spine("1", plan=pa.array(["basic"]).dictionary_encode())
    found = training.build(rows, "by_user", store=store)
    assert found.schema.field("plan").type == pa.string()


def test_services_of_several_keys_and_equal_names(store: FeatureStore) -> None:
    rows = pa.table(
        {"user_id": ["1", "1", "7"], "item_id": [2, 1, 7], "event_timestamp": [DAY] * 3}
    )
    found = training.build(rows, "by_both", store=store).read_all()
    assert found["clicks"].to_pylist() == [12, None, None]
    assert found["score"].to_pylist()[0] == struct.unpack("f", struct.pack("f", 0.1))[0]
    found = training.build(rows, "same_names", store=store).read_all()
    assert found.column_names[3:] == ["users__clicks", "items__clicks"]
    assert found["items__clicks"].to_pylist() == [20, 10, 70]


def test_rows_stream_in_the_spines_order_across_batches(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_arrow, "BATCH_ROWS", 7)
    users = [str(n % 9) for n in range(100)]
    rows = spine(*users, n=list(range(100)))
    uneven = pa.Table.from_batches([*rows.to_batches(11), *rows.slice(0, 0).to_batches()])
    reader = training.build(uneven, "by_user", store=store)
    batches = list(reader)
    assert len(batches) > 10
    found = pa.Table.from_batches(batches)
    assert found["n"].to_pylist() == list(range(100))
    expected = {"1": 2, "7": 7}
    assert found["clicks"].to_pylist() == [expected.get(user) for user in users]


def test_equal_rows_are_all_kept(store: FeatureStore) -> None:
    assert clicks(store, spine("1", "1", "1")) == [2, 2, 2]


# ---- splits


def sides(store: FeatureStore, rows: Any, split: training.Split) -> dict[str, str]:
    """By user: the side that its row is on."""
    found = training.build(rows, "by_user", store=store, split=split).read_all()
    assert found.column_names[-1] == "split"
    return dict(
        zip(map(str, found["user_id"].to_pylist()), found["split"].to_pylist(), strict=True)
    )


def test_a_split_by_time_begins_its_test_at_the_instant(store: FeatureStore) -> None:
    rows = pa.table({"user_id": ["1", "2", "3"], "event_timestamp": [T0 - HOUR, T0, T0 + HOUR]})
    expected = {"1": "train", "2": "test", "3": "test"}
    assert sides(store, rows, training.SplitAt(T0)) == expected
    assert sides(store, rows, training.SplitAt(T0.replace(tzinfo=None))) == expected


def test_a_split_by_key_is_the_same_in_any_order_and_with_other_rows(store: FeatureStore) -> None:
    users = [str(n) for n in range(2_000)]
    split = training.SplitByKey(0.2)
    found = sides(store, spine(*users), split)
    share = list(found.values()).count("test") / len(users)
    assert 0.17 < share < 0.23
    assert sides(store, spine(*reversed(users)), split) == found
    more = sides(store, spine(*users, *map(str, range(5_000, 6_000))), split)
    assert {user: more[user] for user in users} == found
    assert sides(store, spine(*map(int, users)), split) == found
    assert sides(store, spine(*users), training.SplitByKey(0.2, seed=1)) != found
    larger = sides(store, spine(*users), training.SplitByKey(0.5))
    assert {user for user in users if found[user] == "test"} <= {
        user for user in users if larger[user] == "test"
    }


def test_the_split_of_a_key_is_for_ever(store: FeatureStore) -> None:
    """A set that is made again by a later version has its rows on the same sides."""
    found = sides(store, spine(*map(str, range(8))), training.SplitByKey(0.5))
    assert [key for key, side in found.items() if side == "test"] == FOR_EVER


FOR_EVER = ["1", "2", "3", "5", "6", "7"]


@pytest.mark.parametrize("share", [0.0, 1.0, -1, 2, float("nan")])
def test_a_share_that_leaves_one_side_empty_is_refused(share: float) -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        training.SplitByKey(share)


# ---- rows that are refused


def missing(*names: str) -> pa.Table:
    """Two rows without some of their columns."""
    return spine("1", "7").drop_columns(list(names))


REFUSED = {
    "no time": (
        missing("event_timestamp"),
        "the spine has no column event_timestamp with the times of its rows; it has user_id;"
        " --timestamp-column names another",
    ),
    "a time of another name": (
        missing("event_timestamp").append_column("event_time", [[DAY, DAY]]),
        "event_timestamp with the times of its rows (did you mean event_time?)",
    ),
    "a null time": (
        spine("1").set_column(1, "event_timestamp", pa.array([None], pa.timestamp("us"))),
        "the spine, row 1: no time in column event_timestamp; every row must have one",
    ),
    "a time that is none": (
        spine("1", "7").set_column(1, "event_timestamp", pa.array(["2024-01-31", "soon"])),
        "the spine, row 2, column event_timestamp: 'soon' is no time that can be kept",
    ),
    "a number for a time": (
        spine("1").set_column(1, "event_timestamp", pa.array([1706702400])),
        "the spine: column event_timestamp is int64 and no time",
    ),
    "no join key": (missing("user_id"), "the spine has no column user_id, which the service needs"),
    "a null key": (
        spine("1", None),
        "the spine, row 2: no join key in column user_id; every row must have one",
    ),
    "a key of no type": (
        pa.table({"user_id": pa.array([1], pa.duration("s")), "event_timestamp": [DAY]}),
        "the spine: column user_id is duration[s], which is no type of a join key",
    ),
    "a feature's name": (
        spine("1", clicks=[1]),
        "the spine has a column with the name of a feature or of the split: clicks",
    ),
    "a column twice": (
        pa.Table.from_arrays([["1"], [DAY], [1], [2]], ["user_id", "event_timestamp", "x", "x"]),
        "the spine has several columns named x",
    ),
    "no rows": (spine("1").slice(0, 0), "the spine has no rows"),
}


@pytest.mark.parametrize(("rows", "said"), REFUSED.values(), ids=REFUSED)
def test_rows_that_are_not_fit_are_refused_in_a_line(
    store: FeatureStore, rows: pa.Table, said: str
) -> None:
    with pytest.raises(StreamflowError) as refused:
        clicks(store, rows)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, SpineRefused)


QUERIES = {
    "no time": ("SELECT '1' AS user_id", "the query has no column event_timestamp with the times"),
    "no key": ("SELECT now() AS event_timestamp", "the query has no column user_id"),
    "a null time": (
        "SELECT '1' AS user_id, NULL::date AS event_timestamp",
        "the query, row 1: no time in column event_timestamp",
    ),
    "an infinite time": (
        "SELECT '1' AS user_id, 'infinity'::timestamptz AS event_timestamp",
        "the query, row 1: the time in column event_timestamp is infinite",
    ),
    "another infinite time": (
        "SELECT '1' AS user_id, now() AS event_timestamp, '-infinity'::date AS day",
        "the query, row 1: the time in column day is infinite",
    ),
    "a text for a time": (
        "SELECT '1' AS user_id, '2024-01-31' AS event_timestamp",
        "the query: column event_timestamp is text and no time",
    ),
    "a null key": (
        "SELECT v AS user_id, now() AS event_timestamp FROM (VALUES ('1'), (NULL)) AS t (v)",
        "the query, row 2: no join key in column user_id",
    ),
    "a feature's name": (
        "SELECT '1' AS user_id, now() AS event_timestamp, 1 AS clicks",
        "with the name of a feature or of the split: clicks",
    ),
    "a column twice": (
        "SELECT '1' AS user_id, now() AS event_timestamp, 1 AS x, 2 AS x",
        "the query has several columns named x",
    ),
    "no rows": ("SELECT '1' AS user_id, now() AS event_timestamp LIMIT 0", "the query has no rows"),
    "a number that is no double": (
        "SELECT '1' AS user_id, now() AS event_timestamp, 12345678901234567.89 AS amount",
        "the query, row 1: the numeric in column amount is no double",
    ),
    "a table that is not there": (
        "SELECT * FROM source.userz",
        'the query cannot be read: relation "source.userz" does not exist (did you mean'
        " source.users?)",
    ),
    "no SQL": ("SELECT FROM WHERE", "the query cannot be read: syntax error"),
    "two statements": ("SELECT 1; DROP TABLE source.users", "more than one statement"),
    "a value that fails": (
        "SELECT '1' AS user_id, now() AS event_timestamp, 1 / (random() * 0)::int AS x",
        "the query cannot be read: division by zero",
    ),
    "text that is no number": (
        "SELECT note::int AS x, user_id, at AS event_timestamp FROM source.users",
        "the query cannot be read: invalid input syntax for type integer",
    ),
    "too many columns": (
        "SELECT '1' AS user_id, now() AS event_timestamp, "
        + ", ".join(f"1 AS x{n}" for n in range(1_640)),
        "the query cannot be read: tables can have at most 1600 columns",
    ),
    "a function that writes": (
        "SELECT '1' AS user_id, now() AS event_timestamp, nextval('source.numbers') AS x",
        "the query writes, which it may not: cannot execute nextval() in a read-only transaction",
    ),
    "a function that deletes": (
        "SELECT '1' AS user_id, now() AS event_timestamp, source.forget() AS x",
        "the query writes, which it may not: cannot execute DELETE in a read-only transaction",
    ),
    "WITH that deletes": (
        "WITH gone AS (DELETE FROM source.users RETURNING *) SELECT * FROM gone",
        "the query cannot be read: WITH clause containing a data-modifying statement",
    ),
    "one that makes itself writable": (
        "SELECT set_config('transaction_read_only', 'off', true) AS user_id,"
        " now() AS event_timestamp",
        "the query cannot be read: cannot set transaction read-write mode",
    ),
}


@pytest.fixture(scope="module")
def writing(store: FeatureStore) -> None:
    """Tables that queries could write to."""
    projects.execute(
        "CREATE SEQUENCE source.numbers",
        "CREATE FUNCTION source.forget() RETURNS int LANGUAGE plpgsql AS"
        " 'BEGIN DELETE FROM source.users; RETURN 1; END'",
    )


@pytest.mark.usefixtures("writing")
@pytest.mark.parametrize(("query", "said"), QUERIES.values(), ids=QUERIES)
def test_queries_that_are_not_fit_are_refused_in_a_line(
    store: FeatureStore, query: str, said: str
) -> None:
    with pytest.raises((SpineRefused, QueryRefused)) as refused:
        clicks(store, query)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    with psycopg.connect() as connection:
        assert connection.execute("SELECT count(*) FROM source.users").fetchone() == (3,)


def test_a_query_is_no_path_and_a_path_no_query(store: FeatureStore) -> None:
    with pytest.raises(ConfigurationError, match=r"source\.users: a spine is a file whose name"):
        clicks(store, "source.users")
    with pytest.raises(ConfigurationError, match=r"select\.csv: no such file"):
        clicks(store, "select.csv")


FILES = {
    "nothing.csv": (None, "no such file"),
    "t.xlsx": (b"", "a spine is a file whose name ends in .parquet or .csv"),
    "t": (b"", "a spine is a file whose name ends in .parquet or .csv"),
    "empty.csv": (b"", "is empty; the first line has to name its columns"),
    "head.csv": (b"user_id,event_timestamp\n", "has no rows"),
    "twice.csv": (b"user_id,event_timestamp,x,x\n", "has several columns named x"),
    "ragged.csv": (b"user_id,event_timestamp\n1\n", "Row #2: Expected 2 columns, got 1"),
    "latin.csv": (b"user_id,event_timestamp,x\n1,2024-01-31,\xe9\n", "can't decode byte 0xe9"),
    "null.csv": (b"user_id,event_timestamp\n,2024-01-31\n", "row 1: no join key in column user_id"),
    "late.csv": (
        b"user_id,event_timestamp\n1,2024-01-31\n1,31/01/2024\n",
        "row 2, column event_timestamp: '31/01/2024' is no time that can be kept",
    ),
    "empty.parquet": (b"", "cannot be read: "),
    "text.parquet": (b"user_id,event_timestamp\n", "cannot be read: "),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_not_fit_are_refused_in_a_line(
    store: FeatureStore, tmp_path: Path, name: str
) -> None:
    content, said = FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((SpineRefused, ConfigurationError)) as refused:
        clicks(store, tmp_path / name)
    assert str(refused.value).startswith(str(tmp_path / name))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_server_that_does_not_answer_is_no_missing_file(store: FeatureStore) -> None:
    with pytest.raises(
        StreamflowError, match=r"^http://127\.0\.0\.1:1/x\.csv\?\*\*\* cannot be "
    ) as away:
        clicks(store, "http://127.0.0.1:1/x.csv?token=secret")
    assert "Cannot connect to host 127.0.0.1:1" in str(away.value)
    assert not isinstance(away.value, ConfigurationError)


def test_a_name_is_no_pattern(store: FeatureStore, tmp_path: Path) -> None:
    pq.write_table(spine("7"), tmp_path / "a[1]* ?.parquet")
    assert clicks(store, tmp_path / "a[1]* ?.parquet") == [7]


def test_a_full_disk_is_told_with_its_folder(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.csv").write_text("user_id,event_timestamp\n1,2024-02-01\n")
    monkeypatch.setattr(files.tempfile, "TemporaryFile", partial(open, "/dev/full", "wb"))
    with pytest.raises(StreamflowError, match=r"s\.csv cannot be read: the folder of temporary"):
        clicks(store, tmp_path / "s.csv")


def test_other_places_that_are_not_fit(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigurationError, match=r"folder\.csv cannot be read: Is a directory"):
        clicks(store, tmp_path / "folder.csv")
    with pytest.raises(ConfigurationError, match="Protocol not known"):
        clicks(store, "nosuch://x.csv")
    with pytest.raises(ConfigurationError, match="int is no spine: give a path, a URL"):
        clicks(store, 7)
    with pytest.raises(UnknownName, match="unknown feature service 'x'"):
        clicks(store, spine("1"), "x")


def test_a_csv_file_keeps_null_and_empty_text_apart(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(
        '\ufeffuser_id,"event_timestamp",text,n,x,flag,code,big\r\n'
        '1,2024-02-01T00:00:00+09:00,"",1,1.5,true,007,9007199254740993.5\r\n'
        "7,2024-02-01,,,2e3,False,8,1\r\n"
        '"1",2024-02-01 00:00:00Z,"a ""b""\nc",-3,,,9,2\r\n'.encode()
    )
    found = training.build(tmp_path / "s.csv", "by_user", store=store).read_all()
    assert found["user_id"].to_pylist() == [1, 7, 1]
    assert found["text"].to_pylist() == ["", None, 'a "b"\nc']
    assert found["n"].to_pylist() == [1, None, -3]
    assert found["x"].to_pylist() == [1.5, 2000.0, None]
    assert found["flag"].to_pylist() == [True, False, None]
    assert found["code"].to_pylist() == ["007", "8", "9"]
    assert found["clicks"].to_pylist() == [2, 7, 2]
    assert found["event_timestamp"].to_pylist()[0] == datetime(2024, 1, 31, 15, tzinfo=UTC)


def test_many_columns_never_go_to_the_database(store: FeatureStore, tmp_path: Path) -> None:
    more = {f"column_{n}_{'x' * 60}": pa.array([n]) for n in range(2_000)}
    rows = spine("1", **more)
    pq.write_table(rows, tmp_path / "wide.parquet")
    found = training.build(tmp_path / "wide.parquet", "by_user", store=store).read_all()
    assert found.num_columns == 2_005
    assert found[f"column_1999_{'x' * 60}"].to_pylist() == [1_999]


# ---- the reader


def connections() -> int:
    """The other connections to the database."""
    with psycopg.connect() as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize("end", ["read", "dropped at once", "dropped midway", "refused"])
def test_its_connection_is_closed_with_it(
    store: FeatureStore, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_arrow, "BATCH_ROWS", 2)
    before = connections()
    if end == "refused":
        with pytest.raises(SpineRefused):
            clicks(store, spine("1", None))
    else:
        reader = training.build(spine(*["1"] * 9), "by_user", store=store)
        assert connections() == before + 1
        if end == "read":
            reader.read_all()
        if end == "dropped midway":
            reader.read_next_batch()
        if end != "read":
            del reader
    assert connections() == before


def test_a_reader_is_read_once(store: FeatureStore) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from spine("7", "1").to_batches(1)

    reader = pa.RecordBatchReader.from_batches(spine("1").schema, batches())
    assert clicks(store, reader) == [7, 2]


class Frame:
    """A frame of another library, which gives Arrow's stream of its rows."""

    def __arrow_c_stream__(self, schema: Any = None) -> Any:
        return spine("7", "1").__arrow_c_stream__(schema)


def test_frames_of_other_libraries_are_taken(store: FeatureStore) -> None:
    assert clicks(store, Frame()) == [7, 2]


def test_a_service_without_keys_needs_times_alone(store: FeatureStore, tmp_path: Path) -> None:
    table("weather", [{"at": T0, "clicks": 5}])
    weather = view_of("weather", [])
    found = store_of(tmp_path, weather, FeatureService(name="everywhere", features=[weather]))
    rows = pa.table({"event_timestamp": [T0 - HOUR, DAY]})
    assert clicks(found, rows, "everywhere") == [None, 5]
    assert clicks(found, "SELECT now() AS event_timestamp", "everywhere") == [5]
    with pytest.raises(ConfigurationError, match="a split by key needs join keys"):
        clicks(found, rows, "everywhere", split=training.SplitByKey(0.5))


def test_a_text_that_postgres_cannot_hold_is_no_key(store: FeatureStore) -> None:
    with pytest.raises(StreamflowError, match=r"row 2: .* has the character NUL"):
        clicks(store, spine("1", "a\0b"))


@pytest.mark.usefixtures("january_of_the_docs")
def test_the_example_of_the_docstring_is_what_it_gives() -> None:
    found = doctest.DocTestFinder().find(training.build, "build", globs={})
    report = io.StringIO()
    for one in found:
        runner = doctest.DocTestRunner()
        result = runner.run(one, out=report.write)
        assert result.attempted >= 5
        assert result.failed == 0, report.getvalue()


@pytest.fixture
def january_of_the_docs(database: str, small_months: Path) -> None:
    """StreamFlow's own project with January."""
    from jobs.ingest.load import ingest
    from jobs.run.ledger import recorded

    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
