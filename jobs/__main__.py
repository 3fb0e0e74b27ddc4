"""The command line `streamflow`, the same as `python -m jobs`.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 input refused (nothing changed).
"""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from feature_repo import embedded, logs, schema, settings
from feature_repo.database import connect
from feature_repo.errors import ConfigurationError, InputRefused, StreamflowError, UnknownName
from jobs import console, ledger, tracking

FAILED, WRONG_USE, REFUSED = 1, 2, 3

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="StreamFlow's feature store: from a month of CSV files to features over HTTP.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 input refused.",
)
db = typer.Typer(no_args_is_help=True, help="The embedded PostgreSQL.")
app.add_typer(db, name="db")


def parse_day(text: str) -> date:
    """An ISO day, e.g. 2024-01-31."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write it like 2024-01-31") from None


def parse_instant(text: str) -> datetime:
    """An ISO time or day, aware; UTC where it names no zone."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time; write it like 2024-02-01 or 2024-02-01T00:00:00Z"
        ) from None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


AsOf = Annotated[
    date, typer.Option(parser=parse_day, metavar="DATE", help="The day the month describes.")
]
Start = Annotated[
    datetime | None,
    typer.Option(parser=parse_instant, metavar="TIME", help="From here on; unset: all rows."),
]
End = Annotated[
    datetime | None,
    typer.Option(parser=parse_instant, metavar="TIME", help="Up to here, included; unset: now."),
]


@contextmanager
def reporting(database: bool = True) -> Iterator[None]:
    """Runs a command's body; an error of ours becomes one line and an exit code."""
    logs.configure()
    try:
        if database:
            embedded.ensure()
        yield
    except StreamflowError as error:
        console.fail(error)
        raise typer.Exit(exit_code(error)) from None


def run(command: str, name: str, **parameters: Any) -> None:
    """Does the work `name` and ends with its JSON line, also when it fails."""
    with reporting():
        try:
            summary = tracking.run(name, **parameters)
        except StreamflowError as error:
            ended = ledger.ended.get(command)
            console.fail(error)
            console.end(ended.summary() if ended else ledger.failed(command, error))
            raise typer.Exit(exit_code(error)) from None
        console.end(summary)


def exit_code(error: StreamflowError) -> int:
    """The exit code that tells a caller what kind of error it was."""
    if isinstance(error, InputRefused):
        return REFUSED
    return WRONG_USE if isinstance(error, ConfigurationError | UnknownName) else FAILED


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Folder to write month_000, month_001, … to.")],
    users: Annotated[int, typer.Option(help="10 to 1,000,000.")] = 7_043,
    months: Annotated[int, typer.Option(help="From January 2024 on.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
) -> None:
    """Generate months that look like StreamFlow's."""
    from jobs.sample import write_months

    with reporting(database=False), console.progress("writing", users * 6 * months) as advance:
        written = write_months(out, users, months, seed, advance)
    for folder, as_of, rows in written:
        console.say(f"{folder}  as of {as_of}  {rows:,} rows in 6 files")


@app.command()
def ingest(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with the six files.")],
    as_of: AsOf,
) -> None:
    """Check a month and store all of it, or refuse it and change nothing."""
    run("ingest", "ingest_month", directory=str(directory), as_of=as_of)


@app.command()
def apply(
    plan: Annotated[bool, typer.Option("--plan", help="Print what would change, no more.")] = False,
    allow_removal: Annotated[
        bool, typer.Option("--allow-removal", help="Remove views that a service uses.")
    ] = False,
) -> None:
    """Create or migrate the database and the feature registry; print the plan first."""
    if not plan:
        run("apply", "apply_registry", allow_removal=allow_removal)
        return
    with reporting():
        from jobs.apply import plan as planned

        console.say(str(planned()))


@app.command("training-set")
def training_set(
    as_of: AsOf,
    out: Annotated[str, typer.Option(help="Parquet file: a path or any fsspec URL.")],
    service: Annotated[str, typer.Option(help="Feature service.")] = "churn_v1",
) -> None:
    """Join a month's labels point-in-time with a service's features; write Parquet and manifest."""
    run("training-set", "build_training_dataset", as_of=as_of, service=service, out=out)


@app.command()
def verify(
    path: Annotated[str, typer.Argument(help="A training set: a path or any fsspec URL.")],
) -> None:
    """Build a training set again from the database and compare, byte for byte."""
    with reporting():
        from jobs.training_set import verify as verified

        manifest = verified(path)
        console.say(f"{path}: {manifest.rows:,} rows, equal to the database")


@app.command()
def materialize(
    start: Start = None,
    end: End = None,
    view: Annotated[list[str] | None, typer.Option(help="Feature view, may be repeated.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Serve this window even over newer values.")
    ] = False,
) -> None:
    """Copy the newest values of a window into the online store. Times without a zone are UTC."""
    window = {"start": start, "end": end, "views": view or [], "force": force}
    run("materialize", "materialize_features", **window)


@app.command()
def features(
    user_id: Annotated[list[str], typer.Argument(metavar="USER_ID…")],
    service: Annotated[str, typer.Option(help="Feature service.")] = "churn_v1",
) -> None:
    """Print the online features of users."""
    with reporting():
        from feature_repo.contract import contract_of
        from feature_repo.online import read
        from feature_repo.store import open_store

        with open_store() as store:
            contract = contract_of(store, service)
            vectors = read(store, contract, user_id)
        for vector in vectors:
            console.say(f"{vector.user_id}, {service}, contract {contract.hash}")
            console.table(
                [
                    {
                        "feature": one.name,
                        "value": vector.values[one.reference],
                        "view": one.view,
                        "as_of": vector.as_of[one.view],
                    }
                    for one in contract.features
                ]
            )
        if lacking := [vector.user_id for vector in vectors if not vector.found]:
            raise StreamflowError(f"no online features for: {', '.join(lacking)}")


@app.command()
def runs(limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20) -> None:
    """Print the run ledger: what ran, its window, counts, outcome and duration."""
    with reporting():
        console.table(ledger.recent(limit))


@db.command("env")
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


@db.command("stop")
def db_stop() -> None:
    """Stop the embedded PostgreSQL."""
    with reporting(database=False):
        stopped = embedded.stop(settings.streamflow().home / "postgres")
        console.say("stopped" if stopped else "was not running")


def main() -> None:
    """Entry point of `streamflow`."""
    app(prog_name="streamflow")


if __name__ == "__main__":
    main()
