"""Reads and writes statistics of months in schema `ops`.

A month of a table has one row of `statistics_months` and one of `statistics` for each column, which
are replaced together. Edges of bins are written once, and never replaced.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from streamflow.statistics.comparison.compare import Finding
from streamflow.statistics.summary import Frequent, Relation, Summary, TableSummary


def are_there(connection: Connection[Any]) -> bool:
    """False in a database that an earlier version applied, which lacks tables or columns."""
    return connection.execute(ARE_THERE).fetchone() is not None


ARE_THERE = """
    SELECT FROM pg_attribute
    WHERE attrelid = to_regclass('ops.statistics_months') AND attname = 'file'"""
"""A row where the newest migration of statistics has run."""


def edges_in(connection: Connection[Any], table: str) -> dict[str, list[float]]:
    """The edges of a table's columns, as far as a month had values of them."""
    return dict(connection.execute(EDGES, [table]).fetchall())


EDGES = "SELECT column_name, edges FROM ops.statistics_edges WHERE table_name = %s"
"""The edges of a table's columns."""


def save(
    connection: Connection[Any],
    summary: TableSummary,
    entities: int,
    file: str,
) -> None:
    """Writes the statistics of a month in place of earlier ones, and edges that are new.

    Args:
        entities: the hash over the month's keys.
        file: that the month is loaded from.
    """
    month = {"table": summary.name, "as_of": summary.instant, "rows": summary.rows}
    connection.execute(SAVE_MONTH, {**month, "entities": entities, "file": file})
    for position, (name, one) in enumerate(summary.columns.items(), 1):
        values = {
            **month,
            **vars(one),
            "column": name,
            "position": position,
            "quantiles": list(one.quantiles),
            "edges": list(one.edges),
            "bins": list(one.bins),
            "categories": list(one.categories),
            "counts": list(one.categories.values()),
            "frequent": Jsonb(vars(one.frequent)) if one.frequent else None,
            **(vars(one.relation) if one.relation else NO_RELATION),
        }
        connection.execute(SAVE, values)
        if one.edges:
            connection.execute(SAVE_EDGES, values)


NO_RELATION = {"auc": None, "positives": None, "negatives": None}
"""The columns of ops.statistics for a column that has no relation with a label."""

SAVE_MONTH = """
    INSERT INTO ops.statistics_months (table_name, as_of, row_count, entities, file)
    VALUES (%(table)s, %(as_of)s, %(rows)s, %(entities)s, %(file)s)
    ON CONFLICT (table_name, as_of) DO UPDATE
    SET (row_count, entities, file, computed_at)
      = (EXCLUDED.row_count, EXCLUDED.entities, EXCLUDED.file, now())"""
"""Writes a month of a table."""

SAVE = """
    INSERT INTO ops.statistics (table_name, as_of, column_name, position, kind, null_count,
        not_finite, distinct_count, is_exact, minimum, maximum, mean, deviation, quantiles, edges,
        bins, categories, category_counts, other_count, frequent, auc, positives, negatives)
    VALUES (%(table)s, %(as_of)s, %(column)s, %(position)s, %(kind)s, %(nulls)s, %(not_finite)s,
        %(distinct)s, %(is_exact)s, %(minimum)s, %(maximum)s, %(mean)s, %(deviation)s,
        %(quantiles)s, %(edges)s, %(bins)s, %(categories)s, %(counts)s, %(others)s,
        %(frequent)s, %(auc)s, %(positives)s, %(negatives)s)
    ON CONFLICT (table_name, as_of, column_name) DO UPDATE
    SET (position, kind, null_count, not_finite, distinct_count, is_exact, minimum, maximum, mean,
         deviation, quantiles, edges, bins, categories, category_counts, other_count, frequent, auc,
         positives, negatives)
      = (EXCLUDED.position, EXCLUDED.kind, EXCLUDED.null_count, EXCLUDED.not_finite,
         EXCLUDED.distinct_count, EXCLUDED.is_exact, EXCLUDED.minimum, EXCLUDED.maximum,
         EXCLUDED.mean, EXCLUDED.deviation, EXCLUDED.quantiles, EXCLUDED.edges, EXCLUDED.bins,
         EXCLUDED.categories, EXCLUDED.category_counts, EXCLUDED.other_count,
         EXCLUDED.frequent, EXCLUDED.auc, EXCLUDED.positives, EXCLUDED.negatives)"""
"""Writes a column of a month."""

SAVE_EDGES = """
    INSERT INTO ops.statistics_edges (table_name, column_name, as_of, edges)
    VALUES (%(table)s, %(column)s, %(as_of)s, %(edges)s) ON CONFLICT DO NOTHING"""
"""Writes the edges of a column that had none."""


def save_relations(
    connection: Connection[Any], table: str, instant: datetime, found: Mapping[str, Relation]
) -> None:
    """Writes the relations of a month's columns with the label."""
    with connection.cursor() as cursor:
        cursor.executemany(
            SAVE_RELATION,
            [
                {**vars(one), "column": c, "table": table, "as_of": instant}
                for c, one in found.items()
            ],
        )


SAVE_RELATION = """
    UPDATE ops.statistics SET (auc, positives, negatives) = (%(auc)s, %(positives)s, %(negatives)s)
    WHERE table_name = %(table)s AND as_of = %(as_of)s AND column_name = %(column)s"""
"""Writes the relation of one column."""


def lacks_relations(connection: Connection[Any], table: str, instant: datetime) -> bool:
    """True where a number of a month has no relation with the label yet."""
    return connection.execute(LACKS, [table, instant]).fetchone() is not None


LACKS = """
    SELECT FROM ops.statistics
    WHERE table_name = %s AND as_of = %s AND kind = 'number' AND positives IS NULL LIMIT 1"""
"""A row where the relations are still to be counted."""


def save_change(
    connection: Connection[Any],
    table: str,
    instant: datetime,
    before: datetime | None,
    change: tuple[int | None, int | None],
) -> None:
    """Writes how many entities of a month are new, and how many of the month before vanished."""
    connection.execute(SAVE_CHANGE, [before, *change, table, instant])


SAVE_CHANGE = """
    UPDATE ops.statistics_months SET (before, new_entities, vanished_entities) = (%s, %s, %s)
    WHERE table_name = %s AND as_of = %s"""
"""Writes the change of entities of a month."""


def entities_of(
    connection: Connection[Any], table: str, instant: datetime
) -> tuple[int, int] | None:
    """The number of rows of a month and the hash over its keys; None where it has no statistics."""
    return connection.execute(ENTITIES, [table, instant]).fetchone()


ENTITIES = """
    SELECT row_count, entities FROM ops.statistics_months WHERE table_name = %s AND as_of = %s"""
"""The rows and keys of a month."""


def load(connection: Connection[Any], table: str, instant: datetime) -> TableSummary | None:
    """The statistics of a month; None where none were made."""
    month = connection.execute(MONTH, [table, instant]).fetchone()
    if month is None:
        return None
    rows, before, new, vanished = month
    found = connection.cursor(row_factory=dict_row).execute(COLUMNS, [table, instant])
    columns = {one["column_name"]: summary_of(rows, one) for one in found}
    return TableSummary(table, instant, rows, columns, before, new, vanished)


MONTH = """
    SELECT row_count, before, new_entities, vanished_entities
    FROM ops.statistics_months WHERE table_name = %s AND as_of = %s"""
"""A month of a table."""

COLUMNS = """
    SELECT * FROM ops.statistics WHERE table_name = %s AND as_of = %s
    ORDER BY position, column_name"""
"""The columns of a month."""


def save_drift(
    connection: Connection[Any], table: str, instant: datetime, found: Sequence[Finding]
) -> None:
    """Writes what has drifted in a month in place of what was found before, where it differs."""
    month = (table, instant)
    rows = {(one.feature, one.measure, one.value, one.threshold, one.text) for one in found}
    if set(connection.execute(DRIFT, month).fetchall()) == rows:
        return
    connection.execute(CLEAR_DRIFT, month)
    with connection.cursor() as cursor:
        cursor.executemany(SAVE_DRIFT, [(*month, *row) for row in rows])


DRIFT = """
    SELECT column_name, measure, value, threshold, finding FROM ops.drift
    WHERE table_name = %s AND as_of = %s"""
"""Selects the changes of a month that are past their thresholds."""

CLEAR_DRIFT = "DELETE FROM ops.drift WHERE table_name = %s AND as_of = %s"
"""Removes what was found in a month."""

SAVE_DRIFT = """
    INSERT INTO ops.drift (table_name, as_of, column_name, measure, value, threshold, finding)
    VALUES (%s, %s, %s, %s, %s, %s, %s)"""
"""Writes one change of a month."""


def summary_of(rows: int, row: Mapping[str, Any]) -> Summary:
    """The statistics in a row of the table."""
    counted: Sequence[int] = row["category_counts"]
    return Summary(
        kind=row["kind"],
        rows=rows,
        nulls=row["null_count"],
        not_finite=row["not_finite"],
        distinct=row["distinct_count"],
        is_exact=row["is_exact"],
        minimum=row["minimum"],
        maximum=row["maximum"],
        mean=row["mean"],
        deviation=row["deviation"],
        quantiles=tuple(row["quantiles"]),
        edges=tuple(row["edges"]),
        bins=tuple(row["bins"]),
        categories=dict(zip(row["categories"], counted, strict=True)),
        others=row["other_count"],
        # Not there in a database that an earlier version applied.
        frequent=Frequent(**row["frequent"]) if row.get("frequent") else None,
        relation=None
        if row.get("positives") is None
        else Relation(row["auc"], row["positives"], row["negatives"]),
    )
