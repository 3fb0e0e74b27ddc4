"""Renders the chart without a cluster: manifests, refusals, notes; what the chart's tests use."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "charts" / "streamflow"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
KUBERNETES = "1.34.0"
Manifest = dict[str, Any]

MONTHS = [
    {"asOf": "2024-01-31", "source": "sample", "month": "month_000"},
    {"asOf": "2024-02-29", "source": "pvc", "path": "month_001"},
    {"asOf": "2024-03-31", "source": "url", "url": "s3://months/2024-03"},
]
ROLES: dict[str, Any] = {
    f"postgres.roles.{role}.existingSecret": f"known-{role}"
    for role in ("owner", "writer", "trainer", "reader", "viewer")
}
"""Existing Secrets of the roles."""
FULL: dict[str, Any] = {
    "postgres.auth.existingSecret": "known",
    **ROLES,
    "postgres.parameters.max_connections": 190,
    "api.ingress.enabled": True,
    "api.ingress.hosts": ["features.example.com"],
    "explorer.ingress.enabled": True,
    "explorer.ingress.hosts": ["explorer.example.com"],
    "jobs.ingest.months": MONTHS,
    "jobs.ingest.pvc.claimName": "months",
    "jobs.trainingSet.datasets": [{"asOf": "2024-01-31"}],
    "jobs.materialize.backfills": [{"start": "2024-01-01", "end": "2024-02-01"}],
    "jobs.backup.enabled": True,
    "jobs.restore.backup": "latest",
    "jobs.restore.request": "2026-11-28 volume lost",
    "metrics.serviceMonitor.enabled": True,
    "metrics.prometheusRule.enabled": True,
    "metrics.dashboard.enabled": True,
    "prefect.deployments.enabled": True,
    "tracing.endpoint": "http://collector.observability:4318",
    "networkPolicy.api.from": [{"podSelector": {"matchLabels": {"app": "ingress"}}}],
    "networkPolicy.explorer.from": [{"podSelector": {"matchLabels": {"app": "ingress"}}}],
    "networkPolicy.jobs.egress": [{"ports": [{"port": 443}]}],
}
"""Values that make something of everything, none of it generated."""
GIVEN = {"postgres.auth.existingSecret": "known", **ROLES}
"""Existing Secrets for all passwords, without which nothing is rendered outside of a cluster."""
LAKE: dict[str, Any] = {
    "jobs.lake.url": "s3://bucket/lake",
    "jobs.lake.envFrom": [{"secretRef": {"name": "lake"}}],
    "jobs.materialize.from": "lake",
    "jobs.materialize.backfills": [{"end": "2024-02-29"}, {"end": "2024-03-31", "from": "lake"}],
    "networkPolicy.jobs.egress": [{"ports": [{"port": 443}]}],
}
"""Values by which Jobs materialize from the lake, and those by which they do so by Spark."""
SPARK: dict[str, Any] = {**LAKE, "jobs.spark.enabled": True}
EXTERNAL: dict[str, Any] = {
    "postgres.external.enabled": True,
    "postgres.external.host": "db.example.com",
    "postgres.auth.existingSecret": "known",
}


class Loader(yaml.CSafeLoader):
    """YAML as kubectl reads it, by libyaml: the parser in Python takes longer than helm.

    A lone `=` or `<<`, which PyYAML takes for types of YAML 1.1 that have no value, is a text.
    """


for kind in ("value", "merge"):
    Loader.add_constructor(
        f"tag:yaml.org,2002:{kind}", lambda loader, node: loader.construct_scalar(node)
    )


def require(tool: str, always: bool = True) -> None:
    """Skips where `tool` is not installed, or fails where tools are required."""
    if shutil.which(tool) is None:
        if always and os.environ.get("STREAMFLOW_REQUIRE_CLUSTER"):
            pytest.fail(f"{tool} is required and not installed")
        pytest.skip(f"{tool} is not installed")


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} as {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def helm(
    *arguments: str | Path, values: dict[str, Any] | None = None, tool: str = "helm"
) -> subprocess.CompletedProcess[str]:
    """Runs helm; `values` by their paths, e.g. {"api.replicaCount": 3}."""
    require(tool, always=tool == "helm")
    return subprocess.run(
        [tool, *map(str, arguments), "--values", "-"],
        input=json.dumps(nested(values or {})),
        env={**os.environ, "GOGC": "off"},  # a third of its time, for a process of 0.1 s
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def template(
    values: dict[str, Any] | None = None,
    *options: str | Path,
    chart: Path = CHART,
    release: str = "streamflow",
    tool: str = "helm",
) -> str:
    """The rendered manifests as text; without a cluster, with the Secrets of GIVEN."""
    command = ("template", release, chart, "--kube-version", KUBERNETES, *options)
    if "--dry-run=server" not in options:
        values = {**GIVEN, **(values or {})}
    done = helm(*command, values=values, tool=tool)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(
    values: dict[str, Any] | None = None, *options: str | Path, **where: Any
) -> list[Manifest]:
    """The rendered manifests."""
    return parsed(template(values, *options, **where))


def parsed(text: str) -> list[Manifest]:
    """The manifests in a text as kubectl reads them."""
    return [one for one in yaml.load_all(text, Loader=Loader) if one]


def refusal(values: dict[str, Any], *options: str | Path) -> str:
    """Returns helm's message as it refuses these values, with the Secrets of `template`."""
    command = ("template", "streamflow", CHART, "--kube-version", KUBERNETES, *options)
    if "--dry-run=server" not in options:
        values = {**GIVEN, **values}
    done = helm(*command, values=values)
    assert done.returncode != 0, "rendered, though it should have been refused"
    return done.stderr


def notes(folder: Path, values: dict[str, Any] | None = None, *options: str | Path) -> str:
    """NOTES.txt, which `helm template` does not print: a copy of the chart has it as a manifest."""
    chart = folder / "chart"
    shutil.copytree(CHART, chart, dirs_exist_ok=True)
    text = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "notes.yaml").write_text(
        '{{- define "notes" -}}\n'
        + text
        + '{{- end }}\nkind: Notes\ntext: {{ include "notes" . | quote }}\n'
    )
    (found,) = render(values, "--show-only", "templates/notes.yaml", *options, chart=chart)
    return str(found["text"])


def named(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """The manifests of a kind by name."""
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def job_names(manifests: list[Manifest]) -> set[str]:
    """The names of all Jobs, each with its hash."""
    return set(named(manifests, "Job"))


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """By KIND/NAME: metadata and spec of every pod that these manifests lead to.

    Also of those that a driver of Spark makes from the template in a ConfigMap.
    """
    found = {}
    for one in manifests:
        if template := one.get("data", {}).get("executor.yaml"):
            found[f"Executor/{one['metadata']['name']}"] = yaml.load(template, Loader)
        spec = one.get("spec", {})
        pod = {"Pod": one, "CronJob": spec.get("jobTemplate", {}).get("spec", {}).get("template")}
        if template := pod.get(one["kind"], spec.get("template")):
            found[f"{one['kind']}/{one['metadata']['name']}"] = template
    return found


def containers(pod: Manifest) -> list[Manifest]:
    """All containers of a pod, those that run first included."""
    spec = pod["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
