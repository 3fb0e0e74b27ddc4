"""A clock that is an hour off and time zones that are not UTC change nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drills import state
from drills.forks import Command, Ended, Forks
from drills.results import Result, choose, record
from jobs.tests.acting import execute
from jobs.tests.conftest import Place

pytestmark = pytest.mark.slow  # processes with a clock of their own

HOUR_S = 3600
ZONES = ("Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati")[: choose(1, 3)]
SERVERS = ("America/St_Johns", "Pacific/Kiritimati", "Asia/Kathmandu")
KNOWN = "0002-ORFBO"
Everything = Callable[..., tuple[dict[str, Any], dict[str, str], str]]


def assert_success(ended: Ended) -> Ended:
    """Asserts that the command ended with 0, and returns it."""
    assert ended.code == 0, ended.errors
    return ended


@pytest.fixture(scope="module")
def everything(
    running: Forks, place: Place, small_months: Path, tmp_path_factory: pytest.TempPathFactory
) -> Everything:
    """Does all the work in a new database; gives what it holds, the files, and what is printed."""

    def done(server_zone: str = "UTC", **how: Any) -> tuple[dict[str, Any], dict[str, str], str]:
        folder = tmp_path_factory.mktemp("files")
        work = [
            ("apply",),
            ("ingest", str(small_months / "month_000"), "--as-of", "2024-01-31"),
            ("materialize", "--start", "2024-01-01", "--end", "2024-02-01"),
            ("ingest", str(small_months / "month_001"), "--as-of", "2024-02-29"),
            ("materialize",),
            ("training-set", "--as-of", "2024-02-29", "--out", str(folder / "set.parquet")),
            ("features", KNOWN),
        ]
        with place("template0") as name:
            execute(f"ALTER DATABASE {name} SET TimeZone = '{server_zone}'")
            printed = [assert_success(*running.run(Command(one, **how))).out for one in work]
            ledger = assert_success(*running.run(Command(["runs"], **how))).out
            windows = [line.split()[3:5] for line in ledger.splitlines() if " done " in line]
            # The window of a materialization without an end ends at that moment.
            found = state.contents()
            for key, (properties, _) in found["registry"].items():
                found["registry"][key] = properties
            return found, state.files(folder), "\n".join([printed[-1], str(windows[:1])])

    return done


@pytest.fixture(scope="module")
def expected(everything: Everything) -> tuple[dict[str, Any], dict[str, str], str]:
    """The results of a run by the right clock in UTC."""
    return everything()


def test_time_zones_of_client_and_server(
    everything: Everything, expected: tuple[dict[str, Any], dict[str, str], str]
) -> None:
    for zone, other in zip(ZONES, SERVERS, strict=False):
        for client in ({"TZ": zone}, {"TZ": zone, "PGTZ": zone}):
            found = everything(server_zone=other, environment=client)
            assert state.differences(found[0], expected[0]) == {}
            assert found[1:] == expected[1:]
    record(Result("time zones of client and server", "all jobs", 2 * len(ZONES) * 8, 0, None, 0))


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S], ids=["ahead", "behind"])
def test_a_clock_an_hour_off(
    everything: Everything, expected: tuple[dict[str, Any], dict[str, str], str], ahead_s: int
) -> None:
    found = everything(clock_s=ahead_s)
    assert state.differences(found[0], expected[0]) == {}
    assert found[1:] == expected[1:]
    record(Result(f"clock off by {ahead_s} s", "all jobs", 8, 0, None, 0))


@pytest.mark.parametrize("ahead_s", [HOUR_S, 0, -HOUR_S], ids=["ahead", "right", "behind"])
def test_now_is_the_databases_now(
    running: Forks, place: Place, template: str, ahead_s: int
) -> None:
    """Values of half an hour ago are served, and no window reaches into the future."""
    with place(template):
        now = execute("SELECT now()")[0][0]
        for minutes in (-30, 30):
            execute(
                "INSERT INTO source.payments_agg_90d_snapshots (user_id, as_of,"
                " failed_payments_90d) VALUES (%s, %s, 1)",
                f"user{minutes}",
                now + timedelta(minutes=minutes),
            )
        assert_success(running.run_one("materialize", clock_s=ahead_s))
        assert execute('SELECT user_id FROM online."streamflow:user_id"') == [("user-30",)]
        assert execute("SELECT max(window_end) <= now() FROM ops.materializations") == [(True,)]
        soon = datetime.now(UTC) - timedelta(seconds=1)
        assert_success(running.run_one("materialize", "--end", soon.isoformat(), clock_s=ahead_s))
