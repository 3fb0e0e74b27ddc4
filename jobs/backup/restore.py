"""Restores a backup into a new database, which then takes the name of the one in use.

`prepare` checks everything before anything is changed and writes a plan; pg_restore follows it;
`finish` counts the rows and renames both databases in one transaction. The former database is
kept where it had data. Idempotent by the request that asks for it: what was carried out is
written down (`jobs/backup/requests.py`), and the same request again does nothing. A killed restore
leaves the database in use as it was; the next attempt makes the new one afresh.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from psycopg import Connection

from jobs.backup.databases import (
    State,
    connected,
    create,
    may_replace,
    row_counts,
    state,
    switch,
)
from jobs.backup.manifest import MAIN, Dump
from jobs.backup.requests import Request
from streamflow import settings
from streamflow.errors import ConfigurationError, SchemaTooNew, VerificationFailed
from streamflow.postgres import migrate as schema

log = logging.getLogger(__name__)

PLAN, DETAILS, PLAIN = "plan", "plan.json", "plan.plain"
"""Files of a plan: for pg_restore, for `finish`, and one that is there if grants were left out."""


class LeftOut(ConfigurationError):
    """A database is left out of a restore, for the reason in the message."""


class Done(LeftOut):
    """A database was restored for this request already."""


@dataclass(frozen=True)
class Step:
    """The restore of one database."""

    what: str
    database: str
    into: str
    """The new database, or `database` itself where it is bare and no other may be created."""
    dump: str
    """A file on this machine."""
    backup: str
    rows: dict[str, int]
    keeps: bool
    """True if the database in use has data and is kept, under another name."""
    has_grants: bool
    """True if rights on the database in use were granted or revoked."""


@dataclass(frozen=True)
class Plan:
    """The steps that `finish` has to take; without any, `message` says why."""

    steps: list[Step]
    message: str = ""

    def write(self, folder: Path) -> None:
        """Writes the plan to a folder, for pg_restore and for `finish`."""
        (folder / DETAILS).write_text(json.dumps(asdict(self)))
        lines = [f"{step.into}\t{step.dump}\n" for step in self.steps]
        (folder / PLAN).write_text("".join(lines))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads the plan in a folder.

        Raises:
            ConfigurationError: there is none.
        """
        try:
            found = json.loads((folder / DETAILS).read_text())
            return cls([Step(**one) for one in found["steps"]], found["message"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(f"{folder}: no plan is there: {error}") from error


def prepare(
    name: str, request: Request, targets: dict[str, str], overwrite: bool, folder: Path
) -> list[str]:
    """Verifies a backup, makes the databases to restore it into, and writes the plan to `folder`.

    A request that was carried out before, whatever became of its backup, gives an empty plan.

    Args:
        name: of the backup, or `latest`: the newest with the request's prefix.
        request: what asks for it, and where the backup is.
        targets: the databases to restore, by what they are (`streamflow`, `prefect`).
        overwrite: also where there is data.
        folder: of this machine, for the plan and for what has to be downloaded.

    Returns:
        What is left out and why, a line each.

    Raises:
        ConfigurationError: no such backup, the database has data and `overwrite` is False, the
            role may not create the new one, or what the request restored is gone. Nothing was
            changed.
        VerificationFailed: a dump is not what the manifest describes. Nothing was changed.
        StreamflowError: the place of the backups cannot be read, or not be written, so that
            nothing could be written down. Nothing was changed.
    """
    if MAIN not in targets:
        raise ConfigurationError(f"--database {MAIN}=NAME is missing")
    found = state(targets[MAIN], MAIN)
    if done := request.done_before(targets[MAIN], found):
        Plan([], done).write(folder)
        return [done]
    manifest = request.place.find(name, request.prefix)
    request.place.probe()
    request.write_down_former(targets[MAIN], found)
    dumps = request.place.fetch(manifest, folder)
    if MAIN not in dumps:
        raise ConfigurationError(f"{manifest.name} has no database {MAIN}")
    unknown = sorted(targets.keys() - {one.what for one in manifest.databases})
    steps, left_out = [], [f"{what}: {manifest.name} has none, left out" for what in unknown]
    # The main database comes last: once it is marked as restored, all are.
    for one in sorted(manifest.databases, key=lambda dump: dump.what == MAIN):
        path = str(dumps[one.what].resolve())
        try:
            to = targets.get(one.what)
            steps.append(planned(one, path, manifest.name, to, request.text, overwrite))
        except LeftOut as error:
            if one.what == MAIN:
                raise
            left_out.append(f"{one.what}: {error}")
    for step in steps:
        if step.into != step.database:
            create(step.into, like=step.database)
    Plan(steps).write(folder)
    return left_out


def planned(
    dump: Dump, path: str, backup: str, database: str | None, request: str, overwrite: bool
) -> Step:
    """Plans the restore of one database.

    Raises:
        LeftOut: it is not asked for, restored already, has data, or may not be replaced.
    """
    if database is None:
        raise LeftOut("not asked for")
    found = state(database, dump.what)
    if found.request == request:
        raise Done(f"database {database} was restored from {found.backup} for this already")
    into = destination(database, found, overwrite)
    keeps = bool(found.data)
    return Step(dump.what, database, into, path, backup, dump.rows, keeps, found.has_grants)


def destination(database: str, found: State, overwrite: bool) -> str:
    """Chooses a name to restore to: a new one, or `database` itself if none may be created."""
    if found.data and not overwrite:
        raise LeftOut(
            f"database {database} has data (in {found.data}), nothing was changed; --overwrite "
            "restores all the same and keeps it under another name"
        )
    if may_replace(database):
        return f"{database[:50]}_restoring"
    if found.exists and found.bare:
        return database
    user = settings.postgres().user
    raise LeftOut(
        f"role {user} may not replace database {database}, nothing was changed; first let a "
        f'superuser do: ALTER ROLE "{user}" CREATEDB; ALTER DATABASE "{database}" OWNER TO "{user}"'
    )


def finish(folder: Path, request: Request) -> list[dict[str, Any]]:
    """Verifies the databases that pg_restore filled by the plan in `folder`, and puts them in use.

    Then it writes down that the request was carried out.

    Returns:
        For each database: what it is, its name, the backup, its rows, and where the former one
        is kept (None where it had no data).

    Raises:
        VerificationFailed: a table has other rows than the manifest says; nothing was changed.
        StreamflowError: the databases cannot be renamed; nothing was changed. Or they were, and
            it cannot be written down, which another attempt does.
    """
    steps = Plan.read(folder).steps
    for step in steps:
        verify(step)
    done = []
    for step in steps:
        kept = switch(step.database, step.into, step.backup, request.text, step.keeps)
        row = {"what": step.what, "database": step.database, "backup": step.backup}
        done.append({**row, "rows": sum(step.rows.values()), "kept": kept})
        log.info("database restored", extra=done[-1])
    for step in steps:
        if step.what == MAIN:
            has_data = bool(state(step.database, MAIN).data)
            request.write_down(step.backup, step.database, has_data)
    return done[::-1]


def verify(step: Step) -> None:
    """Compares the rows of every table with those of the manifest."""
    found = row_counts(step.into)
    for table in sorted(found.keys() | step.rows.keys()):
        if found.get(table) != step.rows.get(table):
            raise VerificationFailed(
                f"{step.what}: {table} has {found.get(table, 'no')} rows, its backup has "
                f"{step.rows.get(table, 'none')}; nothing was changed"
            )


def advice(folder: Path) -> list[str]:
    """Lists the steps that a person has to take after `finish`, a line each."""
    steps = Plan.read(folder).steps
    said = []
    if (folder / PLAIN).exists():
        said.append("owners, grants and policies name roles that are not here and were left out")
    elif any(step.has_grants for step in steps):
        said.append("rights on the database itself are PostgreSQL's defaults again")
    if said:
        said.append("where roles of their own are used, run: streamflow db roles")
    for step in steps:
        if step.what == MAIN:
            with connected(step.database) as connection:
                said += other_version(connection)
    return said


def other_version(connection: Connection) -> list[str]:
    """Advises on a restored database of another version, in one line; empty for this version."""
    try:
        is_older = schema.state(connection) in ("missing", "outdated")
    except SchemaTooNew as error:
        return [str(error)]
    return ["the backup is of another version; run: streamflow apply"] if is_older else []
