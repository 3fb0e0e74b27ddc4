"""Tests that finished months, windows and training sets are not done again by themselves."""

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from jobs.ingest.load import ingest
from jobs.run.ledger import recorded
from jobs.tests.acting import execute, streamflow

JANUARY = ("--as-of", "2024-01-31")


@pytest.fixture
def month(small_months: Path, tmp_path: Path) -> Path:
    """A copy of January that a test may change or remove."""
    return Path(shutil.copytree(small_months / "month_000", tmp_path / "month"))


def lines(done: Result, code: int = 0) -> list[dict[str, Any]]:
    """The JSON lines of a command, or of several."""
    assert done.exit_code == code, f"{done.stderr}\n{done.exception!r}"
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def commands() -> list[str]:
    """The commands in the ledger, oldest first."""
    return [command for (command,) in execute("SELECT command FROM ops.runs ORDER BY run")]


def test_a_month_is_loaded_once_and_its_source_is_not_needed_again(
    database: str, month: Path
) -> None:
    ingesting = ("ingest", str(month), *JANUARY, "--materialize", "--once")
    first, online = lines(streamflow(*ingesting))
    assert (first["rows"]["written"], online["rows"]["written"]) == (300, 200)
    shutil.rmtree(month)
    again, still = lines(streamflow(*ingesting))
    assert (still["run"], still["message"][:13]) == (online["run"], "nothing to do")
    assert (again["run"], again["command"], again["outcome"]) == (first["run"], "ingest", "done")
    assert again["message"].startswith(f"nothing to do: run {first['run']} did it at 20")
    assert commands() == ["ingest", "materialize"]
    done = streamflow("ingest", str(month), *JANUARY)  # asked for without --once
    assert done.exit_code == 2


def age_and_tidy() -> None:
    """Lets all runs be of long ago, with newer ones of each command, and the ledger be tidied."""
    execute(
        "UPDATE ops.runs SET started_at = started_at - interval '1000 d',"
        " finished_at = finished_at - interval '1000 d';"
        "INSERT INTO ops.runs (command, parameters, versions, outcome, finished_at)"
        " SELECT command, '{}', '{}', 'done', now()"
        " FROM unnest(ARRAY['ingest', 'materialize', 'training-set']) AS command;"
        "SELECT ops.tidy(400)"
    )


def test_what_was_done_once_is_known_when_the_ledger_has_forgotten_the_rest(
    database: str, month: Path
) -> None:
    ingesting = ("ingest", str(month), *JANUARY, "--once")
    forced = ("materialize", "--end", "2024-02-01", "--force", "--once")
    first = [line["run"] for work in (ingesting, forced) for line in lines(streamflow(*work))]
    lines(streamflow("ingest", str(month), "--as-of", "2024-02-29", "--materialize"))
    for _ in range(2):
        lines(streamflow("materialize"))
    (second,) = lines(streamflow("ingest", str(month), "--as-of", "2024-02-29"))
    age_and_tidy()
    left = "SELECT run FROM ops.runs WHERE started_at < now() - interval '400 d' ORDER BY 1"
    assert [run for (run,) in execute(left)] == [*first, second["run"]]
    shutil.rmtree(month)
    again = [line for work in (ingesting, forced) for line in lines(streamflow(*work))]
    assert [line["run"] for line in again] == first
    assert {line["message"][:13] for line in again} == {"nothing to do"}


@pytest.mark.parametrize("left", ["failed", "refused", "killed"])
def test_a_month_that_was_not_loaded_is_tried_again(database: str, month: Path, left: str) -> None:
    whole = (month / "labels.csv").read_text()
    if left == "refused":
        (month / "labels.csv").write_text(whole.replace("False", "perhaps", 1))
        lines(streamflow("ingest", str(month), *JANUARY, "--once"), code=3)
        (month / "labels.csv").write_text(whole)
    else:
        outcome = {"failed": "failed", "killed": "running"}[left]
        execute(
            "INSERT INTO ops.runs (command, parameters, versions, outcome, rows_written)"
            " VALUES ('ingest', jsonb_build_object('source', %s::text, 'as_of', '2024-01-31'),"
            " '{}', %s, 9)",
            str(month),
            outcome,
        )
    (done,) = lines(streamflow("ingest", str(month), *JANUARY, "--once"))
    assert done["rows"]["written"] == 300


def test_another_source_day_or_revision_is_another_month(
    database: str, month: Path, tmp_path: Path
) -> None:
    lines(streamflow("ingest", str(month), *JANUARY, "--once"))
    other = shutil.copytree(month, tmp_path / "other")
    (other / "labels.csv").write_text((other / "labels.csv").read_text().replace("False", "True"))
    for arguments in (
        (str(other), *JANUARY),
        (str(month), "--as-of", "2024-02-29"),
        (str(month), *JANUARY, "--revision", "2"),
        (str(month), *JANUARY, "--revision", "corrected 2024-03-02"),
    ):
        (done,) = lines(streamflow("ingest", *arguments, "--once"))
        assert "message" not in done
        assert done["rows"]["read"] == 300
        (done,) = lines(streamflow("ingest", *arguments, "--once"))
        assert done["message"].startswith("nothing to do")


def test_a_rollback_to_an_earlier_source_says_what_is_there(
    database: str, month: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(month, tmp_path / "other")
    for source in (month, other):
        (done,) = lines(streamflow("ingest", str(source), *JANUARY, "--once"))
    newest = done["run"]
    (done,) = lines(streamflow("ingest", str(month), *JANUARY, "--once"))
    assert done["message"].endswith(
        f"; but the newest load of that day is run {newest}, from {other}: --revision loads again"
    )


def test_a_signed_url_that_is_signed_anew_is_the_same_month(database: str, month: Path) -> None:
    with recorded("ingest", source="s3://months/2024-01?sig=one", as_of=date(2024, 1, 31)) as run:
        ingest(run, month, date(2024, 1, 31))
    (done,) = lines(streamflow("ingest", "s3://months/2024-01?sig=two", *JANUARY, "--once"))
    assert done["message"].startswith("nothing to do")
    assert "sig" not in json.dumps(done).replace("?***", "")


def test_what_was_loaded_and_did_not_come_online_still_does(database: str, month: Path) -> None:
    def comes_online(day: str, *more: str) -> bool:
        arguments = ("ingest", str(month), "--as-of", day, "--once", "--materialize", *more)
        _, online = lines(streamflow(*arguments))
        return "message" not in online

    lines(streamflow("ingest", str(month), *JANUARY))
    assert comes_online("2024-01-31")
    assert not comes_online("2024-01-31")
    lines(streamflow("ingest", str(month), "--as-of", "2024-02-29"))
    lines(streamflow("materialize", "--start", "2024-01-01", "--end", "2024-02-01"))
    lines(streamflow("materialize", "--view", "subs_profile_fv"))
    lines(streamflow("materialize", "--start", "2024-03-01"))
    assert comes_online("2024-02-29")
    lines(streamflow("ingest", str(month), "--as-of", "2024-03-31"))
    lines(streamflow("materialize"))  # as a schedule does it
    assert not comes_online("2024-03-31")


def test_a_month_of_a_database_that_lost_it_is_loaded_again(database: str, month: Path) -> None:
    """The ledger goes back with the database, as a restore of an earlier backup does it."""
    lines(streamflow("ingest", str(month), *JANUARY, "--once"))
    execute("DELETE FROM source.labels_snapshots")
    execute("TRUNCATE ops.runs")
    (done,) = lines(streamflow("ingest", str(month), *JANUARY, "--once"))
    assert done["rows"]["written"] == 50


def test_a_forced_window_never_steps_back_again_by_itself(
    database: str, small_months: Path
) -> None:
    for name, day in (("month_000", "2024-01-31"), ("month_001", "2024-02-29")):
        lines(streamflow("ingest", str(small_months / name), "--as-of", day, "--materialize"))
    january = ("--start", "2024-01-01", "--end", "2024-02-01", "--force", "--once")
    (done,) = lines(streamflow("materialize", *january))
    assert done["rows"]["written"] == 200
    lines(streamflow("materialize"))
    query = 'SELECT max("subs_profile_fv@event_ts")::date::text FROM online."streamflow:user_id"'
    assert execute(query) == [("2024-02-29",)]
    (done,) = lines(streamflow("materialize", *january))
    assert done["message"].startswith("nothing to do")
    assert execute(query) == [("2024-02-29",)]
    (done,) = lines(streamflow("materialize", *january, "--revision", "again"))
    assert done["rows"]["written"] == 200
    (done,) = lines(streamflow("materialize", *january, "--view", "subs_profile_fv"))
    assert "message" not in done


def test_a_window_that_held_nothing_is_not_done(database: str, small_months: Path) -> None:
    window = ("materialize", "--start", "2024-01-01", "--end", "2024-02-01", "--once")
    (done,) = lines(streamflow(*window))
    assert done["rows"]["read"] == 0
    lines(streamflow("ingest", str(small_months / "month_000"), *JANUARY))
    (done,) = lines(streamflow(*window))
    assert done["rows"]["written"] == 200
