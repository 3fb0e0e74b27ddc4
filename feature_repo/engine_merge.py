"""Runs the SQL of a materialization so that a view whose values are refused stops no other."""

from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from psycopg import Connection

from feature_repo import engine_sql
from feature_repo.database import first_line
from feature_repo.engine_source import Source
from feature_repo.errors import ValueRefused
from feature_repo.refusals import refused

OF_A_VIEW = (
    psycopg.DataError,
    psycopg.ProgrammingError,
    psycopg.errors.ProgramLimitExceeded,  # a row that is too long
)
"""Errors that come from a view's source or values, whichever view is written beside it."""


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
    connection: Connection, sources: Sequence[Source], force: bool, checked: bool
) -> tuple[dict[str, tuple[int, int]], dict[str, Exception]]:
    """Merges sources of one table, without those that cannot be.

    Args:
        connection: in a transaction.
        sources, force, checked: as in `engine_sql.merge`; there may be no source.

    Returns:
        By view, rows new or changed and unchanged ones; and by view, why it was left out.
    """
    if not sources:
        return {}, {}
    try:
        with connection.transaction():
            row = connection.execute(engine_sql.merge(sources, force, checked)).fetchone() or ()
    except OF_A_VIEW as error:
        if len(sources) == 1:
            view = sources[0].layout.view
            return {}, {view: of_view(view, error)}
        merged: dict[str, tuple[int, int]] = {}
        errors: dict[str, Exception] = {}
        for one in sources:
            alone = merge(connection, [one], force, checked)
            merged |= alone[0]
            errors |= alone[1]
        return merged, errors
    pairs = zip(row[::2], row[1::2], strict=True)
    return {one.layout.view: pair for one, pair in zip(sources, pairs, strict=True)}, {}


def of_view(view: str, error: Exception) -> Exception:
    """An error that came from a view's rows, which names the view."""
    if isinstance(error, psycopg.DataError | psycopg.errors.ProgramLimitExceeded):
        return refused(error) or ValueRefused(f"feature view {view}: {first_line(error)}")
    return error
