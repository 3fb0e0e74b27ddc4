"""Prefect flows around the work, with retries and a table of each run's counts.

Imported only where PREFECT_API_URL names a server: Prefect takes seconds to import, and
without a server it would start one of its own. A step is tried again when the database went
away, never when its input was refused.
"""

from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Literal

import httpx
import pydantic
from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import ObjectNotFound
from prefect.tasks import Task

from jobs.flows import work
from jobs.flows.work import Summary
from jobs.run.urls import without_secrets
from streamflow.errors import InputRefused, StoreUnavailable

LOST = (ObjectNotFound, httpx.HTTPError)
"""Errors of Prefect's client where the server lost a run, or does not take what is said of it."""
LOCATIONS = ("source", "out", "url", "entities")
"""Parameters to wrap in a Location, since Prefect's server gets them before they are checked."""


class Location(pydantic.SecretStr):
    """A path or URL that is sent to Prefect's server without its secrets."""

    def _display(self) -> str:
        return without_secrets(self.get_secret_value())


def database_went_away(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retries a failed step if the database went away."""
    return isinstance(state.result(raise_on_failure=False), StoreUnavailable)


step = task(
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=database_went_away,
    cache_policy=NO_CACHE,
    persist_result=False,
)
"""Each step runs in its own transaction and may run again."""


def published(summary: Summary) -> Summary:
    """Shows the counts of a run as a table on the Prefect server; returns the summary."""
    said = f"Run {summary['run']}: {summary['outcome']} in {summary['duration_ms']} ms"
    if spine := summary.get("spine"):
        said += f", spine {spine['sha256']}"
    create_table_artifact(
        key=f"{summary['command']}-counts",
        table=[{"rows": name, "count": count} for name, count in summary["rows"].items()],
        description=said,
    )
    if drift := summary.get("drift"):
        create_table_artifact(
            key=f"{summary['command']}-drift", table=drift, description=f"Run {summary['run']}"
        )
    return summary


@flow
def ingest_month(
    source: Location, as_of: date, revision: str = "", refuse_drift: bool = False
) -> Summary:
    """Checks a month's files and stores all of them or nothing."""
    try:
        load = step(work.ingest_month)
        return published(load(source.get_secret_value(), as_of, revision, refuse_drift))
    except InputRefused as refused:
        create_table_artifact(
            key="ingest-faults",
            table=[asdict(fault) for fault in refused.faults],
            description=f"{source} as of {as_of}: {refused}",
        )
        raise


@flow
def apply_registry(allow_removal: bool = False) -> Summary:
    """Brings database and registry to what the feature repository says."""
    return published(step(work.apply_registry)(allow_removal))


@flow
def build_training_dataset(
    as_of: date | None,
    service: str,
    out: Location,
    allow_empty: bool = False,
    entities: Location | None = None,
    timestamp_column: str | None = None,
    split_at: datetime | None = None,
    split_by_key: float | None = None,
    split_seed: int | None = None,
    rows_per_file: int | None = None,
    origin: Literal["database", "lake"] | None = None,
) -> Summary:
    """Joins a day's labels, or rows of one's own, point-in-time with a service's features."""
    build = step(work.build_training_dataset)
    return published(
        build(
            as_of,
            service,
            out.get_secret_value(),
            allow_empty,
            entities.get_secret_value() if entities else None,
            timestamp_column,
            split_at,
            split_by_key,
            split_seed,
            rows_per_file,
            origin,
        )
    )


@flow
def materialize_features(
    start: datetime | None,
    end: datetime | None,
    views: list[str],
    force: bool = False,
    skip_if_running: bool = False,
    revision: str = "",
    origin: Literal["database", "lake"] | None = None,
) -> Summary:
    """Copies the newest values of a window into the online store."""
    materialize = step(work.materialize_features)
    return published(materialize(start, end, views, force, skip_if_running, revision, origin))


@flow
def export_snapshots(as_of: list[date], again: bool = False) -> Summary:
    """Brings months of the lake to those of the database."""
    return published(step(work.export_snapshots)(as_of, again))


@flow
def audit_online(
    service: str, users: int, seed: int, url: Location, threshold: float, read_only: bool = False
) -> Summary:
    """Compares served values of users at random with what training sees."""
    audit = step(work.audit_online)
    return published(audit(service, users, seed, url.get_secret_value(), threshold, read_only))
