"""Deployments of the flows: a person starts one by filling in a form on Prefect's page.

`streamflow serve-flows` serves them until it is ended: it asks Prefect's server for runs, and
starts a process for each, in its own folder. A run may do what the database role of the one who
serves may. Runs of one deployment wait for each other; those that commands and Jobs start are kept
apart by the locks in the database, as ever.
"""

import secrets
import shlex
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType
from pydantic import Field

from jobs.flows import prefect_flows
from jobs.flows.prefect_flows import Location
from jobs.flows.work import Summary
from jobs.run import waiting
from jobs.run.urls import require_no_password, without_secrets
from streamflow import logs, settings
from streamflow.errors import ConfigurationError

Name = Annotated[str, Field(min_length=1)]
"""A path or URL that a form cannot leave empty."""


@flow(name="training-set")
def training_set(
    *,
    service: str = "",
    as_of: date | None = None,
    entities: str = "",
    split_by_key: Annotated[float, Field(ge=0, lt=1)] = 0,
    origin: Literal["database", "lake"] = "database",
    out: Name,
) -> Summary:
    """Joins the labels of a day, or rows of one's own, point-in-time with a service's features.

    Args:
        service: Feature service, of which every feature becomes a column; empty for churn_v1, or
            for the only one that there is.
        as_of: Day of the labels; its UTC midnight is the time of every row. Or give entities.
        entities: Instead of a day, rows of your own with keys and event_timestamp: a query
            (SELECT …), the URL of a Parquet or CSV file, or the name of one in
            the folder where the flows are served.
        split_by_key: This share of the keys, from 0 to 1, is marked test in a column split, by
            their hash; 0 for no such column.
        origin: What it is read from: the database, or the lake of Parquet where there is one.
        out: File to write, Parquet or .csv: a name such as january.parquet, which is put in the
            folder where the flows are served, or an fsspec URL such as s3://bucket/january.parquet.
            The run's artifact says how to fetch it.
    """
    if (as_of is None) == (not entities):
        raise ConfigurationError("give either as_of, a day, or entities, rows of your own")
    prepare(out, entities)
    build = prefect_flows.build_training_dataset.fn
    summary = build(
        as_of,
        service,
        Location(out),
        entities=Location(entities) if entities else None,
        split_by_key=split_by_key or None,
        origin=origin if origin != "database" else None,
    )
    publish_result(out, summary)
    return summary


@flow(name="materialize")
def materialize(
    start: datetime | None = None,
    end: datetime | None = None,
    views: list[str] | None = None,
    force: bool = False,
) -> Summary:
    """Copies the newest values of a window into the online store.

    Args:
        start: Beginning of the window; without one, all rows. Times without a zone are UTC.
        end: End of the window; now without one.
        views: Feature views; all without any.
        force: Serve this window even in place of newer values.
    """
    prepare()
    return prefect_flows.materialize_features.fn(start, end, views or [], force)


@flow(name="ingest-month")
def ingest_month(
    source: Name, as_of: date, revision: str = "", refuse_drift: bool = False
) -> Summary:
    """Checks a month and stores all of it, or refuses it and changes nothing.

    Where there is a lake, the month is then brought there as well.

    Args:
        source: Folder with the month's files: its fsspec URL such as s3://bucket/2024-01, its path
            where the flows are served, or sample://users-N/seed-N/month_NNN for generated ones.
        as_of: Day that the month describes.
        revision: Any text that tells this load apart from one of the same source.
        refuse_drift: Refuse a month that differs from the one before by more than the thresholds of
            drift, instead of loading it and naming them.
    """
    prepare(source)
    loaded = prefect_flows.ingest_month.fn(Location(source), as_of, revision, refuse_drift)
    if settings.streamflow().lake_url:
        prefect_flows.export_snapshots.fn([as_of])
    return loaded


@flow(name="audit")
def audit(
    service: str = "",
    users: Annotated[int, Field(ge=1)] = 200,
    seed: int | None = None,
    url: str = "",
) -> Summary:
    """Compares served values of users at random with what training sees; fails where one differs.

    Args:
        service: Feature service; empty for churn_v1, or for the only one that there is.
        users: Number of users, or of other keys that the service is asked by.
        seed: The same seed takes the same ones; others each time without one.
        url: Address of the API to ask, such as http://streamflow-api; without one, the online
            store is read.
    """
    prepare(url)
    taken = secrets.randbelow(2**31) if seed is None else seed
    compare = prefect_flows.audit_online.fn
    return compare(service, users, taken, Location(url), threshold=0.0)


FLOWS = {one.name: one for one in (training_set, materialize, ingest_month, audit)}
"""By the name that Prefect's page shows."""


def prepare(*locations: str) -> None:
    """Makes ready the process of a run: its log, places without passwords, the registry."""
    logs.configure(tracebacks=False)
    require_no_password(locations)
    waiting.wait_for("registry")


def publish_result(out: str, summary: Summary) -> None:
    """Shows on the run's page where its file is and how to fetch it: by a link, or by a command."""
    shown = without_secrets(out)
    path = Path(shown.removeprefix("file://")).absolute()
    if shown.startswith(("http://", "https://")):
        create_link_artifact(link=shown, link_text=shown.rpartition("/")[2], key="training-set")
    is_here = "://" not in shown.removeprefix("file://")
    place = str(path) if is_here else shown
    said = f"{summary['rows']['written']:,} rows are in `{place}`, with a manifest beside it."
    if is_here and (command := settings.streamflow().fetch_command):
        fetch = command.format(path=shlex.quote(place), name=shlex.quote(path.name))
        said += f"\n\nTo fetch it:\n\n```\n{fetch}\n```"
    create_markdown_artifact(key="training-set-file", markdown=said, description=place)


def deployment(name: str, suffix: str = "", **defaults: Any) -> RunnerDeployment:
    """The deployment of a flow, of which one run works at a time and others wait.

    Args:
        suffix: tells it apart from others' of the same flow on one server.
        defaults: what the form proposes for parameters of that name, if the flow has them.
    """
    taken = FLOWS[name].parameters.properties
    return RunnerDeployment.from_flow(
        FLOWS[name],
        name=f"{name}-{suffix}" if suffix else name,
        description=str(FLOWS[name].description).partition("\n")[0],
        parameters={key: value for key, value in defaults.items() if key in taken},
        concurrency_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE
        ),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
