"""The entity rows of a request as a data frame: times are instants, keys are of one type.

Only join keys and times are sent; its columns stay here and are put beside the features unchanged.
"""

import decimal
import uuid
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection, sql

from streamflow.errors import KeyMismatch, shorten
from streamflow.offline.arrow import BATCH_ROWS
from streamflow.offline.join.entities import Loaded, copy_rows, null_of, require, timestamp_among
from streamflow.offline.join.keys import SourceKey
from streamflow.offline.join.times import instants


class FrameEntities:
    """Entity rows of a data frame; times are read to the microsecond, naive ones are UTC.

    Raises:
        NoTimestamp, NoJoinKey, NotATime:
            no column has times, or a join key is not there.
    """

    def __init__(self, frame: pd.DataFrame, keys: Sequence[str]) -> None:
        kinds = {str(name): kind for name, kind in frame.dtypes.items()}
        times = [one for one in kinds if pd.api.types.is_datetime64_any_dtype(kinds[one])]
        self.timestamp = timestamp_among(list(kinds), times)
        require(keys, list(kinds))
        self.table = table_of(frame, keys, self.timestamp)

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return list(self.table.column_names)

    def load(self, connection: Connection[Any], keys: Sequence[SourceKey], embed: bool) -> Loaded:
        """Copies numbers, times and join keys into the temporary table."""
        arrays: dict[str, pa.ChunkedArray] = {}
        nulls: dict[str, sql.Composable] = {}
        for key in reversed(keys):
            column = arrays[key.name] = whole_numbers(self.table[key.name])
            known = column.null_count < len(column)
            nulls[key.name] = null_of(column.type) if known else key.null
        numbers = pa.array(np.arange(1, len(self.table) + 1))
        sent = pa.Table.from_arrays(
            [numbers, self.table[self.timestamp], *arrays.values()], names=["n", "ts", *arrays]
        )
        rows = copy_rows(connection, keys, nulls, sent.to_batches(BATCH_ROWS))
        return Loaded(rows, [], self.table)

    def span(self) -> tuple[list[str], datetime | None, datetime | None]:
        """All columns but the time, and the first and the last time; None without rows."""
        span = pc.min_max(self.table[self.timestamp])
        keys = [name for name in self.table.column_names if name != self.timestamp]
        return keys, span["min"].as_py(), span["max"].as_py()


def table_of(frame: pd.DataFrame, keys: Sequence[str], timestamp: str) -> pa.Table:
    """The frame's columns, its times as UTC instants to the microsecond.

    Raises:
        NotATime: the column `timestamp` has no times.
        KeyMismatch: a join key has no text, and there are such of several types.
    """
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # keys of several types, or other columns
        frame = frame.assign(**{key: one_type(frame[key]) for key in keys})
        table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata()
    at = table.column_names.index(timestamp)
    return table.set_column(at, timestamp, instants(table.column(at)))


def one_type(keys: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column of keys that Arrow can hold: keys of several types become their texts.

    Raises:
        KeyMismatch: a key that has no text of its own.
    """
    if keys.dtype != object:
        return keys
    try:
        pa.array(keys, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pd.Series([text_of(key, keys.name) for key in keys], keys.index, dtype=object)
    return keys


def text_of(key: Any, column: Any) -> str | None:
    """The text of a single key; None for null."""
    match key:
        case str():
            return key
        case bool() | np.bool_():
            return str(key).lower()
        case float() | np.floating() if not np.isnan(key) and key == int(key):
            return str(int(key))
        case int() | np.integer() | decimal.Decimal() | uuid.UUID() | date():
            return str(key)
        case _ if pd.api.types.is_scalar(key) and pd.isna(key):
            return None
    raise KeyMismatch(
        f"column {column} of the entity rows has keys of several types: {shorten(str(key))} is"
        f" {type(key).__name__}"
    )


def whole_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floats without a fraction as integers: pandas turns a key with a null into floats."""
    if not pa.types.is_floating(column.type):
        return column
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
