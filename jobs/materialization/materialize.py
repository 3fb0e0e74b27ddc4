"""Copies the newest values of a window into the online store, from the database or the lake.

Idempotent: the same window again writes nothing. One run at a time, under an advisory lock.
All views that live in this database are written in one transaction; a run that is killed
leaves the values as they were, and a view that fails its own ones, while the others are done.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from psycopg import Connection

from jobs.materialization.by_feast import materialize_views, views_to_materialize
from jobs.materialization.outcomes import BEGINNING, report
from jobs.run.instants import CLOCKS_DIFFER, iso
from jobs.run.result import Run
from jobs.run.urls import without_secrets
from streamflow import settings, snapshots
from streamflow.engine import materialize as inside
from streamflow.engine.ledger import Result
from streamflow.engine.transaction import Errors
from streamflow.errors import ConfigurationError
from streamflow.feast.registry.open import open_store, require_applied
from streamflow.postgres.connect import connect, lock
from streamflow.registry.plain import PlainView
from streamflow.registry.stores import OwnStores, SparkSettings, own_stores
from streamflow.registry.views import plain_views

log = logging.getLogger(__name__)

OriginName = Literal["database", "lake"]
Write = Callable[
    [Connection, OwnStores, Sequence[PlainView], datetime, datetime, bool],
    tuple[dict[str, Result], Errors],
]
"""Writes views in a window, by force or not; as `streamflow.engine.materialize` does."""


def materialize(
    run: Run,
    start: datetime | None = None,
    end: datetime | None = None,
    views: Sequence[str] = (),
    force: bool = False,
    skip_if_running: bool = False,
    origin: OriginName = "database",
) -> None:
    """Materializes the rows with start <= as_of <= end; the newest of each user is served.

    So are rows before `start` that were loaded after the last materialization. No value
    replaces a newer one, unless `force` is set. Rows that are dated further ahead than
    STREAMFLOW_MAX_AHEAD_S allows are left out, counted as refused, and said. Where no row was there
    to be read, a warning and the run's message say so: a window that is wrong looks like that.

    Args:
        run: its counts and window are filled in.
        start: aware; None for everything from the first row on.
        end: aware, not in the future; None for now, which the database's clock says.
        views: feature views by name; none for all.
        force: serve exactly the window, although newer values were materialized.
        skip_if_running: do nothing when another materialization runs, instead of waiting.
        origin: what the rows are read from; the lake as it is when the run's turn has come.

    Raises:
        ConfigurationError: the window is upside down or ends in the future; a view is not served,
            or its features cannot be taken from its source. There is no lake, or it has not what
            a view needs; then nothing is written.
        UnknownName: no such feature view.
        ValueRefused: a view's source has a value that its feature cannot have; the other views
            are written.
        StreamflowError: a file of the lake is gone, or another one; nothing is written.
    """
    require_applied()
    stores = own_stores(settings.streamflow().feature_repo)
    with (
        nullcontext() if stores else open_store() as store,
        connect(autocommit=True) as connection,
    ):
        start, end = complete_window(connection, start, end)
        with lock(connection, "materialize", wait=not skip_if_running) as got:
            if got == "busy":
                run.message = "another materialization is running, nothing to do"
                log.info(run.message)
                return
            if got == "waited":
                log.info("waited for another materialization to end")
            run.window = (start, end)
            plain = plain_views(connection, stores, views) if stores else None
            if stores and plain is not None:
                materialize_plain(stores, plain, start, end, force, run, origin)
                return
            with nullcontext(store) if store else open_store() as opened:
                names = views_to_materialize(opened, views)
                if origin == "lake":
                    raise ConfigurationError(
                        f"feature views {', '.join(names)}: Feast is needed to compute or to read"
                        " some of them, which the lake has not; materialize from the database"
                    )
                materialize_views(opened, start, end, names, force, run)


def materialize_plain(
    stores: OwnStores,
    views: Sequence[PlainView],
    start: datetime,
    end: datetime,
    force: bool,
    run: Run,
    origin: OriginName,
) -> None:
    """Materializes views whose values are columns, which needs no import of Feast.

    A view that fails leaves the others done; the first error is raised when all were tried. Of
    the lake one version is read, which the run's details name.
    """
    write: Write = inside.materialize
    if origin == "lake":
        write = from_lake(stores, run)
    with connect(autocommit=True) as connection:
        results, errors = write(connection, stores, views, start, end, force)
    report(run, results, errors, start, end)


def from_lake(stores: OwnStores, run: Run) -> Write:
    """The function that writes views from the lake: by Spark where that is asked for."""
    from streamflow.lake.join import lake

    source = lake(snapshots.load(settings.streamflow().feature_repo))
    url = without_secrets(settings.streamflow().lake_url)
    run.details["lake"] = {"url": url, "versions": source.versions}
    if spark := spark_settings(stores):
        from streamflow.spark.materialize import materialize as by_spark

        run.details["lake"]["engine"] = "spark"
        return partial(by_spark, source, spark)
    from streamflow.lake.materialize import materialize as by_duckdb

    return partial(by_duckdb, source)


def spark_settings(stores: OwnStores) -> SparkSettings | None:
    """The settings of Spark where this process is told to use it, else those of the repository.

    A process that is told has them from its own spark-defaults.conf, and none of the repository's.
    """
    if connections := settings.streamflow().spark_connections:
        return SparkSettings(connections=connections)
    return stores.spark


def complete_window(
    connection: Connection, start: datetime | None, end: datetime | None
) -> tuple[datetime, datetime]:
    """Completes a window: from `start` or the first row to `end` or the database's time now.

    The database's clock decides, since that of a client or scheduler may be off: an `end` less
    than CLOCKS_DIFFER in the future means now.

    Raises:
        ConfigurationError: the window is upside down or ends in the future.
    """
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101  # a SELECT without FROM gives one row
    now = row[0].astimezone(UTC)
    start, end = start or BEGINNING, end or now
    if start > end:
        raise ConfigurationError(f"--start {iso(start)} is after --end {iso(end)}")
    if end > now + CLOCKS_DIFFER:
        raise ConfigurationError(f"--end {iso(end)} is in the future; leave it out for now")
    return start, min(end, now)
