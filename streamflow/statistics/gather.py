"""Counts rows inside PostgreSQL: the statistics of each column of a month or a view.

One statement counts rows, one finds quantiles, and one for each number groups it by bin; columns of
few categories are grouped together. Grouping all columns in one scan (GROUPING SETS, or a lateral
unpivot) takes two to three times as long, since PostgreSQL has no parallel plan for it, or makes a
row of each value.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from streamflow.statistics import categories, frequent
from streamflow.statistics.edges import BINS, edges_of
from streamflow.statistics.measured import Column, Measured
from streamflow.statistics.summary import EXACT_ROWS, PROBABILITIES, Summary

NOT_FINITE = -1
"""The bin of NaN, infinities, and what is too large to square."""


@dataclass(frozen=True)
class Spread:
    """The quantiles of a number and its different values, of all rows or of a sample."""

    quantiles: Sequence[float]
    distinct: int
    is_frequent: bool
    """True where one value may have a large share of the rows."""


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
    numbers = {name: one for name, one in columns.items() if one.kind == "number"}
    spreads = spread(connection, measured, numbers, rows)
    counted = categories.summarize(connection, measured, rows)
    found = {}
    for name, one in columns.items():
        match one.kind:
            case "number":
                of = edges.get(name) or new_edges(connection, measured, one, spreads[name])
                found[name] = number(connection, measured, one, spreads[name], rows, of)
            case "category":
                found[name] = counted[name]
            case _:
                found[name] = other(connection, measured, one, rows)
    return found


def finite(column: Column) -> sql.Composable:
    """A number, or null where it is not finite."""
    if not column.may_be_infinite:
        return column.value
    return sql.SQL("CASE WHEN abs({0}) < 1e150 THEN {0} END").format(column.value)


def spread(
    connection: Connection[Any], measured: Measured, numbers: Mapping[str, Column], rows: int
) -> dict[str, Spread]:
    """Quantiles and different values of all numbers, from one scan.

    Above EXACT_ROWS from a sample, which holds from half as many rows to as many.
    """
    if not numbers:
        return {}
    values = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(finite(one), sql.Identifier(name))
        for name, one in numbers.items()
    )
    parts = [sql.SQL(SPREAD).format(column=sql.Identifier(name)) for name in numbers]
    query = sql.SQL(SAMPLED).format(
        values=values,
        relation=measured.relation,
        chosen=chosen(measured, rows),
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
            numbers, answers, strict=True
        )
    }


def chosen(measured: Measured, rows: int) -> sql.Composable:
    """The condition by which rows are looked at: all up to EXACT_ROWS, a sample of more."""
    mask = (1 << max(0, math.ceil(math.log2(rows / EXACT_ROWS)))) - 1 if rows else 0
    if not mask:
        return sql.SQL("true")
    return sql.SQL("hashtextextended({}, 1) & {} = 0").format(measured.key, mask)


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


def new_edges(
    connection: Connection[Any], measured: Measured, column: Column, spread: Spread
) -> list[float]:
    """Edges for a column that has none yet; none as long as it has no value."""
    if not spread.quantiles:
        return []
    values: list[float] = []
    if spread.distinct <= BINS:
        query = sql.SQL(DIFFERENT).format(
            value=finite(column), relation=measured.relation, most=sql.Literal(BINS + 1)
        )
        values = [one for (one,) in connection.execute(query)]
    few = values if len(values) <= BINS else []  # a rare one may be in no sample
    return edges_of(few, spread.quantiles[0], spread.quantiles[-1])


DIFFERENT = """
    SELECT value FROM (SELECT {value} AS value FROM {relation}) AS each
    WHERE value IS NOT NULL GROUP BY value LIMIT {most}"""
"""The different values of a column, if they are few."""


def number(
    connection: Connection[Any],
    measured: Measured,
    column: Column,
    spread: Spread,
    rows: int,
    edges: Sequence[float],
) -> Summary:
    """The statistics of a number: moments of each bin, put together."""
    bin_ = sql.SQL("width_bucket(value, {}::float8[])").format(sql.Literal(list(edges)))
    query = sql.SQL(BINNED).format(
        bin=bin_ if edges else sql.SQL("0"),
        raw=column.value,
        value=finite(column),
        relation=measured.relation,
        not_finite=sql.Literal(NOT_FINITE),
    )
    bins, nulls, beyond = [0] * (len(edges) + 1 if edges else 0), 0, 0
    moments = []
    for at, count_, low, high, mean, variance in connection.execute(query):
        if at is None:
            nulls = count_
        elif at == NOT_FINITE:
            beyond = count_
        else:
            bins[at] = count_
            moments.append((count_, low, high, mean, variance))
    mean, deviation = together([(n, mean, variance) for n, _, _, mean, variance in moments])
    return Summary(
        kind="number",
        rows=rows,
        nulls=nulls,
        not_finite=beyond,
        distinct=spread.distinct,
        is_exact=rows <= EXACT_ROWS,
        minimum=min((one[1] for one in moments), default=None),
        maximum=max((one[2] for one in moments), default=None),
        mean=mean,
        deviation=deviation,
        quantiles=tuple(spread.quantiles),
        edges=tuple(edges),
        bins=tuple(bins),
        frequent=frequent.find(connection, measured, column, rows)
        if spread.is_frequent and spread.distinct > BINS
        else None,
    )


BINNED = """
    SELECT CASE WHEN raw IS NULL THEN NULL WHEN value IS NULL THEN {not_finite} ELSE {bin} END,
           count(*), min(value), max(value), avg(value), var_pop(value)
    FROM (SELECT {raw} AS raw, {value} AS value FROM {relation}) AS each GROUP BY 1"""
"""A column's values by bin, nulls and what is not finite by themselves."""


def together(parts: Sequence[tuple[int, float, float]]) -> tuple[float | None, float | None]:
    """Mean and standard deviation of all, from number, mean and variance of each part.

    T. Chan, G. Golub and R. LeVeque, Algorithms for computing the sample variance, Am. Stat. 37
    (1983): no large squares are subtracted from each other.
    """
    total = sum(n for n, _, _ in parts)
    if not total:
        return None, None
    mean = math.fsum(n * each for n, each, _ in parts) / total
    if total < 2:
        return mean, None
    squares = math.fsum(n * (variance + (each - mean) ** 2) for n, each, variance in parts)
    return mean, math.sqrt(squares / (total - 1))


def other(connection: Connection[Any], measured: Measured, column: Column, rows: int) -> Summary:
    """The nulls of a column of which nothing else is counted."""
    query = sql.SQL("SELECT count({}) FROM {}").format(column.value, measured.relation)
    there = (connection.execute(query).fetchone() or [0])[0]
    return Summary(kind="other", rows=rows, nulls=rows - there)
