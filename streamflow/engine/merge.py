"""Runs the SQL of a materialization, and asks what was materialized before."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import psycopg
from psycopg import Connection, sql

from streamflow.catalog.layout import SCHEMA, Layout
from streamflow.engine import sql as engine_sql
from streamflow.engine.source import Source
from streamflow.errors import ValueRefused
from streamflow.postgres.connect import first_line
from streamflow.postgres.refusals import refused

LAKE = "lake"
"""The way, in ops.materializations, of rows that were read from the lake."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Look(NamedTuple):
    """Rows that a merge would meet, counted by what would become of them."""

    read: int
    late: int
    same: int
    new: int
    ahead: int


def look(connection: Connection, source: Source, force: bool) -> Look:
    """Counts the rows of a source.

    Where one of them cannot be a feature, nothing is known of the others, and all may be new:
    the merge will tell, which takes the newest of each key alone. Rows that were counted elsewhere
    are not counted again.
    """
    try:
        with connection.transaction():
            found = connection.execute(engine_sql.look(source, force)).fetchone()
    except psycopg.DataError:
        found = connection.execute(engine_sql.count(source)).fetchone()
    looked = Look(*(found or (0, 0, 0, 0, 0)))
    return looked._replace(**source.counted._asdict()) if source.counted else looked


def merge(
    connection: Connection, sources: Sequence[Source], force: bool
) -> dict[str, tuple[int, int]]:
    """Merges sources of one table; gives by view rows that were new or changed, and unchanged ones.

    Args:
        connection: in a transaction.
        sources, force: as in `engine_sql.merge`; there may be no source.

    Raises:
        ValueRefused: a value cannot be a feature, or a row is too long; names the view or views.
    """
    if not sources:
        return {}
    try:
        row = connection.execute(engine_sql.merge(sources, force)).fetchone() or ()
    except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
        views = ", ".join(one.layout.view for one in sources)
        raise refused(error) or ValueRefused(
            f"feature view {views}: {first_line(error)}"
        ) from error
    pairs = zip(row[::2], row[1::2], strict=True)
    return {one.layout.view: pair for one, pair in zip(sources, pairs, strict=True)}


def seen(
    connection: Connection, project: str, view: str, lookback: timedelta, from_lake: bool = False
) -> tuple[datetime | None, timedelta]:
    """The time when a view's rows were last looked at, and how long before it they count as new.

    The time is None for never. A run from the lake saw the rows that the lake had, and the
    database may have had others: where there was no other run, all of those are looked at.

    Args:
        lookback: how long before a run that saw them rows count as new.
        from_lake: for a run from the lake, whose rows the database had before.
    """
    row = connection.execute(SEEN, [from_lake, project, view]).fetchone()
    own, last = row or (None, None)
    if own is None and last is not None:
        return last, last - LONG_AGO
    return own, lookback


SEEN = f"""
    SELECT max(seen_at) FILTER (WHERE %s OR way <> '{LAKE}'), max(seen_at)
    FROM ops.materializations WHERE project = %s AND view = %s"""  # noqa: S608
"""The last run of a view that saw what a run of now could see, and the last of all."""


def passed(connection: Connection, project: str, view: str) -> datetime | None:
    """The last instant that a materialization of a view has passed; None for none."""
    row = connection.execute(
        "SELECT max(window_end) FROM ops.materializations WHERE project = %s AND view = %s",
        [project, view],
    ).fetchone()
    return row[0] if row else None


def newest_events(
    connection: Connection, layouts: Sequence[Layout], limit: datetime
) -> list[tuple[datetime | None, int]]:
    """For each view of one online table: the newest instant that any of its values describes.

    Beside it stands how many keys have a value of an instant after `limit`.
    """
    row = (
        connection.execute(
            sql.SQL("SELECT {} FROM {}").format(
                sql.SQL(", ").join(
                    sql.SQL("max({event}), count(*) FILTER (WHERE {event} > {limit})").format(
                        event=sql.Identifier(one.event.name), limit=sql.Literal(limit)
                    )
                    for one in layouts
                ),
                sql.Identifier(SCHEMA, layouts[0].table),
            )
        ).fetchone()
        or ()
    )
    return list(zip(row[::2], row[1::2], strict=True))
