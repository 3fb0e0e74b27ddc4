"""Counts the categories of texts and truths inside PostgreSQL."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection, sql

from streamflow.statistics.counting.measured import Column, Measured
from streamflow.statistics.summary import TOP, Summary

MOST_COMBINATIONS = 5_000
"""Columns are grouped together as long as their values have no more combinations."""


def summarize(connection: Connection[Any], measured: Measured, rows: int) -> dict[str, Summary]:
    """The statistics of each column that is a category."""
    columns = {name: one for name, one in measured.columns.items() if one.kind == "category"}
    found: dict[str, Summary] = {}
    for names in together(columns):
        found |= few(connection, measured, names)
    for name, one in columns.items():
        if one.most is None:
            found[name] = many(connection, measured, one, rows)
    return found


def together(columns: Mapping[str, Column]) -> list[list[str]]:
    """The columns of few values, in groups of few combinations."""
    groups: list[list[str]] = []
    combinations = MOST_COMBINATIONS + 1
    for name, one in columns.items():
        if one.most is None:
            continue
        combinations *= one.most
        if combinations > MOST_COMBINATIONS:
            groups.append([])
            combinations = one.most
        groups[-1].append(name)
    return groups


def few(
    connection: Connection[Any], measured: Measured, names: Sequence[str]
) -> dict[str, Summary]:
    """The statistics of columns whose combinations are counted in one scan."""
    query = sql.SQL("SELECT {values}, count(*) FROM {relation} GROUP BY {numbers}").format(
        values=sql.SQL(", ").join(measured.columns[name].value for name in names),
        relation=measured.relation,
        numbers=sql.SQL(", ").join(sql.SQL(str(at + 1)) for at in range(len(names))),
    )
    counts: dict[str, Counter[str | None]] = {name: Counter() for name in names}
    for *combination, count in connection.execute(query):
        for name, value in zip(names, combination, strict=True):
            counts[name][value] += count
    found = {}
    for name, each in counts.items():
        rows, nulls = each.total(), each.pop(None, 0)
        # Equal counts in the order of their bytes, as PostgreSQL sorts them below.
        ordered = sorted(each.items(), key=lambda one: (-one[1], str(one[0]).encode()))
        top = [(str(value), count) for value, count in ordered[:TOP]]
        found[name] = summary(rows, nulls, len(each), top)
    return found


def many(connection: Connection[Any], measured: Measured, column: Column, rows: int) -> Summary:
    """The statistics of a column of any number of values."""
    query = sql.SQL(MOST_FREQUENT).format(
        value=column.value, relation=measured.relation, most=sql.Literal(TOP)
    )
    found = connection.execute(query).fetchall()
    nulls = sum(count for value, count, _ in found if value is None)
    top = [(value, count) for value, count, _ in found if value is not None]
    distinct = next((every for value, _, every in found if value is not None), 0)
    return summary(rows, nulls, distinct, top)


MOST_FREQUENT = """
    WITH each AS MATERIALIZED (
        SELECT value, count(*) AS n FROM (SELECT {value} AS value FROM {relation}) AS rows
        GROUP BY value)
    (SELECT value, n, (SELECT count(value) FROM each) FROM each WHERE value IS NOT NULL
     ORDER BY n DESC, value COLLATE "C" LIMIT {most})
    UNION ALL SELECT value, n, 0 FROM each WHERE value IS NULL"""
"""The most frequent values with the number of different ones, and the nulls."""


def summary(rows: int, nulls: int, distinct: int, top: Sequence[tuple[str, int]]) -> Summary:
    """The statistics of a category, by its most frequent values."""
    named = dict(top)
    return Summary(
        kind="category",
        rows=rows,
        nulls=nulls,
        distinct=distinct,
        categories=named,
        others=rows - nulls - sum(named.values()),
    )
