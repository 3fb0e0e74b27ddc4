"""Materializes views from the lake: DuckDB finds the newest rows, PostgreSQL merges them.

The rows go into temporary tables of the transaction that writes, and from there through the same
merge as rows of the database. So values, ledger and Feast's intervals change together, no value
replaces a newer one, and nothing is left of a run that is killed.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import duckdb
from psycopg import Connection, sql

from streamflow import tracing
from streamflow.catalog.layout import identifier
from streamflow.engine import transaction
from streamflow.engine.ledger import Result
from streamflow.engine.plan import Window, look_in
from streamflow.engine.transaction import Errors
from streamflow.engine.write import Planned, inside
from streamflow.lake import session
from streamflow.lake.join import Lake
from streamflow.lake.newest import Meant
from streamflow.lake.staged import columns_of, definitions, plans
from streamflow.offline.copy import copy_in
from streamflow.online.pool import configure
from streamflow.postgres import clock
from streamflow.registry.plain import PlainView
from streamflow.registry.stores import OwnStores


def materialize(
    lake: Lake,
    connection: Connection,
    stores: OwnStores,
    views: Sequence[PlainView],
    start: datetime,
    end: datetime,
    force: bool,
) -> tuple[dict[str, Result], Errors]:
    """Writes the newest values of a window; all views in one transaction unless one of them fails.

    Gives the results by view, and the errors of those whose values are as they were.

    Args:
        lake: the version that is read.
        connection: in autocommit mode, to a database whose schema this version can use.
        start, end: aware; the first and the last instant that are meant.
        force: also over newer values.

    Raises:
        ConfigurationError: a view is not over a table of the lake alone; nothing is written.
    """
    configure(connection)
    window = Window(start, end, None, stores.lookback, clock.limit(connection))
    planned, meant = plans(connection, lake, stores, views, window, force, table)
    with session.opened() as database:

        def write(wanted: Sequence[Planned], seen_at: datetime) -> list[Result]:
            look_in(connection, stores.search_path)
            with tracing.span("stage rows of the lake", views=[one.view for one in wanted]):
                staged = [stage(connection, database, one, meant[one.view]) for one in wanted]
            return inside(connection, staged, seen_at, force)

        return transaction.materialize(connection, planned, stores.registry, write)


def table(view: str) -> sql.Identifier:
    """The temporary table of a view's rows."""
    return sql.Identifier("pg_temp", identifier(view))


def stage(
    connection: Connection,
    database: duckdb.DuckDBPyConnection,
    planned: Planned,
    meant: Meant,
) -> Planned:
    """Copies the newest row of each user into a temporary table, which goes with the transaction.

    Gives the plan with the counts of all rows that are meant.

    Raises:
        StreamflowError: a file of the lake cannot be read, or the work needs more memory.
    """
    source = planned.source
    assert source is not None  # noqa: S101  # by `plan`
    columns, named = columns_of(source), sql.SQL(source.query)
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(named, definitions(columns))
    )
    counted, is_newest = meant.count(database)
    if counted.read:
        copy_in(connection, named, columns, meant.newest(database, is_newest))
        connection.execute(sql.SQL("ANALYZE {}").format(named))
    return replace(planned, source=replace(source, counted=counted))
