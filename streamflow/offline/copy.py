"""Arrow tables into PostgreSQL through COPY, and the PostgreSQL types that hold Arrow's.

COPY reads CSV, in which an empty field is null and "" is the empty text, so that every type
goes through PostgreSQL's own input and a value that does not fit is refused by it.
"""

import io
import json
import math
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from psycopg import Connection, sql

from streamflow.offline.compose import text

NAME_BYTES = 63
"""PostgreSQL cuts longer names, so that two of them could become the same column."""
TYPES: dict[pa.DataType, str] = {
    pa.null(): "text",
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric",
    pa.float16(): "real",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.large_string(): "text",
    pa.binary(): "bytea",
    pa.large_binary(): "bytea",
    pa.date32(): "date",
    pa.date64(): "date",
    pa.uuid(): "uuid",
}


def postgres_type(kind: pa.DataType) -> str:
    """The PostgreSQL type that holds an Arrow type without loss, or to the microsecond.

    Raises:
        TypeError: there is none.
    """
    if kind in TYPES:
        return TYPES[kind]
    if pa.types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    if pa.types.is_decimal(kind):
        return "numeric"
    if pa.types.is_dictionary(kind):
        return postgres_type(kind.value_type)
    if pa.types.is_struct(kind) or pa.types.is_map(kind):
        return "jsonb"
    if is_list(kind):
        return f"{postgres_type(kind.value_type)}[]"
    raise TypeError(f"no PostgreSQL type for Arrow's {kind}")


def is_list(kind: pa.DataType) -> bool:
    """True where Arrow's type is one of its lists."""
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def columns_for(schema: pa.Schema) -> list[sql.Composed]:
    """The columns of a table that holds `schema`: each its name and type.

    Raises:
        ValueError: a name is too long for PostgreSQL.
    """
    require_short_names(schema.names)
    return [
        sql.SQL("{} {}").format(sql.Identifier(field.name), text(postgres_type(field.type)))
        for field in schema
    ]


def require_short_names(names: Iterable[str]) -> None:
    """Returns when PostgreSQL can tell the columns apart, else raises ValueError."""
    for name in names:
        if len(name.encode()) > NAME_BYTES:
            raise ValueError(f"PostgreSQL cuts names after {NAME_BYTES} bytes: {name}")


def copy_in(
    connection: Connection[Any],
    table: sql.Composable,
    names: Iterable[str],
    batches: Iterable[pa.RecordBatch],
) -> int:
    """Appends batches to the columns `names` of `table`; gives how many rows that were.

    The batches' columns are in the order of `names`; what they are called does not matter.
    """
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(table, columns)
    count = 0
    with connection.cursor().copy(statement) as copy:
        for batch in batches:
            copy.write(csv(batch))
            count += batch.num_rows
    return count


def csv(batch: pa.RecordBatch) -> bytes:
    """A batch as the text that COPY reads."""
    out = io.BytesIO()
    columns = pa.record_batch([plain(one) for one in batch.columns], names=batch.schema.names)
    pyarrow.csv.write_csv(columns, out, pyarrow.csv.WriteOptions(include_header=False))
    return out.getvalue()


def plain(column: pa.Array) -> pa.Array:
    """A column that Arrow writes the way PostgreSQL reads it."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return microseconds(column).cast(pa.timestamp("us"))
    if pa.types.is_floating(kind):  # a double's text, since a shorter one is another double
        return signed(column.cast(pa.float64()))
    by_value = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_nested)
    if kind == pa.uuid() or any(one(kind) for one in by_value):
        values = [None if one is None else literal(one) for one in column.to_pylist()]
        return pa.array(values, pa.string())
    if pa.types.is_null(kind) or pa.types.is_decimal(kind) or pa.types.is_date64(kind):
        return column.cast(pa.string())
    return column


def signed(column: pa.Array) -> pa.Array:
    """Doubles as Arrow writes them, but for NaN: it would lose its sign."""
    if not pc.any(pc.is_nan(column)).as_py():
        return column  # before to_numpy, for which Arrow imports pandas
    values = column.to_numpy(zero_copy_only=False)
    minus = np.isnan(values) & np.signbit(values)
    if not minus.any() or not (minus := minus & column.is_valid().to_numpy(False)).any():
        return column
    return pc.if_else(pa.array(minus), "-nan", column.cast(pa.string()))


def microseconds(column: pa.Array) -> pa.Array:
    """Timestamps in PostgreSQL's unit: nanoseconds go down to the microsecond before them."""
    if column.type.unit == "ns":
        column = pc.floor_temporal(column, unit="microsecond")
    return column.cast(pa.timestamp("us", column.type.tz))


def literal(value: Any) -> str:
    """A value that is not null as PostgreSQL's text: arrays in braces, objects as JSON."""
    match value:
        case bytes():
            return "\\x" + value.hex()
        case dict():
            return json.dumps(value, ensure_ascii=False, default=str)
        case list() if value and all(isinstance(one, tuple) for one in value):  # an Arrow map
            return literal(dict(value))
        case list():
            return "{" + ",".join("NULL" if one is None else element(one) for one in value) + "}"
        case float() if math.isnan(value):
            return "-nan" if math.copysign(1, value) < 0 else "nan"
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value)


def element(value: Any) -> str:
    """An element of an array: quoted, unless it is an array itself."""
    written = literal(value)
    if isinstance(value, list):
        return written
    escaped = written.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
