"""Tests that the rows a join looks at grow linearly with its own, also without statistics."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureView

from streamflow.feast.offline.connect import connect
from streamflow.offline.join import history as offline_history
from streamflow.offline.select import prepare
from streamflow.tests.offline.projects import execute, store_of, table, view_of

pytestmark = pytest.mark.usefixtures("feast_database")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes of a plan, with the plans of its parts."""
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def looked_at(folder: Path, view: FeatureView, entities: str, **options: Any) -> int:
    """The most rows that one step of the query looks at, those that it throws away included."""
    store = store_of(folder, view, **options)
    job = store.get_historical_features(entities, [f"{view.name}:clicks"])
    with connect(store.config.offline_store) as connection:
        select = job._select(connection)
        prepare(connection, select)
        explain = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT json) "
        found = connection.execute(explain + select.query.as_string(connection)).fetchone()
    steps = nodes(found[0][0]["Plan"])
    return max(
        sum(
            one.get(name, 0)
            for name in ("Actual Rows", "Rows Removed by Join Filter", "Rows Removed by Filter")
        )
        * one["Actual Loops"]
        for one in steps
    )


ROWS = 3_000
HISTORY = (
    "INSERT INTO source.v (user_id, item_id, at, created, clicks) SELECT {user}, n, timestamptz"
    f" '2024-01-01' + n * interval '1 minute', now(), n FROM generate_series(1, {ROWS}) AS n"
)
REQUEST = (
    "SELECT {user} AS user_id, n AS item_id, timestamptz '2024-01-01' + n * interval '1 minute'"
    f" AS event_timestamp FROM generate_series(1, {ROWS}) AS n"
)
USERS = {"one user": "'a'", "a few": "'user ' || n % 10", "as many": "'user ' || n"}


@pytest.fixture(params=["small", "large", "embedded"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to join in turn: that of few entity rows, of many, and of rows inside the query."""
    if request.param == "large":
        monkeypatch.setattr(offline_history, "SMALL", 0)
    return "embed_query" if request.param == "embedded" else "temp_table"


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(days=9)])
@pytest.mark.parametrize("index", ["", "CREATE INDEX ON source.v (user_id, at)"])
@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_it_is_not_quadratic(
    tmp_path: Path, user: str, index: str, mode: str, ttl: timedelta
) -> None:
    table("v")
    execute(HISTORY.format(user=user), *filter(None, [index]))
    request = REQUEST.format(user=user)
    most = looked_at(tmp_path, view_of("v", ttl=ttl), request, entity_select_mode=mode)
    assert most <= 3 * ROWS


@pytest.mark.parametrize("index", ["", "CREATE INDEX ON source.v (user_id, at)"])
def test_keys_of_several_columns_are_not_quadratic(tmp_path: Path, mode: str, index: str) -> None:
    table("v")
    execute(HISTORY.format(user="'a'"), *filter(None, [index]))
    view = view_of("v", ["user_id", "item_id"])
    request = REQUEST.format(user="'a'")
    assert looked_at(tmp_path, view, request, entity_select_mode=mode) <= 3 * ROWS


def test_a_view_without_entities_is_not_quadratic(tmp_path: Path) -> None:
    table("v")
    execute(HISTORY.format(user="NULL"))
    assert looked_at(tmp_path, view_of("v", []), REQUEST.format(user="'a'")) <= 3 * ROWS


def test_a_source_that_is_thought_to_be_small_is_not_compared_row_by_row(tmp_path: Path) -> None:
    table("v")
    execute(HISTORY.format(user="'user ' || n"))
    conditions = " AND ".join(f"clicks % {one} >= 0" for one in range(2, 12))
    source = f"(SELECT * FROM source.v WHERE {conditions})"  # taken for a row or none
    view = view_of("w", table=source)
    assert looked_at(tmp_path, view, REQUEST.format(user="'user ' || n")) <= 3 * ROWS


LONG = (
    "INSERT INTO source.v (user_id, at, created, clicks) SELECT 'user ' || n, timestamptz"
    " '2024-01-01' + day * interval '1 day', now(), n FROM generate_series(1, 40) AS day,"
    " generate_series(1, 300) AS n WHERE day < 40 OR n % 100 > 0"
)
"""Forty days of 300 users, three of whom have no row on the last one."""
LAST = (
    "SELECT 'user ' || n AS user_id, timestamptz '2024-01-01' + 40 * interval '1 day'"
    " AS event_timestamp FROM generate_series(1, 300) AS n"
)


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(days=9)])
@pytest.mark.parametrize("small", [10_000, 0])
def test_the_last_rows_of_a_long_history_are_found_without_the_others(
    tmp_path: Path, small: int, ttl: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index of times finds them; one of keys and times finds those before the last time."""
    monkeypatch.setattr(offline_history, "SMALL", small)
    table("v")
    execute(LONG, "CREATE INDEX ON source.v (user_id, at)", "CREATE INDEX ON source.v (at)")
    execute("UPDATE source.v SET created = at", "VACUUM ANALYZE source.v")
    view = view_of("v", ttl=ttl)
    assert looked_at(tmp_path, view, LAST) <= 3 * 300
    job = store_of(tmp_path, view).get_historical_features(LAST, ["v:clicks"])
    assert job.to_df()["clicks"].tolist() == list(range(1, 301))


def test_without_an_index_a_long_history_is_read_once(tmp_path: Path, mode: str) -> None:
    table("v")
    execute(LONG, "ANALYZE source.v")
    most = looked_at(tmp_path, view_of("v"), LAST, entity_select_mode=mode)
    assert 300 * 39 < most <= 3 * 300 * 40
