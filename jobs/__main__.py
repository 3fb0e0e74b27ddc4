"""The command line `streamflow`, the same as `python -m jobs`.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 input refused (nothing of it
was stored).
"""

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from jobs import api_key, backup_commands, console, db, features, ledger, services, waiting
from jobs.application import Application, RunCommand, require_at_most_one
from jobs.reporting import VERBOSE, reporting, run
from jobs.times import AsOf, End, Start, scheduled_time
from jobs.urls import shown

app = Application(
    help="StreamFlow's feature store: from a month of CSV files to features over HTTP.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 input refused.",
)


@app.callback()
def options(
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", help="The traceback of an error; may stand behind the command as well."
        ),
    ] = False,
) -> None:
    """Take the options that all commands have."""
    VERBOSE.set(verbose)


app.add_typer(db.app, name="db")
app.add_typer(backup_commands.backup_app, name="backup")
app.add_typer(backup_commands.restore_app, name="restore")


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


@app.command(cls=RunCommand)
def ingest(
    source: Annotated[
        str, typer.Argument(metavar="DIR", help="Folder with the six files, or its fsspec URL.")
    ],
    as_of: AsOf,
    materialize: Annotated[
        bool, typer.Option("--materialize", help="Then put what was loaded online.")
    ] = False,
) -> None:
    """Check a month and store all of it, or refuse it and change nothing."""
    run("ingest", "ingest_month", {"source": source, "as_of": as_of})
    if materialize:
        instant = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
        window = {"start": instant, "end": instant, "views": []}
        run("materialize", "materialize_features", window)


@app.command(cls=RunCommand)
def apply(
    plan: Annotated[bool, typer.Option("--plan", help="Print what would change, no more.")] = False,
    allow_removal: Annotated[
        bool, typer.Option("--allow-removal", help="Remove views that a service uses.")
    ] = False,
) -> None:
    """Create or migrate the database and the feature registry; print the plan first."""
    require_at_most_one(plan=plan, allow_removal=allow_removal)
    if not plan:
        run("apply", "apply_registry", {"allow_removal": allow_removal}, needs="database")
        return
    with reporting():
        from jobs.apply import plan as planned

        found = planned()
        console.say(str(found))
        if found.blocked:
            console.say(f"needs --allow-removal: {'; '.join(found.blocked)}")


@app.command("training-set", cls=RunCommand)
def training_set(
    as_of: AsOf,
    out: Annotated[str, typer.Option(help="Parquet file: a path or any fsspec URL.")],
    service: Annotated[str, typer.Option(help="Feature service.")] = "churn_v1",
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Without labels of that day, say so and end 0.")
    ] = False,
) -> None:
    """Join a month's labels point-in-time with a service's features; write Parquet and manifest."""
    what = {"as_of": as_of, "service": service, "out": out, "allow_empty": allow_empty}
    run("training-set", "build_training_dataset", what)


@app.command()
def verify(
    path: Annotated[str, typer.Argument(help="A training set: a path or any fsspec URL.")],
) -> None:
    """Build a training set again from the database and compare, byte for byte."""
    with reporting():
        from jobs.training_set import verify as verified

        manifest = verified(path)
        console.say(f"{shown(path)}: {manifest.rows:,} rows, equal to the database")


@app.command(cls=RunCommand)
def materialize(
    start: Start = None,
    end: End = None,
    view: Annotated[list[str] | None, typer.Option(help="Feature view, may be repeated.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Serve this window even over newer values.")
    ] = False,
    scheduled: Annotated[
        str, typer.Option(metavar="JOB", help="Up to the time that ends a CronJob's job name.")
    ] = "",
    skip_if_running: Annotated[
        bool, typer.Option("--skip-if-running", help="End 0 when another one runs.")
    ] = False,
) -> None:
    """Copy the newest values of a window into the online store. Times without a zone are UTC."""
    require_at_most_one(end=end, scheduled=scheduled)
    views = list(dict.fromkeys(view or []))
    window = {"start": start, "end": end or scheduled_time(scheduled), "views": views}
    how = {"force": force, "skip_if_running": skip_if_running}
    run("materialize", "materialize_features", {**window, **how})


app.command()(features.features)
app.command()(services.services)


@app.command()
def compare(
    api: Annotated[str, typer.Option(metavar="URL", help="Where the API is.")],
    users: Annotated[int, typer.Option(min=1, max=1000, help="How many users.")] = 20,
    service: Annotated[str, typer.Option(help="Feature service.")] = "churn_v1",
) -> None:
    """Compare what the API serves with what training would see; name the first difference."""
    with reporting():
        from jobs.compare import compare as compared

        found = compared(api, service, users)
        if not found.users:
            console.say("no user is both known and online: nothing to compare")
        else:
            console.say(f"{found.users} users, {found.values} values: served as trained on")


@app.command(cls=RunCommand)
def audit(
    users: Annotated[int, typer.Option(min=1, help="How many, at random.")] = 200,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed takes the same users; unset: others.")
    ] = None,
    service: Annotated[str, typer.Option(help="Feature service.")] = "churn_v1",
    url: Annotated[
        str, typer.Option(metavar="URL", help="Ask the API there; else the online store is read.")
    ] = "",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of users that may differ.")
    ] = 0.0,
) -> None:
    """Compare served values of users at random with what training sees; count what differs."""
    taken = secrets.randbelow(2**31) if seed is None else seed
    asked = {"service": service, "users": users, "seed": taken, "url": url}
    run("audit", "audit_online", {**asked, "threshold": threshold})


@app.command()
def wait(
    need: Annotated[waiting.Need, typer.Option("--for", help="What for.")] = "registry",
) -> None:
    """Wait for the database or the registry, STREAMFLOW_WAIT_S seconds at most."""
    with reporting():
        waiting.wait_for(need)


@app.command()
def runs(limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20) -> None:
    """Print the run ledger: what ran, its window, counts, outcome and duration.

    Of the rows that a run read, each was written, unchanged, older or refused. Unchanged: stored
    already as it is. Older: not the newest of its key, so that it does not go online. Refused:
    faults of a month, of which nothing was stored. Late counts, among the others, rows that came
    after their time: a month after a later one, or for materialize rows that were loaded after
    their window had been materialized. `apply` counts definitions, `audit` users, `backup` rows of
    tables. Outcomes are running, done, failed, refused, and killed for a run that nobody could end.
    """
    with reporting():
        console.table(ledger.recent(limit))


app.command("api-key")(api_key.api_key)


def main() -> None:
    """Entry point of `streamflow`."""
    app(prog_name="streamflow")


if __name__ == "__main__":
    main()
