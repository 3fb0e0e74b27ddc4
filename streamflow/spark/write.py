"""Copies the rows of a partition into a table of PostgreSQL, on an executor.

The connection is that of the executor's own PG* variables: none of the driver's goes anywhere.
Executors import this module and read.py, and neither Iceberg's library nor DuckDB.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import psycopg
import pyarrow as pa
from psycopg import sql
from pyspark import TaskContext

from streamflow.offline.copy import copy_in
from streamflow.postgres import options as connection_options
from streamflow.postgres.connect import connect
from streamflow.spark.read import Reading

WRITTEN = pa.schema([("part", pa.int32()), ("rows", pa.int64())])


@dataclass(frozen=True)
class Target:
    """The table of a view's rows; it goes to the executors, and names no secret."""

    table: str
    """Its name as SQL."""
    parts: str
    """The name, as SQL, of the table of what each partition has written."""
    view: int
    """The view's number in it."""
    columns: tuple[str, ...]


def write(target: Target, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Writes the rows of this task's partition in one transaction, and gives how many those are.

    Idempotent by partition: what a task that was lost after its commit has written is not written
    again, and of one that was lost before nothing is there.
    """
    context = TaskContext.get()
    assert context is not None  # noqa: S101  # on an executor
    part = context.partitionId()
    first = next(batches, None)
    rows = 0
    if first is not None:
        with connect() as connection:
            rows = once(connection, target, part, chain([first], batches))
    yield pa.RecordBatch.from_pydict({"part": [part], "rows": [rows]}, WRITTEN)


def copy(
    reading: Reading, target: Target, numbers: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Writes all rows of the splits of these numbers."""
    return write(target, reading.rows(numbers))


def once(
    connection: psycopg.Connection, target: Target, part: int, batches: Iterator[pa.RecordBatch]
) -> int:
    """Writes the rows of a partition, unless they are there; gives how many those are."""
    session = (connection_options.UTC, connection_options.CHECKED)
    connection.execute(connection_options.set_local(session))
    parts = sql.SQL(target.parts)
    # Another attempt that has not ended is waited for here.
    is_first = connection.execute(
        sql.SQL("INSERT INTO {} VALUES (%s, %s, 0) ON CONFLICT DO NOTHING").format(parts),
        [target.view, part],
    ).rowcount
    if not is_first:
        known = connection.execute(
            sql.SQL("SELECT rows FROM {} WHERE view = %s AND part = %s").format(parts),
            [target.view, part],
        ).fetchone()
        assert known is not None  # noqa: S101  # the row that was in the way
        return int(known[0])
    rows = copy_in(connection, sql.SQL(target.table), target.columns, batches)
    connection.execute(
        sql.SQL("UPDATE {} SET rows = %s WHERE view = %s AND part = %s").format(parts),
        [rows, target.view, part],
    )
    return rows
