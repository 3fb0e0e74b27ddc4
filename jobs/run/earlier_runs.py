"""Queries the run ledger: the newest runs, and runs that did the same before.

The ledger is in the database, so that it goes with the data: a database that was restored from an
earlier backup knows nothing of what was done since, and that is done again.
"""

import json
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from jobs.run.instants import iso
from jobs.run.ledger import Run, shown_parameters
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect


def done_before(command: str, **parameters: Any) -> dict[str, Any] | None:
    """The summary of an earlier run that did the same; None if no such run ended well.

    A materialization that read no row does not count, since its rows came later.
    """
    with connect() as connection:
        wanted = json.dumps(shown_parameters(parameters), default=str)
        row = connection.execute(DONE, [command, wanted]).fetchone()
        if row is None:
            return None
        said = f"run {row[0]} did it at {iso(row[1])}"
        if command == "ingest":
            newest = connection.execute(NEWEST, [str(parameters["as_of"])]).fetchone()
            if newest is not None and newest[0] != row[0]:
                said += (
                    f"; but the newest load of that day is run {newest[0]}, from {newest[1]}: "
                    "--revision loads again"
                )
    return nothing_to_do(command, row[0], said)


def nothing_to_do(command: str, run: int, reason: str) -> dict[str, Any]:
    """The summary of a command with nothing to do, since an earlier run did it."""
    message = f"nothing to do: {reason}"
    return Run(command, {}, number=run, outcome="done", message=message).summary()


def online_before(loaded: int, instant: datetime) -> dict[str, Any] | None:
    """The summary of a materialization of `instant` after the ingest `loaded`, or None."""
    with connect() as connection:
        row = connection.execute(ONLINE, [loaded, instant, instant]).fetchone()
    if row is None:
        return None
    return nothing_to_do("materialize", row[0], f"run {row[0]} did it at {iso(row[1])}")


def is_loading() -> bool:
    """True if a month is being loaded now."""
    with connect() as connection:
        return connection.execute(LOADING).fetchone() == (True,)


def recent(limit: int) -> list[dict[str, Any]]:
    """The newest `limit` runs, newest first; `outcome` is "killed" where nobody ended the run."""
    with connect() as connection:
        schema.require(connection)
        cursor = connection.cursor(row_factory=dict_row)
        return cursor.execute(RECENT, [limit]).fetchall()


def last_outcome(connection: psycopg.Connection, command: str) -> str:
    """The outcome of a command's newest run, or `running`; empty if there never was one.

    In a database that an `apply` is about to migrate, which had no ops.ledger yet, none runs.
    """
    has_ledger = schema.exists(connection, "ops.ledger")
    if not has_ledger and not schema.exists(connection, "ops.runs"):
        return ""
    row = connection.execute(LAST_OUTCOME if has_ledger else LAST_BEFORE, [command]).fetchone()
    return str(row[0]) if row else ""


DONE = """
    SELECT run, finished_at FROM ops.runs
    WHERE command = %s AND parameters = %s::jsonb AND outcome = 'done'
      AND (command <> 'materialize' OR rows_read > 0)
    ORDER BY run DESC LIMIT 1"""
"""The newest run of the same command with the same parameters that ended well."""

NEWEST = """
    SELECT run, parameters->>'source' FROM ops.runs
    WHERE command = 'ingest' AND parameters->>'as_of' = %s AND outcome = 'done'
    ORDER BY run DESC LIMIT 1"""
"""The newest load of a day, and its source."""

ONLINE = """
    SELECT online.run, online.finished_at
    FROM ops.runs AS online JOIN ops.runs AS loaded ON online.started_at >= loaded.finished_at
    WHERE loaded.run = %s AND online.command = 'materialize' AND online.outcome = 'done'
      AND online.parameters->'views' = '[]'
      AND online.window_start <= %s AND online.window_end >= %s
    ORDER BY online.run DESC LIMIT 1"""
"""The newest materialization of all views, after a load, whose window has the month's instant."""

LOADING = """
    SELECT EXISTS (
        SELECT FROM ops.ledger WHERE is_open AND command = 'ingest' AND outcome = 'running')"""
"""True if there is an ingest that runs and was not killed."""

LAST_OUTCOME = "SELECT outcome FROM ops.ledger WHERE command = %s ORDER BY run DESC LIMIT 1"
"""The outcome of a command's newest run."""

LAST_BEFORE = """
    SELECT CASE outcome WHEN 'running' THEN 'killed' ELSE outcome END
    FROM ops.runs WHERE command = %s ORDER BY run DESC LIMIT 1"""
"""The same in a database without ops.ledger."""

RECENT = """
    SELECT run, command, outcome, window_start, window_end,
           rows_read AS read, rows_written AS written,
           rows_late AS late, rows_unchanged AS unchanged, rows_refused AS refused,
           rows_older AS older,
           started_at, finished_at - started_at AS duration,
           versions->>'streamflow' || ' ' || (versions->>'commit') AS version, message
    FROM ops.ledger ORDER BY run DESC LIMIT %s"""
"""The columns of `streamflow runs`."""
