"""Reads the ledger: which commands ran, and how they ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from explorer.database import Connection, row, rows
from streamflow.errors import Fault

OUTCOMES = ("done", "failed", "refused", "killed", "running")


@dataclass(frozen=True)
class Run:
    """A run of a command."""

    run: int
    command: str
    outcome: str
    """One of OUTCOMES."""
    parameters: Mapping[str, Any]
    window_start: datetime | None
    window_end: datetime | None
    rows_read: int
    rows_written: int
    rows_late: int
    rows_unchanged: int
    rows_refused: int
    rows_older: int
    started_at: datetime
    finished_at: datetime | None
    message: str
    versions: Mapping[str, Any]
    project: str

    @property
    def duration(self) -> timedelta | None:
        """The time that it took; None of one that has not ended, or that nobody saw end."""
        return self.finished_at - self.started_at if self.finished_at else None

    @property
    def message_without_persons(self) -> str:
        """The message, but for the first key that an audit names in it."""
        return self.message.partition("; first: ")[0] if self.command == "audit" else self.message

    @property
    def is_bad(self) -> bool:
        """True where somebody has to look at it."""
        return self.outcome in ("failed", "refused", "killed")


COLUMNS = """
    l.run, l.command, l.outcome, l.parameters, l.window_start, l.window_end, l.rows_read,
    l.rows_written, l.rows_late, l.rows_unchanged, l.rows_refused, l.rows_older, l.started_at,
    l.finished_at, l.message, l.versions, r.project
    FROM ops.ledger AS l JOIN ops.runs AS r USING (run)"""
"""A run's columns; backups and restores are of no project."""


def listed(
    connection: Connection,
    project: str,
    command: str,
    outcome: str,
    before: int | None,
    limit: int,
) -> list[Run]:
    """The runs of a project and of the whole database, the newest first.

    Args:
        command: one command alone; empty for all.
        outcome: one outcome alone; empty for all.
        before: runs with a smaller number alone; None for all.
    """
    found = rows(
        connection,
        LISTED,
        {
            "project": project,
            "command": command,
            "outcome": outcome,
            "before": before,
            "limit": limit,
        },
    )
    return [Run(**one) for one in found]


LISTED = f"""
    SELECT {COLUMNS}
    WHERE r.project IN (%(project)s, '')
      AND (%(command)s = '' OR l.command = %(command)s)
      AND (%(outcome)s = '' OR l.outcome = %(outcome)s)
      AND (%(before)s::bigint IS NULL OR l.run < %(before)s)
    ORDER BY l.run DESC LIMIT %(limit)s"""
"""Some runs."""


def last_of_each_command(connection: Connection, project: str) -> list[Run]:
    """The newest run of each command that a project, or the whole database, ever ran."""
    return [Run(**one) for one in rows(connection, LAST, {"project": project})]


LAST = f"""
    SELECT t.* FROM ops.project_totals AS p, LATERAL (
        SELECT {COLUMNS}
        WHERE r.project = p.project AND r.command = p.command ORDER BY r.run DESC LIMIT 1) AS t
    WHERE p.project IN (%(project)s, '') ORDER BY t.command"""  # noqa: S608  # of this module
"""The newest run of each command."""


def commands(connection: Connection, project: str) -> list[str]:
    """The commands that were ever run, by name."""
    found = rows(connection, COMMANDS, {"project": project})
    return [one["command"] for one in found]


COMMANDS = """
    SELECT DISTINCT command FROM ops.project_totals
    WHERE project IN (%(project)s, '') ORDER BY command"""
"""The commands of a project."""


def one(connection: Connection, project: str, number: int) -> Run | None:
    """A run by its number; None where there is none, or where it is another project's."""
    found = row(connection, ONE, {"run": number, "project": project})
    return Run(**found) if found else None


@dataclass(frozen=True)
class Kept:
    """Columns of a run that its own page alone shows; empty in a run of an earlier version."""

    faults: list[Fault]
    """The first faults for which it was refused."""
    log_command: str
    """Prints its log; empty where nobody said how."""
    manifest: Mapping[str, Any]
    """Of a training set: what identifies it."""


def kept(connection: Connection, number: int) -> Kept:
    """Reads the columns of a run that its own page alone shows."""
    found = (row(connection, KEPT, {"run": number}) or {}).get("kept") or {}
    return Kept(
        [Fault(**one) for one in found.get("faults") or ()],
        found.get("log_command") or "",
        found.get("manifest") or {},
    )


KEPT = "SELECT to_jsonb(r) AS kept FROM ops.runs AS r WHERE run = %(run)s"
"""Also of a table that lacks some of the columns yet."""

ONE = f"SELECT {COLUMNS} WHERE l.run = %(run)s AND r.project IN (%(project)s, '')"
"""A run."""


def training_sets(connection: Connection, project: str, service: str) -> list[Run]:
    """The newest training sets of a service that were written, the newest first."""
    named = {"project": project, "service": service, "most": MOST_TRAINING_SETS}
    return [Run(**each) for each in rows(connection, TRAINING_SETS, named)]


MOST_TRAINING_SETS = 10
TRAINING_SETS = f"""
    SELECT {COLUMNS}
    WHERE r.project = %(project)s AND r.command = 'training-set' AND r.outcome = 'done'
      AND r.parameters->>'service' = %(service)s
    ORDER BY r.run DESC LIMIT %(most)s"""  # of this module
"""The training sets of a service."""
