"""Counts rows inside PostgreSQL: the statistics of each column of a month or a view.

One statement counts rows, one finds quantiles, and one for each number groups it by bin or value;
columns of few categories are grouped together. Grouping all columns in one scan (GROUPING SETS, or
a lateral unpivot) takes two to three times as long, since PostgreSQL has no parallel plan for it,
or makes a row of each value.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection, sql

from streamflow.statistics.counting import categories, frequent, numbers
from streamflow.statistics.counting.measured import Column, Measured
from streamflow.statistics.counting.numbers import Spread
from streamflow.statistics.summary import EXACT_ROWS, PROBABILITIES, Summary


def count(connection: Connection[Any], measured: Measured) -> tuple[int, int]:
    """The number of rows, and a hash over their keys, which is equal for equal keys."""
    query = sql.SQL(COUNT).format(key=measured.key, relation=measured.relation)
    rows, entities = connection.execute(query).fetchone() or (0, 0)
    return rows, entities


COUNT = "SELECT count(*), coalesce(bit_xor(hashtextextended({key}, 0)), 0) FROM {relation}"
"""Rows, and the keys' hashes taken together, in whatever order."""


def summarize(
    connection: Connection[Any],
    measured: Measured,
    rows: int,
    edges: Mapping[str, Sequence[float]],
) -> dict[str, Summary]:
    """The statistics of each column.

    Args:
        rows: the number of rows.
        edges: of the bins of numbers; those of a column that is not there are made of its values.
    """
    columns = measured.columns
    of_numbers = {name: one for name, one in columns.items() if one.kind == "number"}
    spreads = spread(connection, measured, of_numbers, rows)
    counted = categories.summarize(connection, measured, rows)
    found = {}
    for name, one in columns.items():
        match one.kind:
            case "number":
                found[name] = numbers.number(
                    connection, measured, one, spreads[name], rows, edges.get(name, ())
                )
            case "category":
                found[name] = counted[name]
            case _:
                found[name] = other(connection, measured, one, rows)
    return found


def spread(
    connection: Connection[Any], measured: Measured, columns: Mapping[str, Column], rows: int
) -> dict[str, Spread]:
    """Quantiles and different values of all numbers, from one scan.

    Above EXACT_ROWS from a sample, which holds from half as many rows to as many.
    """
    if not columns:
        return {}
    values = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(numbers.finite(one), sql.Identifier(name))
        for name, one in columns.items()
    )
    parts = [sql.SQL(SPREAD).format(column=sql.Identifier(name)) for name in columns]
    query = sql.SQL(SAMPLED).format(
        values=values,
        relation=measured.relation,
        chosen=sampled(measured.key, rows),
        parts=sql.SQL(" UNION ALL ").join(parts),
    )
    answers = connection.execute(query, {"at": list(PROBABILITIES)}).fetchall()
    return {
        name: Spread(
            quantiles or (),
            estimate(distinct, values, once, sampled, rows),
            most > frequent.SHARE * sampled,
        )
        for name, (quantiles, distinct, values, once, most, sampled) in zip(
            columns, answers, strict=True
        )
    }


def sampled(key: sql.Composable, rows: int) -> sql.Composable:
    """The condition by which rows are looked at: all up to EXACT_ROWS, a sample of more."""
    mask = (1 << max(0, math.ceil(math.log2(rows / EXACT_ROWS)))) - 1 if rows else 0
    if not mask:
        return sql.SQL("true")
    return sql.SQL("hashtextextended({}, 1) & {} = 0").format(key, mask)


SAMPLED = """
    WITH chosen AS MATERIALIZED (SELECT {values} FROM {relation} WHERE {chosen})
    {parts}"""
"""The rows to look at, read once."""

SPREAD = """
    SELECT (SELECT percentile_disc(%(at)s::float8[]) WITHIN GROUP (ORDER BY {column}) FROM chosen),
           count(*), coalesce(sum(n), 0)::bigint, count(*) FILTER (WHERE n = 1),
           coalesce(max(n), 0), (SELECT count(*) FROM chosen)
    FROM (SELECT count(*) AS n FROM chosen WHERE {column} IS NOT NULL GROUP BY {column}) AS each"""
"""Of one column: quantiles, different values, values, values that are there once, rows of the most
frequent one, and rows."""


def estimate(distinct: int, values: int, once: int, sampled: int, rows: int) -> int:
    """The number of different values of all rows, by those of a sample; the same of all rows.

    P. Haas and L. Stokes, Estimating the number of classes in a finite population, J. Am. Stat.
    Assoc. 93 (1998), estimator Duj1, by which PostgreSQL's ANALYZE estimates as well.
    """
    if not values or sampled >= rows:
        return distinct
    population = rows * values / sampled
    found = values * distinct / (values - once + once * values / population)
    return round(min(max(found, distinct), population))


def other(connection: Connection[Any], measured: Measured, column: Column, rows: int) -> Summary:
    """The nulls of a column of which nothing else is counted."""
    query = sql.SQL("SELECT count({}) FROM {}").format(column.value, measured.relation)
    there = (connection.execute(query).fetchone() or [0])[0]
    return Summary(kind="other", rows=rows, nulls=rows - there)
