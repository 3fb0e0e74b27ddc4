"""The rows of one source in a window, all of them or the newest of each entity, as one query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from psycopg import Connection, sql

from streamflow.catalog.layout import NO_KEY
from streamflow.offline.compose import NOTHING, listed, qualified, text
from streamflow.offline.select import Select
from streamflow.sources import columns as sources
from streamflow.sources.row_order import Feature, ascending, deciding, descending


@dataclass(frozen=True)
class Pull:
    """The rows and columns to read from a source, all by the source's own names."""

    name: str
    """The data source's, for a message."""
    source: str
    """The SQL behind FROM: a table or a query in parentheses."""
    keys: Sequence[str]
    features: Sequence[str]
    """None for all columns of the source."""
    timestamp: str
    created: str
    """Empty where the source has none."""
    start: datetime | None
    end: datetime | None
    """Both included; naive ones are UTC."""
    names: Mapping[str, str]
    """The view's name of a column that has another name in the source."""
    types: Mapping[str, str]
    """Feast's value type of a column's feature by name, where that is known."""
    dummy: bool
    """True where rows without keys get the key that Feast gives to views without entities."""

    def required(self, connection: Connection[Any]) -> Self:
        """This, when the source has the columns.

        Raises:
            SourceMismatch: it has not, or cannot be read.
        """
        wanted = [
            *self.keys,
            *self.features,
            self.timestamp,
            *([self.created] * bool(self.created)),
        ]
        sources.require_columns(connection, self.name, self.source, wanted, self.timestamp)
        return self

    def all(self, connection: Connection[Any]) -> Select:
        """All rows, in no order; of a view without entities the newest last.

        Feast's own engine writes the rows of such a view one over the other.
        """
        order: sql.Composable = NOTHING
        if self.dummy and not self.keys:
            by = [qualified("s", self.timestamp)]
            if self.created:
                by.append(sql.SQL("{} NULLS FIRST").format(qualified("s", self.created)))
            by += ascending(self.deciding(connection))
            order = sql.SQL(" ORDER BY {}").format(listed(by))
        return Select(
            sql.SQL("SELECT {} FROM {} AS s{}{}").format(
                self.columns(), text(self.source), self.where(), order
            )
        )

    def latest(self, connection: Connection[Any]) -> Select:
        """The newest row of each entity; of rows of the same times the one that row_order names."""
        keys = [qualified("s", key) for key in self.keys]
        order = [*keys, sql.SQL("{} DESC").format(qualified("s", self.timestamp))]
        if self.created:
            order.append(sql.SQL("{} DESC NULLS LAST").format(qualified("s", self.created)))
        order += descending(self.deciding(connection))
        distinct = sql.SQL("DISTINCT ON ({}) ").format(listed(keys)) if keys else NOTHING
        return Select(
            sql.SQL("SELECT {}{} FROM {} AS s{} ORDER BY {}{}").format(
                distinct,
                self.columns(),
                text(self.source),
                self.where(),
                listed(order),
                NOTHING if keys else sql.SQL(" LIMIT 1"),
            )
        )

    def deciding(self, connection: Connection[Any]) -> tuple[Feature, ...]:
        """The features that decide between rows of the same times."""
        features = self.features or sources.kinds_of(connection, self.source)
        declared = {
            self.names.get(column, column): (column, self.types.get(column, ""))
            for column in features
        }
        return deciding(connection, self.source, self.keys, self.timestamp, declared)

    def columns(self) -> sql.Composed:
        """Keys, features and times."""
        times = [self.timestamp, *([self.created] if self.created else [])]
        names = [*self.keys, *self.features, *times]
        columns: list[sql.Composable] = [sql.SQL("s.*")]
        if self.features:
            columns = [qualified("s", name) for name in names]
        if self.dummy and not self.keys:
            columns.append(sql.SQL("''::text AS {}").format(sql.Identifier(NO_KEY)))
        return listed(columns)

    def where(self) -> sql.Composed:
        """The window, with a row's time in it."""
        when = qualified("s", self.timestamp)
        bounds = [
            sql.SQL("{} {} {}::timestamptz").format(when, sql.SQL(sign), utc_text(time))
            for sign, time in ((">=", self.start), ("<=", self.end))
            if time is not None
        ]
        return sql.SQL(" WHERE {}").format(listed(bounds, " AND ")) if bounds else sql.Composed([])


def utc_text(time: datetime) -> str:
    """A time with its zone, UTC where it has none."""
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()
