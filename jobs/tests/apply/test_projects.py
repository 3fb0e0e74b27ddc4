"""Two feature repositories in one database, each a Feast project: nothing of one is the other's."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.tests.conftest import metric, serving, wait_until
from drills.forks import Ended, Forks
from jobs.commands.init import write
from jobs.tests.acting import execute

USER = "0002-ORFBO"
DEVICES = "devices"
TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'online'::regnamespace AND relkind = 'r'"
)
DONE = 'streamflow_job_runs_total{command="materialize",outcome="done"}'
LAST_READ = "streamflow_status_last_read_timestamp_seconds"


@pytest.fixture
def devices(tmp_path: Path) -> dict[str, str]:
    """The variable that names the repository of a second project, with two join keys."""
    write(tmp_path / DEVICES)
    return {"STREAMFLOW_FEATURE_REPO": str(tmp_path / DEVICES)}


@pytest.fixture
def both(january: str, devices: dict[str, str], running: Forks) -> dict[str, str]:
    """The database of `january` with the second project in it; the variable that names that."""
    done(running, "materialize")
    done(running, "apply", environment=devices)
    return devices


def done(running: Forks, *arguments: str, environment: dict[str, str] | None = None) -> Ended:
    """Runs a command that has to succeed."""
    ended = running.run_one(*arguments, **({"environment": environment} if environment else {}))
    assert ended.code == 0, ended.all_output
    return ended


def catalogs() -> dict[str, int]:
    """The version of each project's catalog."""
    return dict(execute("SELECT project, version FROM ops.catalogs"))  # type: ignore[arg-type]


def device(client: httpx.Client) -> dict[str, Any]:
    """The values of a device, as the API answers."""
    keys = {"account_id": ["anna"], "device_id": [1]}
    asked = {"feature_service": "device_v1", "entities": keys}
    answer = client.post("/get-online-features", json=asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    names = found["metadata"]["feature_names"]
    return {name: one["values"][0] for name, one in zip(names, found["results"], strict=True)}


@pytest.mark.slow
def test_each_project_is_applied_and_leaves_the_other(both: dict[str, str], running: Forks) -> None:
    before = catalogs()
    assert before.keys() == {"streamflow", DEVICES}
    for environment in ({}, both):
        plan = done(running, "apply", "--plan", environment=environment)
        assert "nothing to do" in plan.out
    assert catalogs() == before
    definitions = Path(both["STREAMFLOW_FEATURE_REPO"]) / "definitions.py"
    text = definitions.read_text()
    definitions.write_text(text.replace("watch_hours", "watched_hours"))
    done(running, "apply", environment=both)
    assert catalogs() == {**before, DEVICES: before[DEVICES] + 1}
    assert "nothing to do" in done(running, "apply", "--plan").out
    definitions.write_text(
        "from feast import Entity, ValueType\n"
        "device = Entity(name='device', join_keys=['device_id'], value_type=ValueType.INT64)\n"
    )
    done(running, "apply", "--allow-removal", environment=both)
    assert [table for (table,) in execute(TABLES)] == ["streamflow:user_id"]
    assert "nothing to do" in done(running, "apply", "--plan").out


@pytest.mark.slow
def test_runs_of_one_project_are_not_done_for_the_other(
    both: dict[str, str], running: Forks
) -> None:
    window = ("materialize", "--end", "2024-03-01", "--once")
    assert "nothing to do" not in done(running, *window).all_output
    assert "nothing to do" in done(running, *window).all_output
    assert "nothing to do" not in done(running, *window, environment=both).all_output
    assert "nothing to do" in done(running, *window, environment=both).all_output
    runs = execute(
        "SELECT project, command FROM ops.runs WHERE command = 'materialize' ORDER BY run"
    )
    assert runs == [("streamflow", "materialize")] * 2 + [(DEVICES, "materialize")]
    listed = done(running, "runs").out
    assert DEVICES in listed
    assert "streamflow" in listed


@pytest.mark.slow
def test_an_apply_that_failed_is_completed_in_its_own_project(
    both: dict[str, str], running: Forks
) -> None:
    execute(
        "UPDATE ops.runs SET outcome = 'failed' WHERE command = 'apply' AND project = %s", DEVICES
    )
    assert "nothing to do" in done(running, "apply", "--plan").out
    assert "online tables" in done(running, "apply", "--plan", environment=both).out
    done(running, "apply")
    assert "online tables" in done(running, "apply", "--plan", environment=both).out


@pytest.mark.slow
def test_each_has_an_api_with_its_services_contracts_and_metrics(
    both: dict[str, str], running: Forks
) -> None:
    done(running, "materialize", environment=both)
    done(running, "materialize", environment=both)
    with (
        serving(project=DEVICES, service="device_v1", status_refresh_s=0.1) as theirs,
        serving(status_refresh_s=0.1) as ours,
    ):
        for client in (theirs, ours):
            wait_until(lambda client=client: client.get("/readyz").status_code == 200)
            wait_until(lambda client=client: metric(client, LAST_READ) > 0)
        assert device(theirs)["watch_hours"] == 14.75
        assert ours.get(f"/features/{USER}").status_code == 200
        assert theirs.get(f"/features/{USER}?service=churn_v1").status_code == 422
        assert ours.get("/features/anna?service=device_v1").status_code == 422
        assert (metric(theirs, DONE), metric(ours, DONE)) == (2, 1)
        services = {one["name"] for one in theirs.get("/services").json()["services"]}
        assert services == {"device_v1"}
    audit = done(running, "audit", environment=both)
    assert "no difference" in audit.all_output
    listed = json.loads(done(running, "contracts", "--json", environment=both).out)
    assert {one["service"] for one in listed} == {"device_v1"}
    assert "device_v1" not in done(running, "contracts").out
    ended = running.run_one("contracts", "end", "churn_v1", "0" * 16, environment=both)
    assert "churn_v1" in ended.message


@pytest.mark.slow
def test_changes_of_a_further_project_are_served(both: dict[str, str], running: Forks) -> None:
    with serving(project=DEVICES, service="device_v1") as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert device(client)["starts"] is None
        done(running, "materialize", environment=both)
        wait_until(lambda: device(client)["starts"] == 5)
        definitions = Path(both["STREAMFLOW_FEATURE_REPO"]) / "definitions.py"
        text = definitions.read_text()
        definitions.write_text(text.replace("watch_hours", "watched"))
        done(running, "apply", environment=both)
        wait_until(lambda: "watched" in device(client))


def test_an_api_of_a_project_that_was_not_applied_says_so(january: str) -> None:
    with serving(project="elsewhere") as client:
        said = "project elsewhere was not applied to the database"
        wait_until(lambda: said in client.get("/readyz").text.lower())
        answer = client.get(f"/features/{USER}")
        assert answer.status_code == 503
        assert said in answer.text.lower()
