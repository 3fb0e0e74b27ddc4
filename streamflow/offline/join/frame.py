"""A data frame of entity rows as Arrow has it: times are instants, keys are of one type."""

import datetime
import decimal
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from streamflow.errors import KeyMismatch, shorten
from streamflow.offline.arrow import INSTANT
from streamflow.offline.copy import microseconds
from streamflow.offline.join.refusals import NotATime

NO_TIME = "the column with the times of the entity rows holds no times"


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
        case int() | np.integer() | decimal.Decimal() | uuid.UUID() | datetime.date():
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


def instants(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as UTC instants; dates, naive times and text without a zone are UTC.

    Raises:
        NotATime: they are no times.
    """
    kind = column.type
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), INSTANT)])
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us")).cast(INSTANT)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            read = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
        except ValueError as error:
            raise NotATime(NO_TIME) from error
        column = pa.chunked_array([pa.array(read)])
    if not pa.types.is_timestamp(column.type):
        raise NotATime(NO_TIME)
    return microseconds(column).cast(INSTANT)
