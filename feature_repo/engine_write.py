"""What a materialization writes of its views, in the transaction that is open."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from feast.infra.common.materialization_job import MaterializationTask
from psycopg import Connection

from feature_repo import engine_ledger, engine_sql, online_write, tracing
from feature_repo.engine_feast import Write
from feature_repo.engine_ledger import Result
from feature_repo.engine_sql import Source
from feature_repo.online_layout import Layout

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planned:
    """A task and how it is done: inside PostgreSQL, or Feast's way for a reason."""

    task: MaterializationTask
    recorded: str
    """The view's name in the ledger."""
    layout: Layout
    source: Source | None
    reason: str = ""


def inside(
    connection: Connection, planned: Sequence[Planned], seen_at: datetime, force: bool
) -> list[Result]:
    """Writes views by SQL alone, those of one table together."""
    tables: dict[str, list[Planned]] = {}
    for one in planned:
        tables.setdefault(one.layout.table, []).append(one)
    return [
        result
        for group in tables.values()
        for result in write_table(connection, group, seen_at, force)
    ]


def write_table(
    connection: Connection, planned: Sequence[Planned], seen_at: datetime, force: bool
) -> list[Result]:
    """Writes views of one table."""
    with tracing.span("look for what is new"):
        looked = [
            connection.execute(engine_sql.look(one.source, force)).fetchone() or (0, 0, 0, 0)
            for one in planned
            if one.source
        ]
    # The merge sorts and joins; what has nothing new needs none of it.
    sources = [
        one.source for one, (*_, new) in zip(planned, looked, strict=True) if one.source and new
    ]
    merged: list[int] = []
    if sources:
        query = engine_sql.merge(sources, force)
        with tracing.span("merge", views=[one.layout.view for one in sources]):
            merged += connection.execute(query).fetchone() or ()
    newest = engine_ledger.newest_events(connection, [one.layout for one in planned])
    found = []
    for one, (read, late, same, new), event in zip(planned, looked, newest, strict=True):
        written, unchanged = (merged.pop(0), merged.pop(0)) if new else (0, same)
        rows = (read, written, late, unchanged, read - written - unchanged)
        found.append(Result.of(one.task, one.recorded, "database", seen_at, rows, event))
    return found


def feasts_way(
    connection: Connection,
    planned: Planned,
    seen_at: datetime,
    force: bool,
    compute: Callable[[Write], None],
) -> Result:
    """Writes the rows that `compute` hands over.

    Stored rows of the same times are replaced, as by the SQL: what the source has now is right.
    """
    view, layout, count = planned.task.feature_view, planned.layout, 0
    log.info("view goes Feast's own way", extra={"view": layout.view, "reason": planned.reason})
    types = {one.name: one.dtype.to_value_type().name for one in view.features}
    replace: online_write.Replace = "any" if force else "not newer"

    def write(rows: Iterable[online_write.FeastRow]) -> None:
        nonlocal count
        rounds = online_write.rows_of(layout, types, rows)
        count += online_write.write(connection, layout, rounds, replace)

    compute(write)
    newest = engine_ledger.newest_events(connection, [layout]) if view.online else [None]
    counts = (count, count, 0, 0, 0)
    return Result.of(planned.task, planned.recorded, "feast", seen_at, counts, *newest)
