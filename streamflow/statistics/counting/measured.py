"""The rows and columns that statistics are made of, as SQL: of a month, or of a view."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import sql

from streamflow.catalog.layout import NO_KEY
from streamflow.postgres.snapshot_tables import SCHEMA
from streamflow.registry.plain import PlainView
from streamflow.snapshots import KEY, TIME, Snapshot
from streamflow.statistics.summary import Kind

FLOATS = {"real", "double precision", "FLOAT", "DOUBLE"}
"""Types, PostgreSQL's and Feast's, whose values may be NaN or infinite."""
NUMBERS = {"smallint", "integer", "bigint", "INT32", "INT64", "DECIMAL", *FLOATS}
DAYS = {"date"}
INSTANTS = {"UNIX_TIMESTAMP"}
TRUTHS = {"boolean", "BOOL"}
TEXTS = {"text", "STRING", "UUID", "TIME_UUID"}
LONGEST = 128
"""Characters by which categories are told apart."""


@dataclass(frozen=True)
class Column:
    """A column as a value that can be counted."""

    kind: Kind
    value: sql.Composable
    """A double precision of a number, a text of a category."""
    text: sql.Composable
    """The value as PostgreSQL writes it."""
    may_be_infinite: bool = False
    most: int | None = None
    """The number of values that a category may have, null included; None where it is not known."""


@dataclass(frozen=True)
class Measured:
    """Rows of one entity each."""

    name: str
    relation: sql.Composable
    """Stands behind FROM, with an alias."""
    key: sql.Composable
    """A text that differs from entity to entity."""
    columns: Mapping[str, Column]


def column_of(name: str, type_: str) -> Column:
    """A column of a type by PostgreSQL's name or by Feast's."""
    value = sql.Identifier(name)
    text = sql.SQL("left({}::text, {})").format(value, LONGEST)
    if type_ in DAYS:
        return Column("number", sql.SQL("({} - date '1970-01-01')::float8").format(value), text)
    if type_ in INSTANTS:
        return Column("number", sql.SQL("extract(epoch FROM {})::float8").format(value), text, True)
    if type_ in NUMBERS:
        may = type_ in FLOATS or type_ == "DECIMAL"
        return Column("number", sql.SQL("{}::float8").format(value), text, may)
    if type_ in TRUTHS:
        return Column("category", sql.SQL("{}::text").format(value), text, most=3)
    if type_ in TEXTS:
        return Column("category", text, text)
    return Column("other", value, text)


def month_of(snapshot: Snapshot, instant: datetime) -> Measured:
    """A month of a table."""
    relation = sql.SQL("(SELECT * FROM {} WHERE {} = {}) AS month").format(
        sql.Identifier(SCHEMA, snapshot.table), sql.Identifier(TIME), sql.Literal(instant)
    )
    columns = {name: column_of(name, one.type) for name, one in snapshot.columns.items()}
    columns |= {
        name: replace(columns[name], most=len(one.values) + 1)
        for name, one in snapshot.columns.items()
        if one.values
    }
    return Measured(snapshot.table, relation, sql.Identifier(KEY), columns)


def view_at(view: PlainView, instant: datetime) -> Measured:
    """The newest row of each key at an instant, not older than the view's ttl, as training has it.

    Raises:
        QueryRefused: the source is a query that does not only read.
    """
    source = view.source
    time = sql.Identifier(source.timestamp_field)
    keys: list[sql.Composable] = [
        sql.Identifier(source.column(one)) for one in view.layout.join_keys if one != NO_KEY
    ]
    order = [*keys, sql.SQL("{} DESC").format(time)]
    if source.created_field:
        order.append(sql.SQL("{} DESC").format(sql.Identifier(source.created_field)))
    since = instant - view.ttl if view.ttl else None
    relation = sql.SQL(NEWEST).format(
        # A view without keys has one row.
        keys=sql.SQL("DISTINCT ON ({})").format(sql.SQL(", ").join(keys)) if keys else sql.SQL(""),
        relation=sql.SQL(source.relation),
        time=time,
        instant=sql.Literal(instant),
        oldest=sql.SQL("AND {} >= {}").format(time, since) if since else sql.SQL(""),
        order=sql.SQL(", ").join(order),
        limit=sql.SQL("" if keys else "LIMIT 1"),
    )
    columns = {
        name: column_of(source.column(name), view.types[name]) for name in view.layout.features
    }
    texts = sql.SQL(", ").join(keys or [sql.SQL("''")])
    key = sql.SQL("concat_ws(chr(31), {})").format(texts)
    return Measured(view.name, relation, key, columns)


NEWEST = """(
    SELECT {keys} * FROM {relation} AS source
    WHERE {time} <= {instant} {oldest} ORDER BY {order} {limit}) AS newest"""
"""The newest row of each key."""
