"""Tests of the chart under Argo CD's commands on a cluster: render, apply, prune."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from kit.cluster import run
from kit.gitops import as_argo_cd, of_argo_cd, prunable
from kit.namespace import Namespace
from kit.render import CHART, Manifest

pytestmark = pytest.mark.extended

QUICK: dict[str, Any] = {
    "prefect.enabled": False,
    **{
        f"{part}.resources.requests.cpu": "50m"
        for part in ("api", "explorer", "jobs", "feast", "postgres")
    },
    "jobs.ingest.sample.users": 50,
}
"""Beside the example's values, so that this takes a minute; test_examples.py has Prefect."""
JANUARY = {"asOf": "2024-01-31", "source": "sample", "month": "month_000"}
FEBRUARY = {"asOf": "2024-02-29", "source": "sample", "month": "month_001"}
APPLY = ("--server-side", "--force-conflicts", "--field-manager=argocd-controller")


@dataclass
class ArgoCd:
    """The Application of the example in a namespace, with the images of this checkout."""

    namespace: Namespace
    applied: dict[str, Manifest] = field(default_factory=dict)

    def render(self, values: dict[str, Any]) -> str:
        """The manifests, rendered for this cluster."""
        cluster, images = self.namespace.cluster, self.namespace.images
        own = {
            **QUICK,
            "image.registry": "",
            "api.image.tag": images.api,
            "explorer.image.tag": images.explorer,
            "jobs.image.tag": images.jobs,
        }
        version = json.loads(cluster.kubectl("version", "--output", "json"))["serverVersion"]
        kinds = {
            name
            for one in cluster.api.resources.search()
            for name in (one.group_version, f"{one.group_version}/{one.kind}")
        }
        number = version["gitVersion"].removeprefix("v")
        return as_argo_cd({**own, **values}, number, sorted(kinds), self.namespace.name)

    def sync(self, values: dict[str, Any]) -> None:
        """Applies what is rendered, and removes what is rendered no more."""
        objects = of_argo_cd(self.render(values))
        self.namespace.kubectl("apply", *APPLY, "--filename", "-", stdin=as_list(objects))
        for name in sorted(self.applied.keys() - objects.keys()):
            if prunable(self.applied[name]):
                self.namespace.kubectl("delete", name)
        self.applied = objects

    def out_of_sync(self) -> str:
        """Returns the diff between the applied manifests and the objects in the cluster."""
        stdin = as_list(self.applied)
        return self.namespace.kubectl("diff", *APPLY, "--filename", "-", stdin=stdin)

    def identity(self) -> dict[str, tuple[str, int]]:
        """Returns the uid of every applied object and how often its spec has changed."""
        stdin = as_list(self.applied)
        found = self.namespace.kubectl("get", "--output", "json", "--filename", "-", stdin=stdin)
        return {
            f"{one['kind']}/{one['metadata']['name']}": (
                one["metadata"]["uid"],
                one["metadata"].get("generation", 0),
            )
            for one in json.loads(found)["items"]
        }

    def wait(self) -> None:
        """Waits until API and the pod for commands are there and every Job has ended well."""
        for part in ("api", "feast"):
            deployment = f"deployment/streamflow-{part}"
            self.namespace.kubectl("rollout", "status", deployment, "--timeout=300s", timeout=310)
        for name in self.jobs():
            self.namespace.complete(name)

    def jobs(self, part: str = "") -> set[str]:
        """The names with `part` in them of the namespace's Jobs that no CronJob owns."""
        return {
            name
            for name, one in self.namespace.jobs().items()
            if part in name and "ownerReferences" not in one["metadata"]
        }


def as_list(objects: dict[str, Manifest]) -> str:
    """Objects as kubectl takes them."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects.values())})


@pytest.fixture(scope="module")
def argo_cd(namespace: Namespace) -> Iterator[ArgoCd]:
    """An Application that is not synced yet; the Secrets of the example's comment are there."""
    lines = (CHART / "examples" / "gitops.yaml").read_text().splitlines()
    typed = [line.removeprefix("#   ") for line in lines if line.startswith("#   ")]
    there = f'--context {namespace.cluster.context} --namespace {namespace.name} "$@"'
    bash = f"set -eu; kubectl() {{ command kubectl {there}; }}"
    run("bash", "-c", "\n".join([bash, *typed]))
    return ArgoCd(namespace)


def test_a_sync_makes_a_release_that_answers(argo_cd: ArgoCd) -> None:
    argo_cd.sync({"jobs.ingest.months": [JANUARY]})
    argo_cd.wait()
    assert argo_cd.namespace.ask("/readyz")["status"] == "ready"


def test_the_same_values_are_the_same_text_and_change_nothing(argo_cd: ArgoCd) -> None:
    values = {"jobs.ingest.months": [JANUARY]}
    assert argo_cd.render(values) == argo_cd.render(values)
    assert argo_cd.out_of_sync() == ""
    before = argo_cd.identity()
    argo_cd.sync(values)
    assert argo_cd.identity() == before
    assert argo_cd.out_of_sync() == ""


def test_another_month_takes_the_place_of_the_job_and_of_nothing_else(argo_cd: ArgoCd) -> None:
    before = argo_cd.identity()
    (former,) = argo_cd.jobs("-ingest-")
    argo_cd.sync({"jobs.ingest.months": [JANUARY, FEBRUARY]})
    argo_cd.wait()
    (ingest,) = argo_cd.jobs("-ingest-")
    assert ingest != former
    after = argo_cd.identity()
    assert after.keys() - before.keys() == {f"Job/{ingest}"}
    assert {name: after.get(name) for name in before if name != f"Job/{former}"} == {
        name: one for name, one in before.items() if name != f"Job/{former}"
    }
    assert argo_cd.out_of_sync() == ""
    loaded = [line for line in argo_cd.namespace.log(ingest).splitlines() if '"ingest"' in line]
    assert len(loaded) == 2, loaded


def test_backups_outlive_values_without_them(argo_cd: ArgoCd) -> None:
    claims = {one["metadata"]["name"] for one in argo_cd.namespace.get("PersistentVolumeClaim")}
    argo_cd.sync({"jobs.backup.enabled": False})
    assert "PersistentVolumeClaim/streamflow-backups" not in argo_cd.applied
    assert "streamflow-backups" in claims
    left = {one["metadata"]["name"] for one in argo_cd.namespace.get("PersistentVolumeClaim")}
    assert left == claims
    crons = {one["metadata"]["name"] for one in argo_cd.namespace.get("CronJob")}
    assert crons == {"streamflow-materialize", "streamflow-audit"}
