"""Views over the lake whose newest rows go into a table of PostgreSQL, and are merged from there.

Whoever finds the rows, DuckDB or Spark, puts the same columns into such a table: user, instant,
time of loading, features.
"""

from collections.abc import Callable, Sequence

from psycopg import Connection, sql

from streamflow.engine import merge
from streamflow.engine.materialize import with_late
from streamflow.engine.plan import Window
from streamflow.engine.source import Source
from streamflow.engine.write import Planned
from streamflow.lake.join import Lake
from streamflow.lake.newest import Meant
from streamflow.lake.views import LakeView, refused, view_of
from streamflow.registry.plain import PlainView
from streamflow.registry.services import PlainProjection
from streamflow.registry.stores import OwnStores
from streamflow.snapshots import INSTANT, KEY, TIME
from streamflow.sources.values import SourceValue, value_of

CREATED = "created"
"""The column of the time at which a row was loaded."""


def lake_view(view: PlainView, lake: Lake) -> LakeView:
    """A view over the lake, with all of its features.

    Raises:
        ConfigurationError: it is not over a table of the lake alone; says why.
    """
    used = PlainProjection(view.name, view, tuple(view.layout.features), {})
    found = view_of(used, lake.declared, full=False)
    created = found.snapshot.every_column().get(found.created)
    if found.created and (created is None or created.type != INSTANT):
        raise refused(used, f"its created time {found.created} is no instant of the table")
    return found


def meant_of(connection: Connection, lake: Lake, found: LakeView, planned: Planned) -> Meant:
    """The rows of a view that its plan means."""
    passed = merge.passed(connection, planned.project, planned.recorded)
    return Meant(found, lake.relations[found.snapshot.table], planned.window, passed)


def plans(
    connection: Connection,
    lake: Lake,
    stores: OwnStores,
    views: Sequence[PlainView],
    window: Window,
    force: bool,
    table: Callable[[str], sql.Identifier],
) -> tuple[list[Planned], dict[str, Meant]]:
    """The plans of views that are read from the lake, and by view the rows that each means.

    Args:
        window: without rows that came late, which are added unless `force` is set.
        table: gives the table that the rows of a view go to, by the view's name.

    Raises:
        ConfigurationError: a view is not over a table of the lake alone.
    """
    found = [lake_view(one, lake) for one in views]
    planned, meant = [], {}
    for view, one in zip(views, found, strict=True):
        own = window if force else with_late(connection, stores, view, window, from_lake=True)
        planned.append(plan(stores.project, view, own, table(view.name)))
        meant[view.name] = meant_of(connection, lake, one, planned[-1])
    return planned, meant


def plan(
    project: str, view: PlainView, window: Window, table: sql.Identifier, recorded: str = ""
) -> Planned:
    """The plan of one view, whose source is the table that its rows go to.

    Args:
        recorded: what the view is called in ops.materializations, if not by its name.

    Raises:
        ConfigurationError: the key cannot be what is declared.
    """
    (join_key,) = view.layout.join_keys
    key = value_of(view.name, join_key, KEY, "text", view.types[join_key])
    source = Source(
        layout=view.layout,
        query=table.as_string(None),
        keys=(key.stored(sql.Identifier(KEY)),),
        event=sql.Composed([sql.Identifier(TIME)]),
        created=sql.Composed([sql.Identifier(CREATED)]),
        features=staged_features(view),
        start=window.start,
        end=window.end,
        limit=window.limit,
        seen_at=None,
        recorded=recorded or view.name,
        is_narrowed=True,
        is_unique=True,
    )
    return Planned(
        project=project,
        view=view.name,
        entries=view.entries,
        recorded=recorded or view.name,
        is_online=True,
        layout=view.layout,
        window=window,
        source=source,
        way=merge.LAKE,
    )


def staged_features(view: PlainView) -> tuple[SourceValue, ...]:
    """The features as columns of the table: `f0`, `f1`, …, of the types online."""
    return tuple(
        SourceValue(
            f"feature view {view.name}, column {view.source.column(feature)}",
            f"f{at}",
            column.type,
            view.types[feature],
        )
        for at, (feature, column) in enumerate(view.layout.features.items())
    )


def columns_of(source: Source) -> dict[str, str]:
    """The columns of the table, in order, with their types."""
    own = {KEY: "text", TIME: "timestamptz", CREATED: "timestamptz"}
    return own | {one.column: one.kind for one in source.features}


def definitions(columns: dict[str, str]) -> sql.Composed:
    """Columns as CREATE TABLE has them."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
        for column, kind in columns.items()
    )
