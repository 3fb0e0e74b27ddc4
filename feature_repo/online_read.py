"""Reads of the typed online tables for Feast's SDK: one query per table, all views in it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from psycopg import Connection, Cursor, adapters, errors, sql

from feature_repo.catalog import TtlPolicy
from feature_repo.online_layout import SCHEMA, Column, Layout
from feature_repo.online_values import key_of, reader

Row = tuple[Any, ...]


@dataclass(frozen=True)
class ViewRead:
    """What a request wants of one view."""

    view: Any
    """Feast's feature view, with its projection."""
    layout: Layout
    features: tuple[str, ...]
    """In the view's order: Feast hands them over in one that changes between processes."""
    readers: tuple[Callable[[Value, Any], Any], ...]
    """Of `features`."""
    asked_as: tuple[str, ...]
    """The names under which a request gives the join keys."""
    ttl: timedelta
    policy: TtlPolicy


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
class Placed:
    """Where a view's columns are in the answers."""

    read: ViewRead
    table: int
    at: int
    """The column of the event time; the features follow."""


@dataclass(frozen=True)
class Plan:
    """The queries that answer a request."""

    tables: tuple[TableRead, ...]
    views: tuple[Placed, ...]
    """In the request's order."""


def view_read(
    view: Any, layout: Layout, requested: Sequence[str], ttl: timedelta, policy: TtlPolicy
) -> ViewRead:
    """What a request for the features `requested` of a view reads.

    Raises:
        KeyError: the view has no such feature.
    """
    unknown = set(requested) - layout.features.keys()
    if unknown:
        raise KeyError(f"Feature {sorted(unknown)[0]} not found in feature view {view.name}")
    types = {one.name: one.dtype.to_value_type().name for one in view.features}
    features = tuple(name for name in layout.features if name in requested)
    aliases = view.projection.join_key_map
    return ViewRead(
        view,
        layout,
        features,
        tuple(reader(types[name]) for name in features),
        tuple(aliases.get(key, key) for key in layout.join_keys),
        ttl,
        policy,
    )


def plan_of(reads: Sequence[ViewRead]) -> Plan:
    """The queries that answer `reads`, one for each table."""
    groups: dict[str, list[ViewRead]] = {}
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
    columns = [
        quoted(one.name)
        if there is None or there.get(one.name) == one.type
        else f"NULL::{one.type}"
        for one in wanted(reads)
    ]
    arrays = [f"%b::{column.type}[]" for column in layout.keys]
    if len(keys) == 1:
        where = f"{keys[0]} = ANY({arrays[0]})"
    else:
        where = f"({', '.join(keys)}) IN (SELECT * FROM unnest({', '.join(arrays)}))"  # noqa: S608
    table = f"{quoted(SCHEMA)}.{quoted(layout.table)}"
    return f"SELECT {', '.join([*keys, *columns])} FROM {table} WHERE {where}"  # noqa: S608


def quoted(name: str) -> str:
    """A name inside a query that has parameters."""
    return sql.Identifier(name).as_string().replace("%", "%%")


def keys_of(asked: Mapping[str, Sequence[Value]], names: Sequence[str]) -> list[Row]:
    """The primary keys that a request asks for, in its order.

    Raises:
        KeyError: a join key is not given, or has no values.
        ValueError: one is null.
    """
    columns = []
    for name in names:
        if not asked.get(name):
            raise KeyError(f"Missing join key values for keys: {[name]}; given: {sorted(asked)}")
        fields: list[Any] = [value.WhichOneof("val") for value in asked[name]]
        if not all(fields) or "null_val" in fields:
            raise ValueError(f"join key {name} is null")
        columns.append(
            [getattr(value, field) for value, field in zip(asked[name], fields, strict=True)]
        )
    return list(zip(*columns, strict=True))


def keys_in(entity_keys: Iterable[EntityKey], layout: Layout) -> list[Row]:
    """The primary keys of Feast's entity keys; raises as `key_of` does."""
    return [key_of(one, layout) for one in entity_keys]


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
    """Whether a key is a text with a NUL character."""
    return isinstance(value, str) and "\0" in value


def types_of(cursor: Cursor) -> tuple[int, ...]:
    """The types of a result's columns, as PostgreSQL numbers them."""
    result = cursor.pgresult
    return tuple(map(result.ftype, range(result.nfields))) if result else ()


def number_of(column: Column) -> int:
    """PostgreSQL's number of a column's type."""
    base = column.type.removesuffix("[]")
    found = adapters.types[base]
    return found.oid if base == column.type else found.array_oid


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
