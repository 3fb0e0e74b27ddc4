"""The pieces of work that change data, and their audit, each recorded in the run ledger.

Each returns the run's summary: run, outcome, window, rows, duration_ms, versions.
`jobs/flows/prefect_flows.py` gives the same ones to Prefect.
"""

from datetime import date, datetime
from typing import Any, Literal

from jobs.run import console, ledger
from jobs.run.ledger import recorded, unrecorded

Summary = dict[str, Any]


def ingest_month(
    source: str, as_of: date, revision: str = "", refuse_drift: bool = False
) -> Summary:
    """Loads the month in the folder or at the URL `source`; see `jobs/ingest/load.py`.

    `revision` tells apart loads of the same source in the ledger.
    """
    from jobs.ingest.load import ingest
    from jobs.ingest.source import local_folder

    with (
        recorded("ingest", **ledger.with_revision(revision, source=source, as_of=as_of)) as run,
        local_folder(source) as folder,
        console.progress("checking and loading", console.size(folder), True) as advance,
    ):
        ingest(run, folder, as_of, advance, refuse_drift)
    return run.summary()


def apply_registry(allow_removal: bool = False) -> Summary:
    """Brings database and registry to what the feature repository says; see `jobs/apply`."""
    from jobs.apply.apply import apply

    _, run = apply(allow_removal, show=console.say)
    return run.summary()


def build_training_dataset(
    as_of: date | None,
    service: str,
    out: str,
    allow_empty: bool = False,
    entities: str | None = None,
    timestamp_column: str | None = None,
    split_at: datetime | None = None,
    split_by_key: float | None = None,
    split_seed: int | None = None,
    rows_per_file: int | None = None,
    origin: Literal["database", "lake"] | None = None,
) -> Summary:
    """Writes a service's training set for the labels of `as_of`, or for the rows of `entities`.

    See `jobs/training/build.py`. The ledger has the options that are given.
    """
    from jobs.training.build import build, build_from
    from jobs.training.labels import NoLabels
    from jobs.training.layout import layout_of
    from jobs.training.origins import wait_for_labels

    what = ledger.given(
        as_of=as_of,
        service=service,
        out=out,
        entities=entities,
        timestamp_column=timestamp_column,
        split_at=split_at,
        split_by_key=split_by_key,
        split_seed=split_seed,
        rows_per_file=rows_per_file,
        origin=origin,
    )
    layout = layout_of(split_at, split_by_key, split_seed or 0, rows_per_file or 0)
    read_from = origin or "database"
    if as_of is not None:
        wait_for_labels(as_of, read_from)
    with recorded("training-set", **what) as run:
        try:
            if entities is not None:
                build_from(run, entities, service, out, layout, timestamp_column, read_from)
            elif as_of is not None:
                build(run, as_of, service, out, layout, read_from)
        except NoLabels as missing:
            if not allow_empty:
                raise
            run.message = f"nothing written: {missing}"
    return run.summary()


def materialize_features(
    start: datetime | None,
    end: datetime | None,
    views: list[str],
    force: bool = False,
    skip_if_running: bool = False,
    revision: str = "",
    origin: Literal["database", "lake"] | None = None,
) -> Summary:
    """Copies the newest values of a window into the online store; see `jobs/materialization`."""
    from jobs.materialization.materialize import materialize

    window = {"start": start, "end": end, "views": views, "force": force}
    what = ledger.with_revision(revision, **window, **ledger.given(origin=origin))
    with recorded("materialize", **what) as run:
        materialize(run, start, end, views, force, skip_if_running, origin or "database")
    return run.summary()


def export_snapshots(as_of: list[date], again: bool = False) -> Summary:
    """Brings months of the lake to those of the database; see `jobs/lake/export.py`."""
    from jobs.lake.export import export

    with recorded("snapshot-export", as_of=as_of, **ledger.given(again=again or None)) as run:
        export(run, as_of, again)
    return run.summary()


def audit_online(
    service: str, users: int, seed: int, url: str, threshold: float, read_only: bool = False
) -> Summary:
    """Compares what is served with what training sees; see `jobs/audit/audit.py`."""
    from jobs.audit.audit import audit

    what = ledger.given(service=service or None, users=users, seed=seed, threshold=threshold)
    begin = unrecorded if read_only else recorded
    with begin("audit", **what) as run:
        audit(run, service, users, seed, url, threshold)
    return run.summary()
