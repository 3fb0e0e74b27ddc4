"""Deployments of the flows: a person starts one by filling in a form on Prefect's page.

`streamflow serve-flows` serves them until it is ended: it asks Prefect's server for runs, and
starts a process for each. A run may do what the database role of the one who serves may. Runs of
one deployment wait for each other; those that commands and Jobs start are kept apart by the locks
in the database, as ever.
"""

from collections.abc import Iterable
from datetime import date, datetime

from prefect import flow, serve
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from jobs.flows import prefect_flows
from jobs.flows.prefect_flows import Location
from jobs.flows.work import Summary
from jobs.run.urls import without_secrets
from streamflow.catalog.contract import PREFERRED
from streamflow.errors import ConfigurationError


@flow(name="training-set")
def training_set(
    out: str,
    as_of: date | None = None,
    entities: str | None = None,
    service: str = "",
    split_by_key: float | None = None,
) -> Summary:
    """Joins the labels of a day, or rows of one's own, point-in-time with a service's features.

    Args:
        out: File to write, Parquet or .csv: a path where the flows are served, or an fsspec URL
            such as s3://bucket/january.parquet. The manifest goes beside it.
        as_of: Day of the labels; its UTC midnight is the time of every row.
        entities: Instead of a day, rows of your own with keys and event_timestamp: a file where
            the flows are served, its URL, or a query.
        service: Feature service, of which every feature becomes a column; empty for churn_v1, or
            for the only one that there is where rows of your own are given.
        split_by_key: This share of the keys is marked test in a column split, by their hash.
    """
    if (as_of is None) == (not entities):
        raise ConfigurationError("give either as_of, a day, or entities, rows of your own")
    rows = Location(entities) if entities else None
    named = service or (PREFERRED if as_of else "")
    build = prefect_flows.build_training_dataset.fn
    summary = build(as_of, named, Location(out), entities=rows, split_by_key=split_by_key)
    publish_result(out)
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
    return prefect_flows.materialize_features.fn(start, end, views or [], force)


@flow(name="ingest-month")
def ingest_month(source: str, as_of: date, revision: str = "") -> Summary:
    """Checks a month and stores all of it, or refuses it and changes nothing.

    Args:
        source: Folder with the month's files where the flows are served, its fsspec URL, or
            sample://users-N/seed-N/month_NNN.
        as_of: Day that the month describes.
        revision: Any text that tells this load apart from one of the same source.
    """
    return prefect_flows.ingest_month.fn(Location(source), as_of, revision)


@flow(name="audit")
def audit(users: int = 200, service: str = "", seed: int = 0, url: str = "") -> Summary:
    """Compares served values of users at random with what training sees.

    Args:
        users: Number of users, or of other keys that the service is asked by.
        service: Feature service; empty for churn_v1, or for the only one that there is.
        seed: The same seed takes the same users.
        url: Address of the API to ask; without one, the online store is read.
    """
    return prefect_flows.audit_online.fn(service, users, seed, Location(url), threshold=0.0)


FLOWS = {one.name: one for one in (training_set, materialize, ingest_month, audit)}
"""By the name that Prefect's page shows."""


def publish_result(out: str) -> None:
    """Shows on the run's page where its file is: a link where a browser can open it."""
    shown = without_secrets(out)
    if shown.startswith(("http://", "https://")):
        create_link_artifact(link=shown, link_text=shown.rpartition("/")[2], key="training-set")
    create_markdown_artifact(
        key="training-set-file",
        markdown=f"`{shown}` with its manifest `{shown}.manifest.json`.\n\n"
        f"Compare it with the database at any time: `streamflow verify {shown}`",
    )


def serve_flows(names: Iterable[str]) -> None:
    """Registers the deployments of these flows on Prefect's server, and runs what is asked for."""
    serve(*(deployment(name) for name in names), print_starting_message=False)


def deployment(name: str) -> RunnerDeployment:
    """The deployment of a flow, of which one run works at a time and others wait."""
    return RunnerDeployment.from_flow(
        FLOWS[name],
        name="by-hand",
        description=FLOWS[name].description,
        concurrency_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE
        ),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
