"""Runs the SQL of a materialization, and says of which view a value is refused."""

from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from psycopg import Connection

from streamflow.engine import sql as engine_sql
from streamflow.engine.source import Source
from streamflow.errors import ValueRefused
from streamflow.postgres.connect import first_line
from streamflow.postgres.refusals import refused


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
    the merge will tell, which takes the newest of each key alone.
    """
    try:
        with connection.transaction():
            found = connection.execute(engine_sql.look(source, force)).fetchone()
    except psycopg.DataError:
        found = connection.execute(engine_sql.count(source)).fetchone()
    return Look(*(found or (0, 0, 0, 0, 0)))


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
