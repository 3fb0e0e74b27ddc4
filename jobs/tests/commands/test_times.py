"""The scheduled materialization knows its time, and a job made by hand does not invent one."""

import json
import logging
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from jobs.command_line.times import scheduled_time
from jobs.tests.acting import streamflow

NOW = datetime(2026, 11, 28, 3, 20, tzinfo=UTC)
REACH = timedelta(hours=25)


def job(instant: datetime) -> str:
    """The name that a CronJob gives the Job of an instant."""
    return f"streamflow-materialize-{int(instant.timestamp()) // 60}"


@pytest.mark.parametrize(
    "before",
    [timedelta(), timedelta(minutes=20), timedelta(hours=25), timedelta(minutes=-59)],
    ids=["now", "minutes", "the whole reach", "by a clock that is an hour behind"],
)
def test_a_scheduled_job_ends_its_window_at_its_scheduled_time(
    before: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jobs")
    assert scheduled_time(job(NOW - before), REACH, NOW) == NOW - before
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("streamflow-materialize-20240131", "20240131 as minutes since 1970 is 2008-06-25T15:31"),
        ("streamflow-materialize-20261128", "20261128 as minutes since 1970 is 2008-07-"),
        ("streamflow-materialize-1", "1 as minutes since 1970 is 1970-01-01T00:01"),
        ("streamflow-materialize-0", "0 as minutes since 1970 is 1970-01-01T00:00"),
        ("streamflow-materialize-28445940", "28445940 as minutes since 1970 is 2024-02-01T03:00"),
        (job(NOW - timedelta(hours=28)), "is 2026-11-26T23:20"),
        (job(NOW + timedelta(hours=3)), "is 2026-11-28T06:20"),
        ("streamflow-materialize-99999999", "99999999 as minutes since 1970 is 2160-"),
        ("streamflow-materialize-99999999999999", "99999999999999 are no minutes since 1970"),
        (f"streamflow-materialize-{'9' * 400}", "are no minutes since 1970"),
        ("streamflow-materialize-now", "the job's name ends in no time"),
        ("streamflow-materialize-now-2", "2 as minutes since 1970 is 1970-01-01T00:02"),
        ("streamflow-materialize-", "the job's name ends in no time"),
        ("by-hand", "the job's name ends in no time"),
        ("29400000", "the job's name ends in no time"),
        ("streamflow-materialize-٢٩٤٠٠٠٠٠", "the job's name ends in no time"),
    ],
)
def test_the_window_of_any_other_job_ends_now_and_the_log_says_why(
    name: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jobs")
    assert scheduled_time(name, REACH, NOW) is None
    (said,) = caplog.records
    assert said.getMessage() == "the window ends now"
    assert said.job == name  # type: ignore[attr-defined]
    assert reason in said.reason  # type: ignore[attr-defined]


def test_no_job_is_no_matter(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jobs")
    assert scheduled_time("", REACH, NOW) is None
    assert caplog.messages == []


def window_end(*arguments: str) -> datetime:
    """Returns the end of the window of a materialization from the command line."""
    done = streamflow("materialize", *arguments)
    assert done.exit_code == 0, done.stderr
    return datetime.fromisoformat(json.loads(done.stdout.splitlines()[-1])["window"]["end"])


def test_the_command_believes_what_can_be_and_no_more(database: str) -> None:
    with psycopg.connect() as connection:
        ((began,),) = connection.execute("SELECT now()").fetchall()
    hour = (began - timedelta(hours=1)).replace(second=0, microsecond=0)
    assert window_end("--scheduled", job(hour)) == hour
    assert window_end("--scheduled", job(hour), "--reach", "60") == hour  # clocks differ
    long_ago = hour - timedelta(hours=3)
    assert window_end("--scheduled", job(long_ago), "--reach", "60") >= began
    assert window_end("--scheduled", "streamflow-materialize-20240131") >= began
