"""Tests that a month's work reads no more blocks when more months were loaded before it."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest

from api.telemetry import ledger as status
from jobs.materialization.materialize import materialize
from jobs.run.earlier_runs import recent
from jobs.run.ledger import recorded
from jobs.tests.acting import execute
from jobs.training.build import build
from jobs.training.labels import NoLabels, require_labels
from streamflow.offline.join import history as offline_history

USERS = 2_000
LAST = 25
"""Months before the last one."""
BLOCKS = """
    SELECT schemaname || '.' || relname,
           heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0)
           + coalesce(toast_blks_read + toast_blks_hit, 0)
    FROM pg_statio_user_tables WHERE schemaname <> 'pg_toast'"""
"""Blocks of 8 kB of tables and their indexes that were read so far, from disk or from memory."""
OTHERS = "SELECT FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
STATUS = (
    status.COMMANDS.format(status.COMMANDS_OF.replace("$1", "'streamflow'")),
    status.VIEWS,
    status.FEATURES.format(status.FEATURES_OF.replace("$1", "'streamflow'")),
)

SNAPSHOTS = {
    "subscriptions_profile": "n, n % 2 = 0, NULL, 'One year', true, n, n, 'DSL'",
    "usage_agg_30d": "n, n, n, n, n",
    "payments_agg_90d": "n",
    "support_agg_90d": "n, n",
}
"""By table: the features of user `n`."""

ALONE = """
    DO $$ DECLARE name regclass; BEGIN
        FOR name IN SELECT relid FROM pg_stat_user_tables LOOP
            EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', name);
        END LOOP;
    END $$"""
"""Keeps autovacuum, whose reading is counted as well, out of the measurement."""

LEDGER = """
    SET session_replication_role = replica;  -- a trigger would count a row thousands of times
    INSERT INTO ops.runs (command, parameters, versions, outcome, started_at, finished_at)
    SELECT command, 'null', 'null', 'done', began, began + interval '1 min'
    FROM unnest(ARRAY['ingest', 'audit', 'backup']) AS command,
         generate_series(now() - interval '{days} d', now(), interval '6 h') AS began;
    INSERT INTO ops.run_totals (command, done, last_run, last_done)
    SELECT command, count(*), max(run), max(run) FROM ops.runs WHERE outcome = 'done'
    GROUP BY command ON CONFLICT (command) DO UPDATE
    SET done = EXCLUDED.done, last_run = EXCLUDED.last_run, last_done = EXCLUDED.last_done;
    INSERT INTO ops.materializations (project, view, window_start, window_end, seen_at, way,
        rows_read, rows_written, rows_late, rows_unchanged, rows_older, newest_event)
    SELECT 'streamflow', view, '1970-01-01Z', '2024-01-01Z'::timestamptz + n * interval '1 h',
           '2024-01-01Z'::timestamptz + n * interval '1 h', 'database', 1, 1, 0, 0, 0, now()
    FROM ops.status_of_views, generate_series(1, 4 * {days}) AS n;
    INSERT INTO ops.skew SELECT run, view, 'f' || n, 200, 0, 0
    FROM ops.runs, ops.status_of_views, generate_series(1, 3) AS n WHERE command = 'audit'
    ON CONFLICT DO NOTHING"""
"""A run every six hours."""


def instant(month: int) -> datetime:
    """The end of the `month`-th month."""
    year, month = divmod(month, 12)
    return datetime(2020 + year, month + 1, 28, tzinfo=UTC)


def fill(*months: int) -> None:
    """Loads months, as an ingest that ran the day after.

    But for the first, one user in two hundred has labels and no other row.
    """
    for month in months:
        when = f"'{instant(month)}'::timestamptz"
        for table, features in {**SNAPSHOTS, "labels": "n % 3 = 0"}.items():
            everyone = month == 0 or table == "labels"
            execute(
                f"INSERT INTO source.{table}_snapshots"
                f" SELECT 'user ' || n, {when}, {features}, {when} + interval '1 day'"
                f" FROM generate_series(1, {USERS}) AS n WHERE {everyone} OR n % 200 <> {month}"
            )
    for table in [*SNAPSHOTS, "labels"]:
        execute(f"ANALYZE source.{table}_snapshots")


def ledger(days: int) -> None:
    """Enters so many days of runs."""
    execute(LEDGER.format(days=days))
    execute("VACUUM ANALYZE ops.runs, ops.materializations, ops.skew")


def read(work: Callable[[], object]) -> "Counter[str]":
    """Returns the blocks that `work` reads, by table, over connections that it opens and closes."""
    before = blocks()
    work()
    return blocks() - before


def blocks() -> "Counter[str]":
    """The blocks that were read until now, by table, by connections that are closed."""
    with psycopg.connect(autocommit=True) as connection:
        while connection.execute(OTHERS, [connection.info.dbname]).fetchone() is not None:
            time.sleep(0.01)  # it ends, and tells what it read
        return Counter(dict(connection.execute(BLOCKS).fetchall()))


def online(month: int, written: int) -> None:
    """Puts a month online, as `streamflow ingest --materialize` does."""
    with recorded("materialize") as run:
        materialize(run, instant(month), instant(month))
    assert run.counts.written == written


def train(month: int) -> None:
    """Builds the month's training set."""
    with recorded("training-set") as run:
        build(run, instant(month).date(), "churn_v1", f"memory://history/{month}.parquet")
    assert run.counts.written == USERS


def wait(month: int) -> None:
    """Looks for labels that are not there, as a job that waits does every two seconds."""
    with pytest.raises(NoLabels, match=f"no labels of {instant(month).date()}"):
        require_labels(instant(month))


def monthly(month: int) -> "dict[str, Counter[str]]":
    """The blocks that each part of a month's work reads, by table; loads the month first."""
    fill(month)
    rows = 4 * (USERS if month == 0 else USERS - USERS // 200)
    found = {
        "labels that are missing": read(lambda: wait(month + 1)),
        "labels that are there": read(lambda: require_labels(instant(month))),
        "online": read(lambda: online(month, rows)),
    }
    execute('VACUUM online."streamflow:user_id"')  # as autovacuum does after so many changes
    # The run before removed a year of the ledger at once, which leaves its pages empty.
    execute("VACUUM (FULL, ANALYZE) ops.materializations, ops.runs")
    return found | {
        "online again": read(lambda: online(month, 0)),
        "training set": read(lambda: train(month)),
        "status": read(lambda: [execute(one) for one in STATUS]),
        "runs": read(lambda: recent(20)),
    }


@pytest.mark.slow
def test_a_month_reads_what_it_read_two_years_before(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_history, "SMALL", 0)  # all users of a real month are not
    execute(ALONE)
    monthly(0)
    ledger(days=1)
    first = monthly(1)
    fill(*range(2, LAST))
    with recorded("materialize") as run:
        materialize(run, instant(2), instant(LAST - 1))
    ledger(days=300)
    execute('VACUUM online."streamflow:user_id"')
    last = monthly(LAST)
    # A step in an index for each month that has labels, which the message names.
    assert last.pop("labels that are missing").total() < 6 * LAST
    # Twice as many, for keys that are looked up, and a level more in a few indexes.
    grown = {name for name, blocks in last.items() if blocks.total() > 2 * first[name].total() + 20}
    assert {name: (first[name], last[name]) for name in grown} == {}
