"""Reads the values of one user, or of another key: those online, and those of the sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from explorer.database import Connection, row, rows
from streamflow.catalog.layout import JSON, SCHEMA
from streamflow.catalog.model import View
from streamflow.errors import QueryRefused
from streamflow.registry.plain import PlainView

MOST_ROWS = 36
"""Rows of a key's history that are shown, the newest ones."""
Key = tuple[Any, ...]
"""Values in the order of the online table's primary key."""


@dataclass(frozen=True)
class Online:
    """The values of a view that are online for a key."""

    event: datetime | None
    """The instant that they describe; None where the view has no row of this key."""
    values: Mapping[str, str | None]
    """By feature, as PostgreSQL writes them: shortest texts that read back equal."""


@dataclass(frozen=True)
class SourceRow:
    """A row of a key in a view's source."""

    event: datetime
    created: datetime | None
    """When it was loaded; None where the source does not say."""
    values: Mapping[str, str | None]
    """By feature, as they would be online."""


@dataclass(frozen=True)
class History:
    """The rows of a key in a view's source, the newest first."""

    rows: Sequence[SourceRow] = ()
    fault: str = ""
    """The reason why they could not be read; empty where they were."""


def online(connection: Connection, view: View, key: Key) -> Online:
    """The values of a view that are online for a key."""
    columns = [
        sql.SQL("{}::text AS {}").format(sql.Identifier(one.column), sql.Identifier(f"f{at}"))
        for at, one in enumerate(view.features)
    ]
    query = sql.SQL("SELECT {} FROM {} WHERE {}").format(
        sql.SQL(", ").join(
            [sql.SQL("{} AS event").format(sql.Identifier(view.event_column)), *columns]
        ),
        sql.Identifier(SCHEMA, view.table),
        matches([one.column for one in view.keys], [one.type for one in view.keys], key),
    )
    found = row(connection, query)
    if found is None or found["event"] is None:
        return Online(None, {})
    return Online(
        found["event"], {one.name: found[f"f{at}"] for at, one in enumerate(view.features)}
    )


def history(connection: Connection, stored: View, plain: PlainView, key: Key, path: str) -> History:
    """The newest rows of a key in a view's source, as values would be online.

    Args:
        stored: the view as it is online.
        plain: the view as columns of its source.
        path: PostgreSQL's search_path, for sources whose schema is not named.
    """
    try:
        with connection.transaction():  # a savepoint: a source may be gone, or forbidden
            connection.execute("SELECT set_config('search_path', %s, true)", [path])
            found = rows(connection, history_query(stored, plain, key))
    except (psycopg.Error, QueryRefused) as error:
        is_slow = isinstance(error, psycopg.errors.QueryCanceled)
        if isinstance(error, psycopg.OperationalError) and not is_slow:
            raise
        return History(fault=str(error).strip().splitlines()[0])
    return History(
        [
            SourceRow(
                one["event"],
                one["created"],
                {each.name: one[f"f{at}"] for at, each in enumerate(stored.features)},
            )
            for one in found
        ]
    )


def history_query(stored: View, plain: PlainView, key: Key) -> sql.Composed:
    """The query of a view's history; the time of a naive column is UTC, as everywhere.

    It has no parameters, since a percent sign in a team's query would be taken for one.
    """
    source = plain.source
    values = [
        sql.SQL("{} AS {}").format(
            as_online(source.column(one.name), one.column_type, plain.types[one.name]),
            sql.Identifier(f"f{at}"),
        )
        for at, one in enumerate(stored.features)
    ]
    keys = [source.column(one.name) for one in stored.keys]
    created = source.created_field
    return sql.SQL(HISTORY).format(
        event=sql.Identifier(source.column(source.timestamp_field)),
        created=sql.Identifier(source.column(created)) if created else sql.SQL("NULL"),
        values=sql.SQL(", ").join(values),
        relation=sql.SQL(source.relation),  # the team's own query
        matches=matches(keys, [one.type for one in stored.keys], key),
        most=sql.Literal(MOST_ROWS),
    )


HISTORY = """
    SELECT {event}::timestamptz AS event, {created}::timestamptz AS created, {values}
    FROM {relation} AS source WHERE {matches}
    ORDER BY event DESC, created DESC NULLS LAST LIMIT {most}"""
"""Rows of a key, the one that training takes first."""


def as_online(column: str, column_type: str, value_type: str) -> sql.Composed:
    """A column of a source as the text of the value that is online."""
    value = sql.Identifier(column)
    if value_type == "UNIX_TIMESTAMP":
        return sql.SQL("floor(extract(epoch FROM {}::timestamptz))::bigint::text").format(value)
    if column_type == JSON:
        return sql.SQL("{}::text").format(value)
    # A type of the catalog, which comes from streamflow.catalog.layout alone.
    cast = sql.SQL(column_type)
    return sql.SQL("({}::{})::text").format(value, cast)


def matches(columns: Sequence[str], types: Sequence[str], key: Key) -> sql.Composable:
    """The condition that columns are the key."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}::{}").format(
            sql.Identifier(column),
            sql.Literal(value),
            sql.SQL(type_),  # of the catalog
        )
        for column, type_, value in zip(columns, types, key, strict=True)
    )
