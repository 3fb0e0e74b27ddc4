"""Brings the tables of schema `source` to what the feature repository declares.

A table or column that is missing is added, and a type grows where every value stays the same;
nothing is ever removed. Idempotent; to be called in a transaction, beside the migrations.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from psycopg import Connection, sql

from streamflow.errors import SourceMismatch
from streamflow.postgres.counted_writes import count_writes
from streamflow.snapshots import TIME, Column, Snapshot, Snapshots

SCHEMA = "source"
WIDER = {
    ("smallint", "integer"),
    ("smallint", "bigint"),
    ("integer", "bigint"),
    ("real", "double precision"),
}
"""Types that may become another one: its values are all of the first one's."""


def changes(
    connection: Connection, declared: Snapshots, read_before: Iterable[str] = ()
) -> dict[str, list[str]]:
    """The differences between declaration and database, as a person reads them, by table.

    Args:
        read_before: queries that could be read once. A table or column that they name was there
            and is gone, renamed perhaps, so that a new and empty one in its place would be wrong.

    Raises:
        SourceMismatch: a column is of a type that its table's values do not all fit in.
    """
    return {
        f"{SCHEMA}.{one.table}": [text for text, _ in found]
        for one in declared.files
        if (found := differences(connection, one, read_before))
    }


def bring(connection: Connection, declared: Snapshots, read_before: Iterable[str] = ()) -> None:
    """Makes the tables as they are declared, and their comments; they count their writes.

    Args:
        read_before: as in `changes`.

    Raises:
        SourceMismatch: as in `changes`.
    """
    for one in declared.files:
        for _, statement in differences(connection, one, read_before):
            connection.execute(statement)
        count_writes(connection, SCHEMA, one.table)


def differences(
    connection: Connection, snapshot: Snapshot, read_before: Iterable[str]
) -> list[tuple[str, sql.Composed]]:
    """Each difference of a table, with the statement that ends it."""
    there = columns_of(connection, snapshot)
    was_read = {word for query in read_before for word in words_about(snapshot, query)}
    if not there:
        if snapshot.table in was_read:
            return []
        commented = [
            comment(snapshot, name, column) for name, column in snapshot.every_column().items()
        ]
        indexed = [] if snapshot.newest_only else [index_of_time(snapshot)]
        return [("new table", sql.SQL(";").join([created(snapshot), *indexed, *commented]))]
    found = []
    for name, column in snapshot.every_column().items():
        kind, said = there.get(name, ("", None))
        if not kind:
            if name in was_read:
                continue
            # The rows of earlier months have no value of it.
            added = altered(snapshot, "ADD COLUMN {} {}", name, column)
            with_meaning = sql.SQL("; ").join([added, comment(snapshot, name, column)])
            found.append((f"+ {name} {column.type}", with_meaning))
            continue
        if kind != column.type:
            if (kind, column.type) not in WIDER:
                raise SourceMismatch(
                    [
                        f"{SCHEMA}.{snapshot.table}: {name} is declared as {column.type} and is"
                        f" {kind} in the database, whose values need not fit; declare a column of"
                        " another name"
                    ]
                )
            wider = altered(snapshot, "ALTER COLUMN {} TYPE {}", name, column)
            found.append((f"{name}: {kind} becomes {column.type}", wider))
        if said != column.meaning:
            found.append((f"{name}: another meaning", comment(snapshot, name, column)))
    return found


def words_about(snapshot: Snapshot, query: str) -> set[str]:
    """The names in a query of the table, nothing of another's query."""
    found = set(re.findall(r"\w+", query))
    return found if snapshot.table in found else set()


def created(snapshot: Snapshot) -> sql.Composed:
    """The statement that makes the table."""
    columns = [
        sql.SQL("{} {}{}{}").format(
            sql.Identifier(name),
            sql.SQL(column.type),
            sql.SQL("" if column.nullable else " NOT NULL"),
            sql.SQL(" DEFAULT now()" if name == "loaded_at" else ""),
        )
        for name, column in snapshot.every_column().items()
    ]
    return sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(
        sql.Identifier(SCHEMA, snapshot.table),
        sql.SQL(", ").join(columns),
        sql.SQL(", ").join(map(sql.Identifier, snapshot.primary_key)),
    )


def index_of_time(snapshot: Snapshot) -> sql.Composed:
    """The statement that makes a month be found without the months before it."""
    return sql.SQL("CREATE INDEX ON {} ({})").format(
        sql.Identifier(SCHEMA, snapshot.table), sql.Identifier(TIME)
    )


def altered(snapshot: Snapshot, change: str, name: str, column: Column) -> sql.Composed:
    """The statement that changes one column, of which `change` names column and type."""
    return sql.SQL(f"ALTER TABLE {{}} {change}").format(
        sql.Identifier(SCHEMA, snapshot.table), sql.Identifier(name), sql.SQL(column.type)
    )


def comment(snapshot: Snapshot, name: str, column: Column) -> sql.Composed:
    """The statement that writes down a column's meaning."""
    place = sql.Identifier(SCHEMA, snapshot.table, name)
    return sql.SQL("COMMENT ON COLUMN {} IS {}").format(place, column.meaning)


def columns_of(connection: Connection, snapshot: Snapshot) -> dict[str, tuple[str, str | None]]:
    """Type and comment of the columns that the table has; empty where there is no table."""
    rows = connection.execute(COLUMNS, [SCHEMA, snapshot.table]).fetchall()
    return {name: (kind, said) for name, kind, said in rows}


COLUMNS = """
    SELECT attname, format_type(atttypid, NULL), col_description(attrelid, attnum)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = to_regnamespace(%s) AND relname = %s AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum"""
"""The columns of a table, in their order."""


def labelled(connection: Connection[Any], declared: Snapshots) -> list[datetime]:
    """The instants that have labels, which all months have, the oldest first."""
    table = sql.Identifier(SCHEMA, declared.labels.table)
    return [one for (one,) in connection.execute(sql.SQL(LABELLED).format(labels=table))]


LABELLED = """
    WITH RECURSIVE days AS (
        SELECT min(as_of) AS day FROM {labels}
        UNION ALL
        SELECT (SELECT min(as_of) FROM {labels} WHERE as_of > day)
        FROM days WHERE day IS NOT NULL
    )
    SELECT day FROM days WHERE day IS NOT NULL ORDER BY day"""
"""The instants of the labels, by going from one to the next in the index."""
