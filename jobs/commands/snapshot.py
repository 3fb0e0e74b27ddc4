"""`streamflow snapshot`: months of snapshots in the lake, as Parquet beside the database."""

from datetime import date
from typing import Annotated

import typer

from jobs.command_line.application import Application, RunCommand
from jobs.command_line.report import reporting
from jobs.command_line.run import run
from jobs.command_line.times import parse_day
from jobs.run import console

app = Application(
    help="Months of snapshots in the lake: Parquet at STREAMFLOW_LAKE_URL, beside the database."
)


@app.command(cls=RunCommand)
def export(
    as_of: Annotated[
        list[date] | None,
        typer.Option(
            parser=parse_day,
            metavar="DATE",
            help="A month by its day; may be repeated. Without it all that are stored.",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Store the files of unchanged months again, too.")
    ] = False,
) -> None:
    """Bring the lake's months to those of the database: all tables at once, or nothing."""
    what = {"as_of": sorted(set(as_of or [])), "again": again}
    run("snapshot-export", "export_snapshots", what)


@app.command("list")
def list_() -> None:
    """Print the months that the lake has: rows, bytes and file of each table."""
    with reporting():
        from jobs.lake.listing import listed

        console.table(listed())


@app.command()
def verify() -> None:
    """Compare every file with its hash, and every month with the database, row by row."""
    with reporting():
        from jobs.lake.verify import verify as verified

        found = verified()
        only = f", {found.only_in_lake} of them in the lake alone" if found.only_in_lake else ""
        console.say(f"{found.files} files, {found.rows:,} rows, equal to the database{only}")
