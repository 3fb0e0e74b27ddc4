"""Every example is what each Kubernetes that the chart allows takes."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.render import (
    EXAMPLES,
    EXTERNAL,
    FULL,
    SPARK,
    Manifest,
    named,
    parsed,
    pods,
    render,
    template,
)
from kit.rules.kubernetes_rules import faults, versions

VERSIONS = versions()
CASES = [*EXAMPLES, {}, FULL, {**FULL, **EXTERNAL}, SPARK]


def named_case(case: Path | dict[str, Any]) -> str:
    """A short name of an example or of values."""
    return case.stem if isinstance(case, Path) else f"{len(case)} values"


def test_the_oldest_that_the_chart_allows_is_among_them() -> None:
    assert VERSIONS[0] == "1.30.0"
    assert len(VERSIONS) > 5


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=named_case)
def test_what_is_rendered_is_valid_for_every_version(case: Path | dict[str, Any]) -> None:
    options = ("--values", case) if isinstance(case, Path) else ()
    values = {} if isinstance(case, Path) else case
    texts = {}
    for version in (VERSIONS[0], VERSIONS[-1]):
        # helm takes the last one of a repeated option
        texts[version] = template(values, *options, "--kube-version", version)
    # The chart does not look at the version, so that one rendering is good for those in between.
    assert texts[VERSIONS[0]] == texts[VERSIONS[-1]]
    manifests = parsed(texts[VERSIONS[0]])
    assert {version: faults(manifests, version) for version in VERSIONS} == {
        version: [] for version in VERSIONS
    }


@pytest.mark.parametrize("version", ["1.30.0-eks-1", "v1.33.2+k3s1", "v1.37.1-gke.1829001"])
def test_a_vendor_s_version_is_taken_and_changes_nothing(version: str) -> None:
    assert template({}, "--kube-version", version) == template({})


def test_an_older_kubernetes_is_refused() -> None:
    with pytest.raises(AssertionError, match="kubeVersion"):
        template({}, "--kube-version", "1.29.9")


def job(manifests: list[Manifest]) -> Manifest:
    """The pod spec of the Job apply."""
    (found,) = [one for name, one in named(manifests, "Job").items() if "-apply-" in name]
    spec: Manifest = found["spec"]["template"]["spec"]
    return spec


def deployment(manifests: list[Manifest]) -> Manifest:
    """The API's Deployment."""
    return named(manifests, "Deployment")["streamflow-api"]


BROKEN: dict[str, tuple[Callable[[list[Manifest]], Any], str]] = {
    "field": (lambda all_: job(all_).update(restartpolicy="Never"), "restartpolicy"),
    "type": (lambda all_: deployment(all_)["spec"].update(replicas="2"), "'2' is not of type"),
    "label": (lambda all_: deployment(all_)["metadata"]["labels"].update(a="a b"), "label a"),
    "annotation": (
        lambda all_: deployment(all_)["metadata"].update(annotations={"a": True}),
        "annotation",
    ),
    "name": (lambda all_: deployment(all_)["metadata"].update(name="a_b"), "no name"),
    "service": (
        lambda all_: named(all_, "Service")["streamflow-api"]["metadata"].update(name="1a"),
        "Service/1a: no name",
    ),
    "twice": (lambda all_: all_.append(copy.deepcopy(deployment(all_))), "there 2 times"),
    "selector": (
        lambda all_: deployment(all_)["spec"]["selector"]["matchLabels"].update(a="b"),
        "does not select its pods",
    ),
    "policy": (
        lambda all_: named(all_, "Service")["streamflow-api"]["spec"]["selector"].update(a="b"),
        "selects no pod",
    ),
    "mount": (lambda all_: job(all_).update(volumes=[]), "mounts tmp, which is no volume"),
    "volume": (lambda all_: job(all_).update(volumes=job(all_)["volumes"] * 2), "volume tmp twice"),
    "variable": (
        lambda all_: job(all_)["containers"][0]["env"].append({"name": "PGHOST", "value": "a"}),
        "apply.env PGHOST twice",
    ),
    "value": (
        lambda all_: job(all_)["containers"][0]["env"].append(
            {"name": "A", "value": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        ),
        "A has two values",
    ),
    "port": (
        lambda all_: pods(all_)["Deployment/streamflow-api"]["spec"]["containers"][0].update(
            ports=[{"name": "a", "containerPort": 1}, {"name": "b", "containerPort": 1}]
        ),
        "api.ports 1 twice",
    ),
    "container": (
        lambda all_: job(all_).update(containers=job(all_)["containers"] * 2),
        "container apply twice",
    ),
    "probe": (
        lambda all_: pods(all_)["Deployment/streamflow-api"]["spec"]["containers"][0][
            "livenessProbe"
        ].update(successThreshold=2),
        "livenessProbe: successThreshold",
    ),
    "limit": (
        lambda all_: job(all_)["containers"][0]["resources"]["requests"].update(memory="2G"),
        "requests 2G of memory",
    ),
    "peer": (
        lambda all_: named(all_, "NetworkPolicy")["streamflow-api"]["spec"]["ingress"][0][
            "from"
        ].append({}),
        "streamflow-api: {}",
    ),
}


@pytest.fixture(scope="module")
def good() -> list[Manifest]:
    return render()


@pytest.mark.parametrize("what", BROKEN)
def test_what_kubernetes_would_refuse_is_found(good: list[Manifest], what: str) -> None:
    """The checks above would find each of these."""
    ruin, said = BROKEN[what]
    manifests = copy.deepcopy(good)
    ruin(manifests)
    assert any(said in one for one in faults(manifests, VERSIONS[-1])), faults(
        manifests, VERSIONS[-1]
    )
