"""Recomputes values as training sees them, and finds the rows that could be materialized."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from psycopg import Connection, sql

from jobs.audit.keys import Key, named, places
from jobs.audit.projects.interface import Sources
from jobs.audit.views import AuditedView
from streamflow.catalog.layout import NO_KEY
from streamflow.offline.features import arrow_type
from streamflow.sources.columns import kinds_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Watermark:
    """The point up to which a view was materialized."""

    until: datetime
    """Rows after this instant are not online yet."""
    seen_at: datetime
    """Rows that were loaded after this instant are not online yet either."""


@dataclass(frozen=True)
class SourceRows:
    """A key's rows in the source of a view."""

    event: datetime | None
    """Instant of the newest row that the last materialization could see; None for none."""
    late: tuple[datetime, ...]
    """Instants up to the watermark whose rows were loaded, or corrected, after it."""
    is_ahead: bool
    """True if there are rows after the watermark."""

    @property
    def is_pending(self) -> bool:
        """True if there is a row that was not materialized yet."""
        return self.is_ahead or bool(self.late)


def watermarks(
    connection: Connection[Any], project: str, views: Sequence[AuditedView]
) -> dict[str, Watermark]:
    """By view of the contract: its watermark; views that were never materialized are missing."""
    found = connection.execute(
        "SELECT view, max(window_end), max(seen_at) FROM ops.materializations"
        " WHERE project = %s GROUP BY view",
        [project],
    )
    known = {view: Watermark(until, seen_at) for view, until, seen_at in found}
    return {one.alias: known[one.view.name] for one in views if one.view.name in known}


def source_rows(
    sources: Sources, audited: AuditedView, keys: Sequence[Key], mark: Watermark
) -> dict[Key, SourceRows] | None:
    """By key: a view's rows in its source; keys without rows are missing.

    Returns:
        None where PostgreSQL does not have the source, so that only training can read it.
    """
    source = sources.source_of(audited)
    if source is None or sources.connection is None:
        return None
    if not keys:
        return {}
    columns = places(audited.layout)
    listed = [sql.Literal(list(column)) for column in zip(*keys, strict=True)]
    arrays = [
        sql.SQL("{}::{}[]").format(one, sql.SQL(column.type))
        for one, column in zip(listed, audited.layout.keys, strict=True)
    ]
    each = [
        sql.SQL("{} = ANY({})").format(column, array)
        for column, array in zip(columns, arrays, strict=True)
    ]
    query = sql.SQL(ROWS).format(
        keys=sql.SQL(", ").join(columns),
        named=named(source.keys, audited.layout),
        event=source.event,
        created=source.created,
        query=sql.SQL(source.query),
        until=sql.Literal(mark.until),
        seen_at=sql.Literal(mark.seen_at),
        each=sql.SQL(" AND ").join(each),
        together=sql.SQL(", ").join(arrays),
    )
    return {
        tuple(key): SourceRows(event, tuple(late), ahead)
        for event, late, ahead, *key in sources.connection.execute(query)
    }


NEVER = Watermark(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))
ROWS = """
    SELECT max(event) FILTER (WHERE event <= {until} AND NOT is_late),
           coalesce(array_agg(event) FILTER (WHERE event <= {until} AND is_late), '{{}}'),
           bool_or(event > {until}), {keys}
    FROM (SELECT {named}, {event} AS event, coalesce({created} > {seen_at}, false) AS is_late
          FROM {query} AS s) AS s
    WHERE {each} AND ({keys}) IN (SELECT * FROM unnest({together})) AND event <= now()
    GROUP BY {keys}"""
"""One row per key with the fields of `SourceRows`; an index of a key's column is of use."""
NUMBER = "streamflow audit row"
"""The column of the entity rows that numbers them."""


def recomputed(
    sources: Sources,
    audited: AuditedView,
    keys: Sequence[Key],
    times: Sequence[datetime],
) -> list[dict[str, Any]]:
    """A view's features as a training set has them, of each key as of its time in `times`."""
    entities = entity_rows(sources.connection, audited, keys, times)
    found = sources.history(audited, entities)
    kinds = pa.schema(
        [
            pa.field(NUMBER, pa.int64()),
            *(pa.field(one.name, arrow_type(one.type)) for one in audited.features),
        ]
    )
    rows = found.select(kinds.names).cast(kinds).to_pylist()
    rows.sort(key=lambda row: int(row[NUMBER]))
    return [{name: row[name] for name in kinds.names[1:]} for row in rows]


def entity_rows(
    connection: Connection[Any] | None,
    audited: AuditedView,
    keys: Sequence[Key],
    times: Sequence[datetime],
) -> "str | pd.DataFrame":
    """The entity rows of a view with their number: a query, or a frame for other stores."""
    names = [one for one in audited.layout.join_keys if one != NO_KEY]
    columns = dict(zip(audited.layout.join_keys, zip(*keys, strict=True), strict=True))
    numbers = list(range(len(keys)))
    if connection is None:
        import pandas as pd

        known = {name: columns[name] for name in names}
        return pd.DataFrame({**known, "event_timestamp": list(times), NUMBER: numbers})
    types = dict(zip(audited.layout.join_keys, audited.layout.keys, strict=True))
    given = [(columns[name], types[name].type) for name in names]
    given += [(tuple(times), "timestamptz"), (tuple(numbers), "bigint")]
    arrays = (
        sql.SQL("{}::{}[]").format(sql.Literal(list(values)), sql.SQL(type_))
        for values, type_ in given
    )
    called = [*(f"k{at}" for at, _ in enumerate(names)), "event_timestamp", NUMBER]
    shown = [
        sql.SQL("{} AS {}").format(
            in_source(connection, audited, name, place), sql.Identifier(name)
        )
        for name, place in zip(names, called, strict=False)
    ]
    query = sql.SQL("SELECT {} FROM unnest({}) AS t({})").format(
        sql.SQL(", ").join([*shown, *map(sql.Identifier, called[len(names) :])]),
        sql.SQL(", ").join(arrays),
        sql.SQL(", ").join(map(sql.Identifier, called)),
    )
    return query.as_string(None)


def in_source(
    connection: Connection[Any], audited: AuditedView, name: str, place: str
) -> sql.Composable:
    """The column `place` of a join key as its source has it: seconds may be those of an instant."""
    column = sql.Identifier(place)
    if audited.key_types[name] != "UNIX_TIMESTAMP":
        return column
    assert audited.source is not None  # noqa: S101  # PostgreSQL has it
    kind = kinds_of(connection, audited.source.relation)[audited.source.column(name)]
    is_instant = kind.startswith(("timestamp", "date"))
    return sql.SQL("to_timestamp({})").format(column) if is_instant else column
