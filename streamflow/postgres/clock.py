"""The limit to which the time of a row may be ahead of the database's clock.

The newest row of a key wins, so that one dated 2099 by mistake would keep all others back.
"""

import os
from datetime import datetime, timedelta
from functools import cache

from psycopg import Connection, sql

from streamflow import settings


def allowed() -> timedelta:
    """The time that STREAMFLOW_MAX_AHEAD_S allows."""
    return allowed_by(os.environ.get("STREAMFLOW_MAX_AHEAD_S"))


@cache
def allowed_by(variable: str | None) -> timedelta:
    """The setting, read once for each value of the variable, since every push asks."""
    return timedelta(seconds=settings.streamflow().max_ahead_s)


def limit(connection: Connection) -> datetime:
    """The last instant that is not too far ahead."""
    row = connection.execute("SELECT clock_timestamp() + %s", [allowed()]).fetchone()
    assert row is not None  # noqa: S101  # a SELECT without FROM gives one row
    found: datetime = row[0]
    return found


def is_ahead(instant: sql.Composable) -> sql.Composed:
    """A condition in SQL: an instant is too far ahead."""
    return sql.SQL("{} > clock_timestamp() + {}").format(instant, sql.Literal(allowed()))


def said(last: datetime) -> str:
    """The fault of an instant after the `last` that is allowed, in words."""
    return (
        f"is after {last:%Y-%m-%d %H:%M:%S%z}, which is as far ahead of the database's clock as "
        f"STREAMFLOW_MAX_AHEAD_S allows ({allowed().total_seconds():.0f} s)"
    )
