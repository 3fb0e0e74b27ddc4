"""Plans of materializations: the source of a view whose values are columns, as SQL expressions."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from psycopg import Connection, sql

from streamflow.catalog.layout import NO_KEY
from streamflow.engine import unchanged
from streamflow.engine.source import Source, instant
from streamflow.errors import ConfigurationError, SourceMismatch
from streamflow.postgres import options as connection_options
from streamflow.registry.plain import PlainView
from streamflow.sources.columns import kinds_of
from streamflow.sources.faults import Wanted, faults
from streamflow.sources.row_order import deciding
from streamflow.sources.types import TEXT_FORMS
from streamflow.sources.values import SourceValue, value_of

NO_LIMIT = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """The rows that a materialization means."""

    start: datetime
    end: datetime
    seen_at: datetime | None = None
    lookback: timedelta = timedelta(0)
    limit: datetime = NO_LIMIT
    """These three as in Source."""


def source_of(
    connection: Connection, path: str, view: PlainView, window: Window, recorded: str = ""
) -> Source:
    """The rows of a view as SQL.

    Args:
        connection: to the database of the view's source, in a transaction.
        path: PostgreSQL's search_path, for tables without a schema.
        recorded: what the view is called in ops.materializations, if not by its name.

    Raises:
        SourceMismatch: the source does not have what the view asks for.
        ConfigurationError: a column cannot be what is declared.
        QueryRefused: the source's query is not one that reads.
    """
    look_in(connection, path)
    require_columns(connection, view)
    source, layout = view.source, view.layout
    query = source.relation
    kinds = kinds_of(connection, query)

    def value(name: str) -> SourceValue:
        column = source.column(name)
        return value_of(view.name, name, column, kinds[column], view.types[name])

    keys = [value(name) for name in layout.join_keys if name != NO_KEY]
    when = source.column(source.timestamp_field)
    created = source.created_field and source.column(source.created_field)
    found = Source(
        layout=layout,
        query=query,
        keys=tuple(one.stored(sql.Identifier(one.column)) for one in keys)
        or (sql.Composed([sql.SQL("''::text")]),),
        event=time_of(view, when, kinds[when]),
        created=(
            time_of(view, created, kinds[created])
            if created
            else sql.Composed([sql.SQL("NULL::timestamptz")])
        ),
        features=tuple(map(value, layout.features)),
        start=window.start,
        end=window.end,
        limit=window.limit,
        seen_at=window.seen_at if created else None,
        lookback=window.lookback,
        recorded=recorded or view.name,
    )
    declared = {name: (source.column(name), view.types[name]) for name in layout.features}
    columns = [one.column for one in keys]
    found = replace(
        found,
        order=deciding(connection, query, columns, when, declared),
        table=unchanged.table_of(connection, source),
        online=unchanged.online_table(connection, layout),
    )
    return replace(found, fingerprint=unchanged.fingerprint(found))


def time_of(view: PlainView, column: str, kind: str) -> sql.Composed:
    """A column that names a time, as an instant in SQL.

    Raises:
        ConfigurationError: it is none.
    """
    found = instant(column, kind)
    if found is None:
        raise ConfigurationError(
            f"feature view {view.name}, column {column} is {kind}, not an instant"
        )
    return found


def look_in(connection: Connection, path: str) -> None:
    """Has sources without a schema looked for in the search_path `path`, in this transaction.

    Values become texts as they do for a training set, too.
    """
    chosen = {"search_path": path, **TEXT_FORMS}
    connection.execute(connection_options.choose(chosen.items()))


def require_columns(connection: Connection, view: PlainView) -> None:
    """Returns when the source of a view has its columns and a time.

    Raises:
        SourceMismatch: naming the view, the source and what that has.
    """
    wanted = Wanted(f"{view.kind} {view.name}", view.source, dict.fromkeys(view.types))
    if found := faults(connection, [wanted], types=False):
        raise SourceMismatch(found)
