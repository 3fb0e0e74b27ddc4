"""Tells where two training sets first differ."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def difference(stored: pq.ParquetFile, again: pa.RecordBatchReader) -> str:
    """Names the first difference of a file and the database: in their columns, else in a row."""
    if stored.schema_arrow != again.schema:
        return f"columns were {stored.schema_arrow.names}, are {again.schema.names} now"
    return first_difference(rows(stored.iter_batches()), rows(again))


def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """The rows of batches, one after the other."""
    for batch in batches:
        yield from batch.to_pylist()


def first_difference(stored: Iterable[dict[str, Any]], again: Iterable[dict[str, Any]]) -> str:
    """Names the first difference of two training sets, both sorted by user: user, then column."""
    absent: dict[str, Any] = {}
    for before, after in zip_longest(stored, again, fillvalue=absent):
        user = min([row["user_id"] for row in (before, after) if row], key=str.encode)
        if before.get("user_id") != user or after.get("user_id") != user:
            only = before.get("user_id") == user
            return f"user {user} is {'in the file only' if only else 'not in the file'}"
        for column, value in before.items():
            if repr(value) != repr(after[column]):
                return f"user {user}, {column}: file {value!r}, database {after[column]!r}"
    return "the rows are equal, the bytes are not: written by another version of pyarrow"
