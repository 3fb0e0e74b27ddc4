"""Point-in-time joins: of each entity row the newest values at its time."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from feast import FeatureView

from streamflow.offline.join import history as offline_history
from streamflow.tests.offline.projects import (
    HOUR,
    T0,
    TICK,
    asked,
    execute,
    query_of,
    row,
    store_of,
    table,
    values,
    view_of,
)

pytestmark = pytest.mark.usefixtures("feast_database")


@pytest.fixture(params=["newest", "timeline", "large", "lookup", "large lookup", "embedded"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to join in turn: the three forms, without nested loops, and without a table."""
    monkeypatch.setattr(offline_history, "FEW_ROWS", 0 if request.param == "timeline" else 10**9)
    if "large" in request.param:
        monkeypatch.setattr(offline_history, "SMALL", 0)
    if "lookup" in request.param:
        monkeypatch.setattr(offline_history, "pays", lambda _, view, rows: bool(rows.bounds))
    return str(request.param)


def clicks(
    folder: Path, form: str, view: FeatureView, entities: pd.DataFrame, **options: Any
) -> list[int | None]:
    """The clicks that one view has for entity rows."""
    mode = "embed_query" if form == "embedded" else "temp_table"
    store = store_of(folder, view, entity_select_mode=mode)
    job = store.get_historical_features(
        query_of(entities) if form == "embedded" else entities, [f"{view.name}:clicks"], **options
    )
    found: list[int | None] = values(job, "clicks")
    return found


def test_the_newest_row_at_or_before_the_time_counts(tmp_path: Path, form: str) -> None:
    table("v", [row("a", T0, 1), row("a", T0 + HOUR, 2), row("b", T0, 3), row(None, T0, 4)])
    rows = asked(
        ("a", T0 - TICK),
        ("a", T0),
        ("a", T0 + HOUR - TICK),
        ("a", T0 + HOUR),
        ("a", T0 + 99 * HOUR),
        ("b", T0 + HOUR),
        ("nobody", T0 + HOUR),
        (None, T0 + HOUR),
        ("a", None),
    )
    expected = [None, 1, 1, 2, 2, 3, None, None, None]
    assert clicks(tmp_path, form, view_of("v"), rows) == expected
    assert clicks(tmp_path, form, view_of("v"), asked(("a", T0 + 99 * HOUR))) == [2]


@pytest.mark.parametrize("ttl", [HOUR, TICK, timedelta(days=40_000)])
def test_a_row_as_old_as_the_ttl_counts_an_older_one_does_not(
    tmp_path: Path, form: str, ttl: timedelta
) -> None:
    table("v", [row("a", T0, 1)])
    rows = asked(("a", T0 + ttl + TICK), ("a", T0 + ttl), ("a", T0), ("a", T0 - TICK))
    assert clicks(tmp_path, form, view_of("v", ttl=ttl), rows) == [None, 1, 1, None]


def test_of_rows_of_the_same_time_the_one_created_last_counts(tmp_path: Path, form: str) -> None:
    table(
        "v",
        [
            row("a", T0, 1, created=T0 + HOUR),
            row("a", T0, 2, created=T0 + 2 * HOUR),
            row("a", T0, 3, created=None),
            row("a", T0 - HOUR, 4, created=T0 + 9 * HOUR),
            row("b", T0, 5, created=None),
        ],
    )
    rows = asked(("a", T0), ("b", T0))
    assert clicks(tmp_path, form, view_of("v"), rows) == [2, 5]


def test_rows_that_are_there_twice_give_one_answer(tmp_path: Path, form: str) -> None:
    table("v", [row("a", T0, 1, created=T0)] * 3 + [row("a", T0 - HOUR, 2, created=T0)] * 2)
    rows = asked(("a", T0), ("a", T0), ("a", T0 - HOUR))
    assert clicks(tmp_path, form, view_of("v"), rows) == [1, 1, 2]
    assert clicks(tmp_path, form, view_of("v", created=""), rows) == [1, 1, 2]


def test_only_what_had_been_created_at_the_time_where_asked_for(tmp_path: Path, form: str) -> None:
    table(
        "v",
        [
            row("a", T0, 1, created=T0),
            row("a", T0 + HOUR, 2, created=T0 + 3 * HOUR),
            row("a", T0 + 2 * HOUR, 3, created=None),
            row("a", T0 - HOUR, 4, created=T0 + 2 * HOUR),
        ],
    )
    rows = asked(*(("a", T0 + hours * HOUR) for hours in (-1, 0, 1, 2, 3)))
    view = view_of("v")
    asked_for = clicks(tmp_path, form, view, rows, filter_by_created_timestamp=True)
    assert asked_for == [None, 1, 1, 1, 2]
    assert clicks(tmp_path, form, view, rows) == [4, 1, 2, 3, 3]


def test_rows_and_their_order_are_those_of_the_request(tmp_path: Path, form: str) -> None:
    table("v", [row(user, T0, number) for number, user in enumerate("abcdef")])
    users = [*"fabba", None, *"zcfa"]
    rows = asked(*((user, T0) for user in users))
    expected = [None if user in (None, "z") else "abcdef".index(user) for user in users]
    assert clicks(tmp_path, form, view_of("v"), rows) == expected


@pytest.mark.parametrize(
    ("column", "at"),
    [
        ("timestamptz", "2024-01-31 00:00:00.000001+00"),
        ("timestamptz", "2024-01-30 19:00:00.000001-05"),
        ("timestamp", "2024-01-31 00:00:00.000001"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_times_are_exact_and_naive_ones_are_utc(
    tmp_path: Path,
    form: str,
    column: str,
    at: str,
    zone: str,
    monkeypatch: pytest.MonkeyPatch,
    feast_database: str,
) -> None:
    elsewhere(zone, feast_database, monkeypatch)
    table("v", columns=f"user_id text, at {column}, created {column}, clicks bigint")
    execute(f"INSERT INTO source.v VALUES ('a', '{at}', '{at}', 1)")
    day = pd.Timestamp("2024-01-31", tz="UTC")
    rows = asked(("a", day), ("a", day + TICK), ("a", day + 2 * TICK))
    assert clicks(tmp_path, form, view_of("v"), rows) == [None, 1, 1]
    assert clicks(tmp_path, form, view_of("v", ttl=TICK), rows) == [None, 1, 1]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_date_is_its_midnight_in_utc(
    tmp_path: Path,
    form: str,
    zone: str,
    monkeypatch: pytest.MonkeyPatch,
    feast_database: str,
) -> None:
    elsewhere(zone, feast_database, monkeypatch)
    table("v", columns="user_id text, at date, created date, clicks bigint")
    execute("INSERT INTO source.v VALUES ('a', '2024-01-31', '2024-02-01', 1)")
    day = pd.Timestamp("2024-01-31", tz="UTC")
    rows = asked(("a", day - TICK), ("a", day))
    assert clicks(tmp_path, form, view_of("v"), rows) == [None, 1]


def elsewhere(zone: str, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `zone` the time zone of every session that does not choose its own."""
    monkeypatch.setenv("PGTZ", zone)
    execute(f"ALTER ROLE CURRENT_USER IN DATABASE {database} SET timezone = '{zone}'")
