"""Tests that every pod of the chart is restricted, bounded and probed."""

import subprocess
import sys
from typing import Any

import pytest
from kit.render import FULL, containers, named, pods, render

PARTS = ["api", "explorer", "feast", "jobs", "postgres", "prefect"]
VALUES = FULL


@pytest.fixture(scope="module")
def rendered_pods() -> dict[str, dict[str, Any]]:
    return pods(render(VALUES))


def test_every_part_has_pods(rendered_pods: dict[str, dict[str, Any]]) -> None:
    parts = {
        one["metadata"]["labels"]["app.kubernetes.io/component"] for one in rendered_pods.values()
    }
    assert parts == {*PARTS, "flows", "test"}


def test_every_pod_meets_the_restricted_standard(rendered_pods: dict[str, dict[str, Any]]) -> None:
    for name, pod in rendered_pods.items():
        spec = pod["spec"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] == (999 if "postgres" in name else 10001), name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "persistentVolumeClaim", "secret", "configMap"}, name
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (name, container["name"])


def test_no_pod_has_a_token_or_the_variables_of_services(
    rendered_pods: dict[str, dict[str, Any]],
) -> None:
    accounts = named(render(VALUES), "ServiceAccount")
    assert set(accounts) == {f"streamflow-{part}" for part in PARTS}
    for name, pod in rendered_pods.items():
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        assert pod["spec"]["enableServiceLinks"] is False, name
        assert accounts[pod["spec"]["serviceAccountName"]]["automountServiceAccountToken"] is False


def test_every_container_says_what_it_needs(rendered_pods: dict[str, dict[str, Any]]) -> None:
    for name, pod in rendered_pods.items():
        for container in containers(pod):
            resources = container["resources"]
            assert set(resources["requests"]) >= {"cpu", "memory"}, (name, container["name"])
            assert "memory" in resources["limits"], (name, container["name"])


def test_what_runs_long_is_probed(rendered_pods: dict[str, dict[str, Any]]) -> None:
    for name, pod in rendered_pods.items():
        if name.startswith(("Deployment", "StatefulSet")):
            for container in pod["spec"]["containers"]:
                assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), name
                assert container["livenessProbe"] != container["readinessProbe"], name


def test_a_job_is_bounded_and_stops_at_once_where_retrying_is_of_no_use() -> None:
    manifests = render(VALUES)
    crons = named(manifests, "CronJob")
    specs = [one["spec"] for one in named(manifests, "Job").values()]
    for spec in [*specs, *(one["spec"]["jobTemplate"]["spec"] for one in crons.values())]:
        assert spec["backoffLimit"] == 2
        assert "ttlSecondsAfterFinished" not in spec  # an upgrade would run it again
        assert spec["template"]["spec"]["restartPolicy"] == "Never"
        rule = spec["podFailurePolicy"]["rules"][0]
        assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [2, 3])
    assert {one["spec"]["concurrencyPolicy"] for one in crons.values()} == {"Forbid"}
    cron = crons["streamflow-materialize"]
    assert (cron["spec"]["schedule"], cron["spec"]["timeZone"]) == ("0 3 1 * *", "Etc/UTC")
    (container,) = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == [
        *("materialize", "--scheduled", "$(JOB_NAME)", "--reach", "90000"),
        "--skip-if-running",
    ]


KINDS = {
    "apply": "apply",
    "audit": "audit",
    "backfill": "materialize",
    "backup": "backup",
    "ingest": "ingest",
    "materialize": "materialize",
    "restore": "restore",
    "training-set": "trainingSet",
}
"""The kinds in Jobs' names, each with the key of its values; other Jobs have all jobs' values."""


def deadlines(values: dict[str, Any]) -> dict[str, int]:
    """Seconds until a Job is stopped, by what it does."""
    manifests = render(values)
    found = {
        name.removeprefix("streamflow-"): one["spec"]["jobTemplate"]["spec"]
        for name, one in named(manifests, "CronJob").items()
    }
    for name, one in named(manifests, "Job").items():
        found[name.removeprefix("streamflow-")[:-9]] = one["spec"]
    return {what: one["activeDeadlineSeconds"] for what, one in found.items()}


def test_each_kind_of_job_has_a_deadline_of_its_own_or_that_of_all() -> None:
    usual = deadlines(FULL)
    assert usual.keys() == {*KINDS, "backup-check", "roles"}
    long = {"backup", "ingest", "restore", "training-set"}
    assert usual == {what: 21600 if what in long else 3600 for what in usual}
    other = deadlines({**FULL, "jobs.activeDeadlineSeconds": 1800})
    assert other == {what: 21600 if what in long else 1800 for what in usual}
    for own, kind in KINDS.items():
        changed = deadlines({**FULL, f"jobs.{kind}.activeDeadlineSeconds": 777})
        others = {one for one in KINDS if KINDS[one] != kind} | {"backup-check", "roles"}
        assert changed[own] == 777
        assert {what: changed[what] for what in others} == {what: usual[what] for what in others}


def test_a_former_login_goes_on_as_long_as_the_longest_job_may() -> None:
    def former(values: dict[str, Any]) -> str:
        (pod,) = (one for name, one in pods(render(values)).items() if "-roles-" in name)
        (container,) = pod["spec"]["containers"]
        variables = {one["name"]: one.get("value") for one in container["env"]}
        return str(variables["STREAMFLOW_FORMER_LOGIN_S"])

    assert former({}) == "21600"
    assert former({"jobs.activeDeadlineSeconds": 50_000}) == "50000"
    for kind in set(KINDS.values()):
        assert former({f"jobs.{kind}.activeDeadlineSeconds": 99_999}) == "99999", kind
    short = {f"jobs.{kind}.activeDeadlineSeconds": 1000 for kind in set(KINDS.values())}
    assert former(short) == "3600"


@pytest.mark.parametrize(
    ("values", "reach"),
    [
        ({"jobs.materialize.startingDeadlineSeconds": 600}, 600 + 3600),
        ({"jobs.activeDeadlineSeconds": 7200}, 86400 + 7200),
        ({"jobs.materialize.activeDeadlineSeconds": 1000}, 86400 + 1000),
    ],
    ids=str,
)
def test_a_scheduled_time_is_believed_as_far_back_as_its_job_can_still_run(
    values: dict[str, Any], reach: int
) -> None:
    cron = pods(render(values))["CronJob/streamflow-materialize"]["spec"]
    (container,) = cron["containers"]
    assert container["args"][container["args"].index("--reach") + 1] == str(reach)


@pytest.mark.parametrize("seconds", [86_400, 3_600])
def test_all_that_writes_knows_how_far_ahead_a_row_may_be(seconds: int) -> None:
    writers = pods(render({**VALUES, "jobs.maxAheadSeconds": seconds}))
    found = {
        name: variable["value"]
        for name, pod in writers.items()
        for container in containers(pod)
        for variable in container.get("env", [])
        if variable["name"] == "STREAMFLOW_MAX_AHEAD_S"
    }
    assert set(found.values()) == {str(seconds)}
    for part in ("Deployment/streamflow-feast", "CronJob/streamflow-materialize"):
        assert part in found


def test_a_job_waits_for_prefect_and_runs_without_it() -> None:
    jobs = named(render(FULL), "Job").items()
    (job,) = (one for name, one in jobs if "-training-set-" in name)
    (waits,) = job["spec"]["template"]["spec"]["initContainers"]
    assert waits["args"] == ["http://streamflow-prefect:4200/api", "60"]
    done = subprocess.run(
        [sys.executable, "-c", waits["command"][2], "http://127.0.0.1:9/api", "0"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "the run will not be tracked" in done.stdout


def test_the_api_is_replaced_without_a_gap() -> None:
    deployment = named(render(VALUES), "Deployment")["streamflow-api"]["spec"]
    assert "replicas" not in deployment
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert deployment["template"]["metadata"]["annotations"].keys() == {
        "checksum/config",
        "checksum/secret",
    }
    fixed = render({**VALUES, "api.autoscaling.enabled": False, "api.replicaCount": 3})
    assert named(fixed, "Deployment")["streamflow-api"]["spec"]["replicas"] == 3


def test_training_sets_are_made_where_the_pod_that_hands_them_out_is() -> None:
    for mode, bound in (("ReadWriteOnce", True), ("ReadWriteMany", False)):
        manifests = render({**VALUES, "jobs.trainingSet.persistence.accessModes": [mode]})
        (job,) = (pod for name, pod in pods(manifests).items() if "training" in name)
        assert ("affinity" in job["spec"]) == bound
        (feast,) = containers(pods(manifests)["Deployment/streamflow-feast"])[1:]
        assert {"name": "training", "mountPath": "/training", "readOnly": True} in feast[
            "volumeMounts"
        ]


def test_what_has_to_outlive_the_release_is_kept() -> None:
    kept = {
        f"{one['kind']}/{one['metadata']['name']}"
        for one in render(VALUES)
        if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == {
        "PersistentVolumeClaim/streamflow-backups",
        "PersistentVolumeClaim/streamflow-training",
    }
