"""Writes the rows of a view that leave the database, in the transaction that is open."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from feast.infra.common.materialization_job import MaterializationTask
from feast.repo_config import RepoConfig
from psycopg import Connection

from streamflow.engine import merge as engine_merge
from streamflow.engine.ledger import Result
from streamflow.engine.write import Planned
from streamflow.feast.engine import copy as engine_copy
from streamflow.feast.engine.compute import Write
from streamflow.feast.online.rows import FeastRow, rows_of
from streamflow.online import write as online_write
from streamflow.online.unwritten_rows import Became

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedTask(Planned):
    """A task of Feast's and how it is done."""

    task: MaterializationTask = field(kw_only=True)


def besides(
    connection: Connection,
    config: RepoConfig,
    planned: PlannedTask,
    seen_at: datetime,
    force: bool,
    hand_over: Callable[[Write], None],
) -> Result:
    """Writes the rows that `hand_over` gives.

    Stored rows of the same times are replaced, as by the SQL: what the source has now is right.
    """
    view, layout, limit = planned.task.feature_view, planned.layout, planned.window.limit
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
    too_far = engine_copy.count_ahead(config, view, limit)
    newest: tuple[datetime | None, int] = (None, 0)
    if view.online:
        (newest,) = engine_merge.newest_events(connection, [layout], limit)
    unchanged = given - became.written - became.older
    counts = (given, became.written, 0, unchanged, became.older)
    return planned.result("feast", seen_at, counts, newest, too_far)
