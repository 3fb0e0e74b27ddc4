"""The two ranges of a materialization's window are the rows of its one condition, each once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from feast import FeatureStore
from feast.infra.common.materialization_job import MaterializationTask
from feast.types import Int64
from psycopg import sql

from streamflow.engine.source import apart, narrowed
from streamflow.engine.sql import Source
from streamflow.feast.engine import engine
from streamflow.feast.engine.plan import source_of
from streamflow.tests.engine.test_engine import DAY, counts, db, go, served, shop, store, view

__all__ = ["db", "store"]
ROWS = """
    CREATE TABLE source.prices AS
    SELECT n AS shop_id, ts::{event} AS ts, at::{created} AS at, n AS price
    FROM (SELECT n, CASE WHEN n % 11 > 0 THEN '2024-01-01Z'::timestamptz + n % 29 * interval '1 d'
                    END AS ts,
                 CASE WHEN n % 13 > 0 THEN '2024-01-01Z'::timestamptz + n % 31 * interval '1 d'
                    END AS at
          FROM generate_series(1, 9000) AS n) AS rows"""
"""Rows of every event day with every created day, and with nulls."""


def source(db: psycopg.Connection, store: FeatureStore, **window: Any) -> Source:
    """The source of the view `prices`, for a window after a materialization at noon of DAY[19]."""
    store.apply([shop, view("prices", {"price": Int64})], partial=True)
    days = {"start": DAY[9], "end": DAY[14], **window}
    task = MaterializationTask(
        store.project, store.get_feature_view("prices"), days["start"], days["end"]
    )
    seen = DAY[19] + timedelta(hours=12)
    return source_of(db, store.config, task, seen, timedelta(days=1))


def rows(db: psycopg.Connection, source: Source) -> list[tuple[Any, ...]]:
    """Returns the rows that a source selects in its window."""
    query = sql.SQL("SELECT * FROM {} AS s WHERE {} ORDER BY price")
    return db.execute(query.format(sql.SQL(source.query), source.window)).fetchall()


@pytest.mark.parametrize("event", ["timestamptz", "timestamp", "date"])
@pytest.mark.parametrize("created", ["timestamptz", "date"])
@pytest.mark.parametrize("start", [DAY[0], DAY[9], DAY[14]])
def test_the_ranges_are_the_condition(
    db: psycopg.Connection, store: FeatureStore, event: str, created: str, start: Any
) -> None:
    db.execute(ROWS.format(event=event, created=created))
    found = source(db, store, start=start)
    expected = rows(db, found)
    assert len(expected) > 1000
    assert rows(db, apart(found)) == expected


def test_postgresql_says_which_costs_less(db: psycopg.Connection, store: FeatureStore) -> None:
    db.execute(
        "CREATE TABLE source.prices AS SELECT n AS shop_id, '2024-01-01Z'::timestamptz"
        " + n / 300 * interval '1 d' AS ts, '2024-01-02Z'::timestamptz + n / 300 * interval '1 d'"
        " AS at, n AS price FROM generate_series(0, 8999) AS n"
    )
    db.execute("VACUUM ANALYZE source.prices")
    found = source(db, store, start=DAY[25], end=DAY[25])
    assert narrowed(db, found) is found  # it would have to go through the table twice
    db.execute("CREATE INDEX ON source.prices (ts); CREATE INDEX ON source.prices (at)")
    usual = replace(found, seen_at=DAY[27])
    assert narrowed(db, usual).is_narrowed
    assert rows(db, narrowed(db, usual)) == rows(db, usual)
    first = replace(found, seen_at=None)
    assert narrowed(db, first) is first


def test_a_late_row_is_found_and_counted_by_the_ranges(
    db: psycopg.Connection, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        engine, "narrowed", lambda _, one: apart(one) if one.seen_at is not None else one
    )
    db.execute("CREATE TABLE source.prices (shop_id bigint, ts timestamptz, at timestamptz,"
               " price bigint)")  # fmt: skip
    insert = "INSERT INTO source.prices VALUES (%s, %s, %s, %s)"
    db.execute(insert, [1, DAY[2], DAY[2], 10])
    store.apply([shop, view("prices", {"price": Int64})], partial=True)
    go(store)
    db.execute("INSERT INTO source.prices VALUES (3, %s, now(), 30)", [DAY[1]])
    db.execute("INSERT INTO source.prices VALUES (4, %s, now(), 40)", [DAY[25]])
    assert counts(go(store, DAY[20], DAY[30])) == (2, 2, 2, 0, 0)
    assert served(store, 1, 3, 4) == [10, 30, 40]
    assert counts(go(store, DAY[20], DAY[30])) == (2, 0, 0, 2, 0)
