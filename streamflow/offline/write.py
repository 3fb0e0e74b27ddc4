"""Writes features and logs of features into PostgreSQL, in the transaction that is open."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
from psycopg import Connection, sql

from streamflow.offline.arrow import BATCH_ROWS
from streamflow.offline.compose import text
from streamflow.offline.copy import columns_for, copy_in
from streamflow.offline.fit import declared, named, require_fit, require_times
from streamflow.postgres.connect import lock_key


@dataclass(frozen=True)
class Target:
    """The table that a feature view reads, as rows are appended to it."""

    view: str
    table: str
    own_names: Mapping[str, str]
    """The table's columns by the names that the view has for them, where those differ."""
    types: Mapping[str, str]
    """Feast's value type of each feature, by the table's column."""
    times: Sequence[str]
    """The table's columns with event and created time."""


def append(connection: Connection[Any], target: Target, table: pa.Table) -> int:
    """Appends rows to a view's table, all of them or none; gives their number.

    Args:
        table: exactly the columns of the database's table in their order, by their own names or
            by those that the view has for them.

    Raises:
        ValueError: other columns; or, naming row and column, a value that the table cannot hold
            as it is, or a time that is too far ahead.
    """
    expected = columns_of(connection, target.table)
    own = target.own_names
    names = [one if one in expected else own.get(one, one) for one in table.column_names]
    if names != list(expected):
        raise ValueError(f"{target.table}: {difference(names, list(expected))}")
    rows = declared(table.rename_columns(names), target.types, target.view)
    with named(target.view):
        count = copy_in(connection, text(target.table), names, rows.to_batches(BATCH_ROWS))
    features = {name: kind for name, kind in expected.items() if name in target.types}
    require_fit(connection, rows, features, target.view)
    require_times(connection, rows, target.times, target.view)
    return count


def columns_of(connection: Connection[Any], table: str) -> dict[str, str]:
    """The columns of a table in its order, each with its type and the length of that."""
    found = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(text(table)))
    return {one.name: one.type_display for one in found.description or ()}


def difference(names: list[str], expected: list[str]) -> str:
    """Says how columns differ from those that there should be."""
    said = []
    if missing := [one for one in expected if one not in names]:
        said.append(f"missing columns: {', '.join(missing)}")
    if extra := [one for one in names if one not in expected]:
        said.append(f"unknown columns: {', '.join(extra)}")
    return "; ".join(said) or f"the columns have to be in the order {', '.join(expected)}"


def append_log(
    connection: Connection[Any], table: str, expected: pa.Schema, data: pa.Table | Path
) -> None:
    """Appends a log of served features to its table, which is created or widened to hold it.

    Args:
        table: with its schema if need be.
        expected: the columns that the table has to have.
        data: the log, or a folder of Parquet files with it, which is read in batches.

    Raises:
        ValueError: a name is too long for PostgreSQL.
    """
    fields, batches = read(data)
    target = text(table)
    # CREATE TABLE twice at the same time is an error of one of them.
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key(table)])
    columns = columns_for(expected)
    query = "SELECT to_regclass(%s) IS NULL"  # for some CREATE is refused in any case
    if connection.execute(query, [table]).fetchone() == (True,):
        made = sql.SQL(", ").join(columns)
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(target, made))
    there = columns_of(connection, table)
    for name, column in zip(expected.names, columns, strict=True):
        if name not in there:
            connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(target, column))
    copy_in(connection, target, fields.names, batches)


def read(data: pa.Table | Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """A table's or a Parquet folder's schema and batches."""
    if isinstance(data, Path):
        files = pyarrow.dataset.dataset(data, format="parquet")
        return files.schema, files.to_batches(batch_size=BATCH_ROWS)
    return data.schema, iter(data.to_batches(BATCH_ROWS))
