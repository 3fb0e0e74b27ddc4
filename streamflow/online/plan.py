"""Plans of reads of the typed online tables: one query per table, all views in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from psycopg import adapters, sql

from streamflow.catalog.layout import SCHEMA, Column, Layout


@dataclass(frozen=True)
class ViewRead:
    """The features that a request reads from one view."""

    layout: Layout
    features: tuple[str, ...]
    """In the view's order."""
    asked_as: tuple[str, ...]
    """The names under which a request gives the join keys."""


Read = TypeVar("Read", bound=ViewRead)


@dataclass(frozen=True)
class TableRead:
    """One query: all views of one table, for the keys of all of them."""

    reads: tuple[ViewRead, ...]
    query: str
    types: tuple[int, ...]
    """Of the result's columns, as PostgreSQL numbers them."""

    @property
    def keys(self) -> tuple[Column, ...]:
        """The columns of the primary key, with which the rows begin."""
        return self.reads[0].layout.keys


@dataclass(frozen=True)
class Placed(Generic[Read]):
    """The place of a view's columns in the rows of a table."""

    read: Read
    table: int
    at: int
    """The column of the event time; the features follow."""


@dataclass(frozen=True)
class Plan(Generic[Read]):
    """The queries that answer a request."""

    tables: tuple[TableRead, ...]
    views: tuple[Placed[Read], ...]
    """In the request's order."""


def plan_of(reads: Sequence[Read]) -> Plan[Read]:
    """The queries that answer `reads`, one for each table."""
    groups: dict[str, list[Read]] = {}
    placed = []
    for read in reads:
        group = groups.setdefault(read.layout.table, [])
        at = len(read.layout.keys) + sum(1 + len(one.features) for one in group)
        placed.append(Placed(read, list(groups).index(read.layout.table), at))
        group.append(read)
    tables = (
        TableRead(
            tuple(group),
            select(group),
            tuple(number_of(column) for column in (*group[0].layout.keys, *wanted(group))),
        )
        for group in groups.values()
    )
    return Plan(tuple(tables), tuple(placed))


def wanted(reads: Sequence[ViewRead]) -> list[Column]:
    """Each view's event time and features."""
    return [
        column
        for read in reads
        for column in (read.layout.event, *(read.layout.features[one] for one in read.features))
    ]


def select(reads: Sequence[ViewRead], there: Mapping[str, str] | None = None) -> str:
    """Key columns, then each view's event time and features, for the keys given as arrays.

    Args:
        reads: all of one table.
        there: types of the columns that the table has, if not all; the others are read as null.
    """
    layout = reads[0].layout
    keys = [quoted(column.name) for column in layout.keys]
    events = {read.layout.event for read in reads}
    columns = [
        f"NULL::{one.type}"
        if there is not None and there.get(one.name) != one.type
        else bounded(quoted(one.name))
        if one in events
        else quoted(one.name)
        for one in wanted(reads)
    ]
    arrays = [f"%b::{column.type}[]" for column in layout.keys]
    if len(keys) == 1:
        where = f"{keys[0]} = ANY({arrays[0]})"
    else:
        where = f"({', '.join(keys)}) IN (SELECT * FROM unnest({', '.join(arrays)}))"  # noqa: S608
    table = f"{quoted(SCHEMA)}.{quoted(layout.table)}"
    return f"SELECT {', '.join([*keys, *columns])} FROM {table} WHERE {where}"  # noqa: S608


def bounded(event: str) -> str:
    """An event time that a date can name; an earlier version stored others, which fail the read."""
    first, last = "'0001-01-01Z'::timestamptz", "'9999-12-31Z'::timestamptz"
    low, high = f"WHEN {event} < {first} THEN {first}", f"WHEN {event} > {last} THEN {last}"
    return f"CASE {low} {high} ELSE {event} END"


def quoted(name: str) -> str:
    """A name inside a query that has parameters."""
    return sql.Identifier(name).as_string().replace("%", "%%")


def number_of(column: Column) -> int:
    """PostgreSQL's number of a column's type."""
    base = column.type.removesuffix("[]")
    found = adapters.types[base]
    return found.oid if base == column.type else found.array_oid
