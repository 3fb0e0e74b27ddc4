"""Flows on Prefect's page, through its API as the page does: forms, files, and the pod's end."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from kit.cluster import CommandFailedError
from kit.namespace import Namespace, until

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
SLOW = (
    "SELECT user_id, as_of AS event_timestamp, pg_sleep(60)::text AS slept"
    " FROM source.labels_snapshots LIMIT 9"
)


@dataclass
class Page:
    """Prefect's page, by the API that it uses."""

    url: str

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer to a GET or, with a body, a POST."""
        data = None if body is None else json.dumps(body).encode()
        asked = Request(f"{self.url}/api{path}", data, {"Content-Type": "application/json"})
        with urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def start(self, flow: str, **parameters: Any) -> str:
        """Fills in the form of a flow and submits it; returns the run."""
        (found,) = self.ask("/deployments/filter", {"deployments": {"name": {"any_": [flow]}}})
        asked = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self.ask(f"/deployments/{found['id']}/create_flow_run", asked)["id"])

    def state(self, run: str) -> dict[str, Any]:
        """The state of a run."""
        found: dict[str, Any] = self.ask(f"/flow_runs/{run}")["state"]
        return found

    def end(self, run: str) -> dict[str, Any]:
        """Waits until a run has ended; returns its state."""
        found: dict[str, Any] = until(
            lambda: self.state(run), lambda state: state["type"] in ENDED, 300
        )
        return found

    def artifacts(self, run: str) -> dict[str, str]:
        """The artifacts of a run by their keys."""
        of_run = {"flow_runs": {"id": {"any_": [run]}}}
        return {one["key"]: one["data"] for one in self.ask("/artifacts/filter", of_run)}


@pytest.fixture(scope="module")
def page(sample_release: Namespace) -> Iterator[Page]:
    """The page of the release that several modules share.

    Runs fail here on purpose: this module comes after test_metrics.py, which looks at alerts.
    """
    sample_release.kubectl("wait", "--for=condition=Ready", "pod", "--timeout=300s", *FLOWS)
    with sample_release.forwarded("svc/streamflow-prefect", 4200) as url:
        yield Page(url)


def query(release: Namespace, statement: str) -> str:
    """The output of psql in the database's pod."""
    psql = ("psql", "-U", "streamflow", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement)
    return release.kubectl("exec", "streamflow-postgres-0", "--", *psql).strip()


def labels(release: Namespace) -> int:
    """The labels of January, of which other modules may have changed some."""
    return int(
        query(release, "SELECT count(*) FROM source.labels_snapshots WHERE as_of = '2024-01-31'")
    )


FLOWS = ("--selector=app.kubernetes.io/component=flows",)
TRAINER = ("exec", "deploy/streamflow-flows", "--container=trainer", "--")


def test_a_form_leaves_a_training_set_that_its_artifact_says_how_to_fetch(
    sample_release: Namespace, page: Page, tmp_path: Path
) -> None:
    names = {one["name"] for one in page.ask("/deployments/filter", {})}
    assert names == {"training-set", "materialize", "ingest-month", "audit"}
    audit = page.start("audit", users=50, url="http://streamflow-api")
    run = page.start("training-set", as_of="2024-01-31", out="by form.parquet")
    for one in (run, audit):
        assert page.end(one)["type"] == "COMPLETED", page.state(one)
    counts = {
        row["rows"]: row["count"] for row in json.loads(page.artifacts(audit)["audit-counts"])
    }
    assert counts["read"] == 50

    said = page.artifacts(run)["training-set-file"]
    assert said.startswith(f"{labels(sample_release):,} rows are in `/training/by form.parquet`")
    command = said.split("```")[1].strip()
    assert command.startswith(f"kubectl -n {sample_release.name} exec deploy/streamflow-flows ")
    context = f"kubectl --context {sample_release.cluster.context} "
    here = command.replace("kubectl ", context, 1)
    subprocess.run(["bash", "-c", here], cwd=tmp_path, check=True, timeout=120)
    fetched = (tmp_path / "by form.parquet").read_bytes()
    there = ("/training/by form.parquet",)
    assert sample_release.kubectl(*TRAINER, "wc", "-c", *there).split()[0] == str(len(fetched))
    assert fetched[:4] == b"PAR1"
    sample_release.kubectl(*TRAINER, "streamflow", "verify", *there)
    seen = sample_release.kubectl("exec", "deploy/streamflow-feast", "--", "ls", "/training")
    assert "by form.parquet.manifest.json" in seen


def test_a_refused_form_says_why_and_a_role_does_no_more_than_its_job(
    sample_release: Namespace, page: Page
) -> None:
    state = page.end(page.start("training-set", out="neither.parquet"))
    assert (state["type"], "give either as_of, a day, or entities" in state["message"]) == (
        "FAILED",
        True,
    )
    writes = "DELETE FROM source.labels_snapshots RETURNING user_id, as_of AS event_timestamp"
    state = page.end(page.start("training-set", entities=writes, out="never.parquet"))
    assert state["type"] == "FAILED"
    for command in ("materialize", "ingest sample://users-10/seed-7/month_000 --as-of 2024-01-31"):
        with pytest.raises(
            CommandFailedError,
            match=f"role streamflow_trainer_a may not run {command.split()[0]}, ",
        ):
            sample_release.kubectl(*TRAINER, "streamflow", *command.split())


def test_a_pod_that_ends_cancels_its_run_and_the_next_one_serves(
    sample_release: Namespace, page: Page
) -> None:
    slow = page.start("training-set", entities=SLOW, out="slow.parquet")
    waits = page.start("training-set", as_of="2024-01-31", service="profile_v1", out="next.csv")
    until(lambda: page.state(slow)["type"], lambda found: found == "RUNNING", 120)
    sample_release.kubectl("delete", "pod", *FLOWS, "--wait=false")
    state = page.end(slow)
    assert (state["type"], state["message"]) == ("CANCELLED", "Runner is shutting down.")
    assert page.end(waits)["type"] == "COMPLETED"
    lines = sample_release.kubectl(*TRAINER, "wc", "-l", "/training/next.csv")
    assert int(lines.split()[0]) == labels(sample_release) + 1
