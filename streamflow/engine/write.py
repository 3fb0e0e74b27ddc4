"""Writes the rows of views inside PostgreSQL, in the transaction that is open."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from streamflow import tracing
from streamflow.catalog.layout import Layout
from streamflow.engine import merge as engine_merge
from streamflow.engine.ledger import Result
from streamflow.engine.plan import Window
from streamflow.engine.source import Source


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
    """Writes views of one table."""
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
    found = []
    for one, look, held in zip(planned, looked, newest, strict=True):
        written, unchanged = merged.get(one.layout.view, (0, look.same))
        rows = (look.read, written, look.late, unchanged, look.read - written - unchanged)
        found.append(one.result("database", seen_at, rows, held, look.ahead))
    return found
