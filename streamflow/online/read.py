"""Reads of the typed online tables, as planned (plan.py)."""

from collections.abc import Iterable
from typing import Any

from psycopg import Connection, Cursor, errors

from streamflow.catalog.layout import SCHEMA
from streamflow.online.plan import TableRead, select

Row = tuple[Any, ...]


def rows(connection: Connection, table: TableRead, keys: Iterable[Row]) -> dict[Row, Row]:
    """The rows of one query by primary key; a key that the table does not have is not in it.

    A column that is not there, or of another type, is read as null: an `apply` writes the
    registry first and the tables then, and readers keep what the registry said for a while.
    """
    # PostgreSQL holds no text with a NUL, so no row has such a key.
    distinct = [one for one in dict.fromkeys(keys) if not any(map(has_nul, one))]
    if not distinct:
        return {}
    asked = [list(column) for column in zip(*distinct, strict=True)]
    try:
        cursor = connection.execute(table.query, asked, binary=True)
        as_planned = types_of(cursor) == table.types
    except errors.UndefinedColumn:
        as_planned = False
    if not as_planned:
        query = select(table.reads, columns_of(connection, table.reads[0].layout.table))
        cursor = connection.execute(query, asked, binary=True)
    width = len(table.keys)
    return {row[:width]: row for row in cursor}


def has_nul(value: Any) -> bool:
    """True where a key is a text with a NUL character."""
    return isinstance(value, str) and "\0" in value


def types_of(cursor: Cursor) -> tuple[int, ...]:
    """The types of a result's columns, as PostgreSQL numbers them."""
    result = cursor.pgresult
    return tuple(map(result.ftype, range(result.nfields))) if result else ()


def columns_of(connection: Connection, table: str) -> dict[str, str]:
    """The columns of an online table and PostgreSQL's type of each."""
    return dict(
        connection.execute(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod)"
            " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relnamespace = %s::regnamespace AND c.relname = %s"
            " AND a.attnum > 0 AND NOT a.attisdropped",
            [SCHEMA, table],
        ).fetchall()
    )
