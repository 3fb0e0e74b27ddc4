"""The row of a run in ops.runs: written when it begins, and again when it ends."""

import json
import logging
from dataclasses import asdict
from typing import Any

import psycopg

from jobs.run.result import Run
from jobs.run.versions import versions
from streamflow import settings
from streamflow.errors import Fault, NotAllowed, StreamflowError
from streamflow.postgres.connect import connect, first_line
from streamflow.postgres.locks import Keeper

log = logging.getLogger(__name__)

LOCK_CLASS = 1_398_034_502
"""First half of the advisory lock that a run holds while it lives; the second is its number."""


def enter(connection: psycopg.Connection, keeper: Keeper, run: Run) -> int:
    """Writes the row of a run that begins; returns its number, whose lock is held from now on.

    Nobody sees the row before its lock, since it would be that of a killed run. The project is told
    to a trigger, so that a schema without it will do (migration 0007).

    Raises:
        NotAllowed: the command is the work of another role.
    """
    with connection.transaction():
        connection.execute(OF_PROJECT, [settings.project()])
        try:
            row = connection.execute(
                "INSERT INTO ops.runs (command, parameters, versions) VALUES (%s, %s, %s)"
                " RETURNING run",
                [run.command, json.dumps(run.parameters, default=str), json.dumps(versions())],
            ).fetchone()
        except psycopg.errors.InsufficientPrivilege as error:
            raise NotAllowed(
                f"role {connection.info.user} may not run {run.command}, which is the work of"
                " another role; see: streamflow db roles --help"
            ) from error
        assert row is not None  # noqa: S101  # INSERT … RETURNING gives the row it inserted
        log_command = settings.streamflow().log_command
        if log_command and has(connection, "log_command"):
            connection.execute(LOG_COMMAND, [log_command, row[0]])
        keeper.take(LOCK_CLASS, row[0])
    return int(row[0])


def has(connection: psycopg.Connection, column: str) -> bool:
    """True where the ledger has a column, whose migration a job of the same upgrade may precede."""
    return connection.execute(HAS, [column]).fetchone() is not None


HAS = """
    SELECT FROM pg_attribute
    WHERE attrelid = 'ops.runs'::regclass AND attname = %s AND NOT attisdropped"""
LOG_COMMAND = "UPDATE ops.runs SET log_command = %s WHERE run = %s"
OF_PROJECT = "SELECT set_config('streamflow.project', %s, true)"
"""Says for this transaction whose the run is that it enters."""


def tidy(connection: psycopg.Connection) -> None:
    """Marks killed runs in the ledger, and removes runs older than STREAMFLOW_KEEP_RUNS_DAYS.

    The run that begins goes on where that cannot be done; the next one tries again.
    """
    try:
        row = connection.execute(TIDY, [settings.streamflow().keep_runs_days]).fetchone()
    except psycopg.Error as error:
        log.warning("ledger not tidied", extra={"reason": first_line(error)})
        return
    if row is not None and any(row):
        log.info("ledger tidied", extra={"killed": row[0], "removed": row[1]})


TIDY = "SELECT killed, removed FROM ops.tidy(%s)"
"""See streamflow/postgres/migrations/0002_ledger.sql."""


def close(connection: psycopg.Connection, run: Run) -> None:
    """Writes a run's end; after a database restart on a new connection, else with a warning."""
    values = {
        "run": run.number,
        "outcome": run.outcome,
        "message": run.message,
        "start": run.window[0],
        "end": run.window[1],
        **asdict(run.counts),
    }
    try:
        try:
            end(connection, run, values)
        except psycopg.OperationalError:
            with connect(autocommit=True) as fresh:
                end(fresh, run, values)
    except (StreamflowError, psycopg.Error) as error:
        log.warning("run not closed in the ledger", extra={"run": run.number, "reason": str(error)})


def end(connection: psycopg.Connection, run: Run, values: dict[str, Any]) -> None:
    """Writes a run's end, what it was refused for, and what it made, where there is a place for it.

    A role may change a run that has not ended, so that the end comes last.
    """
    if run.faults and has(connection, "faults"):
        kept = [kept_fault(fault) for fault in run.faults]
        connection.execute(FAULTS, {"run": run.number, "faults": json.dumps(kept)})
    if run.manifest and has(connection, "manifest"):
        connection.execute(MANIFEST, {"run": run.number, "manifest": json.dumps(run.manifest)})
    connection.execute(CLOSE, values)


def kept_fault(fault: Fault) -> dict[str, Any]:
    """A fault as the ledger keeps it: in texts of bounded length that PostgreSQL can store."""
    return {
        name: storable(value) if isinstance(value, str) else value
        for name, value in asdict(fault).items()
        if name != "note"
    }


def storable(text: str) -> str:
    """The beginning of a text, with a mark in place of what is no character of UTF-8 or a NUL."""
    found = text[:MOST_CHARACTERS].encode(errors="replace").decode().replace("\0", "\ufffd")
    return found + "…" * (len(text) > MOST_CHARACTERS)


MOST_CHARACTERS = 200
"""Of a text of a fault in the ledger."""
FAULTS = "UPDATE ops.runs SET faults = %(faults)s WHERE run = %(run)s"
MANIFEST = "UPDATE ops.runs SET manifest = %(manifest)s WHERE run = %(run)s"
CLOSE = """
    UPDATE ops.runs SET outcome = %(outcome)s, message = %(message)s,
        window_start = %(start)s, window_end = %(end)s, rows_read = %(read)s,
        rows_written = %(written)s, rows_late = %(late)s, rows_unchanged = %(unchanged)s,
        rows_refused = %(refused)s, rows_older = %(older)s, finished_at = clock_timestamp()
    WHERE run = %(run)s"""
"""Ends a run in the ledger."""
