"""Tells, without a look at a view's rows, that a materialization would write nothing.

Tables count the statements that write them (`ops.writes_of`). A run records a hash of its SQL and
of the counts of source and online table, its signature. Where a later run has the same one, no row
of either table is another, and the only new ones are those whose time has come since.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg
from psycopg import Connection, sql

from streamflow.catalog.layout import SCHEMA, Layout
from streamflow.engine import sql as engine_sql
from streamflow.engine.source import Source, Table
from streamflow.sources.plain_query import PlainQuery, plain_query
from streamflow.sources.table import SourceTable
from streamflow.sources.types import TEXT_FORMS

OWN_WRITES = 2
"""Writes that one merge is counted as: to a table's triggers an upsert is INSERT and UPDATE."""
ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class Writes(NamedTuple):
    """The writes of a table until now: how many, and of which state of it."""

    state: str
    """Another one if columns, rows or triggers were replaced in a way that no statement counts."""
    number: int


class Before(NamedTuple):
    """The last materialization of a view, of which a run of now would find the same rows."""

    start: datetime
    end: datetime
    read: int
    unchanged: int
    """Also those that it wrote."""
    older: int
    newest_event: datetime | None
    signature: str | None
    ahead: int = 0
    """Rows that are too far ahead now."""


def table_of(connection: Connection, source: SourceTable) -> Table | None:
    """The table that a source selects columns of; None for one that does more, or is no table."""
    query = None if source.table else plain_query(source.query)
    relation, columns = query or PlainQuery(source.table, ())
    try:
        with connection.transaction():
            row = connection.execute(TABLE, [relation, list(columns)]).fetchone()
    except psycopg.Error:
        return None  # not the name of a table, or with something else behind it
    return Table(*row) if row else None


TABLE = """
    SELECT oid, format('%%I.%%I', relnamespace::regnamespace::name, relname) FROM pg_class
    WHERE oid = to_regclass(%s) AND relkind = 'r' AND %s::name[] <@ ARRAY(
        SELECT attname FROM pg_attribute WHERE attrelid = pg_class.oid AND attnum > 0)"""
"""A table that has all these columns."""


def online_table(connection: Connection, layout: Layout) -> Table | None:
    """The table where a view's values go; also for a role that may not read it."""
    row = connection.execute(ONLINE, [SCHEMA, layout.table]).fetchone()
    return Table(*row) if row else None


ONLINE = """
    SELECT c.oid, format('%%I.%%I', nspname, relname)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname = %s AND relname = %s AND relkind = 'r'"""
"""A table by its schema and name."""


def fingerprint(source: Source) -> str:
    """A hash of what the source's rows become, whatever the window."""
    anytime = replace(source, start=ANY_TIME, end=ANY_TIME, limit=ANY_TIME, seen_at=None)
    return digest(engine_sql.merge([anytime], force=False).as_string(None), TEXT_FORMS)


def digest(*parts: object) -> str:
    """A hash of the parts' representations."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def is_known(connection: Connection) -> bool:
    """True where the database tells of writes: it was applied by this version, for this role."""
    known = "has_function_privilege(to_regprocedure('ops.writes_of(oid, boolean)'), 'EXECUTE')"
    return connection.execute(f"SELECT {known}").fetchone() == (True,)


def writes(
    connection: Connection, sources: Iterable[Source], at_rest: bool = False
) -> dict[int, Writes]:
    """The writes of the sources' tables and of those where their values go, by oid.

    A table of which nothing can be said is left out.

    Args:
        at_rest: leave out tables that a transaction writes which has not ended. Whatever begins
            afterwards sees all that is counted then.
    """
    tables = {one.oid for source in sources for one in (source.table, source.online) if one}
    rows = connection.execute(
        "SELECT t.oid, w.state, w.writes FROM unnest(%s::oid[]) AS t (oid),"
        " ops.writes_of(t.oid, %s) AS w WHERE w.state IS NOT NULL",
        [sorted(tables), at_rest],
    )
    return {oid: Writes(state, number) for oid, state, number in rows}


def signature(source: Source, known: Mapping[int, Writes]) -> str | None:
    """A hash of SQL and writes, which stays the same while no row is another; None for unknown."""
    if source.table is None or source.online is None:
        return None
    both = known.get(source.table.oid), known.get(source.online.oid)
    return None if None in both else digest(source.fingerprint, *both)


def signature_after(
    source: Source, at_rest: Mapping[int, Writes], now: Mapping[int, Writes], merges: int
) -> str | None:
    """The signature to record at the end of a transaction that made merges into the online table.

    None where others wrote there too: this transaction may not have seen their rows.

    Args:
        at_rest: the writes before the transaction.
        now: those at its end.
    """
    if source.online is None or source.online.oid not in at_rest:
        return None
    state, number = at_rest[source.online.oid]
    own = Writes(state, number + merges * OWN_WRITES)
    if now.get(source.online.oid) != own:
        return None
    return signature(source, {**at_rest, source.online.oid: own})


def before(connection: Connection, sources: Iterable[Source]) -> dict[str, Before]:
    """By view: what the last run counted, for those of which a run of now would write nothing."""
    known = writes(connection, sources)
    found = {source.layout.view: last(connection, source, known) for source in sources}
    return {view: one for view, one in found.items() if one}


def last(connection: Connection, source: Source, known: Mapping[int, Writes]) -> Before | None:
    """The last materialization of a view, if none of its rows is another one since.

    Its window began with the same instant, and no row's time has come since it ended.
    """
    now = signature(source, known)
    row = connection.execute(LAST, [source.layout.project, source.recorded]).fetchone()
    if now is None or source.table is None or row is None:
        return None
    found = Before(*row)
    is_shown_ahead = found.newest_event is not None and found.newest_event > source.limit
    if found.signature != now or found.start != source.start or is_shown_ahead:
        return None
    counts = sql.SQL(
        "SELECT count(*) FILTER (WHERE NOT {ahead} AND {event} <= {end}),"
        " count(*) FILTER (WHERE {ahead}) FROM {table} AS s WHERE {event} > {since}"
    ).format(
        ahead=source.ahead,
        event=source.event,
        end=sql.Literal(source.end),
        table=sql.SQL(source.table.name),
        since=sql.Literal(found.end),
    )
    come, ahead = connection.execute(counts).fetchone() or (0, 0)
    return None if come or source.end < found.end else found._replace(ahead=ahead)


LAST = """
    SELECT window_start, window_end, rows_read, rows_written + rows_unchanged, rows_older,
           newest_event, signature
    FROM ops.materializations WHERE project = %s AND view = %s
    ORDER BY seen_at DESC LIMIT 1"""
"""The last materialization of a view."""
