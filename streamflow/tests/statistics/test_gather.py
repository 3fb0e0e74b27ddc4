"""Statistics that PostgreSQL counts, against those of numpy and pandas over the same rows."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg import sql

from streamflow.postgres.connect import connect
from streamflow.statistics.counting import gather
from streamflow.statistics.counting.measured import Measured, column_of
from streamflow.statistics.summary import EXACT_ROWS, PROBABILITIES, Frequent, Summary

INSTANT = datetime(2024, 1, 31, tzinfo=UTC)


@pytest.fixture
def connection(empty_database: str) -> Iterator[psycopg.Connection]:
    with connect() as found:
        yield found


def measured(connection: psycopg.Connection, rows: str, **types: str) -> Measured:
    """The rows of a query as a table `rows` with a key `id`."""
    connection.execute(f"CREATE TABLE rows AS {rows}")
    columns = {name: column_of(name, type_) for name, type_ in types.items()}
    return Measured("rows", sql.SQL("rows"), sql.SQL("id::text"), columns)


def summaries(
    connection: psycopg.Connection,
    rows: str,
    edges: dict[str, list[float]] | None = None,
    **types: str,
) -> dict[str, Summary]:
    found = measured(connection, rows, **types)
    count, _ = gather.count(connection, found)
    return gather.summarize(connection, found, count, edges or {})


def values(connection: psycopg.Connection, column: str) -> np.ndarray:
    found: list[Any] = connection.execute(f"SELECT {column}::float8 FROM rows").fetchall()
    return np.array([math.nan if one is None else one for (one,) in found], dtype=float)


def test_a_number_is_counted_as_numpy_counts_it(connection):
    query = """
        SELECT id, CASE WHEN id % 10 > 0 THEN (100 + ln(1 + id) * (id * 7919 % 1000))::real END AS v
        FROM generate_series(1, 20000) AS id"""
    one = summaries(connection, query, v="real")["v"]
    every = values(connection, "v")
    known = every[~np.isnan(every)]
    assert (one.rows, one.nulls, one.is_exact) == (20_000, 2_000, True)
    assert one.distinct == len(np.unique(known))
    assert (one.minimum, one.maximum) == (known.min(), known.max())
    assert one.mean == pytest.approx(known.mean(), rel=1e-12)
    assert one.deviation == pytest.approx(known.std(ddof=1), rel=1e-12)
    expected = np.quantile(known, PROBABILITIES, method="inverted_cdf")
    assert list(one.quantiles) == list(expected)
    counted, _ = np.histogram(known, [-math.inf, *one.edges, math.inf])
    assert list(one.bins) == list(counted)
    assert sum(one.bins) == one.values


def test_variance_of_numbers_far_from_zero_keeps_its_digits(connection):
    query = "SELECT id, 1e9 + id % 5 AS v FROM generate_series(1, 1000) AS id"
    one = summaries(connection, query, v="double precision")["v"]
    assert one.deviation == pytest.approx(np.std([0, 1, 2, 3, 4] * 200, ddof=1), rel=1e-9)


def test_what_is_not_finite_is_in_no_bin(connection):
    query = """
        SELECT id, (ARRAY['NaN', 'Infinity', '-Infinity', '1e200', '-1e300', '5'])[id]::float8 AS v
        FROM generate_series(1, 7) AS id"""
    one = summaries(connection, query, v="double precision")["v"]
    assert (one.rows, one.nulls, one.not_finite) == (7, 1, 5)
    assert (one.minimum, one.maximum, one.mean, one.deviation) == (5, 5, 5, None)
    assert (one.bins, one.distinct) == ((0, 1, 0), 1)


def test_values_outside_the_edges_of_before_are_in_the_open_bins(connection):
    query = "SELECT id, id AS v FROM generate_series(1, 10) AS id"
    one = summaries(connection, query, {"v": [3.0, 5.0, 7.0]}, v="bigint")["v"]
    assert one.edges == (3.0, 5.0, 7.0)
    assert one.bins == (2, 2, 2, 4)


@pytest.mark.parametrize(("column", "type_"), [("NULL::real", "real"), ("NULL::text", "text")])
def test_a_column_without_a_value(connection, column, type_):
    query = f"SELECT id, {column} AS v FROM generate_series(1, 9) AS id"
    one = summaries(connection, query, v=type_)["v"]
    assert (one.rows, one.nulls, one.distinct) == (9, 9, 0)
    assert (one.edges, one.bins, one.quantiles, dict(one.categories)) == ((), (), (), {})


def test_no_row_at_all(connection):
    query = "SELECT 1 AS id, 1 AS v, 'a' AS w WHERE false"
    found = summaries(connection, query, v="bigint", w="text")
    assert [(one.rows, one.nulls, one.null_rate) for one in found.values()] == [(0, 0, None)] * 2


def test_the_most_frequent_categories_have_names_and_the_rest_a_number(connection):
    query = """
        SELECT id, CASE WHEN id % 7 > 0 THEN 'c' || floor(sqrt(id)) END AS v, id % 2 = 0 AS w
        FROM generate_series(1, 1000) AS id"""
    found = summaries(connection, query, v="text", w="boolean")
    frame = pd.DataFrame(connection.execute("SELECT v FROM rows").fetchall(), columns=["v"])
    expected = frame["v"].value_counts()
    one = found["v"]
    assert (one.nulls, one.distinct) == (142, len(expected))
    assert sorted(one.categories.values(), reverse=True) == sorted(expected, reverse=True)[:20]
    assert all(expected[name] == count for name, count in one.categories.items())
    assert one.others == 858 - sum(one.categories.values())
    assert found["w"].categories == {"false": 500, "true": 500}


def test_days_are_numbers_and_lists_are_only_counted(connection):
    query = """
        SELECT id, date '2024-01-01' + id AS v, CASE WHEN id > 1 THEN ARRAY[id] END AS w
        FROM generate_series(1, 3) AS id"""
    found = summaries(connection, query, v="date", w="INT64_LIST")
    assert found["v"].minimum == (datetime(2024, 1, 2) - datetime(1970, 1, 1)).days
    assert (found["w"].kind, found["w"].nulls, found["w"].distinct) == ("other", 1, None)


def test_many_rows_are_estimated_from_some_of_them(connection):
    count = 4 * EXACT_ROWS
    query = f"""
        SELECT id, (id::bigint * 7919 % {count})::float8 AS v, id % 50 AS w, (id * 31 % 100000) AS x
        FROM generate_series(1, {count}) AS id"""
    found = summaries(connection, query, v="double precision", w="bigint", x="bigint")
    one = found["v"]
    assert not one.is_exact
    assert list(one.quantiles) == pytest.approx(
        [count * at for at in PROBABILITIES], abs=0.02 * count
    )
    assert (one.minimum, one.maximum) == (0, count - 1)  # these are exact all the same
    assert sum(one.bins) == count
    assert one.distinct == pytest.approx(count, rel=0.1)
    assert found["w"].distinct == 50
    assert found["x"].distinct == pytest.approx(100_000, rel=0.15)


def test_equal_keys_have_an_equal_hash_in_whatever_order(connection):
    found = measured(connection, "SELECT id FROM generate_series(1, 100) AS id")
    first = gather.count(connection, found)
    connection.execute("DROP TABLE rows")
    query = "SELECT id FROM generate_series(1, 100) AS id ORDER BY id DESC"
    assert gather.count(connection, measured(connection, query)) == first
    connection.execute("UPDATE rows SET id = 101 WHERE id = 1")
    assert gather.count(connection, found) != first


STANDING_FOR_NONE = """
    SELECT id, CASE WHEN tickets = 0 THEN 10 ELSE 1 + id * 7919 % 300 / 10.0 END::real AS hours,
           tickets, CASE WHEN tickets > 0 THEN 'mail' END AS way, 5 AS constant
    FROM (SELECT id, CASE WHEN id % 10 < 7 THEN 0 ELSE 1 + id % 4 END AS tickets
          FROM generate_series(1, 2000) AS id) AS each"""
"""Hours of users of whom seven in ten have no ticket."""


def test_a_value_that_stands_for_something_missing_is_told_with_its_rows(connection):
    types = {"hours": "real", "tickets": "bigint", "way": "text", "constant": "bigint"}
    found = summaries(connection, STANDING_FOR_NONE, **types)
    assert found["hours"].frequent == Frequent("10", 1_400, 7, "tickets", "0")
    assert [name for name, one in found.items() if one.frequent] == ["hours"]
    assert [name for name, one in found.items() if one.is_constant] == ["way", "constant"]


def test_a_value_that_others_have_too_is_told_without_a_column(connection):
    query = STANDING_FOR_NONE.replace("tickets = 0 THEN", "tickets = 0 OR id % 100 = 99 THEN")
    found = summaries(connection, query, hours="real", tickets="bigint")["hours"]
    assert found.frequent == Frequent("10", 1_420, 7)


def test_rows_may_be_those_where_another_column_has_nothing(connection):
    found = summaries(connection, STANDING_FOR_NONE, hours="real", way="text", constant="bigint")[
        "hours"
    ]
    assert found.frequent == Frequent("10", 1_400, 7, "way", None)


@pytest.mark.parametrize(
    "value",
    [
        "id % 20",  # few values, one of them in a quarter of the rows or not
        "CASE WHEN id % 100 < 19 THEN 7 ELSE id END",  # a fifth at most
        "CASE WHEN id % 100 < 40 THEN 7 WHEN id % 100 < 60 THEN 8 ELSE id END",  # two are frequent
    ],
)
def test_values_that_do_not_stand_out_are_quiet(connection, value):
    query = f"SELECT id, {value} AS v FROM generate_series(1, 1000) AS id"
    assert summaries(connection, query, v="bigint")["v"].frequent is None


def test_a_constant_may_have_nulls_but_nothing_that_is_not_finite(connection):
    query = """
        SELECT id, CASE WHEN id > 1 THEN 5 END AS v,
               CASE WHEN id > 1 THEN 5 ELSE float8 'NaN' END AS w, NULL::real AS x
        FROM generate_series(1, 9) AS id"""
    found = summaries(connection, query, v="bigint", w="double precision", x="real")
    assert [one.is_constant for one in found.values()] == [True, False, False]
