"""Features on their way into a source's table: what is read there again is what a push serves.

The online store has a feature in the type that its view declares. A column of a table may hold
less (real for a Float64, numeric(5,2), char(3)), and PostgreSQL rounds or pads without a word.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection, sql

from streamflow.offline.arrow import BATCH_ROWS
from streamflow.offline.copy import copy_in, is_list, postgres_type
from streamflow.offline.join.frame import whole_numbers
from streamflow.offline.join.times import instants
from streamflow.postgres import clock as ahead
from streamflow.postgres.connect import first_line

ROUNDING = {
    "float4": ("double precision", "integer", "bigint", "numeric"),
    "float8": ("bigint", "numeric"),
    "numeric(": ("real", "double precision", "numeric", "integer", "bigint"),
    "date": ("timestamp", "timestamptz"),
    "timestamp(": ("timestamp", "timestamptz"),
    "timestamptz(": ("timestamp", "timestamptz"),
    "varchar(": ("text",),
    "bpchar(": ("text",),
}
"""By how a column's type begins, the types whose values may become others in it, silently. Where
another value does not fit, PostgreSQL refuses it."""
CONTEXT = re.compile(r"line (\d+), column ([^:]+)")
STAGED = sql.Identifier("streamflow_staged")


def declared(table: pa.Table, types: Mapping[str, str], view: str) -> pa.Table:
    """The rows with each feature as its view declares it: a Float32 is the nearest one.

    Whole numbers that pandas made floats of, since there are nulls among them, are whole again.

    Args:
        types: Feast's value type of each feature, by column.

    Raises:
        ValueError: a list has a null element, or a number is out of range for a Float32.
    """
    for at, name in enumerate(table.column_names):
        if name not in types:
            continue
        column, value_type = table.column(at).combine_chunks(), types[name]
        listed = is_list(column.type) and value_type.endswith(("_LIST", "_SET"))
        flat = pc.list_flatten(column) if listed else column
        if listed and not value_type.startswith("VALUE"):
            refuse(pc.is_null(flat), column, f"feature view {view}", name, "has a null element")
        if value_type in ("INT32", "INT64"):
            table = table.set_column(at, name, whole_numbers(table.column(at)))
        if value_type.startswith("FLOAT") and flat.type == pa.float64():
            nearest = flat.cast(pa.float32())
            too_large = pc.and_(pc.is_inf(nearest), pc.invert(pc.is_inf(flat)))
            refuse(too_large, column, f"feature view {view}", name, "is out of range")
            kind = pa.list_(pa.float32()) if listed else pa.float32()
            table = table.set_column(at, name, column.cast(kind))
    return table


def refuse(wrong: pa.Array, column: pa.Array, where: str, name: str, said: str) -> None:
    """Raises ValueError for the first value, or the first with an element, that is wrong."""
    found = np.flatnonzero(wrong.fill_null(False).to_numpy(zero_copy_only=False))
    if len(found):
        listed = len(wrong) != len(column) or is_list(column.type)
        row = pc.list_parent_indices(column)[int(found[0])].as_py() if listed else int(found[0])
        value = str(column[row].as_py())
        raise ValueError(f"{where}, row {row + 1}, column {name}: {value[:80]} {said}")


@contextmanager
def named(view: str) -> Iterator[None]:
    """Turns PostgreSQL's refusal of a value into ValueError that names view, row and column."""
    try:
        yield
    except psycopg.DataError as error:
        found = CONTEXT.search(error.diag.context or "")
        where = f", row {found[1]}, column {found[2]}" if found else ""
        raise ValueError(f"feature view {view}{where}: {first_line(error)}") from error


def require_fit(
    connection: Connection[Any], table: pa.Table, targets: Mapping[str, str], view: str
) -> None:
    """Returns when no column of the target makes other values of those of `table`.

    Args:
        connection: in the transaction that writes them.
        targets: the types of the target's columns, by the name of those of `table`.

    Raises:
        ValueError: one does; names view, row and column.
    """
    kinds = {
        name: kind
        for name in targets
        if may_round(kind := postgres_type(table.schema.field(name).type), targets[name])
    }
    if not kinds:
        return
    columns: list[sql.Composable] = [sql.SQL("n bigint")]
    columns += [sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(k)) for n, k in kinds.items()]
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(
            STAGED, sql.SQL(", ").join(columns)
        )
    )
    numbers = pa.array(np.arange(1, len(table) + 1))
    staged = pa.table([numbers, *(table[name] for name in kinds)], names=["n", *kinds])
    copy_in(connection, STAGED, staged.column_names, staged.to_batches(BATCH_ROWS))
    for name, kind in kinds.items():
        query = sql.SQL(
            "SELECT n, {name}::text FROM {staged} WHERE {name}::{target}::{kind}"
            " IS DISTINCT FROM {name} ORDER BY n LIMIT 1"
        ).format(
            name=sql.Identifier(name),
            staged=STAGED,
            target=sql.SQL(targets[name]),
            kind=sql.SQL(kind),
        )
        if row := connection.execute(query).fetchone():
            raise ValueError(
                f"feature view {view}, row {row[0]}, column {name}: {row[1]} would become another "
                f"value in a column that is {targets[name]}"
            )


def may_round(kind: str, target: str) -> bool:
    """True where a value of the type `kind` may become another in a column, without an error."""
    kind, target = kind.removesuffix("[]"), target.removesuffix("[]")
    return any(target.startswith(start) and kind in kinds for start, kinds in ROUNDING.items())


def require_times(
    connection: Connection[Any], table: pa.Table, names: Iterable[str], view: str
) -> None:
    """Returns when no time is too far ahead; raises ValueError, which names view, row and time."""
    last = ahead.limit(connection)
    for name in names:
        column = instants(table[name]).combine_chunks()
        refuse(pc.greater(column, last), column, f"feature view {view}", name, ahead.said(last))
