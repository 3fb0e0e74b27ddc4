"""Pieces of which queries are composed: a caller's own SQL, a column, a list, a typed null."""

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

NOTHING = sql.SQL("")


def text(query: str) -> sql.SQL:
    """SQL that a definition or a caller wrote, as it is."""
    return sql.SQL(query)


def qualified(alias: str, column: str) -> sql.Composed:
    """A column of `alias`."""
    return sql.SQL("{}.{}").format(text(alias), sql.Identifier(column))


def listed(parts: Sequence[sql.Composable], between: LiteralString = ", ") -> sql.Composed:
    """Parts with a separator between them."""
    return sql.SQL(between).join(parts)


def typed_null(source: str, column: str) -> sql.Composed:
    """A null of the type that `column` has."""
    return sql.SQL("(SELECT {} FROM {} AS s LIMIT 0)").format(qualified("s", column), text(source))
