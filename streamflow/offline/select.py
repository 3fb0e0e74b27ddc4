"""A query and two ways to have its rows: in batches, or as a new table inside the database."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from psycopg import Connection, sql

from streamflow.offline.arrow import Column, record_batches, schema
from streamflow.offline.compose import text
from streamflow.offline.copy import require_short_names
from streamflow.offline.local_columns import LocalColumns, Rows

Batches = Generator[pa.RecordBatch, None, None]


@dataclass(frozen=True)
class Select:
    """A query and what its columns are to be called."""

    query: sql.Composable
    columns: Sequence[tuple[str, bool]] | None = None
    """Each name, and whether a date or naive timestamp becomes an instant in UTC; None where the
    query's own names will do and all become instants."""
    disabled_joins: Sequence[str] = ()
    """The join methods that PostgreSQL must not use: nestloop, mergejoin."""
    local_columns: LocalColumns | None = None
    """Columns that come first and never were in the database; as many rows as the query has."""
    checks: Mapping[str, Callable[[pa.Array], None]] = field(default_factory=dict)
    """By column, what looks at its values and raises where one is refused."""


def described(connection: Connection[Any], select: Select) -> list[Column]:
    """The columns of the query, under their final names."""
    found = (
        connection.execute(
            sql.SQL("SELECT * FROM (\n{}\n) AS q LIMIT 0").format(select.query)
        ).description
        or []
    )
    names = select.columns or [(one.name, True) for one in found]
    return [Column(name, one.type_code, utc) for (name, utc), one in zip(names, found, strict=True)]


def fetched(connection: Connection[Any], select: Select) -> tuple[pa.Schema, Batches]:
    """The rows of the query in batches, and their schema."""
    columns = described(connection, select)
    fields = schema(columns)
    if select.local_columns is not None:
        fields = pa.schema([*select.local_columns.schema, *fields])
        if not columns:
            return fields, (batch for batch in select.local_columns.to_batches())
    return fields, batches_of(connection, select, columns, fields)


def batches_of(
    connection: Connection[Any], select: Select, columns: list[Column], fields: pa.Schema
) -> Batches:
    """The rows of the query in batches, beside those columns that were here already."""
    names = [sql.Identifier(f"c{number}") for number in range(1, len(columns) + 1)]
    values = [
        sql.SQL("{}::{}").format(name, text(column.cast)) if column.cast else name
        for name, column in zip(names, columns, strict=True)
    ]
    statement = sql.SQL(
        "COPY (SELECT {} FROM (\n{}\n) AS q ({})) TO STDOUT (FORMAT binary)"
    ).format(sql.SQL(", ").join(values), select.query, sql.SQL(", ").join(names))
    local = None if select.local_columns is None else Rows(select.local_columns.to_batches())
    prepare(connection, select)
    with connection.cursor().copy(statement) as rows:
        for batch in record_batches(rows, columns, connection):
            for name, check in select.checks.items():
                check(batch.column(name))
            if local is not None:
                here = local.take(batch.num_rows)
                assert here is not None  # noqa: S101  # the query has a row for each
                arrays = [*here.columns, *batch.columns]
                batch = pa.RecordBatch.from_arrays(arrays, schema=fields)
            yield batch


def prepare(connection: Connection[Any], select: Select) -> None:
    """The settings that the query runs under."""
    for way in select.disabled_joins:
        connection.execute(sql.SQL("SET LOCAL {} = off").format(sql.Identifier(f"enable_{way}")))


def create_as(connection: Connection[Any], table: sql.Composable, select: Select) -> None:
    """Creates `table` with the rows of the query, which never leave the database."""
    names = [one.name for one in described(connection, select)]
    require_short_names(names)
    prepare(connection, select)
    connection.execute(
        sql.SQL("CREATE TABLE {} AS SELECT * FROM (\n{}\n) AS q ({})").format(
            table, select.query, sql.SQL(", ").join(map(sql.Identifier, names))
        )
    )
