"""Records of what was materialized, in ops.materializations and in Feast's registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql

from streamflow.errors import ConfigurationError
from streamflow.registry.intervals import MOST_INTERVALS, with_intervals
from streamflow.registry.messages import VIEWS


@dataclass(frozen=True)
class Result:
    """The outcome for one view's rows: each row that was read was written, unchanged or older."""

    project: str
    view: str
    """Its name, with `@vN` for a version that is not the current one."""
    name: str
    """Its name alone."""
    entries: str
    """The table of Feast's registry that has it."""
    start: datetime
    end: datetime
    seen_at: datetime
    way: str
    """`database`, `lake` or `feast`."""
    read: int
    written: int
    late: int
    """Of those read, how many came after a materialization had passed their time."""
    unchanged: int
    older: int
    """Not the newest of their key, or kept back by a newer stored one."""
    newest_event: datetime | None
    """The newest instant that any online value of the view describes now."""
    held: int
    """Keys whose stored row is too far ahead, and keeps all others back."""
    ahead: int
    """Rows that were left out since they are too far ahead; not among those read."""
    signature: str | None = None
    """The same in a later run that has nothing to do; None for unknown. See unchanged.py."""


def hold(connection: Connection, home: str, views: Sequence[tuple[str, str, str]]) -> None:
    """Keeps the entries of views as they are, until the transaction ends.

    Feast writes an entry when it begins with a view; one that was changed after this
    transaction's snapshot could not be added to at its end.

    Args:
        home: the registry's schema.
        views: of each its project, the registry's table that has it, and its name.
    """
    for project, table in sorted({one[:2] for one in views}):
        connection.execute(
            sql.SQL(
                "SELECT FROM {} WHERE feature_view_name = ANY(%s) AND project_id = %s"
                " ORDER BY feature_view_name FOR UPDATE"
            ).format(sql.Identifier(home, table)),
            [[name for *where, name in views if where == [project, table]], project],
        )


def record(connection: Connection, home: str | None, results: Sequence[Result]) -> None:
    """Writes the results and Feast's intervals, in the transaction that is open.

    Args:
        home: the registry's schema in this database; None leaves the intervals to the caller.

    Raises:
        ConfigurationError: the registry no longer has a view.
    """
    for one in results:
        connection.execute(SIGNED if one.signature else RECORD, vars(one))
        if home is not None:
            into_registry(connection, home, one)


INSERT = """
    INSERT INTO ops.materializations
        (project, view, window_start, window_end, seen_at, way, rows_read, rows_written,
         rows_late, rows_unchanged, rows_older, newest_event{column})
    VALUES (%(project)s, %(view)s, %(start)s, %(end)s, %(seen_at)s, %(way)s, %(read)s,
            %(written)s, %(late)s, %(unchanged)s, %(older)s, %(newest_event)s{value})"""
"""One view of one run."""
RECORD = INSERT.format(column="", value="")
SIGNED = INSERT.format(column=", signature", value=", %(signature)s")
"""The schema of an earlier version has no column for a signature, and gives none."""


def into_registry(connection: Connection, schema: str, result: Result) -> None:
    """Adds the interval to the view's entry, which nobody else changes meanwhile.

    Feast reads the entry, adds to it and writes it back without a lock, so that of two runs at
    once one interval is lost; here the last ones that ops.materializations knows are put back.
    """
    table = sql.Identifier(schema, result.entries)
    row = connection.execute(
        sql.SQL(
            "SELECT feature_view_proto FROM {} WHERE feature_view_name = %s"
            " AND project_id = %s FOR UPDATE"
        ).format(table),
        [result.name, result.project],
    ).fetchone()
    if row is None:
        raise ConfigurationError(
            f"feature view {result.name} is no longer in the registry of {result.project}"
        )
    known = connection.execute(KNOWN, [result.project, result.name, MOST_INTERVALS]).fetchall()
    windows = [*known, (result.start, result.end)]
    connection.execute(
        sql.SQL(
            "UPDATE {} SET feature_view_proto = %s, last_updated_timestamp ="
            " extract(epoch FROM now())::bigint"
            " WHERE feature_view_name = %s AND project_id = %s"
        ).format(table),
        [with_intervals(VIEWS[result.entries], row[0], windows), result.name, result.project],
    )


KNOWN = """
    SELECT window_start, window_end FROM (SELECT * FROM ops.materializations
    WHERE project = %s AND view = %s ORDER BY materialization DESC LIMIT %s) AS last
    ORDER BY materialization"""
"""The windows of a view's last materializations."""
