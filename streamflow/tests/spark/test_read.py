"""Executors' reading of a file of the lake: its parts, rows by time of loading, later columns."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamflow.errors import StreamflowError
from streamflow.spark.read import Reading, Split, Taken, splits_of

INSTANT = pa.timestamp("us", "UTC")
MONTH = datetime(2024, 1, 31, tzinfo=UTC)
LOADED = [MONTH, MONTH + timedelta(days=1), None]
COLUMNS = [
    Taken("user_id", "user_id", pa.string(), pa.string()),
    Taken("as_of", "as_of", INSTANT, INSTANT),
    Taken("loaded_at", "created", INSTANT, INSTANT),
    Taken("n", "f0", pa.int64(), pa.int64()),  # the file has it from before it was widened
    Taken("day", "f1", pa.date32(), pa.string()),
    Taken("later", "f2", pa.float32(), pa.float32()),  # the file is older than the column
]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A file of three rows, each in a group of its own."""
    columns = {
        "user_id": ["a", "b", "c"],
        "as_of": pa.array([MONTH] * 3, INSTANT),
        "loaded_at": pa.array(LOADED, INSTANT),
        "n": pa.array([1, 2, None], pa.int32()),
        "day": pa.array([date(2024, 1, 1)] * 3),
    }
    path = tmp_path / "a month é %20.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1)
    return f"file://{path}"


def reading(*splits: Split) -> Reading:
    """The reading of splits with all columns."""
    return Reading(splits, COLUMNS, "loaded_at")


def numbers(*given: int) -> Iterator[pa.RecordBatch]:
    """The numbers of splits as Spark gives them."""
    return iter([pa.record_batch([pa.array(given)], names=["id"])])


def rows(of: Reading, *given: int) -> list[tuple[Any, ...]]:
    """The rows of the splits of these numbers."""
    return [tuple(row.values()) for batch in of.rows(numbers(*given)) for row in batch.to_pylist()]


def test_the_parts_of_a_file_have_each_row_once(file: str) -> None:
    expected = [
        ("a", MONTH, LOADED[0], 1, "2024-01-01", None),
        ("b", MONTH, LOADED[1], 2, "2024-01-01", None),
        ("c", MONTH, LOADED[2], None, "2024-01-01", None),
    ]
    for parts in (1, 2, 3, 5):
        of = reading(*(Split(file, part, parts, None) for part in range(parts)))
        assert rows(of, *range(parts)) == expected
    assert [one.parts for one in splits_of(file, 17 * 2**20, None)] == [3, 3, 3]


def test_rows_that_came_since_are_found_and_counted(file: str) -> None:
    of = reading(Split(file, 0, 1, MONTH), Split(file, 0, 1, None))
    assert [row[0] for row in rows(of, 0)] == ["b"]
    half_a_day = MONTH + timedelta(hours=12)
    counted = [one.to_pylist()[0] for one in of.counts(half_a_day, MONTH, numbers(0, 1))]
    assert counted == [{"read": 1, "late": 1}, {"read": 3, "late": 1}]
    before = MONTH - timedelta(days=1)
    counted = [one.to_pylist()[0] for one in of.counts(half_a_day, before, numbers(1))]
    assert counted == [{"read": 3, "late": 0}]


def test_a_file_that_is_cut_is_named(file: str) -> None:
    path = Path(file.removeprefix("file://"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StreamflowError, match=r"a month é %20\.parquet cannot be read: ArrowInv"):
        rows(reading(Split(file, 0, 1, None)), 0)
