"""The command line `streamflow`, the same as `python -m jobs`.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 input refused (nothing of it
was stored).
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from jobs.command_line.application import (
    Application,
    RunCommand,
    require_at_most_one,
)
from jobs.command_line.report import VERBOSE, reporting
from jobs.command_line.run import run
from jobs.command_line.times import AsOf, End, Start, scheduled_time
from jobs.commands import api_key, contracts, db, features, services, training
from jobs.commands import backup as backup_commands
from jobs.commands.audit import audit
from jobs.commands.batch import BATCH, SETTINGS, batch
from jobs.commands.fetch_definitions import fetch_definitions
from jobs.commands.init import init
from jobs.commands.serve_flows import serve_flows
from jobs.commands.snapshot import app as snapshot_app
from jobs.commands.stats import stats
from jobs.commands.wait import wait
from jobs.run import console, earlier_runs, ledger
from jobs.run.earlier_runs import done_before, online_before
from jobs.run.instants import midnight
from streamflow import logs, settings

app = Application(
    help="StreamFlow's feature store: from a month of CSV files to features over HTTP.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 input refused.",
)


@app.callback()
def options(
    context: typer.Context,
    repo: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the feature repository; else STREAMFLOW_FEATURE_REPO, else StreamFlow's"
            " own. May stand behind the command as well, as --verbose may.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="The traceback of an error.")] = False,
) -> None:
    """Take the options that all commands have."""
    VERBOSE.set(verbose)
    if repo is not None:
        context.with_resource(settings.in_repository(repo))


app.add_typer(db.app, name="db")
app.add_typer(contracts.app, name="contracts")
app.add_typer(snapshot_app, name="snapshot")
app.add_typer(backup_commands.backup_app, name="backup")
app.add_typer(backup_commands.restore_app, name="restore")


Once = Annotated[
    bool, typer.Option("--once", help="Exit with 0 if an earlier run did the same; see `runs`.")
]
Revision = Annotated[
    str, typer.Option(metavar="TEXT", help="Any text; with a new one, --once does the same again.")
]


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Folder to write month_000, month_001, … to.")],
    users: Annotated[int, typer.Option(help="Number of users, 10 to 10,000,000.")] = 7_043,
    months: Annotated[int, typer.Option(help="Number of months, from January 2024 on.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
) -> None:
    """Generate months of the declared files; those of StreamFlow's own look like the real ones."""
    from jobs.sample.months import declared_files, write_months

    with reporting(database=False):
        files = len(declared_files())
        with console.progress("writing", users * files * months) as advance:
            written = write_months(out, users, months, seed, advance)
    for folder, as_of, rows in written:
        console.say(f"{folder}  as of {as_of}  {rows:,} rows in {files} files")


@app.command(cls=RunCommand)
def ingest(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="Folder with the month's files, its fsspec URL, or sample://users-N/seed-N/month_NNN.",
        ),
    ],
    as_of: AsOf,
    materialize: Annotated[
        bool, typer.Option("--materialize", help="Then put the loaded values online.")
    ] = False,
    once: Once = False,
    revision: Revision = "",
    refuse_drift: Annotated[
        bool,
        typer.Option(
            "--refuse-drift",
            help="Exit with 3 and change nothing if the month has drifted from the one before.",
        ),
    ] = False,
) -> None:
    """Check a month and store all of it, or refuse it and change nothing.

    Statistics of its columns are written with it; the JSON line has what has drifted as `drift`.
    With STREAMFLOW_LAKE_URL the month is then brought to the lake as well.
    """
    what = ledger.with_revision(revision, source=source, as_of=as_of)
    before = lambda: done_before("ingest", **what) if once else None  # noqa: E731
    how = {"refuse_drift": refuse_drift}
    loaded = run("ingest", "ingest_month", {**what, **how}, unless=before)
    if settings.streamflow().lake_url:
        run("snapshot-export", "export_snapshots", {"as_of": [as_of]})
    if materialize:
        instant = midnight(as_of)
        window = {"start": instant, "end": instant, "views": []}
        online = lambda: online_before(loaded["run"], instant) if once else None  # noqa: E731
        run("materialize", "materialize_features", window, unless=online)


@app.command(cls=RunCommand)
def apply(
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the plan and change nothing.")
    ] = False,
    allow_removal: Annotated[
        bool, typer.Option("--allow-removal", help="Allow to remove views that a service uses.")
    ] = False,
) -> None:
    """Create or migrate the database and the feature registry; print the plan first."""
    require_at_most_one(plan=plan, allow_removal=allow_removal)
    if not plan:
        run("apply", "apply_registry", {"allow_removal": allow_removal}, needs="database")
        return
    with reporting():
        from jobs.apply.apply import plan as planned

        found = planned()
        console.say(str(found))
        if found.blocked:
            console.say(f"needs --allow-removal: {'; '.join(found.blocked)}")


app.command("training-set", cls=RunCommand)(training.training_set)
app.command()(training.verify)


@app.command(cls=RunCommand)
def materialize(
    start: Start = None,
    end: End = None,
    view: Annotated[list[str] | None, typer.Option(help="Feature view; may be repeated.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Serve this window even in place of newer values.")
    ] = False,
    scheduled: Annotated[
        str, typer.Option(metavar="JOB", help="End at the time in the name of a CronJob's job.")
    ] = "",
    reach: Annotated[
        int, typer.Option(min=0, metavar="SECONDS", help="How far back the time in JOB may be.")
    ] = 90_000,
    origin: Annotated[
        training.OriginName,
        typer.Option(
            "--from", help="What it is read from; the lake is that of STREAMFLOW_LAKE_URL."
        ),
    ] = "database",
    skip_if_running: Annotated[
        bool, typer.Option("--skip-if-running", help="Exit with 0 if another one is running.")
    ] = False,
    once: Once = False,
    revision: Revision = "",
) -> None:
    """Copy the newest values of a window into the online store. Times without a zone are UTC."""
    require_at_most_one(end=end, scheduled=scheduled)
    logs.configure(tracebacks=VERBOSE.get())
    end = end or scheduled_time(scheduled, timedelta(seconds=reach))
    views = list(dict.fromkeys(view or []))
    window = {"start": start, "end": end, "views": views, "force": force}
    read_from = ledger.given(origin=origin if origin != "database" else None)
    what = ledger.with_revision(revision, **window, **read_from)
    before = lambda: done_before("materialize", **what) if once else None  # noqa: E731
    how = {"skip_if_running": skip_if_running}
    run("materialize", "materialize_features", {**what, **how}, unless=before)


app.command()(init)
app.command("fetch-definitions")(fetch_definitions)
app.command()(features.features)
app.command()(services.services)
app.command()(stats)
app.command(cls=RunCommand)(audit)
app.command(BATCH, context_settings=SETTINGS)(batch)
app.command()(wait)
app.command("serve-flows")(serve_flows)


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
        console.table(earlier_runs.recent(limit))


app.command("api-key")(api_key.api_key)


def main() -> None:
    """Entry point of `streamflow`."""
    app(prog_name="streamflow")


if __name__ == "__main__":
    main()
