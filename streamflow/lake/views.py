"""Feature views over the lake: the table of snapshots, key and features of each."""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from streamflow.errors import ConfigurationError
from streamflow.offline.features import with_views
from streamflow.registry.services import PlainProjection, PlainService
from streamflow.snapshots import KEY, TIME, Column, Snapshot, Snapshots
from streamflow.sources.monthly import snapshot_of
from streamflow.sources.plain_query import known_as
from streamflow.sources.written_sql import pieces

AS_THEY_ARE = {
    ("boolean", "BOOL"),
    ("integer", "INT32"),
    ("bigint", "INT64"),
    ("real", "FLOAT"),
    ("double precision", "DOUBLE"),
    ("text", "STRING"),
}
"""PostgreSQL's type of a column and Feast's of a feature that has the very same values."""
FROM_TEXT = {("date", "STRING")}
"""The same of a column that the source's query makes text of."""


class LakeFeature(NamedTuple):
    """A feature that is a column of a table of the lake."""

    column: str
    as_text: bool
    """True where the feature is the column's text."""
    name: str
    """Its name in the training set."""

    @property
    def taken(self) -> str:
        """The feature as DuckDB takes it from a row `s`."""
        name = '"' + self.column.replace('"', '""') + '"'
        return f"s.{name}::VARCHAR" if self.as_text else f"s.{name}"


@dataclass(frozen=True)
class LakeView:
    """A feature view whose values are columns of a table of the lake, as they are."""

    name: str
    snapshot: Snapshot
    key: str
    """The spine's column that is the user."""
    features: tuple[LakeFeature, ...]
    ttl: timedelta
    created: str = ""
    """The column of the time at which a row was loaded; empty for none."""


def views_of(service: PlainService, declared: Snapshots) -> list[LakeView]:
    """The views of a service, in its order.

    Raises:
        ConfigurationError: one of them is not over a table of the lake alone; says why.
    """
    full = with_views(service.contract)
    return [view_of(one, declared, full) for one in service.projections]


def view_of(used: PlainProjection, declared: Snapshots, full: bool) -> LakeView:
    """A view as a service uses it."""
    view, source = used.view, used.view.source
    query = source.query or f"SELECT * FROM {source.table}"
    snapshot = snapshot_of(query, declared)
    if snapshot is None:
        raise refused(used, "its source is not a query that only selects columns of such a table")
    if not snapshot.newest_only and source.column(source.timestamp_field) != TIME:
        raise refused(used, f"its time is not {TIME}")
    keys = [(ours, source.column(name)) for ours, name in used.keys]
    if [theirs for _, theirs in keys] != [KEY]:
        raise refused(used, f"its key is not {KEY} alone")
    if (kind := view.types[used.keys[0][1]]) != "STRING":  # one UUID may be several texts
        raise refused(used, f"its key is {kind}, and {KEY} is text")
    as_text = texts_in(query)
    prefix = f"{used.name}__" if full else ""
    columns = snapshot.every_column()
    features = tuple(
        LakeFeature(
            source.column(name),
            is_text(used, source.column(name), columns, as_text, view.types[name]),
            prefix + name,
        )
        for name in used.features
    )
    created = source.created_field and source.column(source.created_field)
    return LakeView(used.name, snapshot, keys[0][0], features, view.ttl, created)


def texts_in(query: str) -> set[str]:
    """The columns of which a query makes texts, by `::text`."""
    found = list(pieces(query, "the query"))
    return {
        known_as(column)
        for column, *sign, kind in zip(found, found[1:], found[2:], found[3:], strict=False)
        if [one.text for one in sign] == [":", ":"] and kind.text.lower() == "text"
    }


def is_text(
    used: PlainProjection,
    column: str,
    columns: dict[str, Column],
    as_text: set[str],
    value_type: str,
) -> bool:
    """True for a feature that is its column's text, False for one that is the column as it is.

    Raises:
        ConfigurationError: PostgreSQL would convert its values, which is not done here.
    """
    kind = columns[column].type
    if column in as_text and (kind, value_type) in FROM_TEXT | {("text", "STRING")}:
        return True
    if column not in as_text and (kind, value_type) in AS_THEY_ARE:
        return False
    raise refused(used, f"column {column} is {kind}, of which PostgreSQL makes {value_type}")


def refused(used: PlainProjection, why: str) -> ConfigurationError:
    """The error for a view that the lake cannot give."""
    return ConfigurationError(
        f"feature view {used.name} cannot be read from the lake, which has the tables of"
        f" snapshots.py as they are: {why}; read it from the database"
    )
