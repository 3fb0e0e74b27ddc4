"""Writes the rows of views inside PostgreSQL, in the transaction that is open."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection

from streamflow import tracing
from streamflow.catalog.layout import Layout
from streamflow.engine import merge as engine_merge
from streamflow.engine import unchanged
from streamflow.engine.ledger import Result
from streamflow.engine.plan import Window
from streamflow.engine.source import Source
from streamflow.engine.unchanged import Writes

log = logging.getLogger(__name__)


class Rows(NamedTuple):
    """The outcome for a view's rows, in numbers."""

    counts: tuple[int, int, int, int, int]
    """Read, written, late, unchanged and older."""
    newest: tuple[datetime | None, int]
    """The newest instant online and the keys beyond the limit, see `newest_events`."""
    ahead: int
    """Rows that are too far ahead."""


@dataclass(frozen=True)
class Planned:
    """A view to materialize and how it is done: inside PostgreSQL, or beside it for a reason."""

    project: str
    view: str
    """Its name."""
    entries: str
    """The table of Feast's registry that has it."""
    recorded: str
    """Its name in the ledger."""
    is_online: bool
    layout: Layout
    window: Window
    source: Source | None
    reason: str = ""
    is_plain: bool = False
    """Of one beside it: True where its values are the source's columns, unknown to Feast."""
    way: str = "database"
    """The way of rows that are written inside PostgreSQL, as in Result."""
    at_rest: Mapping[int, Writes] | None = None
    """The writes of its tables before the transaction, where they are known; see unchanged.py."""

    def result(
        self,
        way: str,
        seen_at: datetime,
        counts: tuple[int, int, int, int, int],
        newest: tuple[datetime | None, int],
        ahead: int,
    ) -> Result:
        """The outcome of it.

        Args:
            counts: read, written, late, unchanged and older.
            newest: of `newest_events`.
        """
        named = (self.project, self.recorded, self.view, self.entries)
        window = (self.window.start, self.window.end)
        return Result(*named, *window, seen_at, way, *counts, *newest, ahead)


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
    """Writes views of one table; those that nothing was written for are not even read."""
    sources = [one.source for one in planned if one.source]
    is_known = all(one.at_rest is not None for one in planned)
    before = unchanged.before(connection, sources) if is_known and not force else {}
    if before:
        log.info("nothing written since the last run, not read", extra={"views": [*before]})
    found = {
        view: Rows((one.read, 0, 0, one.unchanged, one.older), (one.newest_event, 0), one.ahead)
        for view, one in before.items()
    }
    changed = [one for one in planned if one.layout.view not in before]
    merges = 0
    if changed:
        rows, merges = write_changed(connection, changed, force)
        found |= rows
    now = unchanged.writes(connection, sources) if is_known else {}
    results = []
    for one, source in zip(planned, sources, strict=True):
        signature = unchanged.signature_after(source, one.at_rest or {}, now, merges)
        if one.layout.view in before and not merges:
            signature = before[one.layout.view].signature
        result = one.result(one.way, seen_at, *found[one.layout.view])
        results.append(replace(result, signature=signature))
    return results


def write_changed(
    connection: Connection, planned: Sequence[Planned], force: bool
) -> tuple[dict[str, Rows], int]:
    """Writes views of one table whose rows have to be read; gives the number of merges, too."""
    sources = [one.source for one in planned if one.source]
    with tracing.span("look for what is new"):
        looked = [engine_merge.look(connection, one, force) for one in sources]
    # The merge sorts and joins; what has nothing new needs none of it.
    new = [one for one, look in zip(sources, looked, strict=True) if look.new]
    with tracing.span("merge", views=[one.layout.view for one in new]):
        merged = engine_merge.merge(connection, new, force)
    newest = engine_merge.newest_events(
        connection, [one.layout for one in planned], planned[0].window.limit
    )
    found = {}
    for one, look, held in zip(planned, looked, newest, strict=True):
        written, same = merged.get(one.layout.view, (0, look.same))
        counts = (look.read, written, look.late, same, look.read - written - same)
        found[one.layout.view] = Rows(counts, held, look.ahead)
    return found, int(bool(new))
