"""A row dated 2099 by mistake: left out, counted, said once, and what it pinned is mended."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drills.forks import Command, Forks
from jobs.ingest.load import ingest
from jobs.run.ledger import recorded
from jobs.tests.acting import execute, streamflow
from jobs.tests.conftest import Place

ONLINE = 'online."streamflow:user_id"'
KNOWN = "0002-ORFBO"
DAY_S = 86_400


@pytest.fixture
def month(database: str, small_months: Path) -> None:
    """January is in the snapshot tables."""
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))


def materialize(*options: str) -> tuple[dict[str, Any], str]:
    """The command's JSON line, and what it logged."""
    done = streamflow("materialize", *options)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def payments() -> list[tuple[Any, ...]]:
    """Time and value of the known user's payments, as they are served."""
    return execute(
        'SELECT "payments_agg_90d_fv@event_ts", "payments_agg_90d_fv:failed_payments_90d"'
        f" FROM {ONLINE} WHERE user_id = '{KNOWN}'"
    )


@pytest.mark.usefixtures("month")
def test_a_row_too_far_ahead_is_left_out_and_said_once() -> None:
    execute(
        "INSERT INTO source.payments_agg_90d_snapshots (user_id, as_of, failed_payments_90d)"
        f" VALUES ('{KNOWN}', '2099-01-01Z', 99)"
    )
    line, logged = materialize()
    assert line["outcome"] == "done"
    assert (line["rows"]["read"], line["rows"]["written"], line["rows"]["refused"]) == (201, 200, 1)
    said = "dated more than 1 day, 0:00:00 ahead of the database's clock and left out, rows by view"
    assert line["message"] == f"{said}: payments_agg_90d_fv 1"
    assert logged.count(said) == 1
    assert payments()[0][0] == datetime(2024, 1, 31, tzinfo=UTC)
    assert execute("SELECT rows_refused, message FROM ops.runs ORDER BY run DESC LIMIT 1") == [
        (1, line["message"])
    ]


@pytest.mark.usefixtures("month")
def test_what_pins_keys_is_said_until_it_is_mended() -> None:
    materialize()
    before = payments()
    execute(
        f"UPDATE {ONLINE} SET \"payments_agg_90d_fv@event_ts\" = '2099-01-01Z',"
        f" \"payments_agg_90d_fv:failed_payments_90d\" = 99 WHERE user_id = '{KNOWN}'"
    )
    line, _ = materialize()
    assert (line["rows"]["written"], line["rows"]["older"]) == (0, 1)
    assert "users by view: payments_agg_90d_fv 1; materialize --force, or delete" in line["message"]
    found = streamflow("audit", "--users", "50", "--threshold", "1")
    audited = json.loads(found.stdout.splitlines()[-1])["message"]
    assert "dated too far ahead keep others back, users by view: payments_agg_90d_fv 1" in audited
    line, _ = materialize("--force")
    assert (line["rows"]["written"], line.get("message")) == (1, None)
    assert payments() == before


@pytest.mark.slow
@pytest.mark.parametrize("clock_s", [-2 * DAY_S, 0, 2 * DAY_S], ids=["behind", "right", "ahead"])
def test_ingest_knows_the_future_by_the_databases_clock(
    running: Forks, place: Place, template: str, small_months: Path, clock_s: int
) -> None:
    with place(template):
        ((today,),) = execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date")
        for day, code in ((today, 0), (today + timedelta(days=1), 2)):
            work = ["ingest", str(small_months / "month_000"), "--as-of", day.isoformat()]
            (ended,) = running.run(Command(work, clock_s=clock_s))
            assert ended.code == code, ended.errors
        assert "is in the future; give the month's last day" in ended.errors
        assert execute("SELECT max(as_of)::date FROM source.users") == [(today,)]
