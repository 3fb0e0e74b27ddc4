"""The run ledger: one row in ops.runs for every run of a command that changes data."""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from jobs.run.instants import iso
from jobs.run.lost_database import explaining_losses, was_lost_before
from jobs.run.urls import without_secrets
from jobs.run.versions import versions
from streamflow import settings, tracing
from streamflow.errors import Fault, InputRefused, NotAllowed, StreamflowError, reason
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect, first_line
from streamflow.postgres.locks import Keeper, keeping

log = logging.getLogger(__name__)

LOCK_CLASS = 1_398_034_502
"""First half of the advisory lock that a run holds while it lives; the second is its number."""


ended: dict[str, "Run"] = {}
"""By command: the run of this process that ended last, for its JSON line."""


@dataclass
class Counts:
    """Rows of one run: each one read was written, unchanged, refused or older.

    A materialization refuses rows that are dated too far ahead, and goes on with the others;
    docs/runs.md says of each command what it counts.
    """

    read: int = 0
    written: int = 0
    late: int = 0
    """Rows that came after their time: a later month was loaded before them."""
    unchanged: int = 0
    refused: int = 0
    older: int = 0
    """In a materialization: rows that are not the newest of their user."""

    def add(self, other: "Counts") -> None:
        """Adds `other` to this."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Run:
    """A run and its results; its command fills in `counts`, `window`, `message` and `details`."""

    command: str
    parameters: dict[str, Any]
    window: tuple[datetime | None, datetime | None] = (None, None)
    number: int = 0
    outcome: str = "running"
    message: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    """Further entries of the JSON line."""
    faults: Sequence[Fault] = ()
    """The first faults for which the run was refused."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """Of a training set: what identifies it."""
    counts: Counts = field(default_factory=Counts)
    started: float = field(default_factory=time.monotonic)
    duration_ms: int = 0

    def summary(self) -> dict[str, Any]:
        """The run as the one JSON line that ends every command."""
        start, end = self.window
        return {
            "run": self.number or None,
            "command": self.command,
            "outcome": self.outcome,
            "window": {"start": iso(start), "end": iso(end)},
            "rows": asdict(self.counts),
            "duration_ms": self.duration_ms,
            "versions": versions(),
            **({"message": self.message} if self.message else {}),
            **self.details,
        }


@contextmanager
def recorded(command: str, **parameters: Any) -> Iterator[Run]:
    """Enters a run in the ledger and closes it with its outcome, whatever happens.

    Ledger and trace get the parameters without the secrets of URLs.

    The row is written on a connection of its own, so that it stays when the work rolls back.
    An advisory lock is held as long: a row that says "running" without it was killed. Earlier
    runs are tidied first.

    Raises:
        SchemaMissing: the database was never applied, so there is no ledger.
        SchemaTooNew: it is of a later version, which this one cannot use.
    """
    run = Run(command, shown_parameters(parameters))
    tracing.start("streamflow-jobs")
    with connect(autocommit=True) as connection, keeping(connection) as keeper:
        schema.require(connection)
        run.number = enter(connection, keeper, run)
        tidy(connection)
        lost_before = was_lost_before(connection, command, run.number)
        try:
            with observed(run), explaining_losses(lost_before):
                yield run
        finally:
            close(connection, run)


@contextmanager
def unrecorded(command: str, **parameters: Any) -> Iterator[Run]:
    """Begins a run that is not entered in the ledger, for roles that only read; its number is 0.

    Raises as `recorded` does.
    """
    run = Run(command, shown_parameters(parameters))
    tracing.start("streamflow-jobs")
    with connect() as connection:
        schema.require(connection)
    with observed(run):
        yield run


@contextmanager
def observed(run: Run) -> Iterator[None]:
    """Traces a run's body; sets the run's outcome, message and duration when that ends."""
    try:
        attributes = {name: str(value) for name, value in run.parameters.items()}
        with tracing.span(run.command, **attributes):
            yield
        run.outcome = "done"
    except InputRefused as error:
        run.outcome, run.message = "refused", str(error)
        run.counts = Counts(read=run.counts.read, refused=error.total)
        run.faults = error.faults
        raise
    except BaseException as error:
        # The text of a KeyError is the key alone.
        text = reason(error) if isinstance(error, KeyError) else str(error)
        run.outcome, run.message = "failed", without_secrets(text or type(error).__name__)
        raise
    finally:
        run.duration_ms = round((time.monotonic() - run.started) * 1000)
        ended[run.command] = run


def given(**parameters: Any) -> dict[str, Any]:
    """The parameters that have a value, which alone are in the ledger where most are optional."""
    return {name: value for name, value in parameters.items() if value is not None}


def with_revision(revision: str, **parameters: Any) -> dict[str, Any]:
    """Adds a run's revision, if any, to its parameters."""
    return parameters | ({"revision": revision} if revision else {})


def shown_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters for the ledger: URLs without their secrets."""
    return {
        key: without_secrets(one) if isinstance(one, str) else one
        for key, one in parameters.items()
    }


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


def failed(command: str, message: str) -> dict[str, Any]:
    """The summary of a command that failed before it could enter the ledger."""
    return Run(command, {}, outcome="failed", message=message).summary()
