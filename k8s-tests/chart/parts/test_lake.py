"""The lake: its URL, credentials and memory, where months are written and read."""

from pathlib import Path
from typing import Any

import pytest
from kit.render import Manifest, notes, pods, refusal, render

LAKE: dict[str, Any] = {
    "jobs.lake.url": "file:///lake",
    "jobs.lake.envFrom": [{"secretRef": {"name": "lake"}}],
    "jobs.ingest.months": [{"asOf": "2024-01-31", "source": "sample", "month": "month_000"}],
    "jobs.trainingSet.datasets": [{"asOf": "2024-01-31", "from": "lake"}],
}
FLOWS: dict[str, Any] = {"prefect.deployments.enabled": True, "api.autoscaling.maxReplicas": 8}


def containers(values: dict[str, Any]) -> dict[str, Manifest]:
    """Every container by its name and what its pod is for."""
    return {
        f"{name} {one['name']}": one
        for name, pod in pods(render(values)).items()
        for one in pod["spec"]["containers"]
    }


def variables(container: Manifest) -> dict[str, Any]:
    """The variables of a container that have a value."""
    return {one["name"]: one.get("value") for one in container["env"]}


def test_those_that_load_months_and_build_training_sets_have_it_and_nobody_else() -> None:
    found = containers({**LAKE, **FLOWS})
    with_lake = {
        name.split()[-1]
        for name, one in found.items()
        if "STREAMFLOW_LAKE_URL" in variables({"env": [], **one})
    }
    with_secret = {
        name.split()[-1]
        for name, one in found.items()
        if {"secretRef": {"name": "lake"}} in one.get("envFrom", [])
    }
    assert with_lake == with_secret == {"ingest", "training-set", "trainer", "writer"}


def test_without_a_lake_nothing_is_said_of_one(tmp_path: Path) -> None:
    for one in containers({**LAKE, "jobs.lake.url": "", "jobs.trainingSet.datasets": []}).values():
        assert not [name for name in variables({"env": [], **one}) if "LAKE" in name]
        assert "lake" not in str(one.get("envFrom"))
    assert "Lake           none" in notes(tmp_path)
    assert "Lake           file:///lake" in notes(tmp_path, LAKE)


@pytest.mark.parametrize(
    ("limit", "mebibytes"), [("1536Mi", "1024"), ("4Gi", "3584"), ("600Mi", "128"), ("2G", "1395")]
)
def test_the_joins_have_the_memory_that_the_limit_leaves(limit: str, mebibytes: str) -> None:
    values = {**LAKE, "jobs.trainingSet.resources": {"limits": {"memory": limit}}}
    (found,) = (one for name, one in containers(values).items() if name.endswith(" training-set"))
    assert variables(found)["STREAMFLOW_LAKE_MEMORY_MIB"] == mebibytes
    assert found["args"][-2:] == ["--from", "lake"]


def test_a_training_set_from_no_lake_is_refused() -> None:
    said = refusal({**LAKE, "jobs.lake.url": ""})
    assert "jobs.trainingSet.datasets[0] is read from the lake, and there is none" in said
    said = refusal({**LAKE, "jobs.lake.url": "s3://bucket/lake"})
    assert "s3://bucket/lake is behind a URL, but the jobs' NetworkPolicy lets them out" in said
    assert "jobs.lake.envFrom[0] needs either" in refusal({**LAKE, "jobs.lake.envFrom": [{}]})
