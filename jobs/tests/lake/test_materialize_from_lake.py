"""`materialize --from lake`: the same values, instants and ledger as inside the database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from drills import state
from jobs.materialization.materialize import OriginName, materialize
from jobs.run.ledger import recorded
from jobs.run.result import Run
from jobs.tests.acting import done, execute, streamflow
from jobs.tests.commands.test_once import lines
from jobs.tests.conftest import Place
from jobs.tests.lake.conftest import DAYS
from jobs.tests.test_materialize import NOT_READ
from streamflow.tests.imports import imported_by

END = "2024-04-01"
TABLES = ("subscriptions_profile", "usage_agg_30d", "payments_agg_90d", "support_agg_90d")
FROM_LAKE = ("materialize", "--from", "lake", "--end", END)
FROM_DATABASE = ("materialize", "--end", END)
LEDGER = """
    SELECT project, view, window_start, window_end, rows_read, rows_written, rows_late,
           rows_unchanged, rows_older, newest_event
    FROM ops.materializations ORDER BY materialization"""


@dataclass(frozen=True)
class Found:
    """The values, counts and intervals that materializations left."""

    online: bytes
    """The whole table, every value in its bits."""
    ledger: list[tuple[Any, ...]]
    intervals: dict[str, Any]


def online() -> bytes:
    """The online table in PostgreSQL's binary form, by user."""
    query = sql.SQL("COPY (SELECT * FROM online.{} ORDER BY 1) TO STDOUT (FORMAT binary)")
    with (
        psycopg.connect() as connection,
        connection.cursor().copy(query.format(sql.Identifier("streamflow:user_id"))) as copy,
    ):
        return b"".join(copy)


def found() -> Found:
    """The same as they are now."""
    intervals = {name: one[1] for name, one in state.definitions().items()}
    return Found(online(), execute(LEDGER), intervals)


@contextmanager
def nothing_changes() -> Iterator[None]:
    """Asserts that values, ledger and intervals are the same after a block."""
    before = found()
    yield
    assert found() == before
    assert state.held_locks() == []


def failed(*arguments: str) -> str:
    """The message of a command that fails."""
    ended = streamflow(*arguments)
    assert ended.exit_code in (1, 2, 3), ended.output
    return ended.stderr.splitlines()[-1]


def rows(*arguments: str) -> dict[str, int]:
    """The counts of a materialization."""
    counts: dict[str, int] = lines(streamflow(*arguments))[-1]["rows"]
    return counts


STORIES = {
    "the same again": ["--end 2024-04-01", "--end 2024-04-01"],
    "month by month": [
        "--start 2024-01-31 --end 2024-01-31",
        "--start 2024-02-29 --end 2024-02-29",
    ],
    "an older month after a newer one": [
        "--start 2024-02-01 --end 2024-03-01",
        "--start 2024-01-01 --end 2024-02-01",
    ],
    "a window alone, by force": [
        "--start 2024-02-01 --end 2024-03-01",
        "--start 2024-02-01 --end 2024-03-01 --force",
    ],
    "an older month by force": ["--end 2024-03-01", "--end 2024-02-01 --force"],
    "two views": ["--view usage_agg_30d_fv --view support_agg_90d_fv --end 2024-04-01"],
    "no row": ["--start 2023-01-01 --end 2023-02-01"],
}


@pytest.mark.parametrize("story", STORIES)
def test_values_and_ledger_are_those_of_the_database(
    loaded: Path, place: Place, database_of: str, story: str
) -> None:
    told = []
    for origin in ("database", "lake"):
        with place(database_of):
            ended = [
                lines(streamflow("materialize", *words.split(), "--from", origin))[-1]
                for words in STORIES[story]
            ]
            told.append((found(), [(one["rows"], one["window"]) for one in ended]))
            assert {way for (way,) in execute("SELECT way FROM ops.materializations")} == {origin}
            assert ("lake" in ended[0]) == (origin == "lake")
    assert told[0][0].ledger == told[1][0].ledger
    assert told[0] == told[1]


ODD = """
    UPDATE source.subscriptions_profile_snapshots SET net_service =
        (ARRAY['', '"', ',', E'a\\nb\\r\\n', '\\.', '\\N', 'NULL', 'é 😀', NULL, ' x '])
            [1 + abs(hashtext(user_id) % 10)],
        monthly_fee = (ARRAY['NaN', '-NaN', '-0', '0', '1e-45', '-Infinity', '3.4028235e38',
            '0.1'])[1 + (hashtext(user_id) & 7)]::real;
    UPDATE source.usage_agg_30d_snapshots SET watch_hours_30d = '-0' WHERE user_id < '4';
    UPDATE source.usage_agg_30d_snapshots SET watch_hours_30d = 'NaN' WHERE user_id > '8';
    UPDATE source.payments_agg_90d_snapshots SET failed_payments_90d = -9223372036854775808;
    INSERT INTO source.support_agg_90d_snapshots (user_id, as_of, support_tickets_90d,
        ticket_avg_resolution_hrs_90d)
        SELECT user_id, '2099-01-31', 7, '-NaN' FROM source.users ORDER BY 1 LIMIT 3;
    INSERT INTO source.labels_snapshots SELECT user_id, '2099-01-31', true FROM source.users
        ORDER BY 1 LIMIT 3"""
"""Values that a file or a COPY could lose, and rows that are too far ahead."""


def test_every_value_is_the_same_in_its_bits(loaded: Path, place: Place, database_of: str) -> None:
    assert_same_bits(place, database_of)


def assert_same_bits(
    place: Place, database_of: str, prepare: Callable[[], None] = lambda: None
) -> None:
    """Asserts that odd values are the same online from the database and from the lake.

    Args:
        prepare: is called in each copy of the database, before it is materialized.
    """
    told = []
    with place(database_of) as changed:
        execute(
            "ALTER TABLE source.subscriptions_profile_snapshots ALTER net_service DROP NOT NULL"
        )
        execute(ODD)
        done(streamflow("snapshot", "export"))
        for origin in ("database", "lake"):
            with place(changed):
                prepare()
                line = lines(streamflow(*FROM_DATABASE, "--from", origin))[-1]
                told.append((found(), line["rows"], line["message"]))
                assert line["rows"]["refused"] == 3
    assert told[0] == told[1]
    assert b"\x00\x00\x00\x04\x80\x00\x00\x00" in told[0][0].online  # -0 as a real
    assert b"\x00\x00\x00\x04\xff\xc0\x00\x00" in told[0][0].online  # NaN with a sign


def test_a_zone_of_the_machine_changes_nothing_and_feast_is_not_needed(
    loaded: Path, place: Place, database_of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    left = []
    for origin, needs in (("database", set()), ("lake", {"duckdb", "pyiceberg"})):
        with place(database_of):
            imported = imported_by("materialize", "--from", origin, "--end", "2024-01-31T00:00")
            assert {"feast", "pandas", "duckdb", "pyiceberg"} & imported == needs
            left.append(found())
    assert left[0] == left[1]
    assert [one[4:6] for one in left[0].ledger] == [(50, 50)] * 4


def test_a_user_of_older_months_alone_gets_online(loaded: Path) -> None:
    rows(*FROM_DATABASE)
    expected = online()
    execute('DELETE FROM online."streamflow:user_id"')
    for table in (*TABLES, "labels"):
        execute(f"DELETE FROM source.{table}_snapshots WHERE user_id < '5'")
        execute(f"DELETE FROM source.{table}_snapshots WHERE as_of = '{DAYS[1]}'")
    assert rows(*FROM_DATABASE)["written"] < 200
    assert online() != expected
    rows(*FROM_LAKE)
    assert online() == expected


def test_an_older_month_of_the_lake_does_not_replace_a_newer_one(loaded: Path) -> None:
    rows(*FROM_DATABASE)
    before = online()
    found_rows = rows("materialize", "--from", "lake", "--end", DAYS[0])
    assert (found_rows["read"], found_rows["older"], found_rows["written"]) == (200, 200, 0)
    assert online() == before


def go(origin: OriginName, *window: datetime) -> Run:
    """Runs one recorded materialization."""
    with recorded("materialize", origin=origin) as run:
        materialize(run, *window, origin=origin)
    return run


def test_a_run_from_the_lake_tells_the_next_one_nothing_of_the_database(
    loaded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def was_read(origin: OriginName) -> bool:
        caplog.clear()
        assert go(origin).counts.read == 400
        return NOT_READ not in [one.message for one in caplog.records]

    caplog.set_level("INFO")
    assert was_read("database")
    assert not was_read("database")
    assert was_read("lake")
    assert was_read("database")
    assert not was_read("database")
    execute("DELETE FROM online.\"streamflow:user_id\" WHERE user_id < '5'")
    assert was_read("lake")
    assert was_read("database")


def test_what_the_lake_had_not_yet_is_late_for_the_database(loaded: Path) -> None:
    """It was loaded long before the run from the lake, and was never brought to the lake."""
    assert go("lake").counts.written == 200
    execute(
        "UPDATE source.usage_agg_30d_snapshots SET skips_7d = skips_7d + 1,"
        " loaded_at = loaded_at - interval '5 d' WHERE as_of = '2024-02-29'"
    )
    run = go("database", datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC))
    assert (run.counts.read, run.counts.late) == (400, 0)


def test_a_late_correction_is_found_by_the_next_window(
    loaded: Path, place: Place, database_of: str
) -> None:
    """Rows of the lake before the window that were loaded since, and no others."""
    told = []
    for origin in ("database", "lake"):
        with place(database_of):
            execute("UPDATE source.usage_agg_30d_snapshots SET loaded_at = now() - interval '9 d'")
            rows("materialize", "--end", "2024-03-01")
            execute("UPDATE ops.materializations SET seen_at = seen_at - interval '3 d'")
            execute(
                "UPDATE source.usage_agg_30d_snapshots SET skips_7d = 77, loaded_at = now()"
                " WHERE user_id < '3'"
            )
            done(streamflow("snapshot", "export"))
            asked = ("--start", "2024-03-01", "--end", END, "--view", "usage_agg_30d_fv")
            counts = rows("materialize", "--from", origin, *asked)
            left = found()
            told.append((counts, left.ledger, left.intervals, skips()))
            assert 0 < counts["written"] < counts["read"] == counts["late"] < 50
    assert told[0] == told[1]


def skips() -> list[tuple[Any, ...]]:
    """A feature of all users."""
    return execute(
        'SELECT user_id, "usage_agg_30d_fv:skips_7d" FROM online."streamflow:user_id" ORDER BY 1'
    )


def test_what_was_read_is_in_the_ledger_and_done_once(loaded: Path) -> None:
    rows(*FROM_DATABASE, "--once")
    first, again = (lines(streamflow(*FROM_LAKE, "--once"))[-1] for _ in range(2))
    assert first["lake"]["url"] == str(loaded)
    assert len(first["lake"]["versions"]) == 5
    assert "message" not in first
    assert again["message"].startswith(f"nothing to do: run {first['run']} did it")
    parameters = execute("SELECT parameters FROM ops.runs WHERE run = %s", first["run"])
    assert parameters[0][0]["origin"] == "lake"
    revised = lines(streamflow(*FROM_LAKE, "--once", "--revision", "b", "--skip-if-running"))[-1]
    assert revised["rows"]["unchanged"] == 200
