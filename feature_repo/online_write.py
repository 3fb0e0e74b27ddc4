"""Writes of batches into the typed online tables: binary COPY, then one merge.

Newest wins: a row replaces what is stored when its (event time, created time) is not older.
An equal one may correct, and an unchanged one is not written again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from psycopg import Connection, sql

from feature_repo.online_layout import JSON, SCHEMA, Layout
from feature_repo.online_values import in_utc, key_of, written

COPY_TYPES = {
    kind + suffix: short + suffix
    for kind, short in {
        "timestamp with time zone": "timestamptz",
        "double precision": "float8",
        "real": "float4",
        "bigint": "int8",
        "integer": "int4",
        "boolean": "bool",
    }.items()
    for suffix in ("", "[]")
}
"""What the driver calls PostgreSQL's types; the others have one name."""

FeastRow = tuple[EntityKey, Mapping[str, Value], datetime, datetime | None]


@dataclass(frozen=True)
class Row:
    """One entity's values of one view, ready for the driver."""

    key: tuple[Any, ...]
    event: datetime
    created: datetime | None
    values: dict[str, Any]
    """By feature; features that are not in it stay as they are stored."""

    @property
    def age(self) -> tuple[datetime, bool, datetime]:
        """Sorts rows from old to new; a row without a created time is older than any with."""
        return (self.event, self.created is not None, self.created or self.event)


def rows_of(layout: Layout, types: Mapping[str, str], data: Sequence[FeastRow]) -> list[Row]:
    """The rows of a batch, one for each key: what later ones say of a feature wins.

    Args:
        layout: of the view.
        types: Feast's value type by feature; other features of a row are left out.
        data: as Feast's provider hands them over; naive times are UTC.

    Raises:
        ValueError: naming the row, the feature and what is wrong with its value.
    """
    found: dict[tuple[Any, ...], list[Row]] = {}
    for number, (entity_key, values, event, created) in enumerate(data, 1):
        try:
            key = key_of(entity_key, layout.join_keys)
        except ValueError as error:
            raise ValueError(f"feature view {layout.view}, row {number}: {error}") from error
        row = Row(key, in_utc(event), in_utc(created) if created else None, {})
        for name in types.keys() & values.keys():
            try:
                row.values[name] = written(values[name], types[name])
            except ValueError as error:
                raise ValueError(
                    f"feature view {layout.view}, row {number}, feature {name}: {error}"
                ) from error
        found.setdefault(key, []).append(row)
    return [merged(rows) for rows in found.values()]


def merged(rows: list[Row]) -> Row:
    """The rows of one key as one; the newest of them says when it is from."""
    if len(rows) == 1:
        return rows[0]
    rows.sort(key=lambda row: row.age)
    newest = rows[-1]
    values: dict[str, Any] = {}
    for row in rows:
        values |= row.values
    return Row(newest.key, newest.event, newest.created, values)


def write(connection: Connection, layout: Layout, rows: Sequence[Row], force: bool) -> int:
    """Merges `rows` into the view's columns; gives how many were new or changed.

    Args:
        connection: inside a transaction.
        layout: of the view.
        rows: no key twice.
        force: also over newer values.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        features = tuple(name for name in layout.features if name in row.values)
        groups.setdefault(features, []).append(row)
    return sum(write_group(connection, layout, *group, force) for group in sorted(groups.items()))


def write_group(
    connection: Connection,
    layout: Layout,
    features: tuple[str, ...],
    rows: Sequence[Row],
    force: bool,
) -> int:
    """Merges rows that have the same features."""
    columns = [*layout.keys, layout.event, layout.created, *(layout.features[f] for f in features)]
    types = ["text" if column.type == JSON else column.type for column in columns]
    staged = sql.SQL(", ").join(
        sql.SQL("c{} {}").format(sql.SQL(str(n)), sql.SQL(kind)) for n, kind in enumerate(types)
    )
    connection.execute(sql.SQL("CREATE TEMP TABLE staged ({}) ON COMMIT DROP").format(staged))
    with connection.cursor() as cursor:
        with cursor.copy("COPY staged FROM STDIN (FORMAT binary)") as copy:
            copy.set_types([COPY_TYPES.get(kind, kind) for kind in types])
            for row in rows:
                copy.write_row(
                    (*row.key, row.event, row.created, *(row.values[name] for name in features))
                )
        count = cursor.execute(merge(layout, features, force)).rowcount
        cursor.execute("DROP TABLE staged")
    return count


def merge(layout: Layout, features: Sequence[str], force: bool) -> sql.Composed:
    """The merge of the table `staged` into the columns of a view.

    Keys go in order, so that two merges of the same keys wait for each other and do not lock
    each other out.
    """
    keys = layout.keys
    own = [layout.event, layout.created, *(layout.features[name] for name in features)]
    selected = [
        sql.SQL("c{}::{}").format(sql.SQL(str(n)), sql.SQL(column.type))
        for n, column in enumerate([*keys, *own])
    ]
    names = {
        "table": sql.Identifier(SCHEMA, layout.table),
        "columns": sql.SQL(", ").join(sql.Identifier(one.name) for one in (*keys, *own)),
        "selected": sql.SQL(", ").join(selected),
        "keys": sql.SQL(", ").join(sql.Identifier(one.name) for one in keys),
        "order": sql.SQL(", ").join(sql.SQL(str(n + 1)) for n in range(len(keys))),
        "set": sql.SQL(", ").join(
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(one.name)) for one in own
        ),
        "newest": sql.SQL("true") if force else not_older(layout),
        "stored": row_of(own, "o"),
        "given": row_of(own, "EXCLUDED"),
    }
    return sql.SQL(
        "INSERT INTO {table} AS o ({columns}) SELECT {selected} FROM staged ORDER BY {order}"
        " ON CONFLICT ({keys}) DO UPDATE SET {set} WHERE {newest} AND {stored} *<> {given}"
    ).format(**names)


def not_older(layout: Layout) -> sql.Composed:
    """Whether the given row (EXCLUDED) of a view may replace the stored one (o)."""
    return sql.SQL(
        "(o.{event} IS NULL OR (EXCLUDED.{event}, coalesce(EXCLUDED.{created}, '-infinity'))"
        " >= (o.{event}, coalesce(o.{created}, '-infinity')))"
    ).format(event=sql.Identifier(layout.event.name), created=sql.Identifier(layout.created.name))


def row_of(columns: Sequence[Any], alias: str) -> sql.Composed:
    """The columns as a row, to be compared bit for bit with `*<>`."""
    return sql.SQL("ROW({})::record").format(  # else PostgreSQL compares column by column
        sql.SQL(", ").join(sql.SQL(f"{alias}.{{}}").format(sql.Identifier(c.name)) for c in columns)
    )
