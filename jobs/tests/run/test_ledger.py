"""Tests of the run ledger over years: counts stay, old runs go, killed runs are reported."""

import threading
from typing import Any

import psycopg
import pytest

from jobs.run.earlier_runs import recent
from jobs.run.entry import LOCK_CLASS
from jobs.run.ledger import recorded
from jobs.tests.acting import execute, streamflow
from streamflow.errors import ConfigurationError, Fault, InputRefused, StoreUnavailable
from streamflow.postgres.connect import connect

STATUS = """
    SELECT command, done, failed, refused, killed, last_success_at, last_outcome, rows_read
    FROM ops.status_of_commands ORDER BY command"""
VIEWS = "SELECT * FROM ops.status_of_views ORDER BY project, view"
SEEN = "SELECT view, max(seen_at), max(window_end) FROM ops.materializations GROUP BY 1 ORDER BY 1"
FEATURES = "SELECT * FROM ops.status_of_audits ORDER BY 1, 2, 3"

YEARS = """
    INSERT INTO ops.runs (command, parameters, versions, outcome, rows_read, started_at,
                          finished_at)
    SELECT command, 'null', 'null', (ARRAY['done', 'failed', 'refused'])[1 + day % 3], day,
           now() - day * interval '1 d', now() - day * interval '1 d' + interval '1 min'
    FROM unnest(ARRAY['ingest', 'materialize', 'audit']) AS command,
         generate_series(CASE command WHEN 'ingest' THEN 410 ELSE 1 END, 900) AS day
    ORDER BY day DESC;
    INSERT INTO ops.skew SELECT run, 'v', 'f', 10, run % 5, 0 FROM ops.runs
    WHERE command = 'audit' AND started_at < now() - interval '500 d';
    INSERT INTO ops.materializations (project, view, window_start, window_end, seen_at, way,
        rows_read, rows_written, rows_late, rows_unchanged, rows_older, newest_event)
    SELECT 'p', view, '1970-01-01Z', now() - day * interval '1 d'
           + CASE WHEN view = 'ahead' AND day = 700 THEN interval '700 d' ELSE '0' END,
           now() - day * interval '1 d', 'database', 1, 1, 0, 0, 0, now()
    FROM unnest(ARRAY['usual', 'ahead', 'gone']) AS view,
         generate_series(CASE view WHEN 'gone' THEN 600 ELSE 1 END, 900) AS day
    ORDER BY day DESC"""
"""Two and a half years of daily runs; no month came for the last 410 days, no audit found anything
for 500, a view is gone, and one was materialized further ahead once than ever since."""


def total(table: str) -> int:
    """The rows of a table."""
    ((count,),) = execute(f"SELECT count(*) FROM {table}")
    return int(count)


def test_what_is_old_goes_and_stays_counted(database: str) -> None:
    execute(YEARS)
    before = [execute(query) for query in (STATUS, VIEWS, SEEN, FEATURES)]
    with recorded("backup"):
        pass
    found = [execute(query) for query in (STATUS, VIEWS, SEEN, FEATURES)]
    assert [row for row in found[0] if row[0] != "backup"] == before[0]
    assert found[1:] == before[1:]
    old = "started_at < now() - interval '400 d'"
    assert execute(f"SELECT command, outcome FROM ops.runs WHERE {old} ORDER BY run") == [
        ("audit", "done"),  # the last that found anything
        ("ingest", "failed"),  # which may have stored a month
        ("ingest", "done"),  # its last success, and its last run
        ("ingest", "refused"),
    ]
    assert total("ops.runs") == 2 * 399 + 4 + 1
    assert total("ops.skew") == 1
    kept = "SELECT view, count(*) FROM ops.materializations GROUP BY 1 ORDER BY 1"
    assert execute(kept) == [("ahead", 400), ("gone", 1), ("usual", 399)]
    assert recent(1)[0]["command"] == "backup"


def test_how_long_is_a_setting(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(YEARS)
    monkeypatch.setenv("STREAMFLOW_KEEP_RUNS_DAYS", "31")
    with recorded("backup"):
        pass
    assert total("ops.runs WHERE command = 'audit'") == 30 + 1
    monkeypatch.setenv("STREAMFLOW_KEEP_RUNS_DAYS", "30")
    with pytest.raises(ConfigurationError, match="STREAMFLOW_KEEP_RUNS_DAYS: input should be gre"):
        recent(1)
    assert streamflow("runs").exit_code == 2


def test_what_years_left_goes_run_by_run(database: str) -> None:
    """Each run removes a part of the old ones: the first after an upgrade need not remove all."""
    execute(
        "SET session_replication_role = replica;"  # a trigger would count one row 25,001 times
        "INSERT INTO ops.runs (command, parameters, versions, outcome, started_at)"
        " SELECT 'audit', 'null', 'null', 'done', '2020-01-01Z' FROM generate_series(1, 25001);"
        "INSERT INTO ops.run_totals VALUES ('audit', 25001, 0, 0, 0, 25001, 25001);"
        "INSERT INTO ops.project_totals VALUES ('', 'audit', 25001, 0, 0, 0, 25001, 25001)"
    )
    left = []
    for _ in range(4):
        with recorded("backup"):
            pass
        left.append(total("ops.runs WHERE command = 'audit'"))
    assert left == [15_001, 5_001, 1, 1]
    assert execute("SELECT done FROM ops.run_totals WHERE command = 'audit'") == [(25_001,)]


def test_what_a_project_did_stays_known_when_another_did_the_same(database: str) -> None:
    for project in ("first", "second"):
        execute(
            f"SELECT set_config('streamflow.project', '{project}', false);"
            " INSERT INTO ops.runs (command, parameters, versions, outcome, started_at)"
            " SELECT command, '{}', 'null', 'done', now() - age * interval '1 d'"
            " FROM (VALUES ('ingest', 700), ('audit', 600), ('ingest', 2), ('audit', 1))"
            " AS run (command, age);"
            " INSERT INTO ops.skew SELECT max(run), 'v', 'f', 1, 0, 0 FROM ops.runs"
            f" WHERE project = '{project}' AND started_at < now() - interval '500 d'"
        )
    execute("DELETE FROM ops.runs WHERE project = 'first' AND started_at > now() - interval '3 d'")
    with recorded("backup"):
        pass
    found = "SELECT project FROM ops.runs WHERE command = 'ingest' ORDER BY run"
    assert execute(found) == [("first",), ("second",)]
    assert execute("SELECT project FROM ops.status_of_audits ORDER BY 1") == [
        ("first",),
        ("second",),
    ]


def test_a_run_that_nobody_ended_is_said_to_be_killed_by_the_next(database: str) -> None:
    enter = (
        "INSERT INTO ops.runs (command, parameters, versions, started_at)"
        " VALUES (%s, 'null', 'null', now() - %s::interval) RETURNING run"
    )
    with connect(autocommit=True) as alive:
        numbers = {
            name: alive.execute(enter, [name, age]).fetchone()
            for name, age in (("alive", "1 h"), ("dead", "1 h"), ("young", "1 s"))
        }
        lock = "SELECT pg_advisory_lock(%s, %s::integer)"
        alive.execute(lock, [LOCK_CLASS, *(numbers["alive"] or ())])
        with recorded("backup"):
            pass
        entered = "SELECT command, outcome FROM {} WHERE command <> 'backup' ORDER BY 1"
        assert execute(entered.format("ops.ledger")) == [
            ("alive", "running"),
            ("dead", "killed"),
            ("young", "killed"),
        ]
        assert execute(entered.format("ops.runs")) == [
            ("alive", "running"),
            ("dead", "killed"),
            ("young", "killed"),
        ]
        totals = "SELECT command, running, killed FROM ops.status_of_commands ORDER BY 1"
        assert execute(totals)[:1] + execute(totals)[2:] == [
            ("alive", 1, 0),
            ("dead", 0, 1),
            ("young", 0, 1),
        ]


@pytest.mark.parametrize(
    "amiss",
    [
        "ALTER FUNCTION ops.tidy RENAME TO tidied",
        "CREATE OR REPLACE FUNCTION ops.tidy(keep_days integer, OUT killed bigint, OUT removed"
        " bigint) LANGUAGE sql BEGIN ATOMIC SELECT 1 / (keep_days - keep_days), 1; END",
    ],
    ids=["missing", "failing"],
)
def test_a_run_goes_on_where_the_ledger_cannot_be_tidied(
    database: str, amiss: str, caplog: pytest.LogCaptureFixture
) -> None:
    execute(amiss)
    with recorded("backup"):
        pass
    assert execute("SELECT outcome FROM ops.runs WHERE command = 'backup'") == [("done",)]
    assert "ledger not tidied" in caplog.messages


def test_two_runs_do_not_tidy_at_once(database: str) -> None:
    execute(YEARS)
    before = total("ops.runs")
    with connect() as other:
        other.execute("SELECT pg_advisory_xact_lock(%s, 0)", [LOCK_CLASS])
        with recorded("backup"):
            pass
        assert total("ops.runs") == before + 1


def test_nobody_sees_a_run_before_its_lock(database: str) -> None:
    """A run without a lock would count as killed."""
    execute("INSERT INTO ops.runs (command, parameters, versions) VALUES ('audit', '{}', '{}')")
    waits = (
        "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    ended: list[Any] = []

    def run() -> None:
        with recorded("backup") as found:
            ended.append(found.number)

    with psycopg.connect(autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s, 2)", [LOCK_CLASS])
        thread = threading.Thread(target=run)
        thread.start()
        while other.execute(waits).fetchone() is None:
            assert thread.is_alive()
        assert other.execute("SELECT FROM ops.runs WHERE command = 'backup'").fetchone() is None
        other.execute("SELECT pg_advisory_unlock(%s, 2)", [LOCK_CLASS])
        thread.join()
    assert ended == [2]


def test_who_empties_the_ledger_begins_anew(database: str) -> None:
    with recorded("backup"):
        pass
    execute("TRUNCATE ops.runs")
    assert execute(STATUS) == []


def lose() -> None:
    """A run in which the server ends the connection of the work."""
    with recorded("ingest"), connect() as connection:
        execute(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        connection.execute("SELECT 1")


def message_of_lost_run() -> str:
    """Returns the message of such a run, after a look that the ledger has it as well."""
    with pytest.raises(StoreUnavailable) as caught:
        lose()
    assert recent(1)[0]["message"] == str(caught.value)
    return str(caught.value)


def test_a_command_that_lost_the_database_three_times_says_that_memory_may_be_why(
    database: str,
) -> None:
    assert "memory" not in message_of_lost_run()
    with recorded("materialize"):
        pass
    assert "memory" not in message_of_lost_run()
    assert "raise postgres.resources.limits.memory" in message_of_lost_run()
    assert "raise postgres.resources.limits.memory" in message_of_lost_run()
    with recorded("ingest"):
        pass
    assert "memory" not in message_of_lost_run()


def test_runs_that_could_not_say_so_count_and_other_failures_do_not(database: str) -> None:
    for _ in range(2):  # as they are found when the server was away to their end
        execute(
            "INSERT INTO ops.runs (command, parameters, versions) VALUES ('ingest', '{}', '{}')"
        )
    assert "memory" in message_of_lost_run()
    with pytest.raises(ConfigurationError, match="no month"), recorded("ingest"):
        raise ConfigurationError("no month")
    assert "memory" not in message_of_lost_run()


@pytest.mark.usefixtures("database")
def test_a_fault_of_any_text_is_kept_with_its_run() -> None:
    value = "a\0b\udc80" + "c" * 300
    refused = InputRefused([Fault("users.csv", 2, "user_id", value, "must be one")], 7)
    with pytest.raises(InputRefused), recorded("ingest"):
        raise refused
    with psycopg.connect() as connection:
        found = connection.execute("SELECT outcome, rows_refused, faults FROM ops.runs").fetchone()
    kept = f"a\ufffdb?{'c' * 196}…"
    fault = {"file": "users.csv", "line": 2, "column": "user_id", "value": kept}
    assert found == ("refused", 7, [{**fault, "rule": "must be one"}])


@pytest.mark.usefixtures("database")
def test_a_run_says_how_its_log_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    found = "SELECT log_command FROM ops.runs ORDER BY run"
    with recorded("backup"):
        pass
    monkeypatch.setenv("STREAMFLOW_LOG_COMMAND", "kubectl logs pod-1")
    with recorded("backup"):
        assert execute(found) == [(None,), ("kubectl logs pod-1",)]  # also while it runs
    execute("ALTER TABLE ops.runs DROP COLUMN log_command")
    with recorded("backup"):  # before the `apply` of the same upgrade
        pass
    assert execute("SELECT count(*) FROM ops.runs WHERE outcome = 'done'") == [(3,)]
