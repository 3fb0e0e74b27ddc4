"""Counts how each number of a month ranks the rows by the month's label, and stores it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection, sql

from streamflow.postgres.snapshot_tables import SCHEMA
from streamflow.snapshots import KEY, TIME, Snapshot, Snapshots
from streamflow.statistics.counting import gather
from streamflow.statistics.counting.measured import month_of
from streamflow.statistics.counting.numbers import finite
from streamflow.statistics.ranks import relation
from streamflow.statistics.summary import Relation


@dataclass(frozen=True)
class Label:
    """The label of a project's months."""

    snapshot: Snapshot
    is_true: sql.Composable
    """SQL of the label's column, true or false."""


def label_of(declared: Snapshots) -> Label | None:
    """The declared label, if it is a truth or a number from 0 to 1; None for any other."""
    name = declared.label
    column = declared.labels.columns[name]
    value = sql.Identifier("label", name)
    if column.type == "boolean":
        return Label(declared.labels, value)
    if (column.type, column.low, column.high) == ("bigint", 0, 1):
        return Label(declared.labels, sql.SQL("({} = 1)").format(value))
    return None


def relations_of(
    connection: Connection[Any], snapshot: Snapshot, label: Label, instant: datetime, rows: int
) -> dict[str, Relation]:
    """The relation of each number of a month with its label, from the rows that quantiles are from.

    None of the labels' own numbers. Rows without a label, and values that are null or not finite,
    count nowhere.
    """
    month = month_of(snapshot, instant)
    numbers = {name: one for name, one in month.columns.items() if one.kind == "number"}
    if not numbers or snapshot is label.snapshot:
        return {}
    query = sql.SQL(RANKED).format(
        values=sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(finite(one), sql.Identifier(name))
            for name, one in numbers.items()
        ),
        key=sql.Identifier(KEY),
        relation=month.relation,
        chosen=gather.sampled(month.key, rows),
        positive=label.is_true,
        of_label=gather.sampled(sql.Identifier("label", KEY), rows),
        labels=sql.Identifier(SCHEMA, label.snapshot.table),
        time=sql.Identifier(TIME),
        parts=sql.SQL(" UNION ALL ").join(
            sql.SQL(SUMS).format(column=sql.Identifier(name)) for name in numbers
        ),
    )
    found = connection.execute(query, [instant]).fetchall()
    return {name: relation(*row) for name, row in zip(numbers, found, strict=True)}


RANKED = """
    WITH chosen AS MATERIALIZED (
        SELECT {key}, {values} FROM {relation} WHERE {chosen}),
    labelled AS MATERIALIZED (
        SELECT chosen.*, {positive} AS positive
        FROM chosen JOIN {labels} AS label USING ({key})
        WHERE label.{time} = %s AND {positive} IS NOT NULL AND {of_label})
    {parts}"""
"""The rows of a month, or a sample of them, with their labels."""

SUMS = """
    SELECT coalesce(sum(positives * (below + negatives / 2.0)), 0)::float8,
           coalesce(sum(positives), 0)::bigint, coalesce(sum(negatives), 0)::bigint
    FROM (
        SELECT positives, negatives, sum(negatives) OVER (ORDER BY value) - negatives AS below
        FROM (
            SELECT {column} AS value, count(*) FILTER (WHERE positive) AS positives,
                   count(*) FILTER (WHERE NOT positive) AS negatives
            FROM labelled WHERE {column} IS NOT NULL GROUP BY 1) AS each) AS ranked"""
"""Of one column: pairs of a true and a false label whose first is larger, ties half, and both."""
