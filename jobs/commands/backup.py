"""`streamflow backup` and `streamflow restore`: the steps around pg_dump and pg_restore.

The chart's CronJob and restore Job run them; pg_dump and pg_restore are in PostgreSQL's image.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.command_line.application import Application, RunCommand
from jobs.command_line.report import error_text, reporting
from jobs.run import console, waiting
from jobs.run.ledger import recorded
from jobs.run.result import Run
from streamflow.errors import ConfigurationError, StreamflowError, shorten
from streamflow.settings import names_a_database

if TYPE_CHECKING:
    from jobs.backup.requests import Request

log = logging.getLogger(__name__)

backup_app = Application(help="Keep dumps as backups; list, check.")
restore_app = Application(help="Put a backup in the database's place.")

PLACE = "A folder, or any fsspec URL of one."
Prefix = Annotated[str, typer.Option(help="Beginning of the backups' names, before the time.")]
PlanFolder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Folder for the plan and for downloads.")
]
From = Annotated[str, typer.Option("--from", metavar="PLACE", help=PLACE)]
Requested = Annotated[
    str,
    typer.Option(
        metavar="TEXT", help="Text that names this restore; the same one is carried out once."
    ),
]


@contextmanager
def summary_line(command: str, database: bool = False) -> Iterator[dict[str, Any]]:
    """Runs a command's body and ends with one JSON line, which the body may add to."""
    began = time.monotonic()
    line: dict[str, Any] = {"command": command, "outcome": "done"}

    def summary(error: BaseException | None) -> dict[str, Any]:
        failed = {"outcome": "failed", "message": error_text(error)} if error else {}
        return {**line, **failed, "duration_ms": round((time.monotonic() - began) * 1000)}

    with reporting(database, summary):
        yield line


@contextmanager
def recorded_if_possible(command: str) -> Iterator[Run]:
    """Records a run in the ledger if the PG* variables name a database that has one.

    Without one, or if it does not answer, the run is not recorded: a dump has to be stored all
    the more when its database is gone.
    """
    with ExitStack() as stack:
        run = Run(command, {})
        if names_a_database(os.environ):
            try:
                run = stack.enter_context(recorded(command))
            except StreamflowError as error:
                log.warning("not noted in the ledger", extra={"reason": str(error)})
        yield run


def require_prefix(prefix: str) -> None:
    """Refuses a prefix that cannot begin a backup's name."""
    from jobs.backup.place import PREFIX

    if not PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            f"--prefix {shorten(prefix)} is no beginning of a backup's name: a-z, 0-9, - inside"
        )


def targets_of(databases: list[str]) -> dict[str, str]:
    """Parses the options WHAT=NAME: the databases to restore, by what they are.

    Raises:
        ConfigurationError: one is not WHAT=NAME, or WHAT is given twice.
    """
    found: dict[str, str] = {}
    for one in databases:
        what, _, name = one.partition("=")
        if not (what and name):
            raise ConfigurationError("--database wants WHAT=NAME, e.g. streamflow=streamflow")
        if what in found:
            raise ConfigurationError(f"--database {what} is given 2 times; give it once")
        found[what] = name
    return found


@backup_app.command("store", cls=RunCommand)
def store(
    dumps: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder with pg_dump's files.")],
    to: Annotated[str, typer.Option(metavar="PLACE", help=PLACE)],
    prefix: Prefix = "streamflow",
    keep: Annotated[int, typer.Option(min=1, help="Number of backups to keep, the newest.")] = 7,
) -> None:
    """Make a folder of dumps a backup with checksums and manifest; remove the oldest ones."""
    from jobs.backup.place import store as stored

    with summary_line("backup") as line, recorded_if_possible("backup") as run:
        require_prefix(prefix)
        manifest = stored(dumps, to, prefix, keep)
        rows = sum(sum(one.rows.values()) for one in manifest.databases)
        run.message, run.counts.read, run.counts.written = manifest.name, rows, rows
        line |= {
            "backup": manifest.name,
            "bytes": manifest.bytes,
            "rows": {one.what: sum(one.rows.values()) for one in manifest.databases},
        }


@backup_app.command("list")
def list_backups(
    place: Annotated[str, typer.Argument(metavar="PLACE", help=PLACE)],
) -> None:
    """Print the backups that are there: when, of what, how large."""
    from jobs.backup.place import Place

    with reporting(database=False):
        where = Place(place)
        console.table(
            [
                {
                    "backup": name,
                    "database": one.what,
                    "taken_at": one.taken_at,
                    "bytes": one.bytes,
                    "rows": sum(one.rows.values()),
                    "last run": one.last_run["run"] if one.last_run else None,
                    "PostgreSQL": one.server_version,
                }
                for name in where.names()
                for one in where.find(name, "").databases
            ]
        )


@backup_app.command("check")
def check(place: Annotated[str, typer.Argument(metavar="PLACE", help=PLACE)]) -> None:
    """Write, read and remove a file where backups are kept; name the newest backup."""
    from jobs.backup.place import Place

    with reporting(database=False):
        where = Place(place)
        where.probe()
        names = where.names()
        newest = f", the newest {names[-1]}" if names else ""
        console.say(f"{where.url}: can be written; {len(names)} backups{newest}")


def request_of(request: str, place: str, prefix: str) -> "Request":
    """Makes the request of a restore from the options.

    Raises:
        ConfigurationError: one of them cannot be.
    """
    from jobs.backup.place import Place
    from jobs.backup.requests import Request

    require_prefix(prefix)
    if not request.strip() or not request.isprintable():
        raise ConfigurationError("--request wants a text on one line that names this restore")
    return Request(request, Place(place), prefix)


@restore_app.command("prepare")
def prepare(
    name: Annotated[str, typer.Argument(metavar="BACKUP", help="Name of a backup, or `latest`.")],
    plan: PlanFolder,
    place: From,
    database: Annotated[
        list[str], typer.Option(metavar="WHAT=NAME", help="Database to restore; may be repeated.")
    ],
    request: Requested,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Restore over data, too, which is kept aside.")
    ] = False,
    prefix: Prefix = "streamflow",
) -> None:
    """Verify a backup, make new databases for it, and write the plan for pg_restore."""
    from jobs.backup.databases import require_server
    from jobs.backup.restore import prepare as prepared

    with reporting():
        wanted = request_of(request, place, prefix)
        targets = targets_of(database)
        waiting.until(require_server, "the database")
        for line in prepared(name, wanted, targets, overwrite, plan):
            console.say(line)


@restore_app.command("finish", cls=RunCommand)
def finish(
    plan: PlanFolder, place: From, request: Requested, prefix: Prefix = "streamflow"
) -> None:
    """Compare what was restored with its manifest, and put it in the database's place."""
    from jobs.backup.restore import Plan, advice
    from jobs.backup.restore import finish as finished

    with summary_line("restore", database=True) as line:
        line["request"] = request
        if said := Plan.read(plan).message:
            line["message"] = said
        line["databases"] = finished(plan, request_of(request, place, prefix))
        for one in advice(plan):
            console.say(one)
        for one in line["databases"]:
            if one["kept"]:
                console.say(f'the former one is kept; to remove it: DROP DATABASE "{one["kept"]}"')
