"""Tests of additions to the chart's pods and release, and of parts that are taken out of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.render import CHART, FULL, Manifest, containers, named, notes, pods, refusal, render

PARTS = ["api", "explorer", "jobs", "feast", "prefect", "postgres"]
OPENSHIFT = CHART / "examples" / "openshift.yaml"


def part_of(pod: Manifest) -> str:
    """The part whose values a pod has; `helm test` and who serves flows have those of the jobs."""
    part: str = pod["metadata"]["labels"]["app.kubernetes.io/component"]
    return "jobs" if part in ("test", "flows") else part


@pytest.fixture(scope="module")
def added() -> dict[str, Manifest]:
    """All pods, each part with a container before its own and one beside them."""
    values: dict[str, Any] = {}
    for part in PARTS:
        values[f"{part}.initContainers"] = [{"name": f"{part}-before", "image": "a:1"}]
        values[f"{part}.sidecars"] = [{"name": f"{part}-beside", "image": "b:1"}]
    return pods(render({**FULL, **values}))


def test_containers_of_a_person_run_before_and_beside_those_of_every_pod(
    added: dict[str, Manifest],
) -> None:
    assert {part_of(pod) for pod in added.values()} == set(PARTS)
    for name, pod in added.items():
        first, beside, *_ = pod["spec"]["initContainers"]
        assert first == {"name": f"{part_of(pod)}-before", "image": "a:1"}, name
        # A sidecar of Kubernetes' own: there before the chart's containers, and in no Job's way.
        assert beside == {
            "name": f"{part_of(pod)}-beside",
            "image": "b:1",
            "restartPolicy": "Always",
        }, name
        names = [one["name"] for one in containers(pod)]
        assert len(names) == len(set(names)), name


def test_variables_of_a_persons_container_are_texts() -> None:
    # As those of extraEnv: Kubernetes takes no number and no boolean for one.
    env = [{"name": "A", "value": 0}, {"name": "B", "value": True}, {"name": "C", "value": "="}]
    own = {"name": "own", "image": "=", "env": [*env, {"name": "D"}]}
    values: dict[str, Any] = {f"{part}.initContainers": [own] for part in PARTS}
    expected = [{"name": "A", "value": "0"}, {"name": "B", "value": "true"}, env[2], {"name": "D"}]
    for name, pod in pods(render({**FULL, **values})).items():
        assert pod["spec"]["initContainers"][0] == {**own, "env": expected}, name


def test_without_any_the_pods_are_as_ever(added: dict[str, Manifest]) -> None:
    plain = pods(render(FULL))
    for pod in plain.values():
        assert not [one for one in containers(pod) if "restartPolicy" in one]
    own = {name: pod for name, pod in added.items() if not name.startswith("Job/")}
    for name, pod in own.items():
        init = pod["spec"]["initContainers"][2:]
        assert init == plain[name]["spec"].get("initContainers", []), name
        assert pod["spec"]["containers"] == plain[name]["spec"]["containers"], name


ELSEWHERE = {"name": "elsewhere", "mountPath": "/elsewhere"}
DATA = {"name": "data", "mountPath": "/data"}


@pytest.mark.parametrize(
    "mount", [{"name": "tmp", "mountPath": "/x"}, {"name": "data", "mountPath": "/x"}], ids=str
)
def test_a_persons_container_may_mount_the_charts_volumes(mount: dict[str, str]) -> None:
    beside = [{"name": "a", "image": "a", "volumeMounts": [mount]}]
    assert render({"postgres.sidecars": beside})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"feast.sidecars": [{"name": "feast", "image": "a"}]}, "has feast, which the chart's own"),
        ({"jobs.initContainers": [{"name": "dump", "image": "a"}]}, "has dump, which the chart's"),
        (
            {
                "api.initContainers": [{"name": "a", "image": "a"}],
                "api.sidecars": [{"name": "a", "image": "a"}],
            },
            "a is there twice",
        ),
        (
            {"api.sidecars": [{"name": "a", "image": "a", "restartPolicy": "Never"}]},
            "leave it out",
        ),
        ({"api.sidecars": [{"name": "a"}]}, "missing property 'image'"),
        (
            {"api.sidecars": [{"name": "a", "image": "a", "volumeMounts": [ELSEWHERE]}]},
            "api.sidecars: a mounts elsewhere, of which there is no volume: add it to api.extra",
        ),
        (
            {"jobs.initContainers": [{"name": "a", "image": "a", "volumeMounts": [DATA]}]},
            "jobs.initContainers: a mounts data, of which there is no volume",
        ),
        (
            {
                "api.extraVolumes": [{"name": "elsewhere", "emptyDir": {}}],
                "api.sidecars": [{"name": "a", "image": "a", "volumeMounts": [ELSEWHERE] * 2}],
            },
            "api.sidecars: a.volumeMounts: /elsewhere is there twice",
        ),
        (
            {"feast.sidecars": [{"name": "a", "image": "a", "env": [{"name": "A"}] * 2}]},
            "feast.sidecars: a.env: A is there twice",
        ),
        ({"extraObjects": [{"kind": "ConfigMap"}]}, "missing properties"),
        (
            {"extraObjects": [{"apiVersion": "v1", "kind": "A", "metadata": {"name": "b"}}] * 2},
            "extraObjects[1]: A b is there twice",
        ),
        ({"api.podSecurityContext.runAsuser": 5}, "additional properties 'runAsuser'"),
        (
            {"api.podSecurityContext.seccompProfile.type": "Localhost"},
            "type Localhost takes a localhostProfile",
        ),
    ],
    ids=str,
)
def test_what_kubernetes_would_refuse_is_refused(values: dict[str, Any], said: str) -> None:
    assert said in refusal(values)


def test_further_objects_are_part_of_the_release() -> None:
    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"a": "b"}},
        {"apiVersion": "x.io/v1", "kind": "Mine", "metadata": {"name": "mine", "labels": {}}},
    ]
    found = render({"extraObjects": objects})
    assert [one for one in found if one["metadata"]["name"] == "mine"] == objects


@pytest.mark.parametrize("key", ["runAsUser", "runAsGroup", "fsGroup"])
def test_a_user_may_be_another_or_the_clusters_choice(key: str) -> None:
    values = {f"{part}.podSecurityContext.{key}": 1234 for part in PARTS}
    for name, pod in pods(render({**FULL, **values})).items():
        assert pod["spec"]["securityContext"][key] == 1234, name
    values = {f"{part}.podSecurityContext.{key}": None for part in PARTS}
    for name, pod in pods(render({**FULL, **values})).items():
        security = pod["spec"]["securityContext"]
        assert key not in security, name
        assert security["runAsNonRoot"] is True, name


def test_on_openshift_no_user_is_named() -> None:
    found = pods(render(FULL, "--values", OPENSHIFT))
    assert {part_of(pod) for pod in found.values()} == set(PARTS)
    for name, pod in found.items():
        said = yaml.safe_dump(pod)
        for key in ("runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"):
            assert f"{key}:" not in said, name
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for one in containers(pod):
            assert one["securityContext"]["allowPrivilegeEscalation"] is False


def test_a_containers_context_may_be_another() -> None:
    values = {f"{part}.containerSecurityContext.readOnlyRootFilesystem": False for part in PARTS}
    for name, pod in pods(render({**FULL, **values})).items():
        for one in containers(pod):
            assert one["securityContext"]["readOnlyRootFilesystem"] is False, (name, one["name"])
            assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("part", ["feast", "prefect", "postgres"])
@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_every_probe_has_the_timing_of_its_values(part: str, probe: str) -> None:
    timing = {"initialDelaySeconds": 7, "periodSeconds": 8, "timeoutSeconds": 9}
    timing["failureThreshold"] = 10
    manifests = render({f"{part}.{probe}": timing})
    kind = "StatefulSet" if part == "postgres" else "Deployment"
    pod = named(manifests, kind)[f"streamflow-{part}"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container[probe].items() >= timing.items()


def test_the_servers_image_may_come_from_another_registry() -> None:
    values = {"image.registry": "registry.example.com/team", "postgres.image.registry": "mirror/a/"}
    images = {
        one["image"] for pod in pods(render({**FULL, **values})).values() for one in containers(pod)
    }
    assert images == {
        "registry.example.com/team/streamflow-api:0.1.0",
        "registry.example.com/team/streamflow-explorer:0.1.0",
        "registry.example.com/team/streamflow-jobs:0.1.0",
        "mirror/a/postgres:18",
    }
    images = {one["image"] for pod in pods(render(FULL)).values() for one in containers(pod)}
    assert "postgres:18" in images


def test_an_api_that_the_world_reaches_wants_a_key_in_production(tmp_path: Path) -> None:
    production = yaml.safe_load((CHART / "examples" / "production.yaml").read_text())
    assert production["api"]["ingress"]["enabled"]
    assert production["api"]["auth"]["existingSecret"]
    open_ = "whoever reaches its"
    said = notes(tmp_path, None, "--values", CHART / "examples" / "production.yaml")
    assert open_ not in said
    allowed = {"networkPolicy.api.from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}
    assert f"{open_} Ingress" in notes(
        tmp_path, {**allowed, "api.ingress.enabled": True, "api.ingress.hosts": ["a.example.com"]}
    )
    for kind in ("LoadBalancer", "NodePort"):
        assert f"{open_} {kind}" in notes(tmp_path, {**allowed, "api.service.type": kind})
    assert open_ not in notes(tmp_path)
