"""The SQL of the point-in-time join: for each entity row the newest feature row at its time.

One query for all views. The entity rows are numbered (`n`), have their time (`ts`) and their
columns as c1, c2, …; a view is v1, v2, … and its features are f1, f2, …: PostgreSQL cuts names
after 63 bytes, and two long ones could become the same. The final names are put on afterwards.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from psycopg import sql

from streamflow.offline.compose import NOTHING, listed, qualified, text, typed_null
from streamflow.sources.row_order import Feature

ENTITIES = sql.Identifier("streamflow_entity_rows")
MakeMessage = Callable[[str], Callable[[Any], Any]]
"""Gives for a label the function that makes a message out of a value that was fetched. It raises
ValueRefused, with the label before it, for a value of which none can be made."""


@dataclass(frozen=True)
class View:
    """A feature view as the join needs it."""

    name: str
    """The name that the request has for it."""
    source: str
    """The SQL behind FROM: a table or a query in parentheses."""
    keys: tuple[tuple[str, str], ...]
    """The entity rows' column and the source's column that have to be equal; none for a view
    without entities, whose newest row is everybody's."""
    features: tuple[tuple[str, str], ...]
    """The source's columns and what they are called in the answer."""
    timestamp: str
    created: str = ""
    """The column whose newest value decides between rows of the same time, null being oldest."""
    ttl: timedelta = timedelta(0)
    """The age that a row may have at the entity row's time; 0 for no limit."""
    window: tuple[str, str] | None = None
    """Only rows from then to then are seen; times with a zone, as text."""
    known_only: bool = False
    """Only rows that had been created at the entity row's time are seen."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Feast's value type by name of `features`, by what they are called in the answer."""
    makers: Mapping[str, MakeMessage] = field(default_factory=dict)
    """Of those that are served as a message of Feast's, the way to make it."""
    declared: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Of all features that the view has, asked for or not: the source's column and Feast's value
    type by name."""
    order: tuple[Feature, ...] = ()
    """Those which decide between rows of the same times; see row_order.deciding."""
    source_name: str = ""
    """The data source's, for a message."""

    @property
    def columns(self) -> list[str]:
        """Every column of the source that the join reads."""
        keys, features = (theirs for _, theirs in self.keys), (one for one, _ in self.features)
        return [one for one in (*keys, *features, self.timestamp, self.created) if one]

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The entity rows' columns it is joined by."""
        return tuple(ours for ours, _ in self.keys)


@dataclass(frozen=True)
class EntityRows:
    """The entity rows as the query sees them."""

    columns: Mapping[str, str]
    """Their short names (c1, c2, …) by the names that join keys have."""
    embedded: sql.Composed | None = None
    """The query that gives them; None where they are in a temporary table."""
    bounds: tuple[str, str] | None = None
    """Their first and last time as text, where known."""
    count: int = 0
    """Their number, where known."""
    small: bool = False
    """True where they are few enough to be looked up one by one."""

    @property
    def joined(self) -> sql.SQL:
        """The join to their features: each view has one row at most for each of them.

        PostgreSQL never runs a full join as a nested loop, which it would choose where it takes
        the features for few. Where loops are off anyway, a left join saves a sort.
        """
        return sql.SQL("FULL JOIN" if self.small else "LEFT JOIN")

    def column(self, name: str) -> sql.Composed:
        """A column of an entity row `e`."""
        return qualified("e", self.columns[name])


def numbered(query: sql.Composable, columns: int, timestamp: int) -> sql.Composed:
    """The rows of an entity query with number and time, in the query's order.

    Args:
        columns: how many the query has.
        timestamp: which of them is the time, from 0.
    """
    names = [sql.Identifier(f"c{number}") for number in range(1, columns + 1)]
    return sql.SQL(
        "SELECT row_number() OVER () AS n, {time}::timestamptz AS ts, {columns}\n"
        "FROM (\n{query}\n) AS q ({columns})"
    ).format(
        time=names[timestamp],
        columns=listed(names),
        query=query,
    )


def embedded(rows: sql.Composed) -> sql.Composed:
    """Entity rows that are `numbered`, as part of a WITH."""
    return sql.SQL("{} AS MATERIALIZED (\n{}\n)").format(ENTITIES, rows)


def rows_seen(views: Sequence[View]) -> sql.Composed:
    """Each time and entity of which any view has a row in its window, once, the oldest first.

    Columns: the time, then every view's join keys, each key once; null where a view lacks it.
    """
    owners = {ours: (theirs, view) for view in reversed(views) for ours, theirs in view.keys}
    keys = dict.fromkeys(ours for view in views for ours in view.join_keys)
    parts = []
    for view in views:
        values = [sql.SQL("{}::timestamptz").format(qualified("s", view.timestamp))]
        own = dict(view.keys)
        for key in keys:
            if key in own:
                values.append(qualified("s", own[key]))
            else:  # a null of the right type
                column, owner = owners[key]
                values.append(typed_null(owner.source, column))
        parts.append(
            sql.SQL("SELECT {} FROM {} AS s WHERE {}").format(
                listed(values), text(view.source), listed(conditions(view), " AND ")
            )
        )
    return sql.SQL("SELECT DISTINCT * FROM (\n{}\n) AS seen ORDER BY {}").format(
        listed(parts, "\nUNION ALL\n"),
        listed([text(str(at)) for at in range(1, len(keys) + 2)]),
    )


def point_in_time(
    outputs: Sequence[sql.Composable],
    joins: Sequence[sql.Composed],
    before: Sequence[sql.Composed],
) -> sql.Composed:
    """The whole query; rows in the order of the entity rows.

    Args:
        outputs: the entity rows' columns and the views' features that are wanted.
        joins: a `newest` or a `timeline` per view.
        before: what they need, as parts of a WITH.
    """
    start = sql.SQL("WITH {}\n").format(listed(before)) if before else NOTHING
    return sql.SQL("{}SELECT {}\nFROM {} AS e\n{}\nORDER BY e.n").format(
        start, listed(outputs), ENTITIES, listed(joins, "\n")
    )


def feature(view: int, number: int) -> sql.Composed:
    """The `number`-th feature of the `view`-th view in the whole query, both from 1."""
    return qualified(f"v{view}", f"f{number}")


def named(view: View) -> sql.Composed:
    """The features of a source row `s` under their short names, each with a comma before it."""
    return listed(
        [
            sql.SQL(", {} AS {}").format(qualified("s", column), sql.Identifier(f"f{number}"))
            for number, (column, _) in enumerate(view.features, 1)
        ],
        "",
    )


def interval(length: timedelta) -> sql.Composed:
    """A length of time, exact to the microsecond."""
    microseconds = length // timedelta(microseconds=1)
    return sql.SQL("interval {}").format(sql.Literal(f"{microseconds} microseconds"))


def conditions(view: View, entities: EntityRows | None = None) -> list[sql.Composed]:
    """The conditions under which a row `s` of the source is seen, and by which entity rows `e`."""
    when = qualified("s", view.timestamp)
    found = []
    if view.window:
        start, end = map(sql.Literal, view.window)
        found.append(
            sql.SQL("{} BETWEEN {}::timestamptz AND {}::timestamptz").format(when, start, end)
        )
    if entities is None:
        return found
    for ours, theirs in view.keys:
        found.append(sql.SQL("{} = {}").format(qualified("s", theirs), entities.column(ours)))
    if entities.bounds:
        first, last = map(sql.Literal, entities.bounds)
        found.append(sql.SQL("{} <= {}::timestamptz").format(when, last))
        if view.ttl:
            oldest = sql.SQL("{}::timestamptz - {}").format(first, interval(view.ttl))
            found.append(sql.SQL("{} >= {}").format(when, oldest))
    return found


def most_rows_of_an_entity(join_keys: Sequence[str], entities: EntityRows) -> sql.Composed:
    """The number of entity rows of the most frequent entity, null for no row."""
    by = [entities.column(one) for one in join_keys]
    return sql.SQL("(SELECT max(count) FROM (SELECT count(*) FROM {} AS e{}) AS counts)").format(
        ENTITIES, sql.SQL(" GROUP BY {}").format(listed(by)) if by else NOTHING
    )
