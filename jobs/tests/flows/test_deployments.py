"""Deployments that a person starts on Prefect's page: the form, the run, the result."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from jobs.run.earlier_runs import recent
from jobs.tests.acting import process
from jobs.tests.flows.conftest import free_port, prefect_server
from jobs.tests.flows.test_flows import newest
from streamflow.errors import StreamflowError

pytestmark = [  # Prefect's own server runs the flows, each in a process that loads Feast
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@contextmanager
def serving(url: str, folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that serves flows in a folder, from when they can be started."""
    environment = {
        **os.environ,
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "STREAMFLOW_WAIT_S": "180",
        "STREAMFLOW_FETCH_COMMAND": "fetch {path} > {name}",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobs", "serve-flows", *options],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(lambda: "to start one: " in (folder / "log").read_text() or server.poll() is not None)
        assert server.poll() is None, (folder / "log").read_text()
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) in (0, -signal.SIGKILL)


def until(good: Callable[[], Any], seconds: float = 120) -> None:
    """Returns when `good` gives something true."""
    give_up = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < give_up
        time.sleep(0.3)


@pytest.fixture
def served(january: str, prefect: str, tmp_path: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The deployments by the name of their flow, served by a process beside the server."""
    with serving(prefect, tmp_path):
        yield by_flow(prefect)


def by_flow(url: str) -> dict[str, dict[str, Any]]:
    """The deployments by the name of their flow's function."""
    until(lambda: len(deployments(url)) >= 4)
    return {one["entrypoint"].rpartition(".")[2]: one for one in deployments(url)}


def deployments(url: str) -> list[dict[str, Any]]:
    """The deployments that the server has; none while its database is busy."""
    try:
        return newest(url, "deployments")
    except httpx.HTTPError:
        return []


def submit(url: str, deployment: dict[str, Any], parameters: dict[str, Any]) -> httpx.Response:
    """The answer to a form; sent again while Prefect's server says that its database is busy."""
    give_up = time.monotonic() + 120
    while True:
        answer = httpx.post(
            f"{url}/deployments/{deployment['id']}/create_flow_run",
            json={"parameters": parameters, "state": {"type": "SCHEDULED"}},
            timeout=30,
        )
        if answer.status_code != 503:
            return answer
        assert time.monotonic() < give_up, answer.text
        time.sleep(0.5)


def run(url: str, deployment: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """The run that a filled-in form starts, when it has ended."""
    asked = submit(url, deployment, parameters)
    assert asked.is_success, asked.text
    return ended(url, asked.json()["id"])


def ended(url: str, identity: str) -> dict[str, Any]:
    """A run when it has ended."""
    until(lambda: state(url, identity) in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"))
    found: dict[str, Any] = httpx.get(f"{url}/flow_runs/{identity}", timeout=30).json()
    return found


def state(url: str, identity: str) -> str:
    """The type of a run's state; empty while the server's database is busy."""
    answer = httpx.get(f"{url}/flow_runs/{identity}", timeout=30)
    return str(answer.json()["state_type"]) if answer.is_success else ""


def test_a_form_explains_itself_and_its_run_leaves_the_file(
    served: dict[str, dict[str, Any]], prefect: str, tmp_path: Path
) -> None:
    assert set(served) == {"training_set", "materialize", "ingest_month", "audit"}
    for deployment in served.values():
        assert deployment["description"].count("\n") == 0
        assert deployment["global_concurrency_limit"]["limit"] == 1
        for name, field in deployment["parameter_openapi_schema"]["properties"].items():
            assert field["description"], name
    form = served["training_set"]["parameter_openapi_schema"]
    assert form["required"] == ["out"]
    fields = sorted(form["properties"], key=lambda name: form["properties"][name]["position"])
    assert fields == ["service", "as_of", "entities", "split_by_key", "origin", "out"]
    assert {"type": "string", "format": "date"} in form["properties"]["as_of"]["anyOf"]
    assert served["audit"]["parameters"] == {"service": "churn_v1"}

    ended = run(prefect, served["training_set"], as_of="2024-01-31", out="the january.parquet")
    assert ended["state_name"] == "Completed", ended["state"]
    out = tmp_path / "the january.parquet"
    assert pq.read_table(out).num_rows == 50
    its_own = {"flow_runs": {"id": {"any_": [ended["id"]]}}}
    artifacts = {one["key"]: one["data"] for one in newest(prefect, "artifacts", **its_own)}
    assert artifacts["training-set-file"] == (
        f"50 rows are in `{out}`, with a manifest beside it.\n\nTo fetch it:\n\n"
        f"```\nfetch '{out}' > 'the january.parquet'\n```"
    )
    counts = {row["rows"]: row["count"] for row in json.loads(artifacts["training-set-counts"])}
    assert counts["written"] == 50
    its_log = {"flow_run_id": {"any_": [ended["id"]]}}
    until(lambda: "training set written" in str(newest(prefect, "logs", logs=its_log)))


def test_rows_of_ones_own_come_by_a_form_and_the_other_flows_run(
    served: dict[str, dict[str, Any]], prefect: str, small_months: Path, tmp_path: Path
) -> None:
    unsent = {
        "'out' is a required property": {"as_of": "2024-01-31"},
        "'' should be non-empty": {"out": ""},
        "1.5": {"out": "a.csv", "split_by_key": 1.5},
    }
    for said, parameters in unsent.items():
        asked = submit(prefect, served["training_set"], parameters)
        assert (asked.status_code, said in asked.text) == (409, True), asked.text

    rows = "SELECT user_id, as_of AS event_timestamp FROM source.labels_snapshots"
    month = str(small_months / "month_001")
    done = [
        run(prefect, served["training_set"], entities=rows, split_by_key=0.5, out="own.csv"),
        run(prefect, served["ingest_month"], source=month, as_of=LATER, refuse_drift=True),
        run(prefect, served["materialize"], end="2024-03-01T00:00:00Z"),
        run(prefect, served["audit"], users=5),
    ]
    for one in done:
        assert one["state_name"] == "Completed", one["state"]
    assert (tmp_path / "own.csv").read_text().startswith('"user_id","event_timestamp",')


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "give either as_of, a day, or entities, rows of your own"),
        ({"as_of": date(2024, 1, 31), "entities": "SELECT 1"}, "give either as_of, a day, or"),
        ({"entities": "ftp://me:c0ffee@host/a.csv"}, "a password in a URL is kept by logs"),
    ],
    ids=str,
)
def test_what_a_form_cannot_know_is_said_by_the_run(
    database: str, wrong: dict[str, Any], said: str
) -> None:
    from jobs.flows import deployments

    with pytest.raises(StreamflowError) as refused:
        deployments.training_set.fn(**{"service": "", "out": "a.csv", **wrong})
    assert said.lower() in str(refused.value).lower()
    assert "c0ffee" not in str(refused.value)


LATER = "2024-02-29"
SLOW = (
    "SELECT user_id, as_of AS event_timestamp, pg_sleep(60)::text AS slept"
    " FROM source.labels_snapshots"
)


def of_training_sets(url: str) -> dict[str, Any]:
    """The deployment of training sets."""
    until(lambda: "training_set" in str(deployments(url)))
    return next(one for one in deployments(url) if "training_set" in one["entrypoint"])


def start_slow(url: str) -> str:
    """Starts a run of a minute; returns it when it is at work."""
    asked = submit(url, of_training_sets(url), {"entities": SLOW, "out": "a.csv"})
    identity = str(asked.json()["id"])
    until(lambda: state(url, identity) == "RUNNING" and recent(1)[0]["outcome"] == "running")
    return identity


def test_a_run_ends_with_its_server_and_leaves_its_place_free(
    january: str, prefect: str, tmp_path: Path
) -> None:
    with serving(prefect, tmp_path, "--flow", "training-set") as server:
        identity = start_slow(prefect)
        second = process(
            *("serve-flows", "--flow", "training-set"),
            PREFECT_API_URL=prefect,
            PREFECT_HOME=str(tmp_path / "second"),
        )
        assert second.returncode == 1
        assert "another process serves training-set from this database" in second.stderr
        server.terminate()
        assert server.wait(timeout=60) == 0
        found = ended(prefect, identity)
        assert found["state"]["message"] == "Runner is shutting down."
        assert found["state_type"] == "CANCELLED"
        assert recent(1)[0]["outcome"] == "failed"
        assert "Traceback" not in (tmp_path / "log").read_text()


def test_what_a_killed_server_left_is_ended_by_the_next(
    january: str, prefect: str, tmp_path: Path
) -> None:
    with serving(prefect, tmp_path, "--flow", "training-set") as server:
        identity = start_slow(prefect)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=60)
    with serving(prefect, tmp_path, "--flow", "training-set"):
        found = ended(prefect, identity)
        assert found["state_type"] == "CRASHED"
        assert "was killed; start it again" in found["state"]["message"]
        done = run(prefect, of_training_sets(prefect), as_of="2024-01-31", out="b.csv")
        assert done["state_type"] == "COMPLETED", done["state"]


def test_after_an_outage_of_prefect_a_run_is_cancelled_on_the_page(
    january: str, tmp_path: Path
) -> None:
    """Prefect's own runner never looks for cancelled runs again."""
    home, port = tmp_path / "server", free_port()
    home.mkdir()
    log = tmp_path / "log"
    with ExitStack() as stack:
        with prefect_server(home, port) as url:
            stack.enter_context(serving(url, tmp_path, "--flow", "training-set"))
        until(lambda: "waiting for Prefect's server" in log.read_text())
        with prefect_server(home, port), stack.pop_all():
            until(lambda: log.read_text().count("to start one: ") == 2)
            identity = start_slow(url)
            cancelling = {"state": {"type": "CANCELLING"}}
            httpx.post(f"{url}/flow_runs/{identity}/set_state", json=cancelling, timeout=30)
            assert ended(url, identity)["state_type"] == "CANCELLED"


def test_it_takes_a_server_and_names_of_flows(database: str, prefect: str, tmp_path: Path) -> None:
    none = process("serve-flows", PREFECT_API_URL="")
    assert (none.returncode, none.stderr.splitlines()) == (
        2,
        [
            "error: not set: PREFECT_API_URL; on a laptop: prefect server start, in another"
            " terminal, and export PREFECT_API_URL=http://127.0.0.1:4200/api"
        ],
    )
    away = process("serve-flows", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert away.returncode == 1
    assert "Prefect does not answer at http://127.0.0.1:9/api: " in away.stderr
    where = {"PREFECT_API_URL": prefect, "PREFECT_HOME": str(tmp_path)}
    slash = process("serve-flows", "--suffix", "a/b", **where)
    assert slash.returncode == 2
    assert "--suffix 'a/b' has /, which Prefect takes in no name" in slash.stderr
    unknown = process("serve-flows", "--flow", "ingest", **where)
    assert unknown.returncode == 2
    assert "unknown flow 'ingest'" in unknown.stderr.lower()
    assert "ingest-month" in unknown.stderr
