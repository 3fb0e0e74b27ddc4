"""Writes of batches into the typed online tables: one merge, large ones by binary COPY.

Newest wins: a row replaces what is stored when its (event time, created time) is newer. Of rows
that are equal in both the one with the greater features stays (row_order.py), in whatever order
and batches they come; materialization alone, which reads its source whole, replaces them. Rows of
a batch count as written one after the other, from the oldest to the newest.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, groupby
from typing import Any, Literal

import psycopg
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from psycopg import Connection, sql
from psycopg.pq import TransactionStatus

from streamflow.catalog.layout import JSON, SCHEMA, Column, Layout
from streamflow.feast.online.values import in_utc, key_of, writer
from streamflow.online.kept import Became, kept, kept_back, not_ahead, too_far
from streamflow.postgres.connect import first_line
from streamflow.postgres.refusals import refused
from streamflow.sources.row_order import Feature, age, as_record, descending

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
FEW = 16
"""Rows that go to PostgreSQL as parameters of the merge. More go by COPY into a temporary table,
whose making costs 2 ms and rows in PostgreSQL's catalog."""

Replace = Literal["older", "not newer", "any"]
"""Which stored rows a given one replaces. `older`: those before it in time and, at the same times,
in the order of their features. `not newer`: also any of the same times, since they were corrected
in the source. `any`: newer ones as well."""

FeastRow = tuple[EntityKey, Mapping[str, Value], datetime, datetime | None]


@dataclass(frozen=True, slots=True)
class Row:
    """One entity's values of one view, ready for the driver."""

    key: tuple[Any, ...]
    event: datetime
    created: datetime | None
    features: tuple[str, ...]
    """In the view's order; the others stay as they are stored."""
    values: list[Any]
    """Of `features`."""
    number: int = 0
    """In the batch, from 1."""

    @property
    def age(self) -> tuple[datetime, bool, datetime]:
        """Sorts rows from old to new; a row without a created time is older than any with."""
        return (self.event, self.created is not None, self.created or self.event)


def rows_of(layout: Layout, types: Mapping[str, str], data: Iterable[FeastRow]) -> list[list[Row]]:
    """The rows of a batch in rounds to be written one after the other.

    Those of one key in one round have the same features and times.

    Args:
        layout: of the view.
        types: Feast's value type by feature; other features of a row are left out.
        data: as Feast's provider hands them over; naive times are UTC.

    Raises:
        ValueError: naming the view, the row, the feature and what is wrong with its value.
    """
    writers = {name: writer(types[name]) for name in layout.features}
    found: dict[tuple[Any, ...], list[Row]] = {}
    for number, given in enumerate(data, 1):
        try:
            row = row_of(layout, writers, given, number)
        except ValueError as error:
            raise ValueError(f"feature view {layout.view}, row {number}: {error}") from error
        found.setdefault(row.key, []).append(row)
    rounds: list[list[Row]] = []
    for rows in found.values():
        for number, turn in enumerate(turns(rows) if len(rows) > 1 else [rows]):
            if number == len(rounds):
                rounds.append([])
            rounds[number] += turn
    return rounds


def row_of(
    layout: Layout,
    writers: Mapping[str, Callable[[Value], Any]],
    given: FeastRow,
    number: int = 0,
) -> Row:
    """A row as the driver takes it, with its number in the batch.

    Raises:
        ValueError: naming the feature and what is wrong with its value.
    """
    entity_key, values, event, created = given
    key = key_of(entity_key, layout)
    if event is None or event != event:  # pandas' NaT, which no comparison finds equal
        raise ValueError("it has no event time")
    if created is not None and created != created:
        created = None
    names = tuple(name for name in layout.features if name in values)
    cells = []
    for name in names:
        try:
            cells.append(writers[name](values[name]))
        except ValueError as error:
            raise ValueError(f"feature {name}: {error}") from error
    return Row(key, in_utc(event), created and in_utc(created), names, cells, number)


def turns(rows: list[Row]) -> list[list[Row]]:
    """The rows of one key from old to new, without those whose features newer ones all have.

    Rows of a turn have the same times and features.
    """
    rows.sort(key=lambda row: (row.age, row.features), reverse=True)
    newer: set[str] = set()
    found: list[list[Row]] = []
    for _, equally_new in groupby(rows, key=lambda row: row.age):
        alike = [list(group) for _, group in groupby(equally_new, key=lambda row: row.features)]
        kept = [turn for turn in alike if not found or not newer.issuperset(turn[0].features)]
        found += kept
        newer.update(*(turn[0].features for turn in kept))
    return found[::-1]


def write(
    connection: Connection, layout: Layout, rounds: Sequence[Sequence[Row]], replace: Replace
) -> Became:
    """Merges rows into the view's columns, all or none; gives what became of them.

    Args:
        connection: in autocommit mode, or in a transaction.
        layout: of the view.
        rounds: as `rows_of` gives them.
        replace: what the first row of each key replaces.

    Raises:
        ValueError: a row is too long for PostgreSQL, or its time too far ahead of its clock.
    """
    parts = [
        (number, part)
        for number, rows in enumerate(rounds)
        for part in sorted(by_features(rows).items())
    ]
    is_idle = connection.info.transaction_status == TransactionStatus.IDLE
    at_once = is_idle and len(parts) == 1 and len(parts[0][1][1]) <= FEW  # a single statement
    try:
        with nullcontext() if at_once else connection.transaction():
            became = (
                write_part(connection, layout, *part, "older" if number else replace)
                for number, part in parts
            )
            return sum(became, Became(0))
    except psycopg.errors.ProgramLimitExceeded as error:
        raise ValueError(f"feature view {layout.view}: {first_line(error)}") from error
    except psycopg.DataError as error:
        if refused(error):
            raise too_far(connection, layout, chain(*rounds)) from error
        raise


def by_features(rows: Sequence[Row]) -> dict[tuple[str, ...], list[Row]]:
    """The rows by the features that they have."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(row.features, []).append(row)
    return found


def write_part(
    connection: Connection,
    layout: Layout,
    features: tuple[str, ...],
    rows: Sequence[Row],
    replace: Replace,
) -> Became:
    """Merges rows that have the same features."""
    columns = [*layout.keys, layout.event, layout.created, *(layout.features[f] for f in features)]
    types = ["text" if column.type == JSON else column.type for column in columns]
    cells = ((*row.key, row.event, row.created, *row.values) for row in rows)
    query = merge(layout, features, replace)
    if len(rows) <= FEW:
        staged = given(types, len(rows))
        values = [*chain(*cells)]
        written = connection.execute(staged + escaped(query), values).rowcount
        if written == len(rows) or replace == "any":
            return Became(written)
        return Became(written, *kept(connection, staged + escaped(kept_back(layout)), values))
    table = ", ".join(f"c{n} {kind}" for n, kind in enumerate(types))
    connection.execute(f"CREATE TEMP TABLE staged ({table}) ON COMMIT DROP")
    with connection.cursor() as cursor:
        with cursor.copy("COPY staged FROM STDIN (FORMAT binary)") as copy:
            copy.set_types([COPY_TYPES.get(kind, kind) for kind in types])
            for row in cells:
                copy.write_row(row)
        written = cursor.execute(query).rowcount
        older = (0, 0)
        if written < len(rows) and replace != "any":
            older = kept(connection, kept_back(layout))
        cursor.execute("DROP TABLE staged")
    return Became(written, *older)


def given(types: Sequence[str], count: int) -> str:
    """Rows that are parameters, as the query `staged`."""
    names = ", ".join(f"c{n}" for n in range(len(types)))
    # The driver sends arrays as text, in which NaN has neither its sign nor its payload.
    marks = ("%b" if kind in ("real[]", "double precision[]") else "%s" for kind in types)
    row = f"({', '.join(f'{mark}::{kind}' for mark, kind in zip(marks, types, strict=True))})"
    return f"WITH staged ({names}) AS (VALUES {', '.join([row] * count)}) "


def escaped(query: sql.Composed) -> str:
    """A query inside one that has parameters."""
    return query.as_string().replace("%", "%%")


def merge(layout: Layout, features: Sequence[str], replace: Replace) -> sql.Composed:
    """The merge of the rows `staged` into the columns of a view; of equally old ones the greatest.

    Keys go in order, so that two merges of the same keys wait for each other and do not lock
    each other out.
    """
    keys = layout.keys
    own = [layout.event, layout.created, *(layout.features[name] for name in features)]
    selected = [
        sql.SQL("c{}::{}").format(sql.SQL(str(n)), sql.SQL(column.type))
        for n, column in enumerate([*keys, *own])
    ]
    given = [
        Feature(name, value, layout.features[name].type)
        for name, value in zip(features, selected[len(keys) + 2 :], strict=True)
    ]
    places = [sql.SQL(str(n + 1)) for n in range(len(keys))]
    selected[len(keys)] = not_ahead(layout, *selected[len(keys) : len(keys) + 2])
    names = {
        "table": sql.Identifier(SCHEMA, layout.table),
        "columns": sql.SQL(", ").join(sql.Identifier(one.name) for one in (*keys, *own)),
        "selected": sql.SQL(", ").join(selected),
        "keys": sql.SQL(", ").join(sql.Identifier(one.name) for one in keys),
        "places": sql.SQL(", ").join(places),
        "order": sql.SQL(", ").join([*places, *descending(given)]),
        "set": sql.SQL(", ").join(
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(one.name)) for one in own
        ),
        "replaced": replaced(layout, features, replace),
        "stored": record_of(own, "o"),
        "given": record_of(own, "EXCLUDED"),
    }
    return sql.SQL(
        "INSERT INTO {table} AS o ({columns}) SELECT DISTINCT ON ({places}) {selected} FROM staged"
        " ORDER BY {order}"
        " ON CONFLICT ({keys}) DO UPDATE SET {set} WHERE {replaced} AND {stored} *<> {given}"
    ).format(**names)


def replaced(layout: Layout, features: Sequence[str], replace: Replace) -> sql.Composed:
    """Whether the given row (EXCLUDED) of a view replaces the stored one (o)."""
    if replace == "any":
        return sql.Composed([sql.SQL("true")])

    def compared(alias: str) -> sql.Composed:
        def value(column: Column) -> sql.Composed:
            return sql.SQL(f"{alias}.{{}}").format(sql.Identifier(column.name))

        named = {name: layout.features[name] for name in features} if replace == "older" else {}
        values = [Feature(name, value(column), column.type) for name, column in named.items()]
        return as_record(values, *age(value(layout.event), value(layout.created)))

    return sql.SQL("(o.{} IS NULL OR {} >= {})").format(
        sql.Identifier(layout.event.name), compared("EXCLUDED"), compared("o")
    )


def record_of(columns: Sequence[Column], alias: str) -> sql.Composed:
    """The columns as a row, to be compared bit for bit with `*<>`."""
    return sql.SQL("ROW({})::record").format(  # else PostgreSQL compares column by column
        sql.SQL(", ").join(sql.SQL(f"{alias}.{{}}").format(sql.Identifier(c.name)) for c in columns)
    )
