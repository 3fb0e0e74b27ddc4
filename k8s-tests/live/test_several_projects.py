"""Two releases in one database, a Feast project each, with the values of the chart's page."""

import json

import pytest
import yaml
from kit.cluster import CHART
from kit.namespace import SAMPLE, Namespace

from jobs.commands.init import write

PAGE = (CHART / "README.md").read_text().split("## Several projects\n")[1].split("\n## ")[0]
FIRST, SECOND = (block.split("\n```")[0] for block in PAGE.split("```yaml\n")[1:])
"""The values of the two releases on the page."""
ALONE = [*SAMPLE, *("--set", "prefect.enabled=false", "--set", "prefect.deployments.enabled=false")]
ASK = """
import json, sys, urllib.request as r
asked = {"feature_service": "device_v1", "entities": {"account_id": ["anna"], "device_id": [1]}}
request = r.Request("http://shop-streamflow-api/get-online-features", json.dumps(asked).encode())
request.add_header("content-type", "application/json")
sys.stdout.write(r.urlopen(request, timeout=10).read().decode())
"""


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Helm's options for each release; the second has what `streamflow init` makes."""
    folder = tmp_path_factory.mktemp("values")
    write(folder / "shop")
    files = {
        name: (folder / "shop" / name).read_text()
        for name in ("feature_store.yaml", "definitions.py")
    }
    second = {**yaml.safe_load(SECOND), "definitions": {"files": files}}
    second["api"] |= {"replicaCount": 1, "autoscaling": {"enabled": False}}
    (folder / "first.yaml").write_text(FIRST)
    (folder / "second.yaml").write_text(yaml.safe_dump(second))
    return {name: ["--values", str(folder / f"{name}.yaml")] for name in ("first", "second")}


def watch_hours(namespace: Namespace) -> float:
    """A feature of the second project, as its API answers a pod of its release."""
    found = json.loads(namespace.python("deploy/shop-streamflow-feast", ASK))
    names = found["metadata"]["feature_names"]
    values = {name: one["values"][0] for name, one in zip(names, found["results"], strict=True)}
    return float(values["watch_hours"])


def test_the_second_is_applied_beside_the_first(
    namespace: Namespace, values: dict[str, list[str]]
) -> None:
    namespace.install(*ALONE, *values["first"])
    before = namespace.ask("/features/0002-ORFBO")
    namespace.install(*values["second"], release="shop")
    namespace.kubectl("create", "job", "--from=cronjob/shop-streamflow-materialize", "shop-now")
    namespace.complete("shop-now")
    assert watch_hours(namespace) == 14.75
    assert namespace.ask("/features/0002-ORFBO")["features"] == before["features"]
    for release in ("streamflow", "shop"):
        assert "no difference" in namespace.helm("test", release, "--logs")


def test_an_upgrade_of_either_leaves_the_other(
    namespace: Namespace, values: dict[str, list[str]]
) -> None:
    rotation = ("--set", "postgres.roles.writer.rotation=2")
    namespace.install(*ALONE, *values["first"], *rotation)
    namespace.install(*values["second"], "--set", "api.poolSize=3", release="shop")
    runs = namespace.kubectl("exec", "deploy/shop-streamflow-feast", "--", "streamflow", "runs")
    assert "shop" in runs
    for job in ("streamflow-materialize", "shop-streamflow-materialize"):
        namespace.kubectl("create", "job", f"--from=cronjob/{job}", f"{job}-again")
        namespace.complete(f"{job}-again")
    assert watch_hours(namespace) == 14.75
    assert namespace.ask("/features/0002-ORFBO")["features"]
