"""`streamflow db`: the embedded PostgreSQL, and other databases on the same server."""

import os
import shlex
from typing import Annotated

import typer

from feature_repo import embedded, schema, settings
from feature_repo.database import connect, create_database
from jobs import console, waiting
from jobs.reporting import reporting

app = typer.Typer(no_args_is_help=True, help="The embedded PostgreSQL, other databases.")


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
        for name in (*settings.CONNECTION_VARIABLES, "PGTZ"):
            if name in os.environ:
                console.say(f"export {name}={shlex.quote(os.environ[name])}")


@app.command("create")
def db_create(name: Annotated[str, typer.Argument(help="Database to create.")]) -> None:
    """Create another database on the server of the PG* variables unless it is there."""
    with reporting():
        waiting.wait_for("database")
        console.say(f"database {name}: {'created' if create_database(name) else 'is there'}")


@app.command("stop")
def db_stop() -> None:
    """Stop the embedded PostgreSQL."""
    with reporting(database=False):
        stopped = embedded.stop(settings.streamflow().home / "postgres")
        console.say("stopped" if stopped else "was not running")
