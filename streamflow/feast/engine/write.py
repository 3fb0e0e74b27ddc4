"""Writes the rows of a materialization, in the transaction that is open."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from feast.infra.common.materialization_job import MaterializationTask
from feast.repo_config import RepoConfig
from psycopg import Connection

from streamflow import tracing
from streamflow.catalog.layout import Layout
from streamflow.engine import merge as engine_merge
from streamflow.engine.source import Source
from streamflow.feast.engine import copy as engine_copy
from streamflow.feast.engine.compute import Write
from streamflow.feast.engine.ledger import Result
from streamflow.feast.online.rows import FeastRow, rows_of
from streamflow.online import write as online_write
from streamflow.online.unwritten_rows import Became

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planned:
    """A task and how it is done: inside PostgreSQL, or beside it for a reason."""

    task: MaterializationTask
    recorded: str
    """The view's name in the ledger."""
    layout: Layout
    limit: datetime
    """Rows after it are too far ahead."""
    seen_at: datetime | None
    """When the view was materialized last."""
    source: Source | None
    reason: str = ""
    is_plain: bool = False
    """Of one beside it: True where its values are the source's columns, unknown to Feast."""


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
    sources = [one.source for one in planned if one.source]
    with tracing.span("look for what is new"):
        looked = [engine_merge.look(connection, one, force) for one in sources]
    # The merge sorts and joins; what has nothing new needs none of it.
    new = [one for one, look in zip(sources, looked, strict=True) if look.new]
    with tracing.span("merge", views=[one.layout.view for one in new]):
        merged = engine_merge.merge(connection, new, force)
    newest = engine_merge.newest_events(
        connection, [one.layout for one in planned], planned[0].limit
    )
    found = []
    for one, look, held in zip(planned, looked, newest, strict=True):
        written, unchanged = merged.get(one.layout.view, (0, look.same))
        rows = (look.read, written, look.late, unchanged, look.read - written - unchanged)
        found.append(
            Result.for_task(one.task, one.recorded, "database", seen_at, rows, held, look.ahead)
        )
    return found


def besides(
    connection: Connection,
    config: RepoConfig,
    planned: Planned,
    seen_at: datetime,
    force: bool,
    hand_over: Callable[[Write], None],
) -> Result:
    """Writes the rows that `hand_over` gives.

    Stored rows of the same times are replaced, as by the SQL: what the source has now is right.
    """
    view, layout = planned.task.feature_view, planned.layout
    log.info("view goes Feast's own way", extra={"view": layout.view, "reason": planned.reason})
    types = {one.name: one.dtype.to_value_type().name for one in view.features}
    replace: online_write.Replace = "any" if force else "not newer"
    given, became = 0, Became(0)

    def counted(rows: Iterable[FeastRow]) -> Iterator[FeastRow]:
        nonlocal given
        for row in rows:
            given += 1
            yield row

    def write(rows: Iterable[FeastRow]) -> None:
        nonlocal became
        before = given
        rounds = rows_of(layout, types, counted(rows))
        became += online_write.write(connection, layout, rounds, replace)
        became += Became(0, older=given - before - sum(map(len, rounds)))

    hand_over(write)
    too_far = engine_copy.count_ahead(config, view, planned.limit)
    newest: tuple[datetime | None, int] = (None, 0)
    if view.online:
        (newest,) = engine_merge.newest_events(connection, [layout], planned.limit)
    unchanged = given - became.written - became.older
    counts = (given, became.written, 0, unchanged, became.older)
    return Result.for_task(
        planned.task, planned.recorded, "feast", seen_at, counts, newest, too_far
    )
