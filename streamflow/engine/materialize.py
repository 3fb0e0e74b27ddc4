"""Materializes views whose values are columns, inside PostgreSQL and without Feast's import."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from psycopg import Connection

from streamflow.engine import merge, transaction
from streamflow.engine.ledger import Result
from streamflow.engine.plan import Window, look_in, source_of
from streamflow.engine.source import narrowed
from streamflow.engine.transaction import Errors
from streamflow.engine.write import Planned, inside
from streamflow.online.pool import configure
from streamflow.postgres import clock
from streamflow.registry.plain import PlainView
from streamflow.registry.stores import OwnStores


def materialize(
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
        connection: in autocommit mode, to a database whose schema this version can use.
        start, end: aware; the first and the last instant that are meant.
        force: also over newer values.
    """
    configure(connection)
    limit = clock.limit(connection)
    planned: list[Planned] = []
    errors: Errors = {}
    meant = Window(start, end, None, stores.lookback, limit)
    for view in views:
        window = meant if force else with_late(connection, stores, view, meant)
        try:
            planned.append(plan(connection, stores, view, window))
        except Exception as error:
            errors |= transaction.failed([view.name], error)
    write = partial(write_inside, connection, stores, force)
    results, failed = transaction.materialize(connection, planned, stores.registry, write)
    return results, errors | failed


def with_late(
    connection: Connection,
    stores: OwnStores,
    view: PlainView,
    window: Window,
    from_lake: bool = False,
) -> Window:
    """The window with the rows before it that came since a view was materialized.

    Args:
        from_lake: as in `merge.seen`.
    """
    seen_at, lookback = merge.seen(
        connection, stores.project, view.name, stores.lookback, from_lake
    )
    return replace(window, seen_at=seen_at, lookback=lookback)


def plan(connection: Connection, stores: OwnStores, view: PlainView, window: Window) -> Planned:
    """The plan of one view, in a transaction of its own.

    Raises:
        SourceMismatch, ConfigurationError, QueryRefused: as of `source_of`.
    """
    with connection.transaction():
        source = narrowed(connection, source_of(connection, stores.search_path, view, window))
    return Planned(
        project=stores.project,
        view=view.name,
        entries=view.entries,
        recorded=view.name,
        is_online=True,
        layout=view.layout,
        window=window,
        source=source,
    )


def write_inside(
    connection: Connection,
    stores: OwnStores,
    force: bool,
    planned: Sequence[Planned],
    seen_at: datetime,
) -> list[Result]:
    """Writes the rows of views in the transaction that is open."""
    look_in(connection, stores.search_path)
    return inside(connection, planned, seen_at, force)
