"""Reads the statistics of months and what has drifted in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from explorer.database import Connection, rows
from streamflow.postgres import migrate as schema
from streamflow.statistics.store import summary_of
from streamflow.statistics.summary import Summary


@dataclass(frozen=True)
class MonthOfTable:
    """A month of a monthly table."""

    table: str
    instant: datetime
    rows: int
    before: datetime | None
    new: int | None
    vanished: int | None
    findings: int
    """The number of changes past their thresholds."""


@dataclass(frozen=True)
class Drifted:
    """A change past its threshold in a month of a table."""

    table: str
    instant: datetime
    column: str
    """Empty where it is the rows of the whole table."""
    measure: str
    text: str


def are_there(connection: Connection) -> bool:
    """False in a database that an earlier version applied, which kept no statistics."""
    return schema.exists(connection, "ops.drift")


def tables(connection: Connection) -> Mapping[str, frozenset[str]]:
    """The columns with statistics, by monthly table, as of each table's newest month."""
    if not are_there(connection):
        return {}
    found = rows(connection, TABLES)
    return {one["table_name"]: frozenset(one["columns"]) for one in found}


TABLES = """
    WITH newest AS (SELECT table_name, max(as_of) AS as_of FROM ops.statistics_months GROUP BY 1)
    SELECT table_name, array_agg(column_name) AS columns
    FROM newest JOIN ops.statistics USING (table_name, as_of)
    GROUP BY table_name ORDER BY table_name"""
"""The columns of the newest month of each table."""


def files(connection: Connection) -> Mapping[str, str]:
    """The file that the newest month of each table was loaded from, where that is known."""
    if not are_there(connection):
        return {}
    return {one["table_name"]: one["file"] for one in rows(connection, FILES) if one["file"]}


FILES = """
    SELECT DISTINCT ON (table_name) table_name, to_jsonb(m) ->> 'file' AS file
    FROM ops.statistics_months AS m ORDER BY table_name, as_of DESC"""
"""The file of each table; null in a database that an earlier version applied."""


def newest_months(connection: Connection) -> list[MonthOfTable]:
    """The newest month of each table."""
    if not are_there(connection):
        return []
    return [MonthOfTable(**one) for one in rows(connection, NEWEST)]


NEWEST = """
    SELECT DISTINCT ON (table_name) table_name AS table, as_of AS instant, row_count AS rows,
           before, new_entities AS new, vanished_entities AS vanished,
           (SELECT count(*) FROM ops.drift AS d
            WHERE (d.table_name, d.as_of) = (m.table_name, m.as_of)) AS findings
    FROM ops.statistics_months AS m ORDER BY table_name, as_of DESC"""
"""The newest month of each table, with the number of its changes."""


def drift_of_newest(connection: Connection) -> list[Drifted]:
    """The changes past their thresholds in the newest month of each table."""
    if not are_there(connection):
        return []
    return [Drifted(**one) for one in rows(connection, DRIFT_OF_NEWEST)]


DRIFT_OF_NEWEST = """
    SELECT table_name AS table, as_of AS instant, column_name AS column, measure, finding AS text
    FROM ops.status_of_drift WHERE measure IS NOT NULL
    ORDER BY table_name, column_name, measure"""
"""The changes of the newest months."""


def unchanged_columns(connection: Connection) -> set[tuple[str, str]]:
    """By table and column: what has the very same counts in the newest month as in the one before.

    Columns without a value are left out, and those of which nothing but nulls is counted.
    """
    if not are_there(connection):
        return set()
    return {(one["table"], one["column"]) for one in rows(connection, UNCHANGED)}


UNCHANGED = """
    WITH newest AS (
        SELECT DISTINCT ON (table_name) table_name, as_of, before, row_count
        FROM ops.statistics_months ORDER BY table_name, as_of DESC)
    SELECT n.table_name AS table, b.column_name AS column
    FROM newest AS n
    JOIN ops.statistics_months AS m ON m.table_name = n.table_name AND m.as_of = n.before
    JOIN ops.statistics AS a ON a.table_name = n.table_name AND a.as_of = n.before
    JOIN ops.statistics AS b
      ON b.table_name = n.table_name AND b.as_of = n.as_of AND b.column_name = a.column_name
    WHERE n.row_count = m.row_count AND b.kind <> 'other' AND b.distinct_count > 0
      AND ROW(a.kind, a.null_count, a.distinct_count, a.minimum, a.maximum, a.mean, a.deviation,
              a.quantiles, a.edges, a.bins, a.categories, a.category_counts)
          IS NOT DISTINCT FROM
          ROW(b.kind, b.null_count, b.distinct_count, b.minimum, b.maximum, b.mean, b.deviation,
              b.quantiles, b.edges, b.bins, b.categories, b.category_counts)"""
"""Columns whose two newest months are equal in all that was counted."""


def drifted_months(connection: Connection, table: str, column: str) -> set[datetime]:
    """The months in which a column has drifted from the month before it."""
    found = rows(connection, DRIFTED_MONTHS, {"table": table, "column": column})
    return {one["as_of"] for one in found}


DRIFTED_MONTHS = """
    SELECT DISTINCT as_of FROM ops.drift
    WHERE table_name = %(table)s AND column_name = %(column)s"""
"""The months of a column that drifted."""


def months_of(connection: Connection, table: str, column: str) -> dict[datetime, Summary]:
    """The statistics of a column by month, the oldest first."""
    found = rows(connection, MONTHS, {"table": table, "column": column})
    return {one["as_of"]: summary_of(one["row_count"], one) for one in found}


MONTHS = """
    SELECT m.row_count, s.* FROM ops.statistics AS s
    JOIN ops.statistics_months AS m USING (table_name, as_of)
    WHERE s.table_name = %(table)s AND s.column_name = %(column)s ORDER BY s.as_of"""
"""A column in all months."""


def newest_of_columns(
    connection: Connection, wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[datetime, Summary]]:
    """The newest month's statistics by table and column, of those that are wanted."""
    if not wanted:
        return {}
    tables_, columns = (list(one) for one in zip(*wanted, strict=True))
    found = rows(connection, NEWEST_OF_COLUMNS, {"tables": tables_, "columns": columns})
    return {
        (one["table_name"], one["column_name"]): (one["as_of"], summary_of(one["row_count"], one))
        for one in found
    }


NEWEST_OF_COLUMNS = """
    WITH newest AS (
        SELECT DISTINCT ON (table_name) table_name, as_of, row_count
        FROM ops.statistics_months WHERE table_name = ANY(%(tables)s)
        ORDER BY table_name, as_of DESC)
    SELECT n.row_count, s.* FROM newest AS n JOIN ops.statistics AS s USING (table_name, as_of)
    JOIN unnest(%(tables)s::text[], %(columns)s::text[]) AS w (table_name, column_name)
        USING (table_name, column_name)"""
"""Columns in the newest month of their table."""


def at(
    connection: Connection, wanted: Sequence[tuple[str, str]], instant: datetime
) -> dict[tuple[str, str], Summary]:
    """The statistics of a month by table and column, of those that are wanted."""
    if not wanted or not are_there(connection):
        return {}
    tables_, columns = (list(one) for one in zip(*wanted, strict=True))
    named = {"tables": tables_, "columns": columns, "instant": instant}
    return {
        (one["table_name"], one["column_name"]): summary_of(one["row_count"], one)
        for one in rows(connection, AT, named)
    }


AT = """
    SELECT m.row_count, s.*
    FROM unnest(%(tables)s::text[], %(columns)s::text[]) AS w (table_name, column_name)
    JOIN ops.statistics AS s USING (table_name, column_name)
    JOIN ops.statistics_months AS m USING (table_name, as_of)
    WHERE s.as_of = %(instant)s"""
"""Columns in a month."""
