"""The faults of sources: what views need of them, and what they do not have, in words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege

from streamflow.errors import QueryRefused, SourceMismatch
from streamflow.sources import columns as sources
from streamflow.sources.columns import Column
from streamflow.sources.table import SourceTable
from streamflow.sources.values import can_be


class FieldType(NamedTuple):
    """Feast's type of a field."""

    value_type: str
    """By name: INT64, STRING_LIST, …"""
    shown: str
    """The type in the words of definitions: Int64, Array(String), …"""


@dataclass(frozen=True)
class Wanted:
    """The fields that a view needs from its source, in the view's own names."""

    view: str
    """The view's kind and name: `feature view prices`."""
    source: SourceTable
    fields: Mapping[str, FieldType | None] = field(default_factory=dict)
    """By join key, feature or column of an aggregation; None for any type."""


def faults(
    connection: Connection[Any],
    wanted: Sequence[Wanted],
    unused: Iterable[SourceTable] = (),
    types: bool = True,
) -> list[str]:
    """The faults of sources: columns and types that views need, or that the source itself names.

    Args:
        connection: inside a transaction, with the search_path of the offline store.
        unused: sources that no view of `wanted` reads.
        types: whether the types of keys, features and created times are compared as well.
    """
    readers: dict[str, list[Wanted]] = {}
    for one in wanted:
        readers.setdefault(one.source.name, []).append(one)
    found: list[str] = []
    for views in readers.values():
        found += of_source(connection, views[0].source, views, types)
    for source in unused:
        if source.name not in readers:
            found += of_source(connection, source, [], types)
    return found


def of_source(
    connection: Connection[Any], source: SourceTable, views: Sequence[Wanted], types: bool
) -> list[str]:
    """The faults of one source and of the views that read it."""
    owners = f"{', '.join(one.view for one in views)}: " if views else ""
    try:
        has = sources.columns_of_source(connection, source.name, source.relation)
    except InsufficientPrivilege as error:
        return [
            f"{owners}data source {source.name} cannot be read: {error.diag.message_primary};"
            f" role {user(connection)} needs USAGE on the schema and SELECT on the table"
        ]
    except SourceMismatch as error:
        return [f"{owners}{one}" for one in error.faults]
    except QueryRefused as error:
        return [f"{owners}{error}"]
    kinds = sources.type_names(connection, has)
    found = [f"{owners}{one}" for one in of_times(source, has, kinds, types)]
    for view in views:
        found += [f"{view.view}: {one}" for one in of_fields(view, has, kinds, types)]
    if found and (said := of_namesakes(connection, source)):
        found.append(f"{owners}{said}")
    return list(dict.fromkeys(found))


def user(connection: Connection[Any]) -> str:
    """The role that a connection has."""
    return str(connection.execute("SELECT current_user").fetchone()[0])  # type: ignore[index]


def of_namesakes(connection: Connection[Any], source: SourceTable) -> str:
    """Says which table was read where several schemas have one of its name; else is empty."""
    name = source.table
    found = [one for (one,) in connection.execute(NAMESAKES, [name])]
    if len(found) < 2:
        return ""
    return (
        f"data source {source.name} is table {found[0]}.{name}, which is found before"
        f" {', '.join(f'{one}.{name}' for one in found[1:])}; name the one that is meant with its"
        " schema"
    )


NAMESAKES = """
    SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = %s AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
      AND n.nspname = ANY(current_schemas(false))
    ORDER BY array_position(current_schemas(false), n.nspname)"""
"""The schemas that have a table of a name, in the order of the search_path."""


def of_times(
    source: SourceTable, has: Sequence[Column], kinds: Mapping[int, str], types: bool
) -> Iterator[str]:
    """The faults of the columns that a source names itself."""
    times = {
        what: source.column(name)
        for what, name in (
            ("timestamp_field", source.timestamp_field),
            ("created_timestamp_column", source.created_field),
        )
        if name
    }
    if "timestamp_field" not in times:
        some = [one.name for one in has if one.oid in sources.TIMES]
        yield (
            f"data source {source.name} names no timestamp_field;"
            f" its columns with times are {sources.listed(some)}"
        )
    # A mapping of a column that nobody asks for does no harm, as with stock Feast.
    if said := sources.lacking(source.name, times.values(), has):
        yield said
    there = {one.name: one.oid for one in has}
    for what, name in times.items():
        if not types and what == "created_timestamp_column":
            continue  # which is compared as it is
        if name in there and there[name] not in sources.TIMES:
            yield sources.not_a_time(what, name, source.name, kinds[there[name]])


def of_fields(
    view: Wanted, has: Sequence[Column], kinds: Mapping[int, str], types: bool
) -> Iterator[str]:
    """The faults of the columns that a view needs."""
    columns = {name: view.source.column(name) for name in view.fields}
    if said := sources.lacking(view.source.name, columns.values(), has):
        yield said
    there = {one.name: one for one in has}
    for name, dtype in view.fields.items():
        column = there.get(columns[name])
        if not types or column is None or dtype is None:
            continue
        kind = kinds[column.oid]
        if not can_be(dtype.value_type, kind):
            yield (
                f"column {column.name} of data source {view.source.name} is {kind}"
                f" and {name} is {dtype.shown}, which it cannot become; cast it in the source's"
                " query or declare another type (docs/types.md)"
            )
