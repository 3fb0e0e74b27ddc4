"""Deployments that a person starts on Prefect's page: the form, the run, the result."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from jobs.tests.acting import process
from jobs.tests.flows.test_flows import newest

pytestmark = pytest.mark.slow  # Prefect's own server runs the flows


@pytest.fixture
def served(january: str, prefect: str, tmp_path: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The deployments by the name of their flow, served by a process beside the server."""
    environment = {
        **os.environ,
        "PREFECT_API_URL": prefect,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jobs", "serve-flows"], env=environment, stdout=log, stderr=log
        )
        try:
            give_up = time.monotonic() + 60
            while len(found := deployments(prefect)) < 4:
                assert time.monotonic() < give_up, (tmp_path / "log").read_text()
                time.sleep(0.5)
            yield {one["entrypoint"].rpartition(".")[2]: one for one in found}
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)


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
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        answer = httpx.get(f"{url}/flow_runs/{asked.json()['id']}", timeout=30)
        found: dict[str, Any] = answer.json() if answer.is_success else {}
        if found.get("state_type") in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return found
        time.sleep(0.5)
    raise AssertionError(answer.text)


def test_a_form_explains_itself_and_its_run_leaves_the_file(
    served: dict[str, dict[str, Any]], prefect: str, tmp_path: Path
) -> None:
    assert set(served) == {"training_set", "materialize", "ingest_month", "audit"}
    for deployment in served.values():
        assert deployment["description"]
        assert deployment["global_concurrency_limit"]["limit"] == 1
        for name, field in deployment["parameter_openapi_schema"]["properties"].items():
            assert field["description"], name
    form = served["training_set"]["parameter_openapi_schema"]
    assert form["required"] == ["out"]
    assert {"type": "string", "format": "date"} in form["properties"]["as_of"]["anyOf"]

    out = tmp_path / "january.parquet"
    ended = run(prefect, served["training_set"], as_of="2024-01-31", out=str(out))
    assert ended["state_name"] == "Completed", ended["state"]
    assert pq.read_table(out).num_rows == 50
    its_own = {"flow_runs": {"id": {"any_": [ended["id"]]}}}
    artifacts = {one["key"]: one["data"] for one in newest(prefect, "artifacts", **its_own)}
    assert f"streamflow verify {out}" in artifacts["training-set-file"]
    counts = {row["rows"]: row["count"] for row in json.loads(artifacts["training-set-counts"])}
    assert counts["written"] == 50

    asked = submit(prefect, served["training_set"], {"as_of": "2024-01-31"})
    assert asked.status_code == 409
    assert "'out' is a required property" in asked.text
    rows = "SELECT user_id, as_of AS event_timestamp FROM source.labels_snapshots"
    theirs = run(prefect, served["training_set"], entities=rows, out=str(tmp_path / "own.csv"))
    assert theirs["state_name"] == "Completed", theirs["state"]
    neither = run(prefect, served["training_set"], out=str(out))
    assert neither["state_name"] == "Failed"
    assert "give either as_of, a day, or entities" in neither["state"]["message"]


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
    unknown = process("serve-flows", "--flow", "ingest", **where)
    assert unknown.returncode == 2
    assert "unknown flow 'ingest'" in unknown.stderr.lower()
    assert "ingest-month" in unknown.stderr
