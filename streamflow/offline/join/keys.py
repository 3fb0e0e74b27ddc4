"""Join keys whose type in the entity rows is another than in a source: converted, or refused.

A source's rows are never converted, since their index and statistics would be lost, and two of them
could become the same key. An entity row's value is, through its text, where it comes back as the
very same text; the conversion is a column of its own beside the one that was given.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import Connection, sql

from streamflow.errors import KeyMismatch, shorten
from streamflow.offline.compose import qualified, text, typed_null
from streamflow.offline.join.sql import View
from streamflow.sources.columns import TIMES, Column, type_names

NUMBERS, FLOATS, TEXTS = {20, 21, 23, 1700}, {700, 701}, {18, 19, 25, 1042, 1043}
"""Types that PostgreSQL compares with each other without loss, by number."""
UUID = 2950
REFUSED, VALUE = "streamflow key: ", "\x1f"
"""The text before the message of a conversion that would lose something, and before the value
in it."""


@dataclass(frozen=True)
class SourceKey:
    """A join key as a view's source has it."""

    view: View
    name: str
    """The entity rows' column."""
    column: Column
    """The source's."""

    @property
    def null(self) -> sql.Composed:
        """A null of the type that the source's column has."""
        return typed_null(self.view.source, self.column.name)


@dataclass(frozen=True)
class Conversion:
    """A column of the entity rows in the type of a source's."""

    name: str
    """Under which the joins find it."""
    key: SourceKey
    given: str
    """The type it has, in PostgreSQL's words."""
    wanted: str

    def convert(self, column: sql.Composed) -> sql.Composed:
        """The converted column as an expression; its evaluation fails for a value that is lost."""
        if self.key.column.oid in TEXTS:
            return sql.SQL("{}::text").format(column)
        kept = sql.SQL("TRUE")
        if self.key.column.oid != UUID:  # in which upper and lower case are the same
            kept = sql.SQL("{column}::text::{wanted}::text = {column}::text")
        return sql.SQL(
            "CASE WHEN {column} IS NULL THEN NULL"
            " WHEN pg_input_is_valid({column}::text, {type}) THEN CASE WHEN {kept}"
            " THEN {column}::text::{wanted} ELSE {lost} END ELSE {lost} END"
        ).format(
            column=column,
            wanted=text(self.wanted),
            type=sql.Literal(self.wanted),
            kept=kept.format(column=column, wanted=text(self.wanted)),
            lost=self.lost(column),
        )

    def lost(self, column: sql.Composed) -> sql.Composed:
        """An expression that fails with the message; no integer begins as it does.

        PostgreSQL would evaluate it for a constant before it looks at any condition; entity rows
        are numbered by a window function, through which it sees no constants.
        """
        key = self.key
        said = (
            f"{REFUSED}column {key.name} of the entity rows is {self.given} and {key.column.name}"
            f" of feature view {key.view.name} (data source {key.view.source_name})"
            f" is {self.wanted}{VALUE}"
        )
        return sql.SQL("({} || {}::text)::integer::text::{}").format(
            sql.Literal(said), column, text(self.wanted)
        )


@contextmanager
def refusals() -> Iterator[None]:
    """Turns the failure of a conversion into KeyMismatch."""
    try:
        yield
    except psycopg.errors.InvalidTextRepresentation as error:
        said = error.diag.message_primary or ""
        if REFUSED not in said:
            raise
        told, _, value = said.partition(REFUSED)[2].removesuffix('"').partition(VALUE)
        raise KeyMismatch(f"{told}: {shorten(value)} cannot be converted without loss") from error


def conversions(
    connection: Connection[Any], keys: Iterable[SourceKey], given: Mapping[str, int]
) -> list[Conversion]:
    """The conversions that join keys need, each column once for each type.

    Args:
        given: the types of the entity rows' columns by name.
    """
    differ = [key for key in keys if not comparable(given[key.name], key.column.oid)]
    if not differ:
        return []
    columns = [*(one.column for one in differ), *(Column("", oid) for oid in given.values())]
    names = type_names(connection, columns)
    found: dict[str, Conversion] = {}
    for key in differ:
        name = alias(key.name, key.column.oid)
        wanted = names[key.column.oid]
        found.setdefault(name, Conversion(name, key, names[given[key.name]], wanted))
    return list(found.values())


def comparable(given: int, wanted: int) -> bool:
    """True where PostgreSQL compares values of two types as they are, and without loss."""
    if given == wanted or (wanted in FLOATS and given in NUMBERS):
        return True
    return any({given, wanted} <= some for some in (NUMBERS, FLOATS, TEXTS, set(TIMES)))


def alias(name: str, oid: int) -> str:
    """The name of a column's conversion into a type."""
    return f"{name}\0{oid if oid not in TEXTS else 25}"


def converted(
    rows: sql.Composed, columns: Mapping[str, str], found: Sequence[Conversion]
) -> sql.Composed:
    """Entity rows with their conversions behind them.

    Args:
        rows: a query.
        columns: its columns' short names by their names.
    """
    if not found:
        return rows
    short = short_names(found)
    more = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(
            one.convert(qualified("r", columns[one.key.name])), sql.Identifier(short[one.name])
        )
        for one in found
    )
    return sql.SQL("SELECT r.*, {}\nFROM (\n{}\n) AS r").format(more, rows)


def short_names(found: Sequence[Conversion]) -> dict[str, str]:
    """The columns of the conversions in the query, by their names."""
    return {one.name: f"k{number}" for number, one in enumerate(found, 1)}


def joined_by(
    views: Sequence[View], keys: Sequence[SourceKey], columns: Mapping[str, str]
) -> list[View]:
    """The views, each joined by the conversion of a key where there is one."""
    kinds = {(key.view.source, key.column.name): key.column.oid for key in keys}
    return [
        replace(
            view,
            keys=tuple(
                (name if name in columns else ours, theirs)
                for ours, theirs in view.keys
                for name in [alias(ours, kinds[view.source, theirs])]
            ),
        )
        for view in views
    ]
