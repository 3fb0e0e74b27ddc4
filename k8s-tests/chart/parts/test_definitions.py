"""Tests of a feature repository of one's own in the chart: its files, and what is refused."""

from typing import Any

import pytest
from kit.render import FULL, GIVEN, Manifest, containers, named, pods, refusal, render

FILES = {"feature_store.yaml": "project: shop\n", "definitions.py": "shop = 1  # größe $(HOME)\n"}
OWN: dict[str, Any] = {**GIVEN, "definitions.files": FILES, "api.defaultService": "shop_v1"}
EXISTING: dict[str, Any] = {
    **GIVEN,
    "definitions.existingConfigMap": "team",
    "definitions.keys": [*FILES, "shared.py"],
}


def readers(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The containers of the jobs image that run our commands or Feast's, by pod and name."""
    return {
        f"{pod} {one['name']}": one
        for pod, found in pods(manifests).items()
        for one in containers(found)
        if "streamflow-jobs" in one["image"] and one["name"] not in ("wait-for-prefect",)
    }


def variables(container: Manifest) -> dict[str, str]:
    """The variables of a container that have a value."""
    return {one["name"]: one.get("value", "") for one in container.get("env", [])}


def test_whatever_reads_definitions_has_the_files_one_by_one() -> None:
    found = {
        name: one
        for name, one in readers(render(OWN)).items()
        if variables(one).get("STREAMFLOW_FEATURE_REPO")
    }
    commands = {name.split()[1] for name in found}
    assert {"apply", "materialize", "audit", "feast", "wait-for-registry"} <= commands
    for name, one in found.items():
        assert variables(one)["STREAMFLOW_FEATURE_REPO"] == "/definitions", name
        mounted = {
            mount["mountPath"]: mount["subPath"]
            for mount in one["volumeMounts"]
            if mount["name"] == "definitions"
        }
        assert mounted == {f"/definitions/{file}": file for file in FILES}, name


def test_the_api_has_none_of_a_teams_code() -> None:
    manifests = render(OWN)
    for name, pod in pods(manifests).items():
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] in (
            "api",
            "postgres",
            "prefect",
        ):
            assert "definitions" not in str(pod["spec"]["volumes"]), name


def test_files_are_kept_as_they_are_and_others_are_other_jobs() -> None:
    before = render(OWN)
    (kept,) = [one for one in before if "definitions" in one["metadata"]["name"]]
    assert (kept["data"], kept["immutable"]) == (FILES, True)
    changed = {**OWN, "definitions.files": {**FILES, "definitions.py": "shop = 2\n"}}
    assert jobs(before) & jobs(render(changed)) == set()
    assert jobs(render(OWN)) == jobs(before)


def jobs(manifests: list[Manifest]) -> set[str]:
    """The names of the Jobs that apply."""
    return {
        one["metadata"]["name"]
        for one in manifests
        if one["kind"] == "Job" and "-apply-" in one["metadata"]["name"]
    }


def test_an_existing_configmap_is_applied_again_by_another_revision() -> None:
    before = render(EXISTING)
    assert not [one for one in before if one["kind"] == "ConfigMap" and "definitions" in str(one)]
    feast = named(before, "Deployment")["streamflow-feast"]["spec"]["template"]["spec"]
    assert {"name": "definitions", "configMap": {"name": "team"}} in feast["volumes"]
    assert feast["containers"][0]["workingDir"] == "/definitions"
    assert jobs(render({**EXISTING, "definitions.revision": 2})) & jobs(before) == set()


def test_without_any_the_images_own_are_read() -> None:
    assert "definitions" not in str(render(FULL)).replace("definitions.py", "")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({**OWN, **EXISTING}, "definitions has both files and an existingConfigMap: remove one"),
        (
            {**OWN, "definitions.files": {"definitions.py": ""}},
            "definitions.files has no feature_store.yaml: add it (`streamflow init NAME`",
        ),
        ({**EXISTING, "definitions.keys": ["feature_store.yaml"]}, "keys has no definitions.py"),
        (
            {**EXISTING, "definitions.keys": [*FILES, *FILES]},
            "definitions.keys: feature_store.yaml is there twice",
        ),
        (
            {**OWN, "definitions.files": {**FILES, "big.py": "x" * 1_000_001}},
            "bytes, and a ConfigMap holds one million: put them into an image",
        ),
        (
            {**OWN, "definitions.revision": "2"},
            "definitions.revision is for an existingConfigMap; files that differ are applied by",
        ),
        (
            {**OWN, "jobs.trainingSet.datasets": [{"asOf": "2024-01-31"}]},
            "jobs.trainingSet.datasets is about months, whose tables a snapshots.py declares, which"
            " definitions.files lacks",
        ),
        ({**OWN, "definitions.files": {**FILES, "a/b.py": ""}}, "a/b.py"),
        ({**OWN, "definitions.files": {**FILES, ".feastignore": ""}}, ".feastignore"),
        ({**OWN, "definitions.files": {**FILES, "a.py": 1}}, "a.py"),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], said: str) -> None:
    assert said in refusal(values)


def args(manifests: list[Manifest], kind: str, name: str) -> list[str]:
    """The arguments of the container `audit` or of the only one in an object's pods."""
    spec = named(manifests, kind)[name]["spec"]
    spec = spec["jobTemplate"]["spec"]["template"]["spec"] if kind == "CronJob" else spec
    found: list[str] = spec["containers"][0]["args"]
    return found


def test_no_service_is_named_where_the_definitions_say_which_one_is_meant() -> None:
    unnamed = {**OWN, "api.defaultService": ""}
    for values, service in ((unnamed, []), (OWN, ["--service", "shop_v1"])):
        found = render(values)
        for kind, name in (("CronJob", "streamflow-audit"), ("Pod", "streamflow-test")):
            given = args(found, kind, name)
            at = given.index("--service") if service else len(given)
            assert given[at : at + 2] == service
            assert "" not in given
    (api,) = [one for one in render(unnamed) if "STREAMFLOW_API_SERVICE" in one.get("data", {})]
    assert api["data"]["STREAMFLOW_API_SERVICE"] == ""


def test_a_training_set_of_definitions_of_ones_own_has_a_service() -> None:
    unnamed = {**OWN, "api.defaultService": "", "definitions.files": {**FILES, "snapshots.py": ""}}
    said = refusal({**unnamed, "jobs.trainingSet.datasets": [{"asOf": "2024-01-31"}]})
    assert "jobs.trainingSet.datasets[0] names no service" in said
    named_there = [{"asOf": "2024-01-31", "service": "shop_v1"}]
    assert render({**unnamed, "jobs.trainingSet.datasets": named_there})
