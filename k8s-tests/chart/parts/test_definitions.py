"""Tests of a feature repository of one's own in the chart: its files, and what is refused."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from kit.render import CHART, FULL, GIVEN, Manifest, containers, named, pods, refusal, render

FILES = {"feature_store.yaml": "project: shop\n", "definitions.py": "shop = 1  # größe $(HOME)\n"}
OWN: dict[str, Any] = {**GIVEN, "definitions.files": FILES, "api.defaultService": "shop_v1"}
EXISTING: dict[str, Any] = {
    **GIVEN,
    "definitions.existingConfigMap": "team",
    "definitions.keys": [*FILES, "shared.py"],
}
COMMIT = "12" * 20
IMAGE: dict[str, Any] = {
    **GIVEN,
    "definitions.image.repository": "registry.example.com:5000/team/shop",
    "definitions.image.tag": "7",
    "definitions.image.path": "/srv/$(HOME)",
    "api.defaultService": "shop_v1",
}
GIT: dict[str, Any] = {
    **GIVEN,
    "definitions.git.repository": "https://git.example.com/team/shop.git",
    "definitions.git.commit": COMMIT,
    "definitions.git.ref": "main",
    "definitions.git.path": "features/größe",
    "definitions.git.existingSecret": "git",
    "api.defaultService": "shop_v1",
}
SHOP: dict[str, Any] = {"jobs.ingest.months": [], "jobs.trainingSet.datasets": []}
"""Without months, whose tables this repository declares none of."""
FETCHED = pytest.mark.parametrize("values", [IMAGE, GIT], ids=["image", "git"])


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


def test_the_values_of_the_example_shop_name_files_that_it_has() -> None:
    shop = CHART.parents[1] / "examples" / "shop"
    laptop = CHART / "examples" / "laptop.yaml"
    found = pods(render(GIVEN, "--values", laptop, "--values", shop / "values.yaml"))
    mounted, keys = set(), set()
    for one in found.values():
        for container in containers(one):
            mounted |= {
                mount["subPath"]
                for mount in container.get("volumeMounts", [])
                if mount["name"] == "definitions"
            }
        for volume in one["spec"].get("volumes", []):
            if volume.get("configMap", {}).get("name") == "shop":
                keys |= {item["key"] for item in volume["configMap"].get("items", [])}
    assert mounted == {"feature_store.yaml", "definitions.py"}
    assert keys == {"application.sql"}
    assert mounted | keys <= {file.name for file in shop.iterdir()}


@FETCHED
def test_what_is_fetched_is_there_before_whatever_reads_it(values: dict[str, Any]) -> None:
    readers_found = set()
    for name, pod in pods(render({**FULL, **SHOP, **values})).items():
        every = containers(pod)
        names = [one["name"] for one in every]
        reading = [
            one["name"]
            for one in every
            if variables(one).get("STREAMFLOW_FEATURE_REPO") == "/definitions"
            and {
                "name": "definitions",
                "mountPath": "/definitions",
                "subPath": "definitions",
                "readOnly": True,
            }
            in one["volumeMounts"]
        ]
        assert len(reading) == str(pod).count("STREAMFLOW_FEATURE_REPO"), name
        readers_found |= set(reading)
        assert ("definitions" in names) == bool(reading), name
        assert ("definitions" in str(pod["spec"]["volumes"])) == bool(reading), name
        if reading:
            first = names.index("definitions")
            assert all(first < names.index(one) for one in reading), name
    assert {"apply", "materialize", "audit", "feast", "wait-for-registry", "wait"} <= readers_found
    assert {"trainer", "writer"} <= readers_found
    assert not {"roles", "backup", "dump", "check", "restore", "finish"} & readers_found


@FETCHED
def test_what_fetches_sees_nothing_of_the_database(values: dict[str, Any]) -> None:
    secrets = set()
    for pod in pods(render(values)).values():
        for one in containers(pod):
            if one["name"] == "definitions":
                assert "PGPASSWORD" not in str(one)
                assert one["securityContext"]["readOnlyRootFilesystem"] is True
                secrets |= {mount["name"] for mount in one["volumeMounts"]}
            else:
                assert "git-credentials" not in str(one)
    assert ("git-credentials" in secrets) == ("definitions.git.commit" in values)


def fetching(values: dict[str, Any], pod: str) -> Manifest:
    """The container that fetches, in the pod whose name begins so."""
    (found,) = [one for name, one in pods(render(values)).items() if name.startswith(pod)]
    (one,) = [one for one in containers(found) if one["name"] == "definitions"]
    return one


def test_a_folder_of_an_image_is_copied_by_its_own_shell() -> None:
    one = fetching(IMAGE, "Job/streamflow-apply-")
    assert one["image"] == "registry.example.com:5000/team/shop:7"
    assert one["args"] == ["/srv/$$(HOME)", "/fetched/definitions"]
    assert "env" not in one
    digest = {**IMAGE, "definitions.image.digest": f"sha256:{'0' * 64}"}
    assert fetching(digest, "Job/streamflow-apply-")["image"].endswith(f"/shop@sha256:{'0' * 64}")


@pytest.mark.parametrize("path", ["whole", "lacking", "again"])
def test_the_copy_is_whole_or_none(tmp_path: Path, path: str) -> None:
    source, out = tmp_path / "source", tmp_path / "definitions"
    (source / "below").mkdir(parents=True)
    (source / "below" / "shared.py").write_text("a = 1\n")
    (source / "link.py").symlink_to("below/shared.py")
    if path != "lacking":
        (source / "feature_store.yaml").write_text("")
    if path == "again":
        out.mkdir()
        (out / "old.py").write_text("")
    script = fetching(IMAGE, "Job/streamflow-apply-")["command"]
    words = [*script, str(source), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if path == "lacking":
        assert (done.returncode, out.exists()) == (2, False)
        assert "the image has no feature_store.yaml in" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert {one.name for one in out.iterdir()} == {"below", "feature_store.yaml", "link.py"}
        assert not (out / "link.py").is_symlink()


def test_the_branch_is_looked_at_by_the_apply_job_alone() -> None:
    args = fetching(GIT, "Job/streamflow-apply-")["args"]
    rest = [
        "fetch-definitions",
        "https://git.example.com/team/shop.git",
        f"--commit={COMMIT}",
        "--out=/fetched/definitions",
        "--path=features/größe",
        "--credentials=/etc/streamflow/git",
    ]
    assert args == [*rest[:-1], "--ref=main", rest[-1]]
    assert fetching(GIT, "Deployment/streamflow-feast")["args"] == rest
    assert fetching(GIT, "CronJob/streamflow-materialize")["args"] == rest


@pytest.mark.parametrize(
    ("values", "other"),
    [
        (IMAGE, {"definitions.image.tag": "8"}),
        (GIT, {"definitions.git.commit": "34" * 20}),
        (GIT, {"definitions.git.path": ""}),
    ],
)
def test_another_image_or_commit_is_another_apply_job(
    values: dict[str, Any], other: dict[str, Any]
) -> None:
    assert jobs(render(values)) == jobs(render(values))
    assert not jobs(render({**values, **other})) & jobs(render(values))


@pytest.mark.parametrize(
    ("repository", "port"),
    [
        ("https://git.example.com/a.git", 443),
        ("http://git.shop:3000/a.git", 3000),
        ("ssh://git@git.example.com/a.git", 22),
        ("ssh://git@git.example.com:2222/a.git", 2222),
    ],
)
def test_the_policies_let_what_fetches_out_to_git_and_nowhere_else(
    repository: str, port: int
) -> None:
    to = [{"ipBlock": {"cidr": "192.0.2.7/32"}}]
    at = {"definitions.git.repository": repository, "definitions.git.to": to}
    with_git = named(render({**GIT, **at}), "NetworkPolicy")
    without = named(render(OWN), "NetworkPolicy")
    for name, one in with_git.items():
        rules = one["spec"].get("egress", [])
        known = without[name]["spec"].get("egress", [])
        rule = {"ports": [{"port": port}], "to": to}
        is_reader = name.removeprefix("streamflow-") in ("jobs", "feast", "test")
        assert [one for one in rules if one not in known] == ([rule] if is_reader else []), name


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
        ({**OWN, **EXISTING}, "come from files and from existingConfigMap at once: leave one"),
        (
            {**OWN, **IMAGE, **GIT},
            "from files and from image.repository and from git.repository at",
        ),
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
            "bytes, and a ConfigMap holds one million: have them come from an image",
        ),
        (
            {**OWN, "definitions.revision": "2"},
            "definitions.revision is for an existingConfigMap; other files, another image and",
        ),
        (
            {**OWN, "jobs.trainingSet.datasets": [{"asOf": "2024-01-31"}]},
            "jobs.trainingSet.datasets is about months, whose tables a snapshots.py declares, which"
            " definitions.files lacks",
        ),
        ({**OWN, "definitions.files": {**FILES, "a/b.py": ""}}, "a/b.py"),
        ({**IMAGE, "definitions.image.tag": ""}, "has no tag, so that nobody could tell which"),
        ({**IMAGE, "definitions.image.tag": "latest"}, "has the tag latest, so that nobody could"),
        ({"definitions.image.tag": "7"}, "has a tag and no repository: set definitions.image.rep"),
        ({**IMAGE, "definitions.image.path": "feature_repo"}, "path"),
        ({**GIT, "definitions.git.commit": ""}, "commit is not set: set it to the whole hash of"),
        ({**GIT, "definitions.git.commit": "main"}, "commit"),
        ({**GIT, "definitions.git.commit": "1234567"}, "commit"),
        (
            {**GIT, "definitions.git.repository": "git@github.com:team/shop.git"},
            "write it as a URL, ssh://git@github.com/team/shop.git",
        ),
        (
            {**GIT, "definitions.git.repository": "https://me:secret@git.example.com/a"},
            "has a password in it, which would be kept with the release: put it into a Secret",
        ),
        (
            {**GIT, "definitions.git.repository": "ftp://git.example.com/a"},
            "and has to be https://HOST/PATH or ssh://git@HOST/PATH",
        ),
        (
            {
                **GIT,
                "definitions.git.repository": "ssh://git@git.example.com/a",
                "definitions.git.existingSecret": "",
            },
            "is reached by ssh, which needs a key: make a Secret with ssh-privatekey and known",
        ),
        ({"definitions.git.ref": "main"}, "definitions.git.ref is set without a repository: set"),
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
