"""`materialize --from lake`: the same values, instants and ledger as inside the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from drills import state
from jobs.tests.acting import done, execute, streamflow
from jobs.tests.commands.test_once import lines
from jobs.tests.conftest import Place

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
    """What materializations left."""

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
    """What there is now."""
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


def statement(template: str) -> None:
    """Runs a statement for each table of features."""
    for table in TABLES:
        execute(template.format(f"source.{table}_snapshots"))


STORIES = {
    "everything": ["--end 2024-04-01"],
    "the same again": ["--end 2024-04-01", "--end 2024-04-01"],
    "month by month": [
        "--start 2024-01-31 --end 2024-01-31",
        "--start 2024-02-29 --end 2024-02-29",
    ],
    "an older month after a newer one": [
        "--start 2024-02-01 --end 2024-03-01",
        "--start 2024-01-01 --end 2024-02-01",
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
    told = []
    with place(database_of) as changed:
        execute(
            "ALTER TABLE source.subscriptions_profile_snapshots ALTER net_service DROP NOT NULL"
        )
        execute(ODD)
        done(streamflow("snapshot", "export"))
        for origin in ("database", "lake"):
            with place(changed):
                line = lines(streamflow(*FROM_DATABASE, "--from", origin))[-1]
                told.append((found(), line["rows"], line["message"]))
                assert line["rows"]["refused"] == 3
    assert told[0] == told[1]
    assert b"\x00\x00\x00\x04\x80\x00\x00\x00" in told[0][0].online  # -0 as a real
    assert b"\x00\x00\x00\x04\xff\xc0\x00\x00" in told[0][0].online  # NaN with a sign
