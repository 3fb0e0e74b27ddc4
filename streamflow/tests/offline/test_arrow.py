"""The rows of a query as Arrow batches: every type, nulls, sizes."""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from streamflow.offline import arrow as offline_arrow
from streamflow.offline.compose import text
from streamflow.offline.select import Select, fetched

pytestmark = pytest.mark.usefixtures("feast_database")


def table(query: str, *columns: tuple[str, bool]) -> pa.Table:
    """The answer to a query."""
    with psycopg.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        fields, batches = fetched(connection, Select(text(query), columns or None))
        found = pa.Table.from_batches(batches, fields)
    found.validate(full=True)
    return found


UTC = ZoneInfo("UTC")  # as Arrow gives it
INSTANT = pa.timestamp("us", "UTC")
TYPES: list[tuple[str, list[str], pa.DataType, list[Any]]] = [
    ("boolean", ["true", "false"], pa.bool_(), [True, False]),
    ("smallint", ["-32768", "32767"], pa.int32(), [-32768, 32767]),
    ("integer", ["-2147483648", "2147483647"], pa.int32(), [-(2**31), 2**31 - 1]),
    ("bigint", [str(-(2**63)), str(2**63 - 1)], pa.int64(), [-(2**63), 2**63 - 1]),
    ("real", ["0.1", "-0", "1e-45"], pa.float32(), [np.float32(0.1), -0.0, np.float32(1e-45)]),
    ("double precision", ["0.1", "Infinity"], pa.float64(), [0.1, float("inf")]),
    ("numeric", ["0.1", "1e300"], pa.float64(), [0.1, 1e300]),
    ("numeric[]", ["{0.1,NULL}"], pa.list_(pa.float64()), [[0.1, None]]),
    ("text", ["", "ü🙂\n\\"], pa.string(), ["", "ü🙂\n\\"]),
    ("varchar(3)", ["abc"], pa.string(), ["abc"]),
    ("char(3)", ["a"], pa.string(), ["a"]),
    ("name", ["a"], pa.string(), ["a"]),
    ('"char"', ["a"], pa.string(), ["a"]),
    ("bytea", [r"\x00ff", r"\x"], pa.binary(), [b"\0\xff", b""]),
    ("date", ["0001-01-01", "9999-12-31"], INSTANT, ["0001-01-01", "9999-12-31"]),
    ("timestamp", ["1969-12-31 23:59:59.999999"], INSTANT, ["1969-12-31T23:59:59.999999"]),
    ("timestamptz", ["2024-01-31 00:00:00.000001-05"], INSTANT, ["2024-01-31T05:00:00.000001"]),
    ("uuid", ["00000000-0000-0000-0000-00000000000a"], pa.string(), None),
    ("jsonb", ['{"a": [1, "b"]}'], pa.string(), None),
    ("inet", ["10.0.0.0/8"], pa.string(), None),
    ("interval", ["01:00:00"], pa.string(), None),
    ("mood", ["sad"], pa.string(), None),
    ("mood[]", ["{sad,NULL}"], pa.string(), None),
    ("small", ["7"], pa.int32(), [7]),
    ("bigint[]", ["{1,NULL,3}", "{}"], pa.list_(pa.int64()), [[1, None, 3], []]),
    ("real[]", ["{0.1}"], pa.list_(pa.float32()), [[np.float32(0.1)]]),
    ("text[]", ['{"a,b","",NULL}'], pa.list_(pa.string()), [["a,b", "", None]]),
    ("boolean[]", ["{t,f}"], pa.list_(pa.bool_()), [[True, False]]),
    ("bytea[]", [r'{"\\x00"}'], pa.list_(pa.binary()), [[b"\0"]]),
    ("date[]", ["{2024-01-31}"], pa.list_(pa.date32()), [[date(2024, 1, 31)]]),
    (
        "timestamptz[]",
        ["{2024-01-31 00:00:00.5-05}"],
        pa.list_(INSTANT),
        [[datetime(2024, 1, 31, 5, 0, 0, 500_000, UTC)]],
    ),
]


@pytest.mark.parametrize("kind", TYPES, ids=[one[0] for one in TYPES])
def test_every_type_is_read_exactly(kind: tuple[str, list[str], pa.DataType, Any]) -> None:
    name, written, expected, values = kind
    with psycopg.connect() as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('sad')")
        connection.execute("CREATE DOMAIN small AS smallint")
        rows = " UNION ALL ".join(
            f"SELECT {at}, {text_of(one)}::{name}, {at}" for at, one in enumerate([*written, None])
        )
        connection.commit()
    found = table(f"SELECT * FROM ({rows}) AS rows (a, b, c) ORDER BY a")
    assert found.schema.field("b").type == expected
    assert found["a"].to_pylist() == found["c"].to_pylist() == list(range(len(written) + 1))
    if expected == INSTANT:
        values = [datetime.fromisoformat(one).replace(tzinfo=UTC) for one in values]
    assert repr(found["b"].to_pylist()) == repr([*as_python(values or written), None])


def text_of(value: str | None) -> str:
    """A value as an SQL literal."""
    return "NULL" if value is None else psycopg.sql.Literal(value).as_string()


def as_python(values: list[Any]) -> list[Any]:
    """Values with numpy's numbers as Python's."""
    return [
        as_python(one) if isinstance(one, list) else getattr(one, "item", lambda one=one: one)()
        for one in values
    ]


def test_dates_naive_times_and_blanks_may_stay_what_they_are() -> None:
    query = "SELECT date '2024-01-31', timestamp '2024-01-31 01:02', 'a'::char(3)"
    found = table(query, ("day", False), ("time", False), ("text", False))
    assert found.schema.types == [pa.date32(), pa.timestamp("us"), pa.string()]
    assert found.to_pylist() == [
        {"day": date(2024, 1, 31), "time": datetime(2024, 1, 31, 1, 2), "text": "a  "}
    ]


@pytest.mark.parametrize(
    "time",
    ["date 'infinity'", "date '-infinity'", "timestamp '294276-12-31'", "'-infinity'::timestamptz"],
)
def test_times_without_an_arrow_value_are_refused(time: str) -> None:
    with pytest.raises(ValueError, match="infinite or too far away"):
        table(f"SELECT {time} AS at")


def test_an_answer_without_rows_has_its_columns() -> None:
    found = table("SELECT 1 AS a, ''::text AS b, '{1}'::bigint[] AS c WHERE false")
    assert found.num_rows == 0
    assert found.schema.types == [pa.int32(), pa.string(), pa.list_(pa.int64())]


def test_a_batch_ends_at_its_bytes_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_arrow, "BATCH_BYTES", 1000)
    query = "SELECT repeat('x', 400) AS a FROM generate_series(1, 7)"
    with psycopg.connect() as connection:
        _, batches = fetched(connection, Select(text(query)))
        assert [len(one) for one in batches] == [3, 3, 1]


rows = st.lists(
    st.tuples(
        st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=80),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(width=32),
        st.none() | st.binary(max_size=80),
        st.none() | st.booleans(),
    ),
    max_size=20,
)


@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows, st.integers(1, 25))
def test_any_rows_are_read_exactly(feast_database: str, written: list[Any], size: int) -> None:
    with psycopg.connect() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(offline_arrow, "BATCH_ROWS", size)
        connection.execute(
            "CREATE TEMPORARY TABLE t (n int, a text, b bigint, c real, d bytea, e boolean)"
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s)",
                [(number, *row) for number, row in enumerate(written)],
            )
        query = "SELECT a, b, c, d, e FROM t ORDER BY n"
        fields, batches = fetched(connection, Select(text(query)))
        found = pa.Table.from_batches(batches, fields)
    found.validate(full=True)
    assert repr([tuple(row.values()) for row in found.to_pylist()]) == repr(written)
