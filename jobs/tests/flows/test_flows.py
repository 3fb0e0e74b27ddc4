"""The flows on a real Prefect server, without one, and with one that is away."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from drills.forks import Ended, Forks, forks
from jobs.tests.acting import process

pytestmark = pytest.mark.slow  # Prefect's own server runs the flows


@pytest.fixture(scope="module")
def tracked(prefect: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts commands whose runs that server tracks; Prefect reads its settings when imported."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PREFECT_API_URL", prefect)
            patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("home")))
            patch.setenv("PREFECT_LOGGING_EXTRA_LOGGERS", "jobs,streamflow")
            started = forks(
                tmp_path_factory.mktemp("output"), "prefect", "jobs.flows.prefect_flows"
            )
            found = stack.enter_context(started)
        yield found


def streamflow(starting: Forks, *arguments: str, url: str) -> Ended:
    """Runs a command with PREFECT_API_URL set."""
    return starting.run_one(*arguments, environment={"PREFECT_API_URL": url})


def newest(url: str, kind: str, **query: Any) -> list[dict[str, Any]]:
    """Returns objects of a kind from the Prefect server, by its filter API.

    Asked again for a while when the server says that its database is busy.
    """
    give_up = time.monotonic() + 60
    while True:
        answer = httpx.post(f"{url}/{kind}/filter", json=query, timeout=30)
        if answer.status_code != 503 or time.monotonic() > give_up:
            break
        time.sleep(0.5)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def step_of(url: str, run: dict[str, Any]) -> dict[str, Any]:
    """Returns the one task run of a flow run, when the server has its end.

    A command tells its server of tasks by events, which are stored some time after they came.
    """
    its_own = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    give_up = time.monotonic() + 60
    steps: list[dict[str, Any]] = []
    while time.monotonic() < give_up:
        steps = newest(url, "task_runs", **its_own)
        if [step["state_type"] for step in steps] in (["COMPLETED"], ["FAILED"]):
            break
        time.sleep(0.2)
    (step,) = steps
    return step


def test_a_run_appears_with_parameters_logs_and_counts(
    database: str, small_months: Path, tmp_path: Path, prefect: str
) -> None:
    """The command runs in a process of its own, which imports Prefect as commands do."""
    month = str(small_months / "month_000")
    where = {"PREFECT_API_URL": prefect, "PREFECT_HOME": str(tmp_path)}
    done = process("ingest", month, "--as-of", "2024-01-31", **where)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["rows"]["written"] == 300

    run = newest(prefect, "flow_runs", sort="START_TIME_DESC")[0]
    its_own = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    assert run["state_name"] == "Completed"
    given = {"source": month, "as_of": "2024-01-31", "revision": "", "refuse_drift": False}
    assert run["parameters"] == given
    step = step_of(prefect, run)
    assert step["name"].startswith("ingest_month")
    assert step["empirical_policy"]["retries"] == 3
    artifacts = newest(prefect, "artifacts", **its_own)
    (artifact,) = [one for one in artifacts if one["key"] == "ingest-counts"]
    assert {row["rows"]: row["count"] for row in json.loads(artifact["data"])}["written"] == 300

    give_up = time.monotonic() + 60  # Prefect sends its logs in batches
    messages: list[str] = []
    while time.monotonic() < give_up and "file stored" not in messages:
        time.sleep(0.2)
        logs = newest(prefect, "logs", logs={"flow_run_id": {"any_": [run["id"]]}})
        messages = [line["message"] for line in logs]
    assert "file stored" in messages


def test_a_refused_month_fails_there_once_and_says_why_here(
    database: str, tmp_path: Path, prefect: str, tracked: Forks
) -> None:
    ended = streamflow(tracked, "ingest", str(tmp_path), "--as-of", "2024-01-31", url=prefect)
    assert ended.code == 3
    assert "Traceback" not in ended.errors
    assert "  users.csv: the file is missing" in ended.errors.splitlines()
    run = newest(prefect, "flow_runs", sort="START_TIME_DESC")[0]
    assert run["state_name"] == "Failed"
    assert step_of(prefect, run)["run_count"] == 1
    its_own = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    artifacts = newest(prefect, "artifacts", **its_own)
    (faults,) = [one for one in artifacts if one["key"] == "ingest-faults"]
    assert json.loads(faults["data"])[0]["rule"] == "the file is missing"


def test_what_is_signed_in_a_url_stays_here(database: str, prefect: str, tracked: Forks) -> None:
    url = "http://127.0.0.1:1/month?token=c0ffee"
    for arguments in (
        ["ingest", url, "--as-of", "2024-01-31"],
        ["training-set", "--as-of", "2024-01-31", "--out", url],
        ["audit", "--url", url],
    ):
        assert "c0ffee" not in streamflow(tracked, *arguments, url=prefect).all_output
    runs = newest(prefect, "flow_runs", sort="START_TIME_DESC")[:3]
    given = [run["parameters"] for run in reversed(runs)]
    assert [one.get("source") or one.get("out") or one.get("url") for one in given] == [
        "http://127.0.0.1:1/month?***"
    ] * 3
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:  # the log of the first is there soon
        messages = str(newest(prefect, "logs", sort="TIMESTAMP_DESC"))
        if "month?*** cannot be read" in messages:
            break
        time.sleep(0.5)
    assert "month?*** cannot be read" in messages
    kept = [newest(prefect, what) for what in ("flow_runs", "task_runs", "artifacts", "logs")]
    assert "c0ffee" not in str(kept)


def test_every_flow_runs_there(
    database: str, small_months: Path, tmp_path: Path, prefect: str, tracked: Forks
) -> None:
    day, profile = ("--as-of", "2024-01-31"), ("--service", "profile_v1")
    rows = "SELECT user_id, as_of AS event_timestamp FROM source.labels_snapshots ORDER BY 1"
    before = len(newest(prefect, "flow_runs"))
    for arguments in (
        ["apply"],
        ["ingest", str(small_months / "month_000"), *day],
        ["training-set", *day, *profile, "--out", str(tmp_path / "t.parquet")],
        ["training-set", "--entities", rows, *profile, "--out", str(tmp_path / "rows.csv")],
        ["materialize", "--end", "2024-02-01"],
        ["audit", *profile, "--users", "5"],
    ):
        ended = streamflow(tracked, *arguments, url=prefect)
        assert ended.code == 0, ended.errors
    states = [run["state_name"] for run in newest(prefect, "flow_runs", sort="START_TIME_DESC")]
    assert len(states) == before + 6
    assert states[:6] == ["Completed"] * 6
    flows = {flow["name"] for flow in newest(prefect, "flows")}
    assert flows == {
        "apply-registry",
        "ingest-month",
        "build-training-dataset",
        "materialize-features",
        "audit-online",
    }
    made = newest(prefect, "artifacts", artifacts={"key": {"any_": ["training-set-counts"]}})
    spine = f", spine {hashlib.sha256(rows.encode()).hexdigest()}"
    assert [one["description"].endswith(spine) for one in made].count(True) == 1


def test_with_the_server_away_the_work_is_done_and_the_log_says_so(
    database: str, small_months: Path, running: Forks
) -> None:
    month = str(small_months / "month_000")
    away = "http://127.0.0.1:1/api"
    ended = streamflow(running, "ingest", month, "--as-of", "2024-01-31", url=away)
    assert ended.code == 0, ended.errors
    assert ended.summary["rows"]["written"] == 300
    assert "run not tracked, Prefect does not answer" in ended.errors


def test_without_a_server_prefect_is_not_even_imported(database: str, small_months: Path) -> None:
    code = (
        "import sys; from datetime import date; from jobs.command_line.run import tracked;"
        f"tracked('ingest_month', source={str(small_months / 'month_000')!r},"
        " as_of=date(2024, 1, 31)); print('prefect' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


LOST = """
import httpx, os
from prefect.runtime import flow_run
from jobs.flows import work
from jobs.__main__ import main
real, calls = work.ingest_month, []
def loses(*given, **named):
    calls.append(1)
    if len(calls) == 1 and {at!r} == "begin":
        raise httpx.ReadError("lost")  # as Prefect's client does
    done = real(*given, **named)
    if len(calls) == 1:
        url = os.environ["PREFECT_API_URL"] + "/flow_runs/" + flow_run.id
        httpx.delete(url).raise_for_status()
    return done
work.ingest_month = loses
main()
"""
"""Ingests a month, of whose run Prefect's server knows nothing any more then."""


@pytest.mark.parametrize(("at", "said"), [("end", "but done"), ("begin", "done again without it")])
def test_a_run_that_the_server_lost_is_done_once(
    database: str, small_months: Path, tmp_path: Path, prefect: str, at: str, said: str
) -> None:
    """Prefect's database may be replaced by that of a backup, or somebody deletes the run."""
    month = str(small_months / "month_000")
    done = subprocess.run(
        [sys.executable, "-c", LOST.format(at=at), "ingest", month, "--as-of", "2024-01-31"],
        env={**os.environ, "PREFECT_API_URL": prefect, "PREFECT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"run not tracked to its end, {'Prefect lost it; ' * (at == 'begin')}{said}" in (
        done.stderr
    )
    line = json.loads(done.stdout.splitlines()[-1])
    assert (line["outcome"], line["rows"]["written"]) == ("done", 300)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [("KeyError('driver')", 1, "KeyError: 'driver'"), ("KeyboardInterrupt()", 130, "interrupted")],
)
def test_what_nobody_foresaw_ends_in_one_line_there_too(
    database: str, tmp_path: Path, prefect: str, error: str, code: int, said: str
) -> None:
    program = (
        "from jobs.flows import work\nfrom jobs.__main__ import main\n"
        f"def fails(*_): raise {error}\n"
        "work.ingest_month = fails\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "ingest", ".", "--as-of", "2024-01-31"],
        env={**os.environ, "PREFECT_API_URL": prefect, "PREFECT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if not line[:4].isdigit()]
    assert [line.startswith(f"error: {said}") for line in errors] == [True], done.stderr
    line = json.loads(done.stdout.splitlines()[-1])
    assert (line["command"], line["outcome"], line["message"]) == ("ingest", "failed", said)
