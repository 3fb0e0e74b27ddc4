"""Materializes views from the lake: Spark finds and stages the newest rows, PostgreSQL merges them.

Executors write to unlogged tables, which nobody reads before the transaction that merges all views.
So values, ledger and Feast's intervals change together, or not at all; a run that is killed leaves
tables, and the next one drops them.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from psycopg import Connection, sql
from pyspark.sql import SparkSession

from streamflow import tracing
from streamflow.engine import transaction
from streamflow.engine.ledger import Result
from streamflow.engine.plan import Window, look_in
from streamflow.engine.source import Counted
from streamflow.engine.transaction import Errors
from streamflow.engine.write import Planned, inside
from streamflow.lake.join import Lake
from streamflow.lake.newest import Meant
from streamflow.lake.staged import columns_of, plans
from streamflow.online.pool import configure
from streamflow.postgres import clock
from streamflow.registry.plain import PlainView
from streamflow.registry.stores import OwnStores, SparkSettings
from streamflow.spark import session, staging
from streamflow.spark.newest import Files, Newest
from streamflow.spark.staging import Staging, Written
from streamflow.spark.write import Target

Some = TypeVar("Some", bound=Planned)

log = logging.getLogger(__name__)


def materialize(
    lake: Lake,
    settings: SparkSettings,
    connection: Connection,
    stores: OwnStores,
    views: Sequence[PlainView],
    start: datetime,
    end: datetime,
    force: bool,
) -> tuple[dict[str, Result], Errors]:
    """Writes the newest values of a window; all views in one transaction unless one of them fails.

    Arguments, results and errors as in `streamflow.lake.materialize`.
    """
    configure(connection)
    window = Window(start, end, None, stores.lookback, clock.limit(connection))
    with staging.opened(connection) as tables:
        planned, meant = plans(connection, lake, stores, views, window, force, tables.table)
        staged = stage(connection, tables, lake, settings, planned, meant)

        def write(wanted: Sequence[Planned], seen_at: datetime) -> list[Result]:
            look_in(connection, stores.search_path)
            staged.verify(connection, wanted)
            return inside(connection, wanted, min(seen_at, staged.looked_at), force)

        results, failed = transaction.materialize(
            connection, staged.planned, stores.registry, write
        )
    return results, staged.errors | failed


@dataclass(frozen=True)
class Staged(Generic[Some]):
    """Views whose rows are staged."""

    tables: Staging
    planned: list[Some]
    """With the counts of all rows that are meant."""
    written: dict[str, Written]
    """By view."""
    errors: Errors
    """Of the other views."""
    looked_at: datetime
    """The time of the look at the lake: rows that came later are late for the next run."""

    def verify(self, connection: Connection, planned: Sequence[Planned]) -> None:
        """Returns when the tables of views have the rows that were written.

        Raises:
            StreamflowError: they have others.
        """
        for one in planned:
            self.tables.verify(connection, one.view, self.written[one.view])


def stage(
    connection: Connection,
    tables: Staging,
    lake: Lake,
    settings: SparkSettings,
    planned: Sequence[Some],
    meant: Mapping[str, Meant],
) -> Staged[Some]:
    """Has Spark write the newest row of each user of every view; one that fails leaves the others.

    Args:
        meant: by view.

    Raises:
        ConfigurationError: a setting of Spark cannot be had.
        StreamflowError: Spark does not start.
    """
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101  # a SELECT without FROM gives one row
    staged: Staged[Some] = Staged(tables, [], {}, {}, row[0])
    if not planned:
        return staged
    with session.opened(settings) as spark:
        for one in planned:
            files = lake.files[meant[one.view].view.snapshot.table]
            newest = Newest(meant[one.view], Files.of(meant[one.view], files))
            try:
                with tracing.span("stage rows of the lake", views=[one.view]), session.explained():
                    counted, written = stage_one(
                        connection, spark, tables, one, newest, settings.connections
                    )
            except Exception as error:
                staged.errors.update(transaction.failed([one.view], error))
                continue
            assert one.source is not None  # noqa: S101  # by `plan`
            source = replace(one.source, counted=counted)
            about = {"view": one.view, "rows": sum(written.values()), "tasks": len(written)}
            log.info("rows staged", extra=about)
            staged.planned.append(replace(one, source=source))
            staged.written[one.view] = written
    return staged


def stage_one(
    connection: Connection,
    spark: SparkSession,
    tables: Staging,
    planned: Planned,
    newest: Newest,
    connections: int,
) -> tuple[Counted, Written]:
    """Writes the rows of one view to its table; gives the counts, and the rows by partition."""
    source = planned.source
    assert source is not None  # noqa: S101  # by `plan`
    columns = columns_of(source)
    tables.make(connection, planned.view, columns)
    counted, written = newest.count(spark), {}
    if counted.read:
        place = tables.places[planned.view]
        parts = tables.parts.as_string(None)
        target = Target(source.query, parts, place, tuple(columns))
        written = newest.stage(spark, target, connections)
        connection.execute(sql.SQL("ANALYZE {}").format(sql.SQL(source.query)))
    return counted, written
