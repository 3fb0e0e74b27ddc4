"""Rows of a batch that are not written: kept back by newer ones, or dated too far ahead."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from streamflow.catalog.layout import SCHEMA, Layout
from streamflow.online.rows import Row
from streamflow.postgres import clock as ahead
from streamflow.postgres.refusals import refusing
from streamflow.sources.row_order import age


@dataclass(frozen=True, slots=True)
class Became:
    """Counts of rows by what became of them; those not counted were stored already."""

    written: int
    older: int = 0
    """A newer stored row kept them back."""
    held: int = 0
    """Of those, the stored row is dated too far ahead."""

    def __add__(self, other: "Became") -> "Became":
        return Became(
            self.written + other.written, self.older + other.older, self.held + other.held
        )


def kept(
    connection: Connection, query: str | sql.Composed, values: Sequence[Any] = ()
) -> tuple[int, int]:
    """Counts rows that stored ones keep back, and those of a row dated too far ahead."""
    older, held = connection.execute(query, values or None).fetchone() or (0, 0)
    return older, held


def kept_back(layout: Layout) -> sql.Composed:
    """Counts the rows `staged` that are older than the stored ones of their keys.

    Beside them those of which the stored one is dated too far ahead.
    """
    keys = layout.keys
    stored, created = (
        sql.SQL("o.{}").format(sql.Identifier(one.name)) for one in (layout.event, layout.created)
    )
    given = [sql.SQL("c{}::timestamptz").format(sql.SQL(str(len(keys) + n))) for n in (0, 1)]
    return sql.SQL(
        "SELECT count(*), count(*) FILTER (WHERE {held}) FROM staged JOIN {table} AS o ON {match}"
        " WHERE ({given_age}) < ({stored_age})"
    ).format(
        held=ahead.is_ahead(stored),
        table=sql.Identifier(SCHEMA, layout.table),
        match=sql.SQL(" AND ").join(
            sql.SQL("o.{} = c{}::{}").format(
                sql.Identifier(one.name), sql.SQL(str(n)), sql.SQL(one.type)
            )
            for n, one in enumerate(keys)
        ),
        given_age=sql.SQL(", ").join(age(given[0], given[1])),
        stored_age=sql.SQL(", ").join(age(stored, created)),
    )


def not_ahead(layout: Layout, event: sql.Composable, created: sql.Composable) -> sql.Composed:
    """The event time of a row, for which PostgreSQL refuses the query where it is too far ahead.

    The created time counts as well: it decides between rows of the same event time.
    """
    latest = sql.SQL("greatest({}, {})").format(event, created)
    return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(
        ahead.is_ahead(latest), refusing("row", event, "is too far ahead", layout.event.type), event
    )


def too_far(connection: Connection, layout: Layout, rows: Iterable[Row]) -> ValueError:
    """Says which row of a batch is dated too far ahead."""
    last = ahead.limit(connection)
    times = ((row.number, max(row.event, row.created or row.event)) for row in rows)
    number, time = min((one for one in times if one[1] > last), default=(0, last))
    return ValueError(
        f"feature view {layout.view}, row {number}: its time {time.isoformat()} {ahead.said(last)}"
    )
