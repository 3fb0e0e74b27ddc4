"""Counts the bins and moments of numbers inside PostgreSQL."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from streamflow.statistics.counting import frequent
from streamflow.statistics.counting.measured import Column, Measured
from streamflow.statistics.edges import BINS, edges_of
from streamflow.statistics.summary import EXACT_ROWS, Summary

NOT_FINITE = -1
"""The bin of NaN, infinities, and what is too large to square."""

Part = tuple[int | None, int, float, float, float, float]
"""The bin (None of nulls), number, minimum, maximum, mean and variance of some values."""


@dataclass(frozen=True)
class Spread:
    """The quantiles of a number and its different values, of all rows or of a sample."""

    quantiles: Sequence[float]
    distinct: int
    is_frequent: bool
    """True where one value may have a large share of the rows."""


def finite(column: Column) -> sql.Composable:
    """A number, or null where it is not finite."""
    if not column.may_be_infinite:
        return column.value
    return sql.SQL("CASE WHEN abs({0}) < 1e150 THEN {0} END").format(column.value)


def number(
    connection: Connection[Any],
    measured: Measured,
    column: Column,
    spread: Spread,
    rows: int,
    edges: Sequence[float],
) -> Summary:
    """The statistics of a number, put together from its bins or values.

    Args:
        edges: of its bins; empty where they are to be made of its values.
    """
    if spread.distinct <= BINS:
        edges, parts = by_value(connection, measured, column, spread, edges)
    else:
        edges = edges or edges_of((), spread.quantiles[0], spread.quantiles[-1])
        parts = by_bin(connection, measured, column, edges)
    bins = [0] * (len(edges) + 1 if edges else 0)
    for at, count, *_ in parts:
        if at not in (None, NOT_FINITE):
            bins[at] += count
    known = [one for one in parts if one[0] not in (None, NOT_FINITE)]
    mean, deviation = together([(one[1], one[4], one[5]) for one in known])
    return Summary(
        kind="number",
        rows=rows,
        nulls=sum(one[1] for one in parts if one[0] is None),
        not_finite=sum(one[1] for one in parts if one[0] == NOT_FINITE),
        distinct=spread.distinct,
        is_exact=rows <= EXACT_ROWS,
        minimum=min((one[2] for one in known), default=None),
        maximum=max((one[3] for one in known), default=None),
        mean=mean,
        deviation=deviation,
        quantiles=tuple(spread.quantiles),
        edges=tuple(edges),
        bins=tuple(bins),
        frequent=frequent.find(connection, measured, column, rows)
        if spread.is_frequent and spread.distinct > BINS
        else None,
    )


def by_bin(
    connection: Connection[Any], measured: Measured, column: Column, edges: Sequence[float]
) -> list[Part]:
    """A number's values by bin."""
    query = sql.SQL(BINNED).format(
        bin=sql.SQL("width_bucket(value, {}::float8[])").format(sql.Literal(list(edges))),
        raw=column.value,
        value=finite(column),
        relation=measured.relation,
        not_finite=sql.Literal(NOT_FINITE),
    )
    return connection.execute(query).fetchall()


BINNED = """
    SELECT CASE WHEN raw IS NULL THEN NULL WHEN value IS NULL THEN {not_finite} ELSE {bin} END,
           count(*), min(value), max(value), avg(value), var_pop(value)
    FROM (SELECT {raw} AS raw, {value} AS value FROM {relation}) AS each GROUP BY 1"""
"""A column's values by bin, nulls and what is not finite by themselves."""


def by_value(
    connection: Connection[Any],
    measured: Measured,
    column: Column,
    spread: Spread,
    edges: Sequence[float],
) -> tuple[Sequence[float], list[Part]]:
    """A number's values each with their bin, where they are few; and the edges of the bins.

    One scan finds both, also the rare values that no sample has.
    """
    query = sql.SQL(BY_VALUE).format(value=column.value, relation=measured.relation)
    counted = connection.execute(query).fetchall()
    values = [one for one, _ in counted if one is not None and abs(one) < LARGEST]
    if not edges and values:
        few = values if len(values) <= BINS else []
        low, high = (spread.quantiles or values)[0], (spread.quantiles or values)[-1]
        edges = edges_of(few, low, high)
    parts: list[Part] = []
    for value, count in counted:
        if value is None:
            parts.append((None, count, 0, 0, 0, 0))
        elif abs(value) < LARGEST:
            parts.append((bisect.bisect_right(edges, value), count, value, value, value, 0))
        else:
            parts.append((NOT_FINITE, count, 0, 0, 0, 0))
    return edges, parts


LARGEST = 1e150
"""Numbers from here on count as not finite, since their squares are none."""

BY_VALUE = """
    SELECT value, count(*) FROM (SELECT {value} AS value FROM {relation}) AS each
    GROUP BY value ORDER BY value"""
"""The values of a column with their rows."""


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
