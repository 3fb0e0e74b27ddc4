"""Tests that a linter accepts the default values, all parts enabled, and every example."""

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.render import (
    EXAMPLES,
    EXTERNAL,
    FULL,
    GIVEN,
    SPARK,
    Manifest,
    named,
    parsed,
    pods,
    require,
    template,
)
from kit.rules.lint_rules import lint

CASES: dict[str, Path | dict[str, Any]] = {
    "default": {},
    "full": FULL,
    "external": {**FULL, **EXTERNAL},
    "spark": SPARK,
    **{path.stem: path for path in EXAMPLES},
}
# What kube-score may complain about, by check: in which objects and why.
EXEMPT = {
    "container-image-pull-policy": (
        "",
        "IfNotPresent: images are named by version or digest, and kind has them on its nodes only.",
    ),
    "container-resources": (
        "",
        "No CPU limit: it would slow a pod down while its node idles. All else has limits.",
    ),
    "container-security-context-user-group-id": (
        "StatefulSet/streamflow-postgres",
        "999 is the user of the public postgres image.",
    ),
    "deployment-has-host-podantiaffinity": (
        "Deployment/streamflow-api",
        "A topology spread constraint does it, softly: on one node all pods must run there.",
    ),
    "deployment-replicas": (
        "Deployment/streamflow-(explorer|feast|flows|prefect)",
        "A UI nobody's requests depend on; Prefect's server, and who serves flows, cannot be two.",
    ),
    "deployment-strategy": (
        "Deployment/streamflow-(feast|flows|prefect)",
        "Recreate: one at a time, for its volume (feast), its queues (prefect), its runs (flows).",
    ),
    "pod-probes-identical": (
        "Deployment/streamflow-explorer",
        "Both ask the process alone: where the database is away, its pages have to say so.",
    ),
}
OF_CASES = {
    "laptop": {"horizontalpodautoscaler-replicas": "One pod is enough on one machine."},
    "openshift": {"container-security-context-user-group-id": "The cluster chooses the users."},
    "spark": {"networkpolicy-targets-pod": "Executors' pods are made by a driver, of a template."},
}
"""Further complaints that are accepted, with the reason, by the case that they are about."""


def rendered(case: str) -> tuple[str, Any]:
    """The manifests of a case, and its values."""
    given = CASES[case]
    if isinstance(given, Path):
        return template({}, "--values", given), [GIVEN, yaml.safe_load(given.read_text())]
    return template(given), [GIVEN, given]


@pytest.mark.parametrize("case", CASES)
def test_nothing_refers_to_nothing_and_nothing_is_in_the_open(case: str) -> None:
    text, values = rendered(case)
    assert lint(parsed(text), values) == []


@pytest.mark.parametrize("case", CASES)
def test_kube_score_finds_nothing_but_what_is_exempt(case: str) -> None:
    complaints = scored(rendered(case)[0])
    for check in OF_CASES.get(case, {}):
        assert complaints.pop(check)
    assert complaints.keys() <= EXEMPT.keys()
    for check, names in complaints.items():
        where = re.compile(EXEMPT[check][0] or ".*")
        assert [name for name in names if not where.fullmatch(name)] == [], check
    if case == "full":
        assert complaints.keys() == EXEMPT.keys()  # nothing is exempt for nothing


def scored(text: str) -> dict[str, set[str]]:
    """The objects of which kube-score complains, by check."""
    require("kube-score", always=False)
    done = subprocess.run(
        ["kube-score", "score", "--kubernetes-version", "v1.30", "--output-format", "json", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    complaints: dict[str, set[str]] = {}
    for one in json.loads(done.stdout):
        name = f"{one['type_meta']['kind']}/{one['object_meta']['name']}"
        for check in one["checks"]:
            if check["grade"] < 10 and not check["skipped"]:
                complaints.setdefault(check["check"]["id"], set()).add(name)
    return complaints


def spec(manifests: list[Manifest]) -> Manifest:
    """The pod spec of the API."""
    found: Manifest = pods(manifests)["Deployment/streamflow-api"]["spec"]
    return found


def first(manifests: list[Manifest]) -> Manifest:
    """The API's container."""
    found: Manifest = spec(manifests)["containers"][0]
    return found


BROKEN: dict[str, tuple[Callable[[list[Manifest]], Any], str]] = {
    "port": (
        lambda all_: named(all_, "Service")["streamflow-api"]["spec"]["ports"][0].update(
            targetPort="a"
        ),
        "Service/streamflow-api: no pod has the port a",
    ),
    "monitor": (
        lambda all_: named(all_, "ServiceMonitor")["streamflow-api"]["spec"]["endpoints"][0].update(
            port="a"
        ),
        "no Service has the port a",
    ),
    "autoscaler": (
        lambda all_: named(all_, "HorizontalPodAutoscaler")["streamflow-api"]["spec"][
            "scaleTargetRef"
        ].update(name="a"),
        "there is no Deployment a",
    ),
    "ingress": (
        lambda all_: named(all_, "Service")["streamflow-api"]["spec"]["ports"][0].update(
            port=8, name="a"
        ),
        "there is no Service streamflow-api with such a port",
    ),
    "empty": (
        lambda all_: named(all_, "NetworkPolicy")["streamflow-api"]["spec"].update(egress=[]),
        ".spec.egress is empty",
    ),
    "account": (
        lambda all_: spec(all_).update(serviceAccountName="a"),
        "there is no ServiceAccount a",
    ),
    "secret": (
        lambda all_: first(all_).update(envFrom=[{"secretRef": {"name": "a"}}]),
        "there is no Secret a",
    ),
    "claim": (
        lambda all_: spec(all_)["volumes"].append(
            {"name": "a", "persistentVolumeClaim": {"claimName": "a"}}
        ),
        "there is no PersistentVolumeClaim a",
    ),
    "token": (lambda all_: spec(all_).update(automountServiceAccountToken=True), "has a token"),
    "node": (
        lambda all_: spec(all_)["volumes"].append({"name": "a", "hostPath": {"path": "/a"}}),
        "mounts /a of the node",
    ),
    "sysctls": (
        lambda all_: spec(all_)["securityContext"].update(sysctls=[{"name": "a", "value": "1"}]),
        "sets the node's sysctls",
    ),
    "image": (lambda all_: first(all_).update(image="a:latest"), "a:latest is another image"),
    "untagged": (lambda all_: first(all_).update(image="a:5000/b"), "a:5000/b is another image"),
    "probe": (
        lambda all_: first(all_)["livenessProbe"]["httpGet"].update(port=9),
        "a probe of port 9",
    ),
    "root": (lambda all_: first(all_)["ports"][0].update(containerPort=22), "takes port 22"),
    "open": (
        lambda all_: first(all_)["env"].append({"name": "A_PASSWORD", "value": "a"}),
        "A_PASSWORD is in the open",
    ),
}


@pytest.fixture(scope="module")
def good() -> list[Manifest]:
    return parsed(rendered("full")[0])


@pytest.mark.parametrize("what", BROKEN)
def test_each_fault_is_found(good: list[Manifest], what: str) -> None:
    ruin, said = BROKEN[what]
    manifests = copy.deepcopy(good)
    ruin(manifests)
    found = lint(manifests, [FULL, GIVEN])
    assert any(said in one for one in found), found
