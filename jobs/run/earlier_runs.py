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
from jobs.run.ledger import shown_parameters
from jobs.run.result import Run
from streamflow import settings
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect


def done_before(command: str, **parameters: Any) -> dict[str, Any] | None:
    """The summary of an earlier run that did the same; None if no such run ended well.

    A materialization that read no row does not count, since its rows came later.
    """
    with connect() as connection:
        wanted = json.dumps(shown_parameters(parameters), default=str)
        row = connection.execute(DONE, done(command, wanted)).fetchone()
        if row is None:
            return None
        said = f"run {row[0]} did it at {iso(row[1])}"
        if command == "ingest":
            what = {"as_of": str(parameters["as_of"]), "project": settings.project()}
            newest = connection.execute(NEWEST, what).fetchone()
            if newest is not None and newest[0] != row[0]:
                said += (
                    f"; but the newest load of that day is run {newest[0]}, from {newest[1]}: "
                    "--revision loads again"
                )
    return nothing_to_do(command, row[0], said)


def done(command: str, parameters: str) -> dict[str, str]:
    """The arguments of DONE: a command, its parameters as JSON, and this project."""
    return {"command": command, "parameters": parameters, "project": settings.project()}


def nothing_to_do(command: str, run: int, reason: str) -> dict[str, Any]:
    """The summary of a command with nothing to do, since an earlier run did it."""
    message = f"nothing to do: {reason}"
    return Run(command, {}, number=run, outcome="done", message=message).summary()


def online_before(loaded: int, instant: datetime) -> dict[str, Any] | None:
    """The summary of a materialization of `instant` after the ingest `loaded`, or None."""
    with connect() as connection:
        what = {"loaded": loaded, "instant": instant, "project": settings.project()}
        row = connection.execute(ONLINE, what).fetchone()
    if row is None:
        return None
    return nothing_to_do("materialize", row[0], f"run {row[0]} did it at {iso(row[1])}")


def is_loading() -> bool:
    """True if a month is being loaded now."""
    with connect() as connection:
        return connection.execute(LOADING).fetchone() == (True,)


def recent(limit: int) -> list[dict[str, Any]]:
    """The newest `limit` runs, newest first; `outcome` is "killed" where nobody ended the run.

    They have a `project` where they are of more than one.
    """
    with connect() as connection:
        schema.require(connection)
        cursor = connection.cursor(row_factory=dict_row)
        found = cursor.execute(RECENT, [limit]).fetchall()
    if len({one["project"] for one in found if one["project"]}) < 2:
        for one in found:
            del one["project"]
    return found


def last_outcome(connection: psycopg.Connection, command: str) -> str:
    """The outcome of this project's newest run of a command, or `running`; empty for none.

    In a database that an `apply` is about to migrate, which had no ops.ledger yet, none runs.
    """
    if not schema.exists(connection, "ops.runs"):
        return ""
    has_ledger = schema.exists(connection, "ops.ledger")
    what = {"command": command, "project": settings.project()}
    row = connection.execute(LAST_OUTCOME if has_ledger else LAST_BEFORE, what).fetchone()
    return str(row[0]) if row else ""


IS_OURS = "coalesce(to_jsonb(runs)->>'project', %(project)s) = %(project)s"
"""True for a run of this project; for every run in a database without migration 0007."""

DONE = f"""
    SELECT run, finished_at FROM ops.runs
    WHERE command = %(command)s AND parameters = %(parameters)s::jsonb AND outcome = 'done'
      AND (command <> 'materialize' OR rows_read > 0) AND {IS_OURS}
    ORDER BY run DESC LIMIT 1"""  # noqa: S608
"""The newest run of the same command with the same parameters that ended well."""

NEWEST = f"""
    SELECT run, parameters->>'source' FROM ops.runs
    WHERE command = 'ingest' AND parameters->>'as_of' = %(as_of)s AND outcome = 'done' AND {IS_OURS}
    ORDER BY run DESC LIMIT 1"""  # noqa: S608
"""The newest load of a day, and its source."""

ONLINE = f"""
    SELECT runs.run, runs.finished_at
    FROM ops.runs JOIN ops.runs AS loaded ON runs.started_at >= loaded.finished_at
    WHERE loaded.run = %(loaded)s AND runs.command = 'materialize' AND runs.outcome = 'done'
      AND runs.parameters->'views' = '[]' AND {IS_OURS}
      AND runs.window_start <= %(instant)s AND runs.window_end >= %(instant)s
    ORDER BY runs.run DESC LIMIT 1"""  # noqa: S608
"""The newest materialization of all views, after a load, whose window has the month's instant."""

LOADING = """
    SELECT EXISTS (
        SELECT FROM ops.ledger WHERE is_open AND command = 'ingest' AND outcome = 'running')"""
"""True if there is an ingest that runs and was not killed."""

LAST_OUTCOME = f"""
    SELECT outcome FROM ops.ledger WHERE run = (
        SELECT run FROM ops.runs WHERE command = %(command)s AND {IS_OURS}
        ORDER BY run DESC LIMIT 1)"""  # noqa: S608
"""The outcome of a command's newest run."""

LAST_BEFORE = """
    SELECT CASE outcome WHEN 'running' THEN 'killed' ELSE outcome END
    FROM ops.runs WHERE command = %(command)s ORDER BY run DESC LIMIT 1"""
"""The same in a database without ops.ledger."""

RECENT = """
    SELECT run, (SELECT to_jsonb(runs)->>'project' FROM ops.runs WHERE run = ledger.run) AS project,
           command, outcome, window_start, window_end,
           rows_read AS read, rows_written AS written,
           rows_late AS late, rows_unchanged AS unchanged, rows_refused AS refused,
           rows_older AS older,
           started_at, finished_at - started_at AS duration,
           versions->>'streamflow' || ' ' || (versions->>'commit') AS version, message
    FROM ops.ledger ORDER BY run DESC LIMIT %s"""
"""The columns of `streamflow runs`."""
