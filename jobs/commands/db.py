"""`streamflow db`: the embedded PostgreSQL, and other databases on the same server."""

import logging
import os
import shlex
from typing import Annotated

import typer

from jobs.command_line.application import Application
from jobs.command_line.report import reporting
from jobs.roles import set_up as roles
from jobs.roles.names import Names, passwords
from jobs.run import console, waiting
from streamflow import settings
from streamflow.postgres import embedded
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect, create_database

log = logging.getLogger(__name__)

app = Application(help="The embedded PostgreSQL, other databases.")


@app.command("env")
def db_env() -> None:
    """Start the embedded PostgreSQL, leave it running, and print its PG* variables for a shell."""
    with reporting(database=False):
        if embedded.ensure():
            embedded.keep(settings.streamflow().home / "postgres")
            # Feast's own commands create their tables, not the schemas these are in.
            with connect(autocommit=True) as connection:
                if schema.state(connection) == "missing":
                    schema.migrate(connection)
        else:
            settings.postgres()
            log.warning("the PG* variables name another server, nothing was started")
        for name in (*settings.CONNECTION_VARIABLES, "PGTZ"):
            if name in os.environ:
                console.shell(f"export {name}={shlex.quote(os.environ[name])}")


@app.command("create")
def db_create(name: Annotated[str, typer.Argument(help="Database to create.")]) -> None:
    """Create another database on the server of the PG* variables unless it is there."""
    with reporting():
        waiting.wait_for("database")
        console.say(f"database {name}: {'created' if create_database(name) else 'is there'}")


@app.command("roles")
def db_roles(
    owner: Annotated[str, typer.Option(help="Role that runs apply.")] = Names.owner,
    writer: Annotated[str, typer.Option(help="Role that ingests and materializes.")] = Names.writer,
    trainer: Annotated[str, typer.Option(help="Role that builds training sets.")] = Names.trainer,
    reader: Annotated[str, typer.Option(help="Role of the API.")] = Names.reader,
    viewer: Annotated[str, typer.Option(help="Role of the explorer.")] = Names.viewer,
) -> None:
    """Create or update five roles with no more rights than their commands need.

    Their passwords come from STREAMFLOW_OWNER_PASSWORD, STREAMFLOW_WRITER_PASSWORD,
    STREAMFLOW_TRAINER_PASSWORD, STREAMFLOW_READER_PASSWORD and STREAMFLOW_VIEWER_PASSWORD. Run it
    as a superuser, or as a role that has CREATEROLE and owns the database. STREAMFLOW_OWNER_LOGIN
    and so on name logins that become the roles; without them the roles log in themselves.
    """
    with reporting():
        names, given = Names(owner, writer, trainer, reader, viewer), passwords()
        waiting.wait_for("database")
        for line in roles.set_up(names, given):
            console.say(line)


@app.command("stop")
def db_stop() -> None:
    """Stop the embedded PostgreSQL."""
    with reporting(database=False):
        stopped = embedded.stop(settings.streamflow().home / "postgres")
        console.say("stopped" if stopped else "was not running")
