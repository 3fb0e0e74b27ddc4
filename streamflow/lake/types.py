"""The columns of a table of snapshots in the lake, in the types of Arrow, Iceberg and DuckDB."""

from typing import NamedTuple

import pyarrow as pa

from streamflow.errors import ConfigurationError
from streamflow.snapshots import INSTANT, Snapshot


class Type(NamedTuple):
    """The type of a column."""

    arrow: pa.DataType
    duckdb: str


TYPES = {
    "boolean": Type(pa.bool_(), "BOOLEAN"),
    "integer": Type(pa.int32(), "INTEGER"),
    "bigint": Type(pa.int64(), "BIGINT"),
    "real": Type(pa.float32(), "FLOAT"),
    "double precision": Type(pa.float64(), "DOUBLE"),
    "text": Type(pa.string(), "VARCHAR"),
    "date": Type(pa.date32(), "DATE"),
    INSTANT: Type(pa.timestamp("us", "UTC"), "TIMESTAMPTZ"),
}
"""By PostgreSQL's type; the values are the same bits in all of them."""


def schema(snapshot: Snapshot) -> pa.Schema:
    """The columns of a table's files.

    Raises:
        ConfigurationError: the lake has no type for one; names it.
    """
    fields = []
    for name, column in snapshot.every_column().items():
        if column.type not in TYPES:
            raise ConfigurationError(
                f"{snapshot.table}: column {name} is {column.type}, which the lake cannot keep;"
                f" it keeps {', '.join(TYPES)}"
            )
        fields.append(pa.field(name, TYPES[column.type].arrow))
    return pa.schema(fields)
