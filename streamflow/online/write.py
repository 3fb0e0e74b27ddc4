"""Writes of batches into the typed online tables: one merge, large ones by binary COPY.

Newest wins: a row replaces what is stored when its (event time, created time) is newer. Of rows
that are equal in both the one with the greater features stays (row_order.py), in whatever order
and batches they come; materialization alone, which reads its source whole, replaces them. Rows of
a batch count as written one after the other, from the oldest to the newest.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import chain
from typing import Literal

import psycopg
from psycopg import Connection, sql
from psycopg.pq import TransactionStatus

from streamflow.catalog.layout import JSON, SCHEMA, Column, Layout
from streamflow.online.rows import Row, by_features
from streamflow.online.unwritten_rows import Became, kept, kept_back, not_ahead, too_far
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
"""The driver's names of PostgreSQL's types; the others have one name."""
FEW = 16
"""Rows that go to PostgreSQL as parameters of the merge. More go by COPY into a temporary table,
whose making costs 2 ms and rows in PostgreSQL's catalog."""

Replace = Literal["older", "not newer", "any"]
"""The stored rows that a given one replaces.

`older`: those before it in time and, at the same times, in the order of their features.
`not newer`: also any of the same times, since they were corrected in the source.
`any`: newer ones as well."""


def write(
    connection: Connection, layout: Layout, rounds: Sequence[Sequence[Row]], replace: Replace
) -> Became:
    """Merges rows into the view's columns, all or none; gives what became of them.

    Args:
        connection: in autocommit mode, or in a transaction.
        layout: of the view.
        rounds: as `rounds_of` gives them.
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
        staged = staged_parameters(types, len(rows))
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


def staged_parameters(types: Sequence[str], count: int) -> str:
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
    """The condition that the given row (EXCLUDED) of a view replaces the stored one (o)."""
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
